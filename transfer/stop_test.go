package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// recordingLedger keeps the uploads of its task, as the state does for the next owner.
type recordingLedger struct {
	benchLedger
}

func (l *recordingLedger) OpenUpload(_ context.Context, u Upload) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task.Uploads = append(l.task.Uploads, u)
	return nil
}

func (l *recordingLedger) CloseUpload(_ context.Context, key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task.Uploads = slices.DeleteFunc(l.task.Uploads, func(u Upload) bool { return u.Key == key })
	return nil
}

// TestStopInTheMiddleOfAnUpload: a task that is given back while a large object is on its way ends between two parts, lets
// what else is in flight end, and counts what is settled before the object. The next owner sends the parts that are missing.
func TestStopInTheMiddleOfAnUpload(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newBench(t, src, memMultipart{dst})
	b.n.Slots = NewSlots(4)
	b.n.Tuning = Tuning{BufferedMax: 64, MultipartMin: 1000, PartSize: 100, PartUnit: 10, PartMin: 50, PartMax: 2560, StreamBuffer: 32}
	for _, small := range []string{"a1", "a2", "z1", "z2"} {
		src.set(small, content(50, 1))
	}
	const parts = 40
	src.set("big", content(100*parts, 2))
	scan := Task{ID: 1000, Kind: Scan}
	if _, err := b.one(&scan); err != nil {
		t.Fatal(err)
	}
	task := b.todo[0]
	b.todo = b.todo[1:]

	var once sync.Once
	dst.fail(memFault{op: "part", nth: 10, do: func() { once.Do(func() { close(b.stop) }) }})
	l := &recordingLedger{benchLedger{bench: b, task: &task}}
	if err := b.n.Run(t.Context(), b.job, task, b, l); !errors.Is(err, ErrStopped) || l.done {
		t.Fatalf("done %v, %v", l.done, err)
	}
	sent := dst.count("part")
	if sent < 10 || sent > 10+4 || dst.count("abort") > 0 {
		t.Errorf("%d of %d parts sent, %d uploads aborted", sent, parts, dst.count("abort"))
	}
	if len(task.Uploads) != 1 || b.totals.Copied != 2 || task.From <= "a2" || task.From > "big" {
		t.Errorf("%d uploads, from %q, %+v", len(task.Uploads), task.From, b.totals)
	}
	if b.n.Slots.InUse() != 0 {
		t.Errorf("%d slots are held after the end", b.n.Slots.InUse())
	}

	b.stop = make(chan struct{})
	task.Takeover = true
	l = &recordingLedger{benchLedger{bench: b, task: &task}}
	if err := b.n.Run(t.Context(), b.job, task, b, l); err != nil || !l.done {
		t.Fatalf("done %v, %v", l.done, err)
	}
	if dst.count("part") != parts || dst.count("create") != 1 || len(task.Uploads) != 0 {
		t.Errorf("%d parts sent for %d, %d uploads begun, %d left", dst.count("part"), parts, dst.count("create"), len(task.Uploads))
	}
	b.equal(src, dst)
	b.checkSums()
}

// TestRefusalsInARow: copies that began before a row of refusals, and end late in it, do not make it begin again.
func TestRefusalsInARow(t *testing.T) {
	refused := &store.Error{Class: store.Auth, Code: "AccessDenied", Err: errors.New("no")}
	for name, err := range map[string]error{"read": atSource(refused), "write": refused} {
		t.Run(name, func(t *testing.T) {
			var w writes
			copied, failed := Result{Outcome: Copied}, Result{Outcome: Failed, Err: err}
			early := w.begin()
			if err := w.stop(w.begin(), &copied); err != nil {
				t.Fatal(err)
			}
			for i := 1; i <= 2*refusedInRow; i++ {
				err := w.stop(w.begin(), &failed)
				// The tenth is followed by one that began in the row and so ends it, each other by one from before it.
				if stopped := err != nil; stopped != (i >= 10+refusedInRow) {
					t.Fatalf("refusal %d: %v", i, err)
				}
				began := early
				if i == 10 {
					began = w.begin()
				}
				if err := w.stop(began, &copied); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
