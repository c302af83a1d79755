package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// inParallel runs work for 0 to count-1 and waits for all of it. One runs on the slot that the caller holds, so there is
// always progress; more run on what slots the job is given besides. Each of those is given back after a piece where
// somebody else is to have it, so that small objects are not kept waiting by a large one. Under a limit more run only while
// those under way leave some of it over. The first failure stops the rest; after ErrStopped nothing more begins, and what is
// in flight ends.
func (n *Node) inParallel(ctx context.Context, lease Lease, job string, count int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	growing, enough := context.WithCancel(ctx)
	defer enough()
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	limiter := limiterOf(lease)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		// Whatever fails after the first failure is only cut short by it.
		if len(failed) == 0 || !isEnd(err) {
			failed = append(failed, err)
		}
		next.Store(int64(count))
		if !errors.Is(err, ErrStopped) {
			cancel()
		}
	}
	run := func(extra bool) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i+1 >= count {
				enough() // nothing is left for more of these
			}
			if i >= count {
				break
			}
			if err := work(ctx, i); err != nil {
				fail(err)
			}
			if extra && n.leaves(limiter, job) {
				return
			}
		}
		if extra {
			n.Slots.Release(job)
			limiter.leave()
		}
	}
	if count > 1 {
		wg.Go(func() {
			for n.boardPart(growing, limiter, job) == nil {
				wg.Go(func() { run(true) })
			}
		})
	}
	run(false)
	enough()
	wg.Wait()
	if len(failed) == 0 && ctx.Err() != nil {
		return canceled(context.Cause(ctx))
	}
	return errors.Join(failed...)
}

// boardPart waits for what one more part in flight needs: some of the limit left over, and a slot. Waiting is no sign of
// life here, for the part on the task's own slot may hang.
func (n *Node) boardPart(ctx context.Context, limiter *Limiter, job string) error {
	if limiter != nil {
		if err := limiter.enter(ctx, nil, n.leastBodies()); err != nil {
			return err
		}
	}
	if err := n.Slots.AcquirePart(ctx, job); err != nil {
		limiter.leave()
		return err
	}
	return nil
}

// leaves gives back what boardPart took, if somebody else is to have it or nothing of the limit is left over, and tells
// whether it did.
func (n *Node) leaves(limiter *Limiter, job string) bool {
	limiter.leave()
	if !limiter.tryEnter(n.leastBodies()) {
		n.Slots.Release(job)
		return true
	}
	if n.Slots.Cede(job) {
		limiter.leave()
		return true
	}
	return false
}
