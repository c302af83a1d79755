package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// MaxEntry bounds a log entry in bytes. Larger ones would hold heartbeats up.
const MaxEntry = 512 << 10

// What Apply and Barrier answer besides the state machine.
var (
	// ErrNotLeader: nothing was written, another node may be leader.
	ErrNotLeader = errors.New("not the leader")
	// ErrUnknownOutcome: the entry may be applied, now or later, or never. Entries must be safe to propose again.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrShutdown: nothing was written, the node is shutting down.
	ErrShutdown = errors.New("the node is shutting down")
)

// Apply proposes an entry and waits until it is applied here; the answer is the state machine's. It returns when ctx
// ends whatever raft does. Errors wrap ErrTooLarge, ErrNotLeader, ErrShutdown or ErrUnknownOutcome.
func (n *Node) Apply(ctx context.Context, entry []byte) (any, error) {
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("apply: %w: %d bytes, at most %d", ErrTooLarge, len(entry), MaxEntry)
	}
	began := time.Now()
	f, err := await(ctx, n, "apply", func() raft.ApplyFuture { return n.raft.Apply(entry, 0) })
	if n.watcher != nil {
		n.watcher.Committed(time.Since(began), err)
	}
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return f.Response(), nil
}

// Barrier waits until everything committed before is applied here: what a new leader does first.
func (n *Node) Barrier(ctx context.Context) error {
	if _, err := await(ctx, n, "barrier", func() raft.Future { return n.raft.Barrier(0) }); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	return nil
}

// Verify proves that this node is leader and has a majority behind it now.
func (n *Node) Verify(ctx context.Context) error {
	if _, err := await(ctx, n, "verification", func() raft.Future { return n.raft.VerifyLeader() }); err != nil {
		return fmt.Errorf("verify leader: %w", err)
	}
	return nil
}

// await runs an operation of raft in a goroutine of the node's, for neither queueing it nor its future heeds a context:
// without a quorum both can wait for ever.
func await[F raft.Future](ctx context.Context, n *Node, what string, start func() F) (f F, err error) {
	if err := ctx.Err(); err != nil {
		return f, err // nothing was sent: the outcome is known
	}
	op, err := n.pending.begin(what)
	if err != nil {
		return f, err
	}
	type outcome struct {
		f   F
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer n.pending.end(op)
		f := start()
		done <- outcome{f, f.Error()}
	}()
	select {
	case o := <-done:
		return o.f, known(o.err)
	case <-ctx.Done():
		return f, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// known sorts raft's errors by what they say about the entry.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	default: // ErrLeadershipLost, ErrRaftShutdown and errors of the disk
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
}

// operation is one call into raft that has not returned.
type operation struct {
	what     string
	since    time.Time
	reported bool
}

// pending are the operations outstanding. The zero value is ready.
type pending struct {
	mu     sync.Mutex
	ops    map[*operation]struct{}
	closed bool
	idle   chan struct{} // closed when the last operation has ended, once close was called
}

func (p *pending) begin(what string) (*operation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrShutdown
	}
	if p.ops == nil {
		p.ops = map[*operation]struct{}{}
	}
	op := &operation{what: what, since: time.Now()}
	p.ops[op] = struct{}{}
	return op, nil
}

func (p *pending) end(op *operation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ops, op)
	if p.closed && len(p.ops) == 0 {
		close(p.idle)
	}
}

// close refuses further operations.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed, p.idle = true, make(chan struct{})
	if len(p.ops) == 0 {
		close(p.idle)
	}
}

// wait returns when no operation is outstanding, or after d. close comes first.
func (p *pending) wait(d time.Duration) {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}

// stuck returns the operations that have taken longer than limit, each once.
func (p *pending) stuck(now time.Time, limit time.Duration) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for op := range p.ops {
		if took := now.Sub(op.since); took > limit && !op.reported {
			op.reported = true
			errs = append(errs, fmt.Errorf("%s has been outstanding for %v: the disk or the quorum hangs", op.what, took.Round(time.Millisecond)))
		}
	}
	return errs
}

// startWatchdog reports operations that hang to OnStuck.
func (n *Node) startWatchdog(c Config) {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	if c.OnStuck == nil {
		return
	}
	limit := c.StuckAfter
	if limit <= 0 {
		limit = defaultStuckAfter
	}
	n.watchdog.Go(func() {
		tick := time.NewTicker(max(limit/8, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				for _, err := range n.pending.stuck(now, limit) {
					c.OnStuck(err)
				}
			}
		}
	})
}
