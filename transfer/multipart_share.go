package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// partState is what is known of one part of an upload.
type partState uint8

const (
	partOpen    partState = iota // ours, not begun
	partBegun                    // ours, begun or sent, or held from before
	partAway                     // others send it
	partArrived                  // others sent it
)

// division says who sends which parts of an upload. Parts are handed out behind a limit that is lowered first, so that
// nothing is begun any more that others may have been given.
type division struct {
	handing sync.Mutex                                      // held while parts are handed out
	hand    func(ctx context.Context, first, end int) error // commits a hand-out of parts [first, end); nil: none are
	least   int64                                           // bytes that must be on their way still, ours or not

	mu      sync.Mutex
	states  []partState
	end     int           // parts from here on were never ours, or were handed out for good
	doubts  [][2]int      // handed out, but it is not known whether that was committed
	arrived []Share       // sent by others, not yet looked at
	stirred chan struct{} // room for one: a state changed
}

func (d *division) reset(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states, d.end, d.doubts, d.arrived = make([]partState, n), n, nil, nil
	d.stirred = make(chan struct{}, 1)
}

func (d *division) set(first, end int, s partState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := max(first, 0); i < min(end, len(d.states)); i++ {
		d.states[i] = s
	}
	select {
	case d.stirred <- struct{}{}:
	default:
	}
}

// all tells whether the parts of a range are in one state.
func (d *division) all(first, end int, s partState) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if first < 0 || end > len(d.states) || first >= end {
		return false
	}
	for _, have := range d.states[first:end] {
		if have != s {
			return false
		}
	}
	return true
}

// any tells whether some part is in a state.
func (d *division) any(s partState) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, have := range d.states {
		if have == s {
			return true
		}
	}
	return false
}

// claim begins a part, unless it is not ours.
func (d *division) claim(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.states[i] == partAway || d.states[i] == partArrived {
		return false
	}
	d.states[i] = partBegun
	return true
}

// halve takes the upper half of what is not begun away, as far as it lies together.
func (m *multipart) halve() (first, end int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var open, away int64
	n := 0
	for i, s := range m.states[:m.end] {
		_, length := m.plan.span(i)
		switch s {
		case partOpen:
			open, n, end = open+length, n+1, i+1
		case partAway:
			away += length
		}
	}
	if n < 2 || open <= m.n.Tuning.SharePiece || open+away <= m.least {
		return 0, 0, false
	}
	first = end
	for n /= 2; n > 0 && m.states[first-1] == partOpen; n-- {
		first--
		m.states[first] = partAway
	}
	return first, end, true
}

// handOut gives parts to others, if enough of them are left.
func (m *multipart) handOut(ctx context.Context) (gave bool, err error) {
	m.handing.Lock()
	defer m.handing.Unlock()
	if m.hand == nil {
		return false, nil
	}
	first, end, ok := m.halve()
	if !ok {
		return false, nil
	}
	return true, m.give(ctx, first, end)
}

// give commits a hand-out. Where the outcome is not known the parts stay away until it is.
func (m *multipart) give(ctx context.Context, first, end int) error {
	err := m.hand(ctx, first, end)
	switch {
	case err == nil:
	case errors.Is(err, ErrFenced):
		return err
	case errors.Is(err, ErrSplitRefused):
		m.set(first, end, partOpen)
	default:
		m.mu.Lock()
		m.doubts = append(m.doubts, [2]int{first, end})
		m.mu.Unlock()
		m.set(first, end, partAway) // wakes whoever waits for it
	}
	return nil
}

// doubtPause is how long after a command of unknown outcome it is sent again.
const doubtPause = time.Second

// settleDoubts asks again for what is not known to have been handed out, until it is.
func (m *multipart) settleDoubts(ctx context.Context) error {
	for {
		m.mu.Lock()
		doubts := m.doubts
		m.doubts = nil
		m.mu.Unlock()
		if len(doubts) == 0 {
			return nil
		}
		if err := m.n.Sleep(ctx, doubtPause); err != nil {
			return canceled(err)
		}
		if err := allowed(ctx, m.lease); err != nil {
			return err
		}
		for _, d := range doubts {
			if err := m.give(ctx, d[0], d[1]); err != nil {
				return err
			}
		}
	}
}

// uploads are those of a task that parts can be handed out of.
type uploads struct {
	ledger  SharingLedger
	now     func() time.Time
	offered chan struct{} // room for one: somebody asked, and there is something to hand out now

	mu    sync.Mutex
	open  []*multipart
	asked time.Time // of a request that nothing was found for
}

// remembered is how long a request that nothing was found for is kept for an upload that is just about to be opened.
const remembered = 10 * time.Second

// uploadLedger lets an upload be found while its task is asked to split.
type uploadLedger struct {
	SharingLedger
	uploads *uploads
}

func (t *taskRun) newUploads() *uploads {
	u := &uploads{now: t.n.Now, offered: make(chan struct{}, 1)}
	u.ledger, _ = t.ledger.(SharingLedger)
	return u
}

// wrap returns the ledger for copies of the task.
func (u *uploads) wrap(l Ledger) Ledger {
	if u.ledger == nil {
		return l
	}
	return uploadLedger{u.ledger, u}
}

// handOut gives parts of some upload to others.
func (u *uploads) handOut(ctx context.Context) error {
	u.mu.Lock()
	open := append([]*multipart(nil), u.open...)
	u.mu.Unlock()
	for _, m := range open {
		if gave, err := m.handOut(ctx); gave || err != nil {
			return err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = u.now()
	return nil
}

func (u *uploads) add(m *multipart) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open = append(u.open, m)
	select {
	case u.offered <- struct{}{}:
	default:
	}
}

func (u *uploads) remove(m *multipart) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, o := range u.open {
		if o == m {
			u.open = append(u.open[:i:i], u.open[i+1:]...)
			return
		}
	}
}

// wanted tells whether a request was made in vain a moment ago, and forgets it.
func (u *uploads) wanted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked := u.asked
	u.asked = time.Time{}
	return !asked.IsZero() && u.now().Sub(asked) < remembered
}

// offer lets parts of the upload be handed out until the function that it returns is called.
func (m *multipart) offer() (withdraw func()) {
	l, ok := m.ledger.(uploadLedger)
	if !ok || !m.shareable() {
		return func() {}
	}
	m.least = m.n.Tuning.ShareMin
	m.hand = func(ctx context.Context, first, end int) error {
		return l.ShareParts(ctx, m.key, m.src.Size, first, end)
	}
	l.uploads.add(m)
	return func() {
		l.uploads.remove(m)
		m.handing.Lock() // waits for a hand-out that is being committed
		defer m.handing.Unlock()
		m.hand = nil
	}
}

// shareable tells whether other nodes can help: bytes pass here, are many, and are of a version that can be named.
func (m *multipart) shareable() bool {
	t := &m.n.Tuning
	return m.by == nil && m.src.Origin == "" && t.ShareMin > 0 && m.src.Size > t.ShareMin &&
		(m.src.ETag != "" || m.job.Source.Abilities().ExactModTime)
}

// sendParts sends all parts that are ours and waits for those that others send, until none is missing.
func (m *multipart) sendParts(ctx context.Context) error {
	for {
		if err := m.n.inParallel(ctx, m.lease, m.job.ID, m.plan.n, m.sendPart); err != nil {
			return err
		}
		again, err := m.gather(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// gather waits for parts that others send and takes them over; again tells that some came back to be sent here. While it
// waits, the slot that the copy holds serves others.
func (m *multipart) gather(ctx context.Context) (again bool, err error) {
	if m.any(partAway) {
		m.n.Slots.Release(m.job.ID)
		err = m.await(ctx)
		// The caller gives the slot back in any case, so it must be had again in any case.
		err = errors.Join(err, m.n.Slots.Acquire(context.WithoutCancel(ctx), m.job.ID))
	}
	if err != nil || m.any(partOpen) {
		return true, err
	}
	return m.join(ctx)
}

// await returns when nothing is left with others, or something came back.
func (m *multipart) await(ctx context.Context) error {
	l, ok := m.ledger.(uploadLedger)
	if !ok {
		return fmt.Errorf("parts of %q are sent by others, of whom nothing can be learned", m.key)
	}
	for {
		if err := m.settleDoubts(ctx); err != nil {
			return err
		}
		shares, news := l.Shares(m.key, m.id)
		for _, sh := range shares {
			if err := m.learnOf(ctx, l, sh); err != nil {
				return err
			}
		}
		if m.any(partOpen) || !m.any(partAway) {
			return nil
		}
		select {
		case <-m.stirred:
		case <-news:
		case <-m.lease.Stopping():
			return ErrStopped // the next owner waits for them
		case <-ctx.Done():
		}
		if err := allowed(ctx, m.lease); err != nil {
			return err
		}
	}
}

// learnOf acts on what became of one share. What is told may be old: parts are taken back by a command only.
func (m *multipart) learnOf(ctx context.Context, l SharingLedger, sh Share) error {
	r := sh.Result
	switch {
	case !m.all(sh.First, sh.End, partAway):
		return nil
	case r != nil && r.Class == "":
		m.mu.Lock()
		m.arrived = append(m.arrived, sh)
		m.mu.Unlock()
		m.set(sh.First, sh.End, partArrived)
		return nil
	case r != nil && r.Class == string(store.Changed):
		return m.changedAway(r)
	case r != nil || sh.Waits:
		return m.reclaim(ctx, l, sh)
	}
	return nil
}

// changedAway is the error of a source that another node found changed.
func (m *multipart) changedAway(r *PartsResult) error {
	return m.changed(fmt.Errorf("seen by another node: %s", r.Reason))
}

// reclaim takes parts back that nobody sends: their task waits, or failed. Where the outcome is not known it asks again:
// a share that was taken back is not told of any more.
func (m *multipart) reclaim(ctx context.Context, l SharingLedger, sh Share) error {
	for {
		err := l.ReclaimParts(ctx, m.key, m.src.Size, sh.First, sh.End)
		switch {
		case err == nil:
			m.set(sh.First, sh.End, partOpen)
			return nil
		case errors.Is(err, ErrFenced):
			return err
		case errors.Is(err, ErrSplitRefused):
			return nil // somebody took them meanwhile, or took half of them
		}
		if err := m.n.Sleep(ctx, doubtPause); err != nil {
			return canceled(err)
		}
		if err := allowed(ctx, m.lease); err != nil {
			return err
		}
	}
}

// join takes the parts over that others sent, if the upload holds exactly what the store acknowledged to them. Other
// parts come back.
func (m *multipart) join(ctx context.Context) (again bool, err error) {
	m.mu.Lock()
	arrived := m.arrived
	m.arrived = nil
	m.mu.Unlock()
	if len(arrived) == 0 {
		return false, nil
	}
	held, err := m.listHeld(ctx)
	if err != nil {
		return false, err
	}
	l := m.ledger.(uploadLedger)
	for _, sh := range arrived {
		if parts := held[sh.First:sh.End]; tagsOf(parts) == string(sh.Result.Tags) {
			m.take(sh, parts)
			continue
		}
		m.n.Log.Warn("parts of another node are not what it sent, they are sent again",
			"job", m.job.ID, "task", m.task.ID, "key", m.key, "first", sh.First+1, "last", sh.End)
		m.set(sh.First, sh.End, partAway)
		if err := m.reclaim(ctx, l, sh); err != nil {
			return false, err
		}
		again = true
	}
	return again, nil
}

// take records the parts of a share as arrived.
func (m *multipart) take(sh Share, parts []store.Part) {
	for i, p := range parts {
		at := sh.First + i
		m.parts[at], m.sums[at], m.shown[at] = p, p.Sums, sh.Result.Shown
	}
	m.pieces[sh.First] = piece{end: sh.End, sums: store.Checksums{CRC64NVME: string(sh.Result.CRC64), CRC32C: string(sh.Result.CRC32C), CRC64ECMA: string(sh.Result.CRC64ECMA)}}
}

// piece is a range of parts whose sum was computed by another node.
type piece struct {
	end  int
	sums store.Checksums
}

// listHeld returns the parts that the upload holds, by index; Number is 0 where it holds none.
func (m *multipart) listHeld(ctx context.Context) ([]store.Part, error) {
	var listed []store.Part
	err := m.n.retry(ctx, m.lease, func() (err error) {
		ended := m.n.began(m.job.Destination, opListParts)
		listed, err = m.to.ListParts(ctx, m.key, m.id)
		return ended(err)
	})
	if store.ClassOf(err) == store.NotFound {
		return nil, fmt.Errorf("%w: %w", errUploadGone, err)
	}
	held := make([]store.Part, m.plan.n)
	for _, p := range listed {
		if p.Number >= 1 && p.Number <= m.plan.n {
			held[p.Number-1] = p
		}
	}
	return held, err
}

// tagsOf is a digest of parts as the store acknowledged and lists them: equal ones are the same uploads of them.
func tagsOf(parts []store.Part) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %d %s\n", p.Number, p.Size, p.ETag)
	}
	return string(h.Sum(nil))
}
