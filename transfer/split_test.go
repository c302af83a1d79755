package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// splitBench is a bench whose lease asks for splits, and whose ledger does what the state does about cuts.
type splitBench struct {
	*bench
	rnd      *rand.Rand // of the ledger; guarded by mu
	requests chan struct{}
	calls    atomic.Int64
	every    int64 // calls of the stores between two requests
	sure     bool  // every split succeeds

	cuts   []*benchCut
	cutOf  map[uint64]*benchCut
	splits map[Kind]int
}

// benchCut is what a scan saw in a range, less what its tasks found there.
type benchCut struct {
	objects, bytes int64
	digest         Digest
	tasks          int
}

var errLostSplit = errors.New("the answer to the split is lost")

func newSplitBench(t *testing.T, src, dst *memStore, seed uint64) *splitBench {
	b := &splitBench{
		bench: newBench(t, src, dst), rnd: rand.New(rand.NewPCG(seed, 7)), requests: make(chan struct{}, 1),
		cutOf: map[uint64]*benchCut{}, splits: map[Kind]int{}, every: 5 + int64(seed%7),
	}
	b.n.Tuning.SplitWorth = 0
	for _, s := range []*memStore{src, dst} {
		for _, op := range []string{"list", "put"} {
			f := s.fail(memFault{op: op, times: -1})
			f.do = b.ask
		}
	}
	return b
}

// ask requests a split now and then.
func (b *splitBench) ask() {
	if b.calls.Add(1)%b.every != 0 {
		return
	}
	select {
	case b.requests <- struct{}{}:
	default:
	}
}

// SplitRequests is the lease's.
func (b *splitBench) SplitRequests() <-chan struct{} { return b.requests }

// splitLedger is the ledger of one task.
type splitLedger struct {
	benchLedger
	b     *splitBench
	worst error // what a split whose outcome is not known ended with
}

// Split refuses some, and loses the answer to others, made or not.
func (l *splitLedger) Split(_ context.Context, at string, atLine int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	task := l.task
	if task.Kind == List {
		if atLine <= task.Line || atLine >= task.EndLine {
			l.t.Errorf("split at line %d of [%d, %d)", atLine, task.Line, task.EndLine)
		}
	} else if at <= task.From || task.To != "" && at >= task.To {
		l.t.Errorf("split at %q of [%q, %q)", at, task.From, task.To)
	} else if key, _ := store.After(at); l.job.List == nil && l.job.Source.(*memStore).data(key) == nil && l.job.Destination.(*memStore).data(key) == nil {
		l.t.Errorf("split behind %q, which does not exist", key)
	}
	fate := l.b.rnd.IntN(8)
	if l.b.sure {
		fate = 7
	}
	if fate == 0 {
		return fmt.Errorf("%w: no reason", ErrSplitRefused)
	}
	if fate == 1 {
		l.worst = errLostSplit
		return errLostSplit
	}
	l.next++
	tail := *task
	tail.ID = l.next
	if task.Kind == List {
		task.EndLine, tail.Line = atLine, atLine
	} else {
		task.To, tail.From = at, at
	}
	l.todo = append(l.todo, tail)
	l.b.splits[task.Kind]++
	if cut := l.b.cutOf[task.ID]; cut != nil {
		cut.tasks++
		l.b.cutOf[tail.ID] = cut
	}
	if fate == 2 {
		return errLostSplit
	}
	return nil
}

// Advance accounts for cuts.
func (l *splitLedger) Advance(ctx context.Context, a Advance) (bool, error) {
	l.mu.Lock()
	first := l.next
	l.mu.Unlock()
	yield, err := l.benchLedger.Advance(ctx, a)
	if err != nil {
		return yield, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range a.Cuts {
		if c := &a.Cuts[i]; c.Segment == nil {
			cut := &benchCut{c.Objects, c.Bytes, c.Digest, 1}
			l.b.cuts = append(l.b.cuts, cut)
			l.b.cutOf[first+uint64(i)+1] = cut
		}
	}
	if cut := l.b.cutOf[l.task.ID]; cut != nil {
		cut.objects -= a.Objects
		cut.bytes -= a.Bytes
		cut.digest = cut.digest.Add(negated(a.Digest))
		if a.Done {
			cut.tasks--
		}
	}
	return yield, nil
}

// negated is the number that adds up to zero with d.
func negated(d Digest) Digest {
	sum := d
	for range 127 { // 2^128 d is zero, so -d is (2^128-1) d: doubling and adding
		sum = sum.Add(sum).Add(d)
	}
	return sum
}

// run works through everything; tasks whose split got lost may fail and are tried again, as the scheduler would.
func (b *splitBench) run() {
	b.t.Helper()
	for n := 0; len(b.todo) > 0; n++ {
		if n > 5000 {
			b.t.Fatal("no end of tasks")
		}
		i := b.rnd.IntN(len(b.todo))
		task := b.todo[i]
		b.todo = slices.Delete(b.todo, i, i+1)
		l := &splitLedger{benchLedger: benchLedger{bench: b.bench, task: &task}, b: b}
		err := b.n.Run(context.Background(), b.job, task, b, l)
		if err != nil && l.worst == nil {
			b.t.Fatalf("%s task %q: %v", task.Kind, task.From, err)
		}
		if !l.done {
			task.Takeover = true
			b.todo = append(b.todo, task)
		}
	}
	b.checkSums()
	for i, cut := range b.cuts {
		if *cut != (benchCut{}) {
			b.t.Errorf("cut %d is not accounted for: %+v", i, *cut)
		}
	}
}

// TestSplitsCountOnce splits ranges and lists, and what cuts them, at random points: every key is counted once, with digests that
// agree, whatever becomes of the splits.
func TestSplitsCountOnce(t *testing.T) {
	total := map[Kind]int{}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			rnd := rand.New(rand.NewPCG(seed, 3))
			const keys = 5000
			extras := int64(0)
			for i := range keys {
				key := fmt.Sprintf("flat-%05d", i)
				if seed%3 == 1 {
					key = fmt.Sprintf("目录%c/%04x", '一'+rune(i/300), i*7)
				}
				src.set(key, []byte(key))
				switch {
				case i/500%2 == 1 && rnd.IntN(10) > 2:
					dst.set(key, []byte(key)) // a sparse stretch: lists
				case rnd.IntN(40) == 0:
					dst.set(key+"+", []byte("extra"))
					extras++
				}
			}
			src.page, dst.page = 25, 25
			b := newSplitBench(t, src, dst, seed)
			b.job.CutObjects = 600
			b.next++
			b.todo = append(b.todo, Task{ID: b.next, Kind: Scan})
			b.run()
			b.equal(src, dst)
			c := b.totals
			if c.Listed != keys || c.Copied+c.Skipped != keys || c.Extra != extras {
				t.Errorf("%+v, %d keys, %d extra", c, keys, extras)
			}
			for kind, n := range b.splits {
				total[kind] += n
			}
		})
	}
	t.Logf("splits: %v", total)
	for _, kind := range []Kind{Range, List} { // scans: TestScansSplitCountOnce
		if total[kind] == 0 {
			t.Errorf("no %s task was split", kind)
		}
	}
}

// TestHalverFindsMiddle: the key found leaves a fair share on both sides, for many shapes of names.
func TestHalverFindsMiddle(t *testing.T) {
	shapes := map[string]func(i int) string{
		"decimal":    func(i int) string { return fmt.Sprintf("data/%08d.bin", i) },
		"hex":        func(i int) string { return fmt.Sprintf("%04x", i*13) },
		"dated":      func(i int) string { return fmt.Sprintf("log/2024-%02d-%02d/%04d", i/600+1, i/20%30+1, i) },
		"chinese":    func(i int) string { return fmt.Sprintf("图片%c%05d", '一'+rune(i/100), i) },
		"one folder": func(i int) string { return fmt.Sprintf("a/very/deep/folder/with/many/names/x%05d", i) },
	}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		for _, bounded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bounded %v", name, bounded), func(t *testing.T) {
				const keys = 4000
				src := newMemStore()
				var sorted []string
				for i := range keys {
					src.set(shapes[name](i), []byte("x"))
					sorted = append(sorted, shapes[name](i))
				}
				slices.Sort(sorted)
				b := newBench(t, src, newMemStore())
				task := &taskRun{n: b.n, job: b.job, task: &Task{}, lease: b}
				h := &halver{t: task, src: src, low: sorted[200]}
				if bounded {
					h.stop = store.Next(sorted[keys-1])
				}
				got := h.find(t.Context())
				at, found := slices.BinarySearch(sorted, got)
				if !found {
					t.Fatalf("%q is no key of the source", got)
				}
				share := float64(at-200) / (keys - 200)
				t.Logf("%q at %.2f after %d probes", got, share, h.probes)
				if share < 0.15 || share > 0.85 || h.probes > maxProbes+12 {
					t.Errorf("share %.2f, %d probes", share, h.probes)
				}
			})
		}
	}
}

// TestHalverFindsNothing: with nothing, or a single key, left there is no place to cut.
func TestHalverFindsNothing(t *testing.T) {
	src := newMemStore()
	for _, k := range []string{"a", "b", "c"} {
		src.set(k, []byte("x"))
	}
	b := newBench(t, src, newMemStore())
	for _, c := range []struct{ low, stop string }{{"c", ""}, {"b", ""}, {"b", store.Next("c")}, {"a", store.Next("b")}} {
		task := &taskRun{n: b.n, job: b.job, task: &Task{}, lease: b}
		h := &halver{t: task, src: src, low: c.low, stop: c.stop}
		if got := h.find(t.Context()); got != "" {
			t.Errorf("behind %q up to %q: %q", c.low, c.stop, got)
		}
	}
}

// TestBetween: what is made up lies between, is valid text, and has no control characters.
func TestBetween(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	letters := []rune("az09/. ~é中文\u00a0\U00010000\U0010ffff")
	made := 0
	for range 20000 {
		var ends [2]string
		for i := range ends {
			for range rnd.IntN(6) {
				ends[i] += string(letters[rnd.IntN(len(letters))])
			}
		}
		low, high := min(ends[0], ends[1]), max(ends[0], ends[1])
		text, ok := between(low, high)
		if !ok {
			continue
		}
		made++
		if text <= low || text >= high {
			t.Fatalf("%q is not between %q and %q", text, low, high)
		}
		for _, r := range text {
			if r < ' ' || r == 0xfffd || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q between %q and %q", text, low, high)
			}
		}
	}
	if made < 10000 {
		t.Errorf("only %d of 20000 had room", made)
	}
}

// lifeLease counts signs of life.
type lifeLease struct {
	free
	moved atomic.Int64
}

func (l *lifeLease) Moved(n int64) { l.moved.Add(n) }

// TestTasksShowLife: listing and copying are signs of life, as many as bytes and pages on either side.
func TestTasksShowLife(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	const size = 1 << 16
	src.set("a", make([]byte, size))
	b := newBench(t, src, dst)
	for _, c := range []struct {
		task Task
		want int64
	}{
		{Task{ID: 1, Kind: Scan}, 1},
		{Task{ID: 2, Kind: Range, To: "b"}, 2*size + 1},
	} {
		lease := &lifeLease{}
		if err := b.n.Run(t.Context(), b.job, c.task, lease, &benchLedger{bench: b, task: &c.task}); err != nil {
			t.Fatal(err)
		}
		if got := lease.moved.Load(); got < c.want {
			t.Errorf("%s: moved %d, want at least %d", c.task.Kind, got, c.want)
		}
	}
}

// blockedLedger releases what holds the only slot of its node once the task was split.
type blockedLedger struct {
	splitLedger
	release func()
}

func (l *blockedLedger) Split(ctx context.Context, at string, atLine int64) error {
	defer l.release()
	return l.splitLedger.Split(ctx, at, atLine)
}

// TestSplitWhileWaiting: a task whose copies hold all slots answers all the same.
func TestSplitWhileWaiting(t *testing.T) {
	src, dst := newMemDisk(), newMemStore()
	fillStore(src.memStore, 9, 1)
	b := newSplitBench(t, src.memStore, newMemStore(), 1)
	b.job.Source, b.job.Destination = src, dst
	b.n.Slots = NewSlots(1)
	scan := Task{ID: 1000, Kind: Scan}
	if done, err := b.one(&scan); err != nil || !done {
		t.Fatal(done, err)
	}
	list := b.todo[0]
	b.todo = b.todo[1:]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	free := make(chan struct{})
	dst.fail(memFault{op: "put", do: func() {
		b.requests <- struct{}{}
		select {
		case <-free:
		case <-ctx.Done():
		}
	}})
	b.sure = true
	l := &blockedLedger{splitLedger{benchLedger: benchLedger{bench: b.bench, task: &list}, b: b}, sync.OnceFunc(func() { close(free) })}
	if err := b.n.Run(ctx, b.job, list, b, l); err != nil || b.splits[List] != 1 {
		t.Fatal(err, b.splits)
	}
	b.run()
	b.equal(src.memStore, dst)
}
