package scheduler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// keyStore is a store of nothing but names. A page takes a while; the next one is under way once a page arrived.
type keyStore struct {
	store.Destination
	keys    []string
	latency time.Duration
	asked   atomic.Int64 // requests
}

func (s *keyStore) Abilities() store.Abilities {
	return store.Abilities{Scheme: "mem", Order: store.OrderBytes, ListsByKeys: true, MaxKey: 1024, ModTimeUnit: time.Second}
}

func (s *keyStore) Close() error { return nil }

func (s *keyStore) List(opts store.ListOptions) store.Lister {
	return &keyLister{s: s, opts: opts, next: sort.SearchStrings(s.keys, opts.From)}
}

type keyLister struct {
	s     *keyStore
	opts  store.ListOptions
	next  int
	ready time.Time // of the page under way; zero if there is none
}

func (l *keyLister) ask() {
	l.s.asked.Add(1)
	l.ready = time.Now().Add(l.s.latency)
}

// Next implements store.Lister.
func (l *keyLister) Next(ctx context.Context) (page []store.Object, err error) {
	if l.next > 0 && l.next >= len(l.s.keys) && l.ready.IsZero() {
		return nil, io.EOF
	}
	if l.ready.IsZero() {
		l.ask()
	}
	timer := time.NewTimer(time.Until(l.ready))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, &store.Error{Op: "list", Class: store.Canceled, Err: ctx.Err()}
	}
	l.ready = time.Time{}
	size := 1000
	if l.opts.Page > 0 {
		size = l.opts.Page
	}
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	ended := false
	for ; len(page) < size && l.next < len(l.s.keys) && !ended; l.next++ {
		if key := l.s.keys[l.next]; l.opts.To == "" || key < l.opts.To {
			page = append(page, store.Object{Key: key, ModTime: at, ETag: "e"})
		} else {
			ended = true
		}
	}
	switch {
	case ended:
		l.next = len(l.s.keys)
	case l.opts.Page == 0 && l.next < len(l.s.keys):
		l.ask()
	}
	if len(page) == 0 {
		return nil, io.EOF
	}
	return page, nil
}

func (l *keyLister) Close() error { return nil }

// flatNames are ways to name objects without folders.
var flatNames = map[string]func(r *rand.Rand, i, n int) string{
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
	"skew": func(r *rand.Rand, i, _ int) string {
		if i%100 == 0 {
			return fmt.Sprintf("%c%x", 'a'+r.IntN(26), r.Uint64())
		}
		return fmt.Sprintf("production-eu-central-1-database-backup-daily-snapshot-%09d", i)
	},
}

// listingRun is a simulated cluster that lists.
type listingRun struct {
	nodes, slots int
	src, dst     *keyStore // dst is nil for a job that only lists
	took         time.Duration
	made         int // splits
}

func (l *listingRun) run(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.log.set(func(l *fakeLog) { l.slow = 10 * time.Millisecond })
		r.submit("a", 0)
		var nodes []*node
		for i := range l.nodes {
			name := fmt.Sprintf("n%d", i)
			engine := transfer.NewNode(name, r.spool, slog.New(slog.DiscardHandler), 8, 8<<20)
			n := &node{wire: &wire{to: func() Syncer { return r.leader }}, spool: r.spool, result: make(chan error, 1)}
			n.side = func() *transfer.Job {
				job := &transfer.Job{ID: "a", Type: "list", Source: l.src, CutObjects: 10000, CutBytes: 1 << 30, Filter: &transfer.Filter{}}
				if l.dst != nil {
					job.Type, job.Destination, job.Compare = "copy", l.dst, "size"
				}
				return job
			}
			n.launch(name, l.slots, engine)
			nodes = append(nodes, n)
		}
		start := time.Now()
		for r.job("a").State != fsm.Succeeded {
			after(20 * time.Millisecond)
			if time.Since(start) > time.Hour {
				t.Fatalf("no end after %v: %+v", time.Since(start), r.job("a"))
			}
		}
		l.took = time.Since(start)
		for _, entry := range r.log.entries {
			l.made += splitsIn(t, entry)
		}
		job := r.job("a")
		if n := int64(len(l.src.keys)); job.Counts.Listed != n || job.Counts.Skipped != n || job.Counts.Failed+job.Counts.Copied != 0 {
			t.Errorf("%d keys, counted %+v", n, job.Counts)
		}
		for _, n := range nodes {
			n.kill()
			if err := <-n.result; err != nil {
				t.Error(err)
			}
		}
	}, func(c *LeaderConfig) { c.Node = "n0" })
}

// TestListingScales: four nodes list a flat prefix at least three times
// as fast as one, with few requests more than there are pages; a little less where names are unevenly spread. The full
// size is for BRIGADE_CHAOS=1.
func TestListingScales(t *testing.T) {
	n, ratio, overhead := 200_000, 2.0, 1.6
	if os.Getenv("BRIGADE_CHAOS") == "1" {
		n, ratio, overhead = 1_000_000, 3.0, 1.10
	}
	for _, kind := range slices.Sorted(maps.Keys(flatNames)) {
		keys := flatKeys(kind, 1, n)
		for _, join := range []bool{false, true} {
			if join && kind != "uuid" && n < 1_000_000 {
				continue
			}
			t.Run(fmt.Sprintf("%s, both sides %v", kind, join), func(t *testing.T) {
				var took [2]time.Duration
				for i, nodes := range []int{1, 4} {
					l := &listingRun{nodes: nodes, slots: 4, src: &keyStore{keys: keys, latency: 200 * time.Millisecond}}
					if join {
						l.dst = &keyStore{keys: keys, latency: 200 * time.Millisecond}
					}
					l.run(t)
					took[i] = l.took
					requests := float64(l.src.asked.Load()) * 1000 / float64(len(keys))
					t.Logf("%d nodes: %v, %.3f requests a page, %d splits", nodes, l.took, requests, l.made)
					overhead := overhead
					if kind == "skew" || kind == "dates" {
						overhead += 0.35
					}
					if requests > overhead {
						t.Errorf("%d nodes: %.3f requests a page, want %.2f", nodes, requests, overhead)
					}
				}
				ratio := ratio
				if kind == "skew" {
					ratio = min(ratio, 2.4) // it takes a second look to understand these
				}
				got := float64(took[0]) / float64(took[1])
				t.Logf("ratio %.2f", got)
				if got < ratio {
					t.Errorf("four nodes list %.2f times as fast as one, want %.2f", got, ratio)
				}
			})
		}
	}
}

// flatKeys makes n names, ascending.
func flatKeys(kind string, seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 2))
	keys := make([]string, n)
	for i := range keys {
		keys[i] = flatNames[kind](r, i, n)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
