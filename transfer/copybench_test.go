package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// copyBench is a node with small sizes, a lease, a ledger and a job, for tests of copyObject.
type copyBench struct {
	t      testing.TB
	n      *Node
	slots  int64
	job    *Job
	task   *Task
	ledger copyLedger

	mu    sync.Mutex
	lost  error // what the lease says
	slept []time.Duration
}

// newCopyBench returns a bench; sizes from 1,000 bytes on go in parts of 100 bytes.
func newCopyBench(t testing.TB, src store.Source, dst store.Destination) *copyBench {
	b := &copyBench{t: t, slots: 4, task: &Task{ID: 7}}
	b.n = NewNode("node", nil, slog.New(slog.DiscardHandler), int(b.slots), 8<<20)
	b.n.Jitter = func() float64 { return 0.5 }
	b.n.Sleep = func(ctx context.Context, d time.Duration) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.slept = append(b.slept, d)
		return ctx.Err()
	}
	b.n.Tuning = Tuning{BufferedMax: 64, MultipartMin: 1000, PartSize: 100, PartUnit: 10, PartMin: 50, PartMax: 2560, StreamBuffer: 32}
	b.job = &Job{ID: "job", Type: "copy", Source: src, Destination: dst, Compare: "default", Verify: "checksum", Metadata: true}
	return b
}

func (b *copyBench) Check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

func (b *copyBench) Stopping() <-chan struct{} { return nil }

// fence takes the lease away.
func (b *copyBench) fence() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = fmt.Errorf("deadline passed: %w", ErrFenced)
}

// copy copies one object as a task would and proves that slots and memory came back whole.
func (b *copyBench) copy(ctx context.Context, src store.Object, dst *store.Object) Result {
	b.t.Helper()
	if err := b.n.Slots.Acquire(ctx, b.job.ID); err != nil {
		b.t.Fatal(err)
	}
	res := b.n.copyObject(ctx, b.job, b.task, src, dst, b, &b.ledger)
	b.n.Slots.Release(b.job.ID)
	if b.n.Slots.InUse() != 0 {
		b.t.Fatal("slots were not given back")
	}
	if !b.n.Memory.sem.tryAcquire(b.n.Memory.Total()) {
		b.t.Fatal("memory was not given back")
	}
	b.n.Memory.sem.release(b.n.Memory.Total())
	return res
}

// copyLedger records the uploads that a copy committed.
type copyLedger struct {
	mu    sync.Mutex
	log   []string
	open  map[string]Upload
	plans []Upload
	err   error
}

func (l *copyLedger) Advance(context.Context, Advance) (bool, error) {
	return false, errors.New("a copy does not advance")
}

func (l *copyLedger) Progress(Counts) {}

func (l *copyLedger) commit(what string, u Upload) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if l.open == nil {
		l.open = map[string]Upload{}
	}
	l.log = append(l.log, what)
	switch what {
	case "close":
		delete(l.open, u.Key)
	case "plan":
		l.plans = append(l.plans, u)
		l.open[u.Key] = u
	default:
		l.open[u.Key] = u
	}
	return nil
}

func (l *copyLedger) PlanUpload(_ context.Context, u Upload) error { return l.commit("plan", u) }
func (l *copyLedger) OpenUpload(_ context.Context, u Upload) error { return l.commit("open", u) }
func (l *copyLedger) CloseUpload(_ context.Context, key string) error {
	return l.commit("close", Upload{Key: key})
}

func (l *copyLedger) Split(context.Context, string, int64) error {
	return errors.New("a copy does not split")
}

// left is the uploads that stay committed, as the next owner's task would bring them along.
func (l *copyLedger) left() []Upload {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Upload
	for _, u := range l.open {
		out = append(out, u)
	}
	return out
}

// content returns size bytes that are the same for the same seed.
func content(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// copied fails the test unless the object arrived equal and nothing is left behind.
func (b *copyBench) copied(res Result, src, dst *memStore, key string) {
	b.t.Helper()
	if res.Outcome != Copied || res.Err != nil {
		b.t.Fatalf("outcome %s, error %v", res.Outcome, res.Err)
	}
	if !bytes.Equal(src.data(key), dst.data(key)) {
		b.t.Fatalf("content of %q differs", key)
	}
	b.clean(src, dst)
}

// clean fails the test if anything is left behind.
func (b *copyBench) clean(stores ...*memStore) {
	b.t.Helper()
	for _, s := range stores {
		if left := s.leftovers(); left != "" {
			b.t.Fatalf("left behind: %s", left)
		}
	}
	if left := b.ledger.left(); len(left) > 0 {
		b.t.Fatalf("committed uploads left: %+v", left)
	}
}

// way is one pair of stores and so one way to copy.
type way struct {
	name     string
	src, dst *memStore
	from     store.Source
	to       store.Destination
}

// ways returns fresh stores for every way there is.
func ways() []way {
	mem := func(name string, dst *memStore, to store.Destination) way {
		s := newMemStore()
		return way{name, s, dst, s, to}
	}
	plain, parts, ranged, copier := newMemStore(), newMemStore(), newMemDisk(), newMemStore()
	fromDisk, toParts := newMemDisk(), newMemStore()
	disk1, disk2 := newMemDisk(), newMemDisk()
	return []way{
		mem("plain", plain, plain),
		mem("parts", parts, memMultipart{parts}),
		mem("disk", ranged.memStore, ranged),
		mem("server-side", copier, memCopier{memMultipart{copier}, 500}),
		{"disk to parts", fromDisk.memStore, toParts, fromDisk, memMultipart{toParts}},
		{"disk to disk", disk1.memStore, disk2.memStore, disk1, disk2},
	}
}

// sizes are the edges of every way.
func sizes() []int {
	s := []int{0, 1, 31, 32, 33, 63, 64, 65, 100, 499, 500, 501, 999, 1000, 1001, 1099, 1100, 1101, 2500, 5000}
	slices.Sort(s)
	return s
}
