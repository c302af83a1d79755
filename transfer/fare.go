package transfer

import (
	"context"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// leastBodies is how many bodies of a limited job may be under way on a node whatever its limit: so many that the end of
// one leaves no gap, but never more than an eighth of the slots that all jobs share.
func (n *Node) leastBodies() int { return int(max(1, min(4, n.concurrency/8))) }

// limiterOf returns what limits the task that a lease is of; nil for nothing.
func limiterOf(lease Lease) *Limiter {
	if l, ok := lease.(LimitedLease); ok {
		return l.Limiter()
	}
	return nil
}

// fare is the lease under which one object is copied, with what was paid for its bytes before it took a slot of the
// node. Whoever waits for the limit of a job inside a slot keeps the jobs from it that have no limit.
type fare struct {
	Lease
	limiter *Limiter
	paid    atomic.Int64 // bytes that may be moved without waiting
	inside  bool         // it entered as a body
}

// Moved implements MovedLease.
func (f *fare) Moved(n int64) { moved(f.Lease, int(n)) }

// Limiter implements LimitedLease.
func (f *fare) Limiter() *Limiter { return f.limiter }

// newFare returns the fare of a task's object; nil where nothing limits the task.
func newFare(lease Lease) *fare {
	if l := limiterOf(lease); l != nil && l.limits() {
		return &fare{Lease: lease, limiter: l}
	}
	return nil
}

// pay waits for all bytes of an object where they are few, else for a place among the bodies under way, which pay piece
// by piece. Where the job turns out to read nothing, end gives back what was paid.
func (f *fare) pay(ctx context.Context, n *Node, size int64, pieces bool) error {
	if f == nil {
		return nil
	}
	if pieces || !f.limiter.atOnce(n, size) {
		if err := f.limiter.enter(ctx, f.Lease, n.leastBodies()); err != nil {
			return err
		}
		f.inside = true
		return nil
	}
	if err := f.limiter.Take(ctx, f.Lease, size); err != nil {
		return err
	}
	f.paid.Add(size)
	return nil
}

// end gives back what is left over.
func (f *fare) end() {
	if f == nil {
		return
	}
	if rest := f.paid.Swap(0); rest > 0 {
		f.limiter.refund(rest)
	}
	if f.inside {
		f.inside = false
		f.limiter.leave()
	}
}

// spend takes n bytes of what is paid, or none.
func (f *fare) spend(n int64) bool {
	if f.paid.Add(-n) >= 0 {
		return true
	}
	f.paid.Add(n)
	return false
}

// atOnce tells whether an object of that size is read into memory whole and then sent. Where the limit is low against its
// size it is streamed: bytes flow evenly, and no memory is held meanwhile.
func (l *Limiter) atOnce(n *Node, size int64) bool {
	return size <= n.Tuning.BufferedMax && size <= l.second()
}

// pay waits until n bytes may be moved under a lease.
func pay(ctx context.Context, lease Lease, n int64) error {
	l := limiterOf(lease)
	if l == nil || !l.limits() {
		return nil
	}
	if f, ok := lease.(*fare); ok && f.spend(n) {
		return nil
	}
	return l.Take(ctx, lease, n)
}

// fareOf returns the fare of an item whose work moves bytes through this node, else nil.
func (p *pipeline) fareOf(it *item) *fare {
	if it.src == nil || it.src.Kind != store.KindObject || it.src.Size == 0 || p.byStore {
		return nil
	}
	return newFare(p.lease)
}

// board pays for an item before it takes a slot. One that is looked at more closely first pays when that is decided.
func (p *pipeline) board(ctx context.Context, it *item) error {
	switch {
	case p.job.Type == "verify":
		return it.fare.pay(ctx, p.n, it.src.Size, true)
	case it.verdict == Undecided:
		return nil
	}
	return it.fare.pay(ctx, p.n, it.src.Size, false)
}

// boardLate pays for an item that holds a slot already. It gives the slot back meanwhile; when it fails the slot is gone.
func (p *pipeline) boardLate(ctx context.Context, it *item) error {
	if it.fare == nil {
		return nil
	}
	p.n.Slots.Release(p.job.ID)
	it.slotless = true
	if err := it.fare.pay(ctx, p.n, it.src.Size, false); err != nil {
		return err
	}
	if err := p.n.Slots.Acquire(ctx, p.job.ID); err != nil {
		return context.Cause(ctx)
	}
	it.slotless = false
	return nil
}

// resending pays for content in memory that is sent again: the first time was paid when it was read.
type resending struct {
	lease Lease
	size  int64
	sent  bool
}

func (r *resending) pay(ctx context.Context) error {
	if !r.sent {
		r.sent = true
		return nil
	}
	return pay(ctx, r.lease, r.size)
}
