package throughput

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of a Book. One more drops the series that has had nothing to count for longest.
const (
	MaxJobs      = 64
	MaxEndpoints = 32
	maxName      = 512 // bytes of a name that is kept
)

// Job names a job; the nonce tells it from another of the same ID.
type Job struct{ ID, Nonce string }

// Totals are what a job moved on this node since the process started: they only grow.
type Totals struct {
	Written  int64 // bytes sent to the destination
	Read     int64 // bytes taken from the source
	ReadBack int64 // bytes taken from the destination
	Objects  int64 // settled
}

// Source tells what has been moved of one job, between which endpoints. Destination is "" where there is none.
type Source struct {
	Job                 Job
	Source, Destination string
	Totals              func() Totals
	seen                Totals
	followed            time.Time
}

// Book keeps the series of one node.
type Book struct {
	mu        sync.Mutex
	sources   map[Job]*Source
	jobs      map[Job]*series
	endpoints map[string]*series
	changed   bool // since it was written down
}

// NewBook returns a book with nothing in it.
func NewBook() *Book {
	return &Book{sources: map[Job]*Source{}, jobs: map[Job]*series{}, endpoints: map[string]*series{}}
}

// Follow has the book take what a job moves from now on. A job that is followed already is counted on from there: its last
// counts are taken first.
func (b *Book) Follow(now time.Time, s Source) {
	if len(s.Job.ID)+len(s.Job.Nonce) > maxName || len(s.Source) > maxName || len(s.Destination) > maxName {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if before := b.sources[s.Job]; before != nil {
		b.take(now, before)
	}
	if len(b.sources) >= MaxJobs && b.sources[s.Job] == nil {
		delete(b.sources, b.idlest())
	}
	s.seen, s.followed = s.Totals(), now
	b.sources[s.Job] = &s
}

// Follows tells whether the book takes what a job moves.
func (b *Book) Follows(j Job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sources[j] != nil
}

// idlest is the followed job that has had nothing to count for longest.
func (b *Book) idlest() Job {
	return slices.MinFunc(slices.Collect(maps.Keys(b.sources)), func(x, y Job) int {
		used := func(j Job) time.Time {
			if s := b.jobs[j]; s != nil {
				return maxTime(s.used, b.sources[j].followed)
			}
			return b.sources[j].followed
		}
		return cmp.Or(used(x).Compare(used(y)), cmp.Compare(x.ID, y.ID), cmp.Compare(x.Nonce, y.Nonce))
	})
}

// Sample takes what was moved since the last time, and counts it to the step that now is in. Called each second it is off by
// what one second moves.
func (b *Book) Sample(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sources {
		b.take(now, s)
	}
}

func (b *Book) take(now time.Time, s *Source) {
	t := s.Totals()
	d := Totals{t.Written - s.seen.Written, t.Read - s.seen.Read, t.ReadBack - s.seen.ReadBack, t.Objects - s.seen.Objects}
	if s.seen = t; d == (Totals{}) {
		return
	}
	b.changed = true
	b.count(now, b.job(s.Job), Counts{d.Written, d.Read + d.ReadBack, d.Objects})
	if s.Source == s.Destination {
		b.count(now, entry(b.endpoints, s.Source, MaxEndpoints), Counts{d.Written, d.Read + d.ReadBack, d.Objects})
		return
	}
	b.count(now, entry(b.endpoints, s.Source, MaxEndpoints), Counts{0, d.Read, d.Objects})
	if s.Destination != "" {
		b.count(now, entry(b.endpoints, s.Destination, MaxEndpoints), Counts{d.Written, d.ReadBack, d.Objects})
	}
}

func (b *Book) count(now time.Time, to *series, c Counts) {
	if c != (Counts{}) {
		to.add(now, c)
	}
}

// job finds the series of a job. Another job of that ID is no longer there, and its series goes.
func (b *Book) job(j Job) *series {
	if b.jobs[j] == nil {
		for other := range b.jobs {
			if other.ID == j.ID {
				delete(b.jobs, other)
				delete(b.sources, other)
			}
		}
	}
	return entry(b.jobs, j, MaxJobs)
}

// entry finds or makes an entry; where there are too many, the one that was used the longest time ago goes.
func entry[K comparable](m map[K]*series, key K, most int) *series {
	if s := m[key]; s != nil {
		return s
	}
	for len(m) >= most {
		var oldest K
		first := true
		for k, s := range m {
			if first || s.used.Before(m[oldest].used) {
				oldest, first = k, false
			}
		}
		delete(m, oldest)
	}
	s := &series{}
	m[key] = s
	return s
}

// Job returns what a job moved on this node in the steps of a window.
func (b *Book) Job(j Job, w Window) []Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.jobs[j]; s != nil {
		return s.read(w)
	}
	return make([]Counts, w.Points())
}

// Endpoints returns what each endpoint took and gave in the steps of a window, by its name. Those with nothing in it are left out.
func (b *Book) Endpoints(w Window) map[string][]Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string][]Counts{}
	for name, s := range b.endpoints {
		if counts := s.read(w); slices.ContainsFunc(counts, func(c Counts) bool { return c != Counts{} }) {
			out[name] = counts
		}
	}
	return out
}
