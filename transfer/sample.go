package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// sampler finds keys that cut what is left of a listing into parts of about one size. From a page that the task has just
// listed it learns how names are made and how close they lie, looks from estimated places on at what is there, many
// places at once, and estimates the number of keys between the places. The places are made-up text and serve for
// nothing else.
type sampler struct {
	above func(ctx context.Context, place string) ([]string, error) // the first keys above a place and below the stop
	scale *scale
	low   string   // an existing key; only keys above it are wanted
	stop  string   // bound; "" means no end
	top   string   // text that no key is above, as far as is known; "" means nothing is
	page  []string // keys listed lately, ascending, around low or above it
	size  int      // keys of a page of the listing
	least float64  // keys that are worth a part

	gaps   []gap
	probes int
	little bool // what is left is not worth two parts
}

// gap is a stretch in which keys are about evenly spread: [from, end), all with the same first base bytes.
type gap struct {
	from  string // an existing key
	end   string // text that no key of the gap reaches
	base  int
	first float64 // from on the scale
	last  float64 // end on the scale
	close float64 // keys for 1 of the scale
}

func (g *gap) keys() float64 { return max(0, g.last-g.first) * g.close }

const (
	sampleRounds = 2
	probesAtOnce = 32
	probeKeys    = 100  // keys of an answer: enough to tell how close they lie
	ringProbes   = 12   // at once, in the search for the ends of prefixes
	mostKeys     = 1e15 // an estimate above says nothing
)

// estimate is about how many keys are left between low and the stop, by the closeness of the page alone.
func (s *sampler) estimate() float64 {
	last, bounded := store.After(s.stop)
	if !bounded {
		last = highest
		if s.top != "" {
			last = s.top
		}
	}
	g := s.nextGap(last, common(s.low, last))
	return min(g.keys(), mostKeys)
}

// nextGap is the one behind low, where keys lie as close as in the page.
func (s *sampler) nextGap(end string, base int) gap {
	n := len(s.page)
	base = min(base, common(s.page[0], s.page[n-1]))
	g := gap{from: s.low, end: end, base: base, first: s.scale.value(s.low, base), last: s.scale.value(end, base)}
	// The first names of a listing may be odd ones; the latest tell more of what follows.
	g.close = float64(n-1-n/2) / max(s.scale.value(s.page[n-1], base)-s.scale.value(s.page[n/2], base), finest)
	return g
}

// newGap is the one that begins with some keys, which show how close keys lie in it.
func (s *sampler) newGap(end string, base int, keys []string) gap {
	g := gap{from: keys[0], end: end, base: base, first: s.scale.value(keys[0], base), last: s.scale.value(end, base)}
	n, _ := slices.BinarySearch(keys, end)
	span := g.last - g.first
	if n == len(keys) && n >= min(probeKeys, s.size) { // fewer are all there are
		span = s.scale.value(keys[n-1], base) - g.first
	}
	g.close = float64(n) / max(span, finest)
	return g
}

// find returns up to n keys in ascending order to cut behind. Errors end the search with what it has.
func (s *sampler) find(ctx context.Context, n int) []string {
	if s.enclosed() && s.estimate() < 2*s.least {
		s.little = true
		return nil
	}
	if err := s.rings(ctx); err != nil {
		return nil
	}
	if s.stop == "" {
		s.top = s.gaps[len(s.gaps)-1].end
	}
	for range sampleRounds {
		parts := s.parts(n)
		if parts < 2 || !s.refine(ctx, parts) {
			break
		}
	}
	parts := s.parts(n)
	s.little = parts < 2
	return s.cuts(ctx, parts)
}

// enclosed tells whether the stop lies among names such as the page has, so that the estimate is a good one.
func (s *sampler) enclosed() bool {
	last, ok := store.After(s.stop)
	return ok && common(s.low, last) >= common(s.page[0], s.page[len(s.page)-1])
}

// total is the estimated number of keys in all gaps.
func (s *sampler) total() (sum float64) {
	for i := range s.gaps {
		sum += s.gaps[i].keys()
	}
	return sum
}

// parts is how many parts are worth having when n more are wanted.
func (s *sampler) parts(n int) int {
	return int(min(float64(n+1), s.total()/s.least))
}

// rings makes a gap of each prefix of low that has keys behind the next longer one: keys that lie close together end
// somewhere, and what follows may be far apart.
func (s *sampler) rings(ctx context.Context) error {
	last, bounded := store.After(s.stop)
	shortest := 0
	if bounded {
		shortest = common(s.low, last)
	}
	longest := max(shortest, common(s.page[0], s.page[len(s.page)-1]))
	longest = min(longest, len(s.low))
	found, err := s.ends(ctx, shortest, longest)
	if err != nil {
		return err
	}
	if !s.learn(found) {
		return errNoScale
	}
	end := s.low[:longest] + highest
	if longest == shortest && bounded {
		end = last
	}
	s.gaps = append(s.gaps, s.nextGap(end, longest))
	for k := longest; k > shortest; k-- {
		keys, ok := found[k]
		if !ok || len(keys) == 0 {
			continue
		}
		base := common(keys[0], s.low)
		if seen := s.gaps[len(s.gaps)-1].from; seen == keys[0] {
			continue
		}
		end := s.low[:base] + highest
		if base <= shortest && bounded {
			end = last
		}
		s.gaps = append(s.gaps, s.newGap(end, base, keys))
	}
	return nil
}

var errNoScale = errors.New("names without a scale")

// learn makes the scale anew with keys that look different from those of the page.
func (s *sampler) learn(found map[int][]string) (ok bool) {
	keys := slices.Concat(s.page, []string{s.low})
	for _, more := range found {
		keys = append(keys, more...)
	}
	s.scale, ok = scaleOf(keys)
	return ok
}

// ends looks behind the prefixes of low of lengths from shortest+1 to longest: some of them first, and then those that
// lie between two behind which there are different keys.
func (s *sampler) ends(ctx context.Context, shortest, longest int) (map[int][]string, error) {
	found := map[int][]string{}
	step := max(1, (longest-shortest+ringProbes-1)/ringProbes)
	var lengths []int
	for k := longest; k > shortest; k -= step {
		lengths = append(lengths, k)
	}
	for {
		places := make([]string, len(lengths))
		for i, k := range lengths {
			places[i] = s.low[:k] + highest
		}
		answers, err := s.look(ctx, places)
		if err != nil {
			return nil, err
		}
		for i, k := range lengths {
			found[k] = answers[i]
		}
		if step == 1 {
			return found, nil
		}
		lengths = lengths[:0]
		for k := longest; k > shortest; k -= step {
			next := max(shortest+1, k-step)
			if slices.Equal(found[k], found[next]) {
				continue
			}
			for between := k - 1; between >= next && len(lengths) < probesAtOnce; between-- {
				if _, known := found[between]; !known {
					lengths = append(lengths, between)
				}
			}
		}
		step = 1
	}
}

// look asks for what is above each of some places, all at once.
func (s *sampler) look(ctx context.Context, places []string) ([][]string, error) {
	s.probes += len(places)
	answers, errs := make([][]string, len(places)), make([]error, len(places))
	var asked sync.WaitGroup
	for i, place := range places {
		asked.Go(func() { answers[i], errs[i] = s.above(ctx, place) })
	}
	asked.Wait()
	return answers, errors.Join(errs...)
}

// refine looks into the gaps, the more often the more keys they are thought to have, and tells whether that was worth
// it. Nothing is known of a gap but its beginning until somebody looked into it.
func (s *sampler) refine(ctx context.Context, parts int) bool {
	total := s.total()
	// One request in twenty may go into looking for places.
	budget := min(max(parts, min(2*parts, int(total/float64(20*s.size)))), probesAtOnce)
	places, into := s.spread(budget)
	answers, err := s.look(ctx, places)
	if err != nil || len(places) == 0 {
		return false
	}
	s.divide(places, into, answers)
	return s.largest() > s.total()/float64(parts)
}

// spread returns n places that part the estimated number of keys evenly, and the gap that each of them lies in.
func (s *sampler) spread(n int) (places []string, into []int) {
	total := s.total()
	step := total / float64(n+1)
	next, seen := step, 0.0
	for i := range s.gaps {
		g := &s.gaps[i]
		keys := g.keys()
		for ; len(places) < n && next <= seen+keys; next += step {
			v := g.first + (g.last-g.first)*(next-seen)/keys
			place := max(g.from, s.scale.text(g.from[:g.base], v, (g.last-g.first)*step/keys/64))
			if place < g.end && (len(places) == 0 || place > places[len(places)-1]) {
				places, into = append(places, place), append(into, i)
			}
		}
		seen += keys
	}
	return places, into
}

// divide makes new gaps where keys were found.
func (s *sampler) divide(places []string, into []int, answers [][]string) {
	var gaps []gap
	p := 0
	for i := range s.gaps {
		g := s.gaps[i]
		end := g.end
		for ; p < len(places) && into[p] == i; p++ {
			// Nothing lies between the place and the first key above it.
			closed := g
			closed.end, closed.last = places[p], s.scale.value(places[p], g.base)
			keys := answers[p]
			if len(keys) == 0 || keys[0] >= end {
				end, g = places[p], closed
				for p+1 < len(places) && into[p+1] == i {
					p++ // all empty
				}
				continue
			}
			if keys[0] == g.from {
				continue
			}
			gaps = append(gaps, closed)
			g = s.newGap(end, g.base, keys)
		}
		gaps = append(gaps, g)
	}
	s.gaps = gaps
}

func (s *sampler) largest() (most float64) {
	for i := range s.gaps {
		most = max(most, s.gaps[i].keys())
	}
	return most
}

// cuts are the first keys behind the places that part the estimated number of keys evenly.
func (s *sampler) cuts(ctx context.Context, parts int) (keys []string) {
	if parts < 2 {
		return nil
	}
	places, _ := s.spread(parts - 1)
	answers, err := s.look(ctx, places)
	if err != nil {
		return nil
	}
	for _, found := range answers {
		// A cut behind the last key would leave nothing.
		if len(found) > 1 && (len(keys) == 0 || found[0] > keys[len(keys)-1]) {
			keys = append(keys, found[0])
		}
	}
	return keys
}

// newSampler makes a sampler of one side of a walk; nil where the names have no scale.
func (t *taskRun) newSampler(p *pager, low string, least float64) *sampler {
	// The end of the page: where names change their kind, what comes is like the last ones.
	recent := p.recent[len(p.recent)*3/4:]
	keys := make([]string, 0, len(recent)+1)
	for i := range recent {
		keys = append(keys, recent[i].Key)
	}
	sc, ok := scaleOf(append(keys, low))
	if !ok || len(keys) < 2 {
		return nil
	}
	s := &sampler{scale: sc, low: low, stop: t.task.To, page: keys, size: p.size, least: least}
	s.above = func(ctx context.Context, place string) ([]string, error) { return t.keysAbove(ctx, p.s, place, s.stop) }
	return s
}

// keysAbove lists the first keys above a place.
func (t *taskRun) keysAbove(ctx context.Context, from store.Source, place, stop string) (keys []string, err error) {
	p := t.n.newPager(from, store.ListOptions{From: store.Next(place), To: stop, Page: probeKeys}, t.lease)
	defer p.close()
	switch err := p.fill(ctx); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	for i := range p.page {
		keys = append(keys, p.page[i].Key)
	}
	return keys, nil
}
