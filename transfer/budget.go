package transfer

import (
	"container/list"
	"context"
	"sync"
)

// budget is a weighted semaphore whose size can change while it is in use. What is held when it shrinks stays held; more is
// granted only once enough of it came back. Nothing waits for ever, however small the budget became: what is larger than all
// of it is granted when nothing else is held.
type budget struct {
	mu      sync.Mutex
	size    int64
	used    int64
	waiting list.List // of *budgetWaiter, the longest waiting first
}

// budgetWaiter waits for n bytes.
type budgetWaiter struct {
	n       int64
	granted chan struct{} // closed under mu
}

func newBudget(size int64) *budget { return &budget{size: size} }

func (b *budget) fits(n int64) bool { return b.used == 0 || b.used+n <= b.size }

// acquire waits for n bytes, in turn.
func (b *budget) acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.waiting.Len() == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &budgetWaiter{n, make(chan struct{})}
	at := b.waiting.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted: // meanwhile
		b.used -= n
	default:
		b.waiting.Remove(at)
	}
	b.grant()
	return ctx.Err()
}

// tryAcquire takes n bytes if nobody waits and they are free.
func (b *budget) tryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Len() > 0 || !b.fits(n) {
		return false
	}
	b.used += n
	return true
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.grant()
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (b *budget) resize(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size = size
	b.grant()
}

// grant lets those go on whose turn it is.
func (b *budget) grant() {
	for b.waiting.Len() > 0 {
		first := b.waiting.Front()
		w := first.Value.(*budgetWaiter)
		if !b.fits(w.n) {
			return
		}
		b.waiting.Remove(first)
		b.used += w.n
		close(w.granted)
	}
}
