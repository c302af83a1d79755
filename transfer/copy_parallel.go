package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// inParallel runs work for 0 to count-1 and waits for all of it. One runs on the slot that the caller holds, so there is
// always progress; more run while the node has slots that nobody waits for. Each of those is given back after every
// piece, so that small objects are not kept waiting by a large one. The first failure stops the rest.
func (n *Node) inParallel(ctx context.Context, count int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []error
		run    func(extra bool)
	)
	run = func(extra bool) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= count {
				break
			}
			if i+1 < count && n.Slots.TryAcquire(1) {
				wg.Go(func() { run(true) })
			}
			if err := work(ctx, i); err != nil {
				mu.Lock()
				// Whatever fails after the first failure is only cut short by it.
				if len(failed) == 0 || !isEnd(err) {
					failed = append(failed, err)
				}
				mu.Unlock()
				cancel()
			}
			if !extra {
				continue
			}
			n.Slots.Release(1)
			if !n.Slots.TryAcquire(1) {
				return
			}
		}
		if extra {
			n.Slots.Release(1)
		}
	}
	run(false)
	wg.Wait()
	if len(failed) == 0 && ctx.Err() != nil {
		return canceled(context.Cause(ctx))
	}
	return errors.Join(failed...)
}
