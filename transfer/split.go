package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// splitter hands upper parts of a running task to others when its lease asks for it. The goroutine that walks the task
// acts on what its channels bring, between two keys, so that nothing is dispatched while a stop moves; only the search
// for places to cut runs beside it.
type splitter struct {
	t        *taskRun
	requests <-chan struct{} // nil: the task does not split
	found    chan places

	// parts hands out up to n parts and tells how many, or starts a search for places to do so. cut hands out what is behind
	// a key. Errors end the task.
	parts func(ctx context.Context, n int) (made int, err error)
	cut   func(ctx context.Context, behind string) (made bool, err error)
	ready func() bool // there is something to go by
	// instead hands out something else where there is no place to cut.
	instead func(ctx context.Context) error

	searching bool
	odd       bool // the latest search did not understand the names
	wanted    int  // parts asked for while a search ran, or before the task was ready
	top       string
	searches  sync.WaitGroup
}

// places are keys that a search proposes to cut behind, ascending.
type places struct {
	keys []string
	want int
	top  string // text that no key is above; "" where that is not known
	odd  bool   // there is enough left, but the names are not understood
}

// newSplitter returns a splitter that does nothing where the task cannot be split or the lease never asks.
func (t *taskRun) newSplitter(able bool) *splitter {
	s := &splitter{t: t, found: make(chan places, 1), instead: func(context.Context) error { return nil }}
	if asks, ok := t.lease.(SplitLease); ok && able && !t.inherits() {
		s.requests = asks.SplitRequests()
	}
	return s
}

// inherits tells whether an earlier holder may have left temporary files under this task's ID beyond a cut, where the
// next owner would look for them under another.
func (t *taskRun) inherits() bool {
	_, temporary := t.job.Destination.(store.TempCleaner)
	return temporary && t.task.Takeover
}

// serve acts on what waits, without waiting itself.
func (s *splitter) serve(ctx context.Context) error {
	select {
	case <-s.requests:
		return s.ask(ctx)
	case p := <-s.found:
		return s.take(ctx, p)
	default:
		return s.resume(ctx)
	}
}

// resume acts on requests that had to wait.
func (s *splitter) resume(ctx context.Context) error {
	if s.wanted == 0 || s.searching || !s.ready() {
		return nil
	}
	n := s.wanted
	s.wanted = 0
	return s.handOut(ctx, n)
}

// ask acts on a request, and on all that came with it.
func (s *splitter) ask(ctx context.Context) error {
	n := 1
	for more := true; more; {
		select {
		case <-s.requests:
			n++
		default:
			more = false
		}
	}
	s.wanted += n
	return s.resume(ctx)
}

func (s *splitter) handOut(ctx context.Context, n int) error {
	made, err := s.parts(ctx, n)
	if err != nil || s.searching {
		return err
	}
	if made == 0 {
		err = s.instead(ctx)
	}
	if made < n {
		s.declined()
	}
	return err
}

// declined tells the lease that no more comes of its requests.
func (s *splitter) declined() {
	if l, ok := s.t.lease.(LeftLease); ok {
		l.Declined()
	}
}

// take cuts at the places that a search found, the highest first: what is handed out is not looked at again.
func (s *splitter) take(ctx context.Context, p places) error {
	s.searching = false
	if p.top != "" {
		s.top = p.top
	}
	made := 0
	for _, key := range slices.Backward(p.keys) {
		ok, err := s.cut(ctx, key)
		if err != nil {
			return err
		}
		if ok {
			made++
		}
	}
	if p.odd && !s.odd {
		s.wanted += p.want // once more, by a later page
	}
	s.odd = p.odd && !s.odd
	if made == 0 && !s.odd {
		if err := s.instead(ctx); err != nil {
			return err
		}
	}
	if made < p.want && s.wanted == 0 {
		s.declined()
	}
	return s.resume(ctx)
}

// Parts of a scan are worth so many requests at least: each costs one for the page that its end lies in, and some to
// find its beginning.
const leastPages = 4

// search looks for keys that part what is left of a walk into n+1, while the task goes on.
func (s *splitter) search(ctx context.Context, j *joiner, n int) {
	side := j.fuller()
	sample, last, stop := s.sampler(j, side), j.passed, s.t.task.To
	again := s.odd
	s.searching = true
	s.searches.Go(func() {
		p := places{want: n}
		if sample != nil {
			p.keys, p.top = sample.find(ctx, n), sample.top
		}
		p.odd = len(p.keys) == 0 && sample != nil && !sample.little
		if sample == nil || p.odd && again {
			h := &halver{t: s.t, src: side.s, stop: stop, low: last}
			if key := h.find(ctx); key != "" {
				p.keys = []string{key}
			}
		}
		s.found <- p
	})
}

// sampler makes one for a side of a walk; nil where it is of no use.
func (s *splitter) sampler(j *joiner, side *pager) *sampler {
	least := 1.0
	if s.t.task.Kind == Scan {
		least = leastPages * float64(side.size)
	}
	sample := s.t.newSampler(side, j.passed, least)
	if sample != nil {
		sample.top = s.top
	}
	return sample
}

// left tells the lease how many requests the rest of a walk takes.
func (s *splitter) left(j *joiner) {
	l, ok := s.t.lease.(LeftLease)
	if !ok || s.requests == nil {
		return
	}
	most := 0.0
	for _, side := range []*pager{j.src, j.dst} {
		if side == nil || side.ended {
			continue
		}
		if sample := s.sampler(j, side); sample != nil {
			most = max(most, sample.estimate()/float64(sample.size))
		}
	}
	l.Left(max(1, int64(most)))
}

// close waits for a search that still runs; ctx of the search should be done.
func (s *splitter) close() { s.searches.Wait() }

// splits commits a cut and tells whether it holds: also where the outcome is not known, for then others may work behind
// it. While it waits, nothing is dispatched.
func (t *taskRun) splits(ctx context.Context, at string, atLine int64) (bool, error) {
	err := t.ledger.Split(ctx, at, atLine)
	switch {
	case errors.Is(err, ErrFenced):
		return false, err
	case errors.Is(err, ErrSplitRefused):
		return false, nil
	}
	return true, nil
}

// newRangeSplitter splits a walk over both listings. Whoever takes keys from
// the joiner has dispatched them.
func (t *taskRun) newRangeSplitter(j *joiner) *splitter {
	s := t.newSplitter(t.rangeCuts())
	s.ready = func() bool { return j.passed != "" }
	s.parts = func(ctx context.Context, n int) (made int, err error) {
		var bytes int64
		for i := range j.src.page {
			bytes += j.src.page[i].Size
		}
		keys, all := j.rest(t.partsWorth(n, len(j.src.page), bytes))
		switch {
		case t.task.Kind == Scan || !all:
			s.search(ctx, j, n)
			return 0, nil
		case len(keys) == 0:
			return 0, nil
		}
		return len(keys), s.take(ctx, places{keys: keys})
	}
	s.cut = func(ctx context.Context, behind string) (bool, error) {
		at := store.Next(behind)
		if behind <= j.passed || t.task.To != "" && at >= t.task.To {
			return false, nil // the task went past it meanwhile
		}
		holds, err := t.splits(ctx, at, 0)
		if holds {
			j.lower(at)
			t.task.To = at
		}
		return holds, err
	}
	return s
}

// objectCost is what an object takes besides its bytes, in bytes: a request or two.
const objectCost = 256 << 10

// partsWorth is how many parts of some objects others may be given, n at most.
func (t *taskRun) partsWorth(n, objects int, bytes int64) int {
	worth := t.n.Tuning.SplitWorth
	if worth <= 0 {
		return n
	}
	return int(max(0, min(int64(n), (bytes+objectCost*int64(objects))/worth-1)))
}

// rest returns keys that part what is left into n+1, where all of it is read already.
func (j *joiner) rest(n int) (keys []string, all bool) {
	page := j.src.page
	if !j.src.ended {
		return nil, false
	}
	n = min(n, len(page)-1)
	for i := 1; i <= n; i++ {
		keys = append(keys, page[(len(page)*i+n)/(n+1)-1].Key)
	}
	return keys, true
}

// newListSplitter splits what is left of a list evenly.
func (t *taskRun) newListSplitter(lines *taskLines) *splitter {
	// An upload that an earlier holder left belongs to this task, wherever its line is.
	s := t.newSplitter(len(t.task.Uploads) == 0)
	s.ready = func() bool { return true }
	s.parts = func(ctx context.Context, n int) (made int, err error) {
		left := len(lines.sizes)
		var bytes int64
		for _, size := range lines.sizes {
			bytes += size // 0 where it is not known yet
		}
		n = min(t.partsWorth(n, left, bytes), left-1)
		for i := n; i > 0; i-- {
			keep := (left*i + n) / (n + 1)
			at := lines.next + int64(keep)
			holds, err := t.splits(ctx, "", at)
			if err != nil || !holds {
				return made, err
			}
			made++
			lines.sizes = lines.sizes[:keep]
			t.task.EndLine = at
		}
		return made, nil
	}
	return s
}

// fuller is the side that has more keys above those passed, as far as its latest page tells: the one whose keys are passed
// more slowly.
func (j *joiner) fuller() *pager {
	if j.dst == nil || len(j.dst.recent) == 0 {
		return j.src
	}
	if len(j.src.recent) == 0 || j.src.last > j.dst.last && !j.dst.ended || j.src.ended && !j.dst.ended {
		return j.dst
	}
	return j.src
}

// lower moves the stop of both listings down; what they read beyond is forgotten.
func (j *joiner) lower(to string) {
	j.src.lower(to)
	if j.dst != nil {
		j.dst.lower(to)
	}
}

func (p *pager) lower(to string) {
	p.opts.To = to
	for i := range p.page {
		if p.page[i].Key >= to {
			p.page, p.ended = p.page[:i], true
			p.close()
			return
		}
	}
}
