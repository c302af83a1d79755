package transfer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// farStore takes a while for each write.
type farStore struct{ *memStore }

func (s farStore) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	time.Sleep(10 * time.Millisecond)
	return s.memStore.Put(ctx, key, body, opts)
}

// manyObjects returns a store with so many objects.
func manyObjects(n, size int) *memStore { return withObjects(newMemStore(), n, size) }

// silentObjects returns one that tells no sums.
func silentObjects(n, size int) *memStore {
	s := newMemStore()
	s.reports, s.etags = false, false
	return withObjects(s, n, size)
}

func withObjects(s *memStore, n, size int) *memStore {
	for i := range n {
		s.set(fmt.Sprintf("k%04d", i), content(size, uint64(i)))
	}
	return s
}

// runFree copies 800 small objects without a limit on a node, and returns how long it took.
func runFree(t *testing.T, n *Node) time.Duration {
	t.Helper()
	b := newBench(t, manyObjects(800, 100), farStore{newMemStore()})
	b.n = n
	began := time.Now()
	b.pass()
	return time.Since(began)
}

// TestLimitedJobHoldsNobodyUp: a job without a limit keeps its speed beside one that waits for its bytes, which holds next
// to no slots and memory of the node.
func TestLimitedJobHoldsNobodyUp(t *testing.T) {
	for _, tc := range []struct {
		name string
		src  *memStore
		dst  func() *memStore
		kind string
	}{
		{"small objects", manyObjects(300, 20<<10), newMemStore, "copy"},
		{"streams", manyObjects(100, 300<<10), newMemStore, "copy"},
		{"parts", manyObjects(30, 3<<20), newMemStore, "copy"},
		{"objects that are compared closely", manyObjects(300, 20<<10), func() *memStore { return silentObjects(300, 20<<10) }, "copy"},
		{"objects that are read to verify them", manyObjects(100, 300<<10), func() *memStore { return silentObjects(100, 300<<10) }, "verify"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tc.src, memMultipart{tc.dst()})
				b.n.Tuning.MultipartMin, b.n.Tuning.PartSize = 1<<20, 256<<10
				b.job.Type, b.job.Compare = tc.kind, "checksum"
				alone := runFree(t, b.n)
				lease := &limitLease{limiter: NewLimiter(64 << 10)}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					task := Task{ID: 1, Kind: Range}
					ended <- b.n.Run(ctx, b.job, task, lease, &benchLedger{bench: b, task: &task})
				}()
				time.Sleep(10 * time.Second)
				beside := runFree(t, b.n)
				if beside > alone*13/10 {
					t.Errorf("800 objects took %v alone, %v beside a limited job", alone, beside)
				}
				synctest.Wait()
				if most := b.n.Memory.Total() - 3<<20; !b.n.Memory.sem.tryAcquire(most) {
					t.Error("the limited job holds more than 3 MiB of the node's memory")
				} else {
					b.n.Memory.sem.release(most)
				}
				time.Sleep(10 * time.Second)
				if used := lease.limiter.Used(); used < 19*64<<10 || used > 21*64<<10 {
					t.Errorf("the limited job took %d bytes in 20 s of 64 KiB", used)
				}
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// TestLimitedJobStops: a task that waits for its bytes ends at once when it is asked to stop.
func TestLimitedJobStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, manyObjects(300, 64<<10), newMemStore())
		lease := &stoppableLease{limitLease{limiter: NewLimiter(64 << 10)}, b.stop}
		ended := make(chan error, 1)
		task := Task{ID: 1, Kind: Range}
		go func() { ended <- b.n.Run(t.Context(), b.job, task, lease, &benchLedger{bench: b, task: &task}) }()
		time.Sleep(10500 * time.Millisecond)
		close(b.stop)
		began := time.Now()
		if err := <-ended; !errors.Is(err, ErrStopped) {
			t.Errorf("it ended with %v", err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v to stop", d)
		}
		if b.totals.Copied < 9 || b.totals.Copied > 11 {
			t.Errorf("%d objects were settled", b.totals.Copied)
		}
	})
}

type stoppableLease struct {
	limitLease
	stop chan struct{}
}

func (l *stoppableLease) Stopping() <-chan struct{} { return l.stop }

// TestCopyByTheStoreIsNotLimited: no byte passes here.
func TestCopyByTheStoreIsNotLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, manyObjects(50, 64<<10), memCopier{memMultipart: memMultipart{newMemStore()}, limit: 1 << 30})
		lease := &limitLease{limiter: NewLimiter(1 << 10)}
		task := Task{ID: 1, Kind: Range}
		began := time.Now()
		if err := b.n.Run(t.Context(), b.job, task, lease, &benchLedger{bench: b, task: &task}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > time.Second || b.totals.Copied != 50 || lease.limiter.Used() > 0 {
			t.Errorf("%d objects took %v and %d bytes of the limit", b.totals.Copied, d, lease.limiter.Used())
		}
	})
}
