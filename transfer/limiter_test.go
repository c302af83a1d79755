package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limitLease is a lease of a limited job that counts signs of life.
type limitLease struct {
	limiter *Limiter
	alive   atomic.Int64
}

func (l *limitLease) Check() error              { return nil }
func (l *limitLease) Stopping() <-chan struct{} { return nil }
func (l *limitLease) Limiter() *Limiter         { return l.limiter }
func (l *limitLease) Moved(n int64)             { l.alive.Add(n) }

// takers take bytes without end until their function is called; it returns what each took and the longest wait for a turn.
func takers(l *Limiter, n int, size int64) (stop func() (each []int64, longest time.Duration)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	each, longest := make([]int64, n), time.Duration(0)
	for i := range n {
		wg.Go(func() {
			for {
				piece := l.piece(size)
				before := time.Now()
				if l.Take(ctx, &limitLease{limiter: l}, piece) != nil {
					return
				}
				mu.Lock()
				each[i] += piece
				longest = max(longest, time.Since(before))
				mu.Unlock()
			}
		})
	}
	return func() ([]int64, time.Duration) {
		cancel()
		wg.Wait()
		return each, longest
	}
}

func sum(each []int64) (total int64) {
	for _, n := range each {
		total += n
	}
	return total
}

func TestLimiterHoldsItsRate(t *testing.T) {
	for _, perSecond := range []int64{1 << 10, 64 << 10, 10 << 20, 300 << 20} {
		for _, n := range []int{1, 12} {
			synctest.Test(t, func(t *testing.T) {
				l := NewLimiter(perSecond)
				stop := takers(l, n, 256<<10)
				time.Sleep(100 * time.Second)
				each, longest := stop()
				if part := float64(sum(each)) / float64(100*perSecond); part < 0.99 || part > 1.01 {
					t.Errorf("%d takers took %.3f of %d a second", n, part, perSecond)
				}
				even := sum(each) / int64(n)
				for i, got := range each {
					if got < even*9/10 || got > even*11/10 {
						t.Errorf("taker %d of %d took %d of %d", i, n, got, sum(each))
					}
				}
				// Whoever is in the middle of a body must not leave it idle for long.
				if limit := time.Duration(n+1) * time.Second; longest > limit {
					t.Errorf("at %d a second one of %d takers waited %v for its turn", perSecond, n, longest)
				}
			})
		}
	}
}

func TestLimiterChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1 << 10)
		begin := time.Now()
		took := make(chan time.Duration, 1)
		go func() {
			if err := l.Take(t.Context(), &limitLease{limiter: l}, 10<<20); err != nil {
				t.Error(err)
			}
			took <- time.Since(begin)
		}()
		time.Sleep(500 * time.Millisecond) // in the middle of a wait for a piece
		l.Set(10 << 20)
		if d := <-took; d < 1400*time.Millisecond || d > 1600*time.Millisecond {
			t.Errorf("10 MiB took %v after the rate was raised to that a second", d)
		}
		l.Set(1 << 10)
		for range 3 {
			go func() {
				if err := l.Take(t.Context(), &limitLease{limiter: l}, 1<<50); err != nil {
					t.Error(err)
				}
				took <- 0
			}()
		}
		time.Sleep(10 * time.Second)
		l.Set(0)
		time.Sleep(10 * time.Second)
		if used := l.Used(); used > 10<<20+12<<10 {
			t.Errorf("%d bytes were given out, some of them while there was nothing to give", used)
		}
		begin = time.Now()
		l.Set(NoLimit)
		for range 3 {
			<-took
		}
		if d := time.Since(begin); d > 0 {
			t.Errorf("without a limit somebody waited %v", d)
		}
	})
}

func TestLimiterWaitsEndWithTheirContext(t *testing.T) {
	for _, perSecond := range []int64{0, 1 << 10} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimiter(perSecond)
			lease := &limitLease{limiter: l}
			gone := errors.New("lease lost")
			ctx, cancel := context.WithCancelCause(context.Background())
			errs := make(chan error, 3)
			for range 2 { // one has the turn, one waits for it
				go func() { errs <- l.Take(ctx, lease, 1<<30) }()
			}
			for range 4 {
				if perSecond > 0 && !l.tryEnter(4) {
					t.Fatal("no place for the first bodies")
				}
			}
			go func() { errs <- l.enter(ctx, lease, 4) }()
			time.Sleep(5 * time.Minute)
			if lease.alive.Load() < 3*8 {
				t.Errorf("%d signs of life of 3 waits in 5 minutes", lease.alive.Load())
			}
			cancel(gone)
			begin := time.Now()
			for range 3 {
				if err := <-errs; !errors.Is(err, gone) {
					t.Errorf("error %v", err)
				}
			}
			if d := time.Since(begin); d > 0 {
				t.Errorf("the waits ended after %v", d)
			}
			l.Set(1 << 20) // the turn is free again
			if err := l.Take(t.Context(), lease, 1<<20); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLimiterGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1 << 20)
		lease := &limitLease{limiter: l}
		n := NewNode("n", nil, nil, 64, 8<<20)
		begin := time.Now()
		for range 100 { // objects that turn out not to be copied
			f := newFare(lease)
			if err := f.pay(t.Context(), n, 1<<20, false); err != nil {
				t.Fatal(err)
			}
			f.end()
		}
		if d := time.Since(begin); d > 1100*time.Millisecond {
			t.Errorf("paying and giving back a hundred times took %v", d)
		}
		f := newFare(lease)
		if err := f.pay(t.Context(), n, 1<<20, false); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := pay(t.Context(), f, 1<<20); err != nil || time.Since(began) > 0 {
			t.Errorf("what is paid is paid again: %v, %v", time.Since(began), err)
		}
		if err := pay(t.Context(), f, 1<<20); err != nil || time.Since(began) < 800*time.Millisecond {
			t.Errorf("reading again costs nothing: %v, %v", time.Since(began), err)
		}
	})
}

// TestLimiterLetsInAsManyAsAreOfUse: bodies that fill the limit keep others out, slow ones do not.
func TestLimiterLetsInAsManyAsAreOfUse(t *testing.T) {
	for _, tc := range []struct {
		name        string
		pace        int64 // of one body, bytes a second
		least, most int
	}{{"fast bodies", 1 << 30, 4, 5}, {"slow bodies", 100 << 10, 20, 60}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLimiter(2 << 20)
				lease := &limitLease{limiter: l}
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				bodies := 0
				for time.Duration(0) < time.Minute {
					admit, stop := context.WithTimeout(ctx, 30*time.Second)
					err := l.enter(admit, lease, 4)
					stop()
					if err != nil {
						break
					}
					bodies++
					wg.Go(func() {
						for l.Take(ctx, lease, 16<<10) == nil {
							select {
							case <-time.After(time.Duration(int64(time.Second) * (16 << 10) / tc.pace)):
							case <-ctx.Done():
							}
						}
					})
					if bodies > 100 {
						break
					}
				}
				cancel()
				wg.Wait()
				if bodies < tc.least || bodies > tc.most {
					t.Errorf("%d bodies were let in, want %d to %d", bodies, tc.least, tc.most)
				}
			})
		})
	}
}
