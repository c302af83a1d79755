package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// memSpool keeps segments in memory.
type memSpool struct {
	mu   sync.Mutex
	data map[[32]byte][]byte
}

func (s *memSpool) Put(_ context.Context, data []byte) ([32]byte, error) {
	if len(data) > MaxSegment {
		return [32]byte{}, fmt.Errorf("segment of %d bytes", len(data))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := sha256.Sum256(data)
	s.data[name] = data
	return name, nil
}

func (s *memSpool) Get(_ context.Context, name [32]byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.data[name]; ok {
		return d, nil
	}
	return nil, errors.New("no such segment")
}

// bench runs the tasks of one job as a scheduler would, one after the other, and does the accounting of the state.
type bench struct {
	t    *testing.T
	n    *Node
	job  *Job
	next uint64
	todo []Task

	mu      sync.Mutex
	totals  Counts
	classes map[string]int64
	records []Record
	failed  []Segment
	stop    chan struct{}
	fence   error
	yields  int // advances that shall answer with yield
	refuse  int // advances from which on the ledger fails; 0 is never
}

func newBench(t *testing.T, src store.Source, dst store.Destination) *bench {
	t.Helper()
	spool := &memSpool{data: map[[32]byte][]byte{}}
	n := NewNode("n1", spool, slog.New(slog.DiscardHandler), 16, 32<<20)
	n.Sleep = func(context.Context, time.Duration) error { return nil }
	n.Jitter = func() float64 { return 0.5 }
	job := &Job{
		ID: "j", Nonce: "00", Type: "copy", Source: src, Destination: dst, Compare: "default", Verify: "checksum",
		Metadata: true, CutObjects: 10000, CutBytes: 1 << 30, Pass: 1, Filter: &Filter{},
	}
	return &bench{t: t, n: n, job: job, classes: map[string]int64{}, stop: make(chan struct{})}
}

// Check is the lease's.
func (b *bench) Check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fence
}

// Stopping is the lease's.
func (b *bench) Stopping() <-chan struct{} { return b.stop }

var errRefused = errors.New("the ledger is gone")

// benchLedger is the ledger of one task.
type benchLedger struct {
	*bench
	task *Task
	done bool
}

func (l *benchLedger) Advance(_ context.Context, a Advance) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false, errors.New("advance after the end")
	}
	if l.refuse--; l.refuse == 0 {
		return false, errRefused
	}
	if a.From != l.task.From || a.FromLine != l.task.Line {
		return false, fmt.Errorf("advance from %q line %d, the task stands at %q line %d", a.From, a.FromLine, l.task.From, l.task.Line)
	}
	if l.task.To != "" && (a.To > l.task.To || a.To == "" && !a.Done) || a.ToLine > l.task.EndLine || a.To < a.From && a.To != "" {
		return false, fmt.Errorf("advance to %q line %d, beyond %q line %d", a.To, a.ToLine, l.task.To, l.task.EndLine)
	}
	if a.Done && (a.To != l.task.To || a.ToLine != l.task.EndLine) {
		return false, fmt.Errorf("done at %q line %d, the task ends at %q line %d", a.To, a.ToLine, l.task.To, l.task.EndLine)
	}
	l.totals = l.totals.plus(a.Counts)
	for c, n := range a.Classes {
		l.classes[c] += n
	}
	if a.Audit != nil {
		data, err := l.n.Spool.Get(context.Background(), a.Audit.Name)
		if err != nil {
			return false, err
		}
		for r, err := range DecodeRecords(data) {
			if err != nil {
				return false, err
			}
			l.records = append(l.records, r)
		}
	}
	if a.Failed != nil {
		l.failed = append(l.failed, *a.Failed)
	}
	for _, c := range a.Cuts {
		l.next++
		t := Task{ID: l.next, Kind: Range, From: c.From, To: c.To}
		if c.Segment != nil {
			t = Task{ID: l.next, Kind: List, Segment: *c.Segment, EndLine: c.Segment.Lines}
		}
		l.todo = append(l.todo, t)
	}
	l.task.From, l.task.Line, l.done = a.To, a.ToLine, a.Done
	yield := l.yields > 0
	l.yields--
	return yield, nil
}

func (l *benchLedger) PlanUpload(context.Context, Upload) error  { return nil }
func (l *benchLedger) OpenUpload(context.Context, Upload) error  { return nil }
func (l *benchLedger) CloseUpload(context.Context, string) error { return nil }
func (l *benchLedger) Split(context.Context, string, int64) error {
	return ErrSplitRefused
}
func (l *benchLedger) Progress(Counts) {}

// one runs one task; the task is changed to where it stands afterwards.
func (b *bench) one(task *Task) (done bool, err error) {
	l := &benchLedger{bench: b, task: task}
	err = b.n.Run(context.Background(), b.job, *task, b, l)
	return l.done, err
}

// pass runs a whole pass and checks the sums.
func (b *bench) pass() {
	b.t.Helper()
	b.next++
	b.todo = append(b.todo, Task{ID: b.next, Kind: Scan})
	b.drain()
}

func (b *bench) drain() {
	b.t.Helper()
	for len(b.todo) > 0 {
		task := b.todo[0]
		b.todo = b.todo[1:]
		done, err := b.one(&task)
		if err != nil {
			b.t.Fatalf("%s task %q: %v", task.Kind, task.From, err)
		}
		if !done {
			b.todo = append(b.todo, task)
		}
	}
	b.checkSums()
}

func (b *bench) checkSums() {
	b.t.Helper()
	c := b.totals
	if found := c.Copied + c.Skipped + c.Filtered + c.Vanished + c.Changed + c.Failed; found != c.Listed {
		b.t.Errorf("found %d of %d listed: %+v", found, c.Listed, c)
	}
	if c.BytesFound != c.BytesListed {
		b.t.Errorf("%d bytes found of %d listed", c.BytesFound, c.BytesListed)
	}
	outcomes := map[Outcome]int64{}
	for _, r := range b.records {
		outcomes[r.Outcome]++
	}
	want := map[Outcome]int64{Copied: c.Copied, Skipped: c.Skipped, Filtered: c.Filtered, Vanished: c.Vanished,
		Changed: c.Changed, Failed: c.Failed, outcomeExtra: c.Extra}
	for o, n := range want {
		if outcomes[o] != n {
			b.t.Errorf("%d records of outcome %s, %d counted", outcomes[o], o, n)
		}
	}
	var failed int64
	for _, n := range b.classes {
		failed += n
	}
	if failed != c.Failed {
		b.t.Errorf("%d failed by class, %d in all", failed, c.Failed)
	}
}

// again starts the next pass.
func (b *bench) again() {
	b.totals, b.records, b.failed, b.classes = Counts{}, nil, nil, map[string]int64{}
}

func (b *bench) equal(src, dst *memStore) {
	b.t.Helper()
	for k, o := range src.objects {
		if got := dst.data(k); string(got) != string(o.data) || dst.objects[k] == nil {
			b.t.Errorf("%q is not equal at the destination", k)
		}
	}
	if left := dst.leftovers(); left != "" {
		b.t.Errorf("left at the destination: %s", left)
	}
}

func (b *bench) record(key string) Record {
	b.t.Helper()
	for _, r := range b.records {
		if r.ExactKey() == key {
			return r
		}
	}
	b.t.Fatalf("no record of %q", key)
	return Record{}
}

// fillStore puts n objects with keys in several directories and odd names.
func fillStore(s *memStore, n int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		key := fmt.Sprintf("d%d/k%05d", i%7, i)
		if i%11 == 0 {
			key = fmt.Sprintf("t\tab/%05d", i)
		}
		data := make([]byte, rnd.IntN(200))
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		s.set(key, data)
	}
}

type testStore interface {
	store.Destination
	mem() *memStore
}

func (s *memStore) mem() *memStore { return s }
