package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// names are ways to name objects, n of them, without folders.
func names() map[string]func(r *rand.Rand, i, n int) string {
	return map[string]func(r *rand.Rand, i, n int) string{
		"numbers": func(_ *rand.Rand, i, _ int) string { return fmt.Sprintf("k%09d", i) },
		"hex":     func(r *rand.Rand, _, _ int) string { return fmt.Sprintf("%016x", r.Uint64()) },
		"uuid": func(r *rand.Rand, _, _ int) string {
			a, b := r.Uint64(), r.Uint64()
			return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>50|0x8000, b&(1<<48-1))
		},
		"dates": func(_ *rand.Rand, i, n int) string {
			at := time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(float64(5*365*24*time.Hour) / float64(n) * float64(i)))
			return at.Format("2006-01-02T15:04:05.000000000") + ".json"
		},
		"cluster": func(_ *rand.Rand, i, _ int) string {
			return fmt.Sprintf("production-eu-central-1-database-backup-daily-snapshot-%09d", i)
		},
		"words": func(r *rand.Rand, i, _ int) string {
			return fmt.Sprintf("IMG_%c%c%c%06d.JPG", 'A'+r.IntN(20), 'a'+r.IntN(26), 'a'+r.IntN(26), i)
		},
		"unpadded": func(_ *rand.Rand, i, _ int) string { return fmt.Sprintf("object%d", i) },
	}
}

func sortedNames(kind string, seed uint64, n int) (keys []string) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		keys = append(keys, names()[kind](r, i, n))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// sampleOf makes a sampler of sorted keys, of which those up to low are passed.
func sampleOf(t *testing.T, keys []string, low int, stop string, page int) *sampler {
	t.Helper()
	recent := keys[low+1-page : low+1]
	sc, ok := scaleOf(recent)
	if !ok {
		t.Fatalf("no scale of %q", recent[0])
	}
	s := &sampler{scale: sc, low: keys[low], stop: stop, page: recent, size: page, least: leastPages * float64(page)}
	s.above = func(_ context.Context, place string) ([]string, error) {
		i, found := slices.BinarySearch(keys, place)
		if found {
			i++
		}
		end := len(keys)
		if stop != "" {
			end, _ = slices.BinarySearch(keys, stop)
		}
		return keys[min(i, end):min(i+probeKeys, end)], nil
	}
	return s
}

// TestSamplerParts: the keys found are keys of the source and leave parts of about one size, for few requests, whatever
// the names look like, from the beginning and from the middle on, with and without an end.
func TestSamplerParts(t *testing.T) {
	const n, page, more = 50_000, 200, 13
	for _, kind := range slices.Sorted(maps.Keys(names())) {
		keys := sortedNames(kind, 1, n)
		for _, c := range []struct{ low, end int }{{page - 1, n}, {page - 1, n * 2 / 3}, {n/3 + 77, n}, {n/3 + 77, n * 2 / 3}} {
			stop := ""
			if c.end < n {
				stop = store.Next(keys[c.end-1])
			}
			s := sampleOf(t, keys, c.low, stop, page)
			guess := s.estimate() / float64(c.end-c.low)
			cuts := s.find(t.Context(), more)
			bounds := []int{c.low}
			for _, cut := range cuts {
				i, found := slices.BinarySearch(keys, cut)
				if !found || i <= bounds[len(bounds)-1] || i >= c.end-1 {
					t.Fatalf("%s: %q is not a key behind the one before", kind, cut)
				}
				bounds = append(bounds, i)
			}
			largest := 0
			for i, b := range append(bounds, c.end-1)[1:] {
				largest = max(largest, b-bounds[i])
			}
			over := float64(largest) / float64(c.end-c.low) * (more + 1)
			t.Logf("%-8s %6d to %6d: %2d cuts, largest part %.2f of its share, %d probes, guessed %.2f", kind, c.low, c.end, len(cuts), over, s.probes, guess)
			if over > 2.5 || len(cuts) < more-3 || s.probes > 80 {
				t.Errorf("%s: %d cuts, largest part %.2f of its share, %d probes", kind, len(cuts), over, s.probes)
			}
		}
	}
}

// nameStore is a source of nothing but names.
type nameStore struct {
	*memStore
	keys []string
}

// List lists the names.
func (s *nameStore) List(opts store.ListOptions) store.Lister {
	size := s.page
	if opts.Page > 0 {
		size = min(size, opts.Page)
	}
	from, _ := slices.BinarySearch(s.keys, opts.From)
	return &nameLister{keys: s.keys[from:], size: size}
}

type nameLister struct {
	keys []string
	size int
}

// Next returns a page, after a while of the bubble that it runs in.
func (l *nameLister) Next(context.Context) (page []store.Object, err error) {
	<-time.NewTimer(time.Second).C
	n := min(l.size, len(l.keys))
	if n == 0 {
		return nil, io.EOF
	}
	for _, key := range l.keys[:n] {
		page = append(page, store.Object{Key: key, ETag: "e"})
	}
	l.keys = l.keys[n:]
	return page, nil
}

// Close does nothing.
func (l *nameLister) Close() error { return nil }

// scanOracle runs scans as a cluster would, asks them to split at random, and knows which keys they settled.
type scanOracle struct {
	free
	n        *Node
	job      *Job
	rnd      *rand.Rand
	requests chan struct{}
	task     *Task
	todo     []Task
	seen     map[string]int
	wrong    []error
	splits   int
	declined int
	loses    bool // the planted fault: a part begins behind its first key
}

// Moved is told of each page: a moment to ask for parts.
func (o *scanOracle) Moved(int64) {
	select {
	case o.requests <- struct{}{}:
	default:
	}
}

// SplitRequests is the lease's.
func (o *scanOracle) SplitRequests() <-chan struct{} { return o.requests }

// Left is the lease's.
func (o *scanOracle) Left(int64) {}

// Declined is the lease's.
func (o *scanOracle) Declined() { o.declined++ }

// Split splits, refuses, or loses the answer.
func (o *scanOracle) Split(_ context.Context, at string, _ int64) error {
	key, _ := store.After(at)
	keys := o.job.Source.(*nameStore).keys
	i, exists := slices.BinarySearch(keys, key)
	if !exists || at <= o.task.From || o.task.To != "" && at >= o.task.To {
		o.wrong = append(o.wrong, fmt.Errorf("split at %q of [%q, %q)", at, o.task.From, o.task.To))
	}
	switch o.rnd.IntN(8) {
	case 0:
		return ErrSplitRefused
	case 1:
		return errLostSplit
	}
	tail := *o.task
	tail.From = at
	if o.loses && i+1 < len(keys) {
		tail.From = store.Next(keys[i+1])
	}
	o.task.To = at
	o.todo = append(o.todo, tail)
	o.splits++
	if o.rnd.IntN(8) == 0 {
		return errLostSplit // it was made all the same
	}
	return nil
}

// Advance notes the keys settled. As the state does, it takes no end of a task but the one it knows.
func (o *scanOracle) Advance(ctx context.Context, a Advance) (bool, error) {
	if a.From != o.task.From {
		o.wrong = append(o.wrong, fmt.Errorf("advance from %q, not %q", a.From, o.task.From))
	}
	if a.Done && a.To != o.task.To {
		return false, fmt.Errorf("the task ends at %q, not %q", o.task.To, a.To)
	}
	o.task.From = a.To
	if a.Audit != nil {
		data, err := o.n.Spool.Get(ctx, a.Audit.Name)
		if err != nil {
			return false, err
		}
		for r, err := range DecodeRecords(data) {
			if err != nil {
				return false, err
			}
			o.seen[r.ExactKey()]++
		}
	}
	return false, nil
}

// Progress, PlanUpload, OpenUpload and CloseUpload do nothing.
func (o *scanOracle) Progress(Counts)                           {}
func (o *scanOracle) PlanUpload(context.Context, Upload) error  { return nil }
func (o *scanOracle) OpenUpload(context.Context, Upload) error  { return nil }
func (o *scanOracle) CloseUpload(context.Context, string) error { return nil }

// run lists everything and returns what is wrong about it.
func (o *scanOracle) run(ctx context.Context) error {
	o.todo = []Task{{Kind: Scan}}
	for runs := 0; len(o.todo) > 0 && runs < 1000; runs++ {
		i := o.rnd.IntN(len(o.todo))
		task := o.todo[i]
		o.todo = slices.Delete(o.todo, i, i+1)
		o.task, o.requests = &task, make(chan struct{}, 1+o.rnd.IntN(6))
		if err := o.n.Run(ctx, o.job, task, o, o); err != nil {
			o.todo = append(o.todo, task) // whose split got lost
		}
	}
	if len(o.todo) > 0 {
		o.wrong = append(o.wrong, errors.New("no end of tasks"))
	}
	keys := o.job.Source.(*nameStore).keys
	for _, key := range keys {
		if n := o.seen[key]; n != 1 {
			o.wrong = append(o.wrong, fmt.Errorf("%q was counted %d times", key, n))
		}
	}
	if len(o.seen) != len(keys) {
		o.wrong = append(o.wrong, fmt.Errorf("%d keys, counted %d", len(keys), len(o.seen)))
	}
	return errors.Join(o.wrong[:min(5, len(o.wrong))]...)
}

func newScanOracle(t *testing.T, seed uint64) *scanOracle {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 5))
	kinds := slices.Sorted(maps.Keys(names()))
	src := &nameStore{memStore: newMemStore(), keys: sortedNames(kinds[rnd.IntN(len(kinds))], seed, 10_000+rnd.IntN(30_000))}
	src.page = 10 + rnd.IntN(150)
	b := newBench(t, src.memStore, newMemStore())
	b.job.Type, b.job.Source, b.job.Destination = "list", src, nil
	return &scanOracle{n: b.n, job: b.job, rnd: rnd, seen: map[string]int{}}
}

// TestScansSplitCountOnce: whatever the names, and whenever and into however many parts a scan is asked to split, every key
// is counted once, also where splits are refused or their outcome is not known.
func TestScansSplitCountOnce(t *testing.T) {
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	splits := 0
	for seed := first; seed < first+12; seed++ {
		synctest.Test(t, func(t *testing.T) {
			o := newScanOracle(t, seed)
			if err := o.run(t.Context()); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			splits += o.splits
			t.Logf("seed %d: %d keys like %q, pages of %d, %d splits, %d declined", seed, len(o.seen), o.job.Source.(*nameStore).keys[0], o.job.Source.(*nameStore).page, o.splits, o.declined)
		})
	}
	t.Logf("%d splits", splits)
	if splits < 20 {
		t.Errorf("only %d splits", splits)
	}
}

// TestLostKeyOfSplitIsFound: the test above finds a split that loses a key.
func TestLostKeyOfSplitIsFound(t *testing.T) {
	found := 0
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			o := newScanOracle(t, seed)
			o.loses = true
			err := o.run(t.Context())
			if err != nil {
				found++
			}
			if o.splits > 0 && err == nil {
				t.Errorf("seed %d: %d splits that lose a key were not found", seed, o.splits)
			}
		})
	}
	if found == 0 {
		t.Error("nothing was split")
	}
}
