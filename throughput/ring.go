package throughput

import (
	"time"
	"unsafe"
)

// Counts are what passed in a stretch of time.
type Counts struct {
	Written int64 `json:"w,omitempty"` // bytes sent to the destination, attempts that failed included
	Read    int64 `json:"r,omitempty"` // bytes taken from the source, likewise
	Objects int64 `json:"o,omitempty"` // settled: copied, found equal, left out, failed
}

// Plus is the sum.
func (c Counts) Plus(d Counts) Counts {
	return Counts{c.Written + d.Written, c.Read + d.Read, c.Objects + d.Objects}
}

// Tier is how fine a series is over a part of its past.
type Tier struct {
	Step  time.Duration
	Steps int
}

// Span is how far back a tier reaches.
func (t Tier) Span() time.Duration { return t.Step * time.Duration(t.Steps) }

// tiers of every series, the finest first. Each step is a multiple of the one before.
var tiers = [...]Tier{{10 * time.Second, 360}, {time.Minute, 1440}, {10 * time.Minute, 2016}}

// Tiers are the steps that are kept, the finest first: 10 s for an hour, 1 min for a day, 10 min for two weeks.
func Tiers() []Tier { return tiers[:] }

// SeriesBytes is what one series takes at most.
const SeriesBytes = (360 + 1440 + 2016) * int(unsafe.Sizeof(Counts{}))

// ring counts in steps of one tier. The steps are numbered since 1970; number n stands at n modulo the length.
type ring struct {
	last  int64 // number of the newest step; 0: nothing was counted yet
	steps []Counts
}

// add counts at a step. Steps between the newest and this one had nothing. A clock that was set back counts on in the steps
// that are there; set back further than those reach, it begins anew.
func (r *ring) add(t Tier, step int64, c Counts) {
	n := int64(t.Steps)
	switch {
	case r.steps == nil:
		r.steps, r.last = make([]Counts, n), step
	case step > r.last:
		for s := max(r.last+1, step-n+1); s <= step; s++ {
			r.steps[s%n] = Counts{}
		}
		r.last = step
	case step <= r.last-n:
		clear(r.steps)
		r.last = step
	}
	at := &r.steps[step%n]
	*at = at.Plus(c)
}

// at returns what a step has; nothing where it is not kept.
func (r *ring) at(step int64) Counts {
	n := int64(len(r.steps))
	if n == 0 || step < 0 || step > r.last || step <= r.last-n {
		return Counts{}
	}
	return r.steps[step%n]
}

// series is the past of one job or endpoint.
type series struct {
	rings [len(tiers)]ring
	used  time.Time // when it last had something to count
}

func (s *series) add(now time.Time, c Counts) {
	for i, t := range tiers {
		s.rings[i].add(t, number(now, t.Step), c)
	}
	s.used = now
}

// number is the number of the step that a moment is in; moments before 1970 count as then.
func number(at time.Time, step time.Duration) int64 { return max(0, at.Unix()/int64(step/time.Second)) }

// read adds up the steps of a window.
func (s *series) read(w Window) []Counts {
	sums := make([]Counts, w.Points())
	if w.Tier < 0 || w.Tier >= len(tiers) {
		return sums
	}
	per := int64(w.Step / tiers[w.Tier].Step)
	first := number(w.From, tiers[w.Tier].Step)
	for i := range sums {
		for k := range per {
			sums[i] = sums[i].Plus(s.rings[w.Tier].at(first + int64(i)*per + k))
		}
	}
	return sums
}
