package transfer

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// NoLimit is the rate of a Limiter that lets everything pass.
const NoLimit = -1

const (
	leastPiece = 1 << 10   // bytes that one turn takes at most, at the lowest rates
	mostPiece  = 256 << 10 // and at the highest
	pieceParts = 8         // of what a second brings, a piece is one; more is not saved up either
	entryEvery = time.Second / pieceParts
)

// Limiter holds what all tasks of one job read on this node to a rate, which may change at any time. Bytes are given out
// in small pieces and in turn, so that every body keeps moving. Its methods may be called on nil, which limits nothing.
type Limiter struct {
	rate atomic.Int64 // bytes a second; NoLimit, or 0 while nothing may pass
	used atomic.Int64

	mu      sync.Mutex
	bucket  *rate.Limiter
	changed chan struct{}   // closed when the rate changes or a body leaves
	spare   int64           // bytes that were paid for and not used
	busy    bool            // somebody has the turn
	queue   []chan struct{} // those who wait for it
	bodies  int             // that entered
	entered time.Time       // when the latest one did beyond those that always may
}

// NewLimiter returns a limiter of so many bytes a second, NoLimit or 0 for nothing.
func NewLimiter(perSecond int64) *Limiter {
	l := &Limiter{bucket: rate.NewLimiter(0, 0), changed: make(chan struct{})}
	l.rate.Store(NoLimit)
	l.Set(perSecond)
	return l
}

// Set changes the rate; it holds at once, for bodies under way too.
func (l *Limiter) Set(perSecond int64) {
	perSecond = max(perSecond, NoLimit)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate.Load() == perSecond {
		return
	}
	now := time.Now()
	l.rate.Store(perSecond)
	l.bucket.SetLimitAt(now, rate.Limit(max(perSecond, 0)))
	l.bucket.SetBurstAt(now, int(burstOf(perSecond)))
	l.wake()
}

// wake lets those look again who wait for the rate or for a place. The caller holds mu.
func (l *Limiter) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Rate is the rate as it was set last.
func (l *Limiter) Rate() int64 {
	if l == nil {
		return NoLimit
	}
	return l.rate.Load()
}

// Used counts the bytes that were given out since the start while there was a limit.
func (l *Limiter) Used() int64 { return l.used.Load() }

// limits tells whether there is a limit now.
func (l *Limiter) limits() bool { return l.Rate() != NoLimit }

// second is what one second brings, at least so much as no store minds waiting for; everything without a limit.
func (l *Limiter) second() int64 {
	if r := l.Rate(); r != NoLimit {
		return max(r, smallestPool)
	}
	return math.MaxInt64
}

// piece is how many of n bytes are given out in one turn.
func (l *Limiter) piece(n int64) int64 {
	if r := l.Rate(); r != NoLimit {
		return min(n, pieceOf(r))
	}
	return n
}

func pieceOf(perSecond int64) int64 {
	return min(max(perSecond/pieceParts, leastPiece), mostPiece)
}

func burstOf(perSecond int64) int64 { return max(perSecond/pieceParts, pieceOf(perSecond)) }

// Take waits until n bytes may be moved. While it waits the lease is told that the task is alive.
func (l *Limiter) Take(ctx context.Context, lease Lease, n int64) error {
	if n <= 0 || !l.limits() {
		return nil
	}
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for n > 0 && l.limits() {
		got, err := l.takePiece(ctx, lease, n, alive)
		if err != nil {
			return err
		}
		n -= got
	}
	return nil
}

// takePiece waits for its turn and then for a piece of n bytes.
func (l *Limiter) takePiece(ctx context.Context, lease Lease, n int64, alive *time.Ticker) (int64, error) {
	if err := l.await(ctx, lease, alive); err != nil {
		return 0, err
	}
	defer l.pass()
	for {
		got, wait, changed := l.reserve(n)
		if wait == nil {
			return got, nil
		}
		select {
		case <-wait.due:
			l.used.Add(got)
			return got, nil
		case <-changed:
			wait.cancel()
		case <-alive.C:
			wait.cancel()
			moved(lease, 1)
		case <-ctx.Done():
			wait.cancel()
			return 0, context.Cause(ctx)
		}
	}
}

// wait is a piece that is due later.
type wait struct {
	due    <-chan time.Time // nil: not as things stand
	cancel func()           // gives the piece back
}

// reserve takes a piece of n bytes out of the bucket, or what is spare; a piece that is due later comes with a wait.
func (l *Limiter) reserve(n int64) (got int64, later *wait, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r := l.rate.Load(); {
	case r == NoLimit:
		return n, nil, nil
	case l.spare > 0:
		got = min(l.spare, n)
		l.spare -= got
		return got, nil, nil
	case r == 0:
		return 0, &wait{cancel: func() {}}, l.changed
	}
	got = l.piece(n)
	now := time.Now()
	r := l.bucket.ReserveN(now, int(got))
	delay := r.DelayFrom(now)
	if delay == 0 {
		l.used.Add(got)
		return got, nil, nil
	}
	timer := time.NewTimer(delay)
	return got, &wait{timer.C, func() { timer.Stop(); r.Cancel() }}, l.changed
}

// refund gives bytes back that were taken and not moved.
func (l *Limiter) refund(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare += n
}

// await waits for the turn.
func (l *Limiter) await(ctx context.Context, lease Lease, alive *time.Ticker) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.queue = append(l.queue, turn)
	l.mu.Unlock()
	for {
		select {
		case <-turn:
			return nil
		case <-alive.C:
			moved(lease, 1)
		case <-ctx.Done():
			l.giveUp(turn)
			return context.Cause(ctx)
		}
	}
}

// giveUp leaves the queue, or passes the turn on that came meanwhile.
func (l *Limiter) giveUp(turn chan struct{}) {
	l.mu.Lock()
	i := slices.Index(l.queue, turn)
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		l.pass()
	}
}

// pass gives the turn to the next one.
func (l *Limiter) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.busy = false
		return
	}
	close(l.queue[0])
	l.queue = l.queue[1:]
}

// enter waits until one body more is of use: while fewer than least are under way, and then whenever those leave
// something over. So a job with a low limit keeps no more slots of the node than it fills.
func (l *Limiter) enter(ctx context.Context, lease Lease, least int) error {
	waited := time.Duration(0)
	for !l.tryEnter(least) {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		timer := time.NewTimer(entryEvery)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
		if waited += entryEvery; waited >= aliveEvery {
			waited = 0
			moved(lease, 1)
		}
	}
	return nil
}

// tryEnter is enter for who does not wait.
func (l *Limiter) tryEnter(least int) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch r := l.rate.Load(); {
	case r == NoLimit || r > 0 && l.bodies < least:
	case r == 0 || l.busy || now.Sub(l.entered) < entryEvery:
		return false
	case l.spare == 0 && l.bucket.TokensAt(now) < float64(burstOf(r))/2:
		return false
	default:
		l.entered = now
	}
	l.bodies++
	return true
}

// leave ends a body that entered.
func (l *Limiter) leave() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies--
	l.wake()
}
