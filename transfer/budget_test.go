package transfer

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gets starts waiting for n bytes and returns where it is told of.
func gets(ctx context.Context, b *budget, n int64) <-chan error {
	before := queued(b)
	got := make(chan error, 1)
	go func() { got <- b.acquire(ctx, n) }()
	for len(got) == 0 && queued(b) == before {
		runtime.Gosched()
	}
	return got
}

func queued(b *budget) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting.Len()
}

func waits(t *testing.T, what string, got <-chan error) {
	t.Helper()
	select {
	case err := <-got:
		t.Fatalf("%s did not wait: %v", what, err)
	default:
	}
}

func comes(t *testing.T, what string, got <-chan error) {
	t.Helper()
	select {
	case err := <-got:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s waits for ever", what)
	}
}

// TestBudgetShrinksAndGrows changes the size while all of it is held and more is waited for.
func TestBudgetShrinksAndGrows(t *testing.T) {
	b := newBudget(100)
	comes(t, "the first", gets(t.Context(), b, 60))
	comes(t, "the second", gets(t.Context(), b, 40))
	b.resize(50)
	third := gets(t.Context(), b, 30)
	b.release(60) // 40 held of 50
	waits(t, "the third", third)
	if b.tryAcquire(1) {
		t.Error("one passed another that waited")
	}
	b.resize(70)
	comes(t, "the third", third)
	b.resize(10)
	large := gets(t.Context(), b, 20) // more than all of it
	b.release(40)
	waits(t, "the large one", large)
	b.release(30)
	comes(t, "the large one", large)
	ctx, cancel := context.WithCancel(t.Context())
	late := gets(ctx, b, 5)
	behind := gets(t.Context(), b, 1)
	cancel()
	if err := <-late; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	b.release(20)
	comes(t, "who came behind the one that gave up", behind)
	b.release(1)
	if b.used != 0 || queued(b) != 0 {
		t.Errorf("%d used, %d wait", b.used, queued(b))
	}
}

// TestMemoryHoldsWhileItChanges has many take and put back buffers while the size goes up and down: it is never passed but by
// what is larger than all of it, nobody waits for ever, and at the end nothing is held.
func TestMemoryHoldsWhileItChanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := NewMemory(32 << 20)
	var users sync.WaitGroup
	var taken atomic.Int64
	for i := range 16 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		users.Go(func() {
			for range 300 {
				n := 1 + random.IntN(12<<20)
				b, err := m.Get(t.Context(), n)
				if err != nil || len(b) != n {
					t.Errorf("%d bytes of %d: %v", len(b), n, err)
					return
				}
				taken.Add(1)
				m.Put(b)
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 99))
	done := make(chan struct{})
	go func() { users.Wait(); close(done) }()
	for over := time.After(time.Minute); ; {
		m.Resize(int64(8+random.IntN(56)) << 20)
		m.sem.mu.Lock()
		if m.sem.used > 64<<20 {
			t.Errorf("%d bytes are held", m.sem.used)
		}
		m.sem.mu.Unlock()
		select {
		case <-done:
			if m.sem.used != 0 || taken.Load() != 16*300 {
				t.Errorf("%d bytes are still held after %d buffers", m.sem.used, taken.Load())
			}
			return
		case <-over:
			t.Fatal("somebody waits for ever")
		default:
		}
	}
}
