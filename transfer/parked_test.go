package transfer

import (
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// listings counts how often a store's listing is begun.
type listings struct {
	*memStore
	n int
}

func (l *listings) List(opts store.ListOptions) store.Lister {
	l.n++
	return l.memStore.List(opts)
}

// TestScanGoesOnWhereItYielded: a scan that gives its slot back again and again begins a listing that cannot start at a key once,
// and what it counts is the same.
func TestScanGoesOnWhereItYielded(t *testing.T) {
	for name, c := range map[string]struct {
		byKeys  bool
		between func(b *bench, task *Task) // while the scan rests
		again   bool                       // each time it goes on it lists anew
	}{
		"kept":         {},
		"from keys on": {byKeys: true, again: true},
		"kept for too long": {again: true, between: func(b *bench, _ *Task) {
			at := b.n.Now().Add(parkedFor + time.Hour)
			b.n.Now = func() time.Time { return at }
		}},
		"another task between": {again: true, between: func(b *bench, task *Task) {
			b.job.parked.take(&taskRun{n: b.n, job: b.job, task: &Task{ID: task.ID + 1}, lease: b})
		}},
		"another node between": {again: true, between: func(b *bench, _ *Task) { b.job.parked.from = "elsewhere" }},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := &listings{memStore: newMemStore()}, newMemStore()
			src.ab.ListsByKeys = c.byKeys
			fillStore(src.memStore, 5000, 3)
			b := newBench(t, src, dst)
			b.job.CutObjects = stretchKeys // so that each stretch ends with a cut
			task := Task{ID: 1000, Kind: Scan}
			runs := 0
			for done := false; !done; runs++ {
				b.yields = 1 << 20 // each advance asks for the slot
				var err error
				if done, err = b.one(&task); err != nil {
					t.Fatal(err)
				}
				if c.between != nil && !done {
					c.between(b, &task)
				}
			}
			want := 1
			if c.again {
				want = runs
			}
			if src.n != want || runs < 3 {
				t.Errorf("%d listings in %d runs, want %d", src.n, runs, want)
			}
			b.drain()
			b.equal(src.memStore, dst)
			if b.totals.Listed != int64(len(src.objects)) || b.totals.Copied != b.totals.Listed {
				t.Errorf("%+v", b.totals)
			}
		})
	}
}
