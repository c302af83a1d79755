package transfer

import (
	"context"
	"errors"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// splitter hands the upper part of a running task to others when its lease asks for it. The goroutine that walks the task
// acts on what its channels bring, between two keys, so that nothing is dispatched while a stop moves; only the search
// for a place to cut runs beside it.
type splitter struct {
	t        *taskRun
	requests <-chan struct{} // nil: the task does not split
	found    chan string     // keys that a search proposes to cut behind; "" where it found none

	// ask acts on a request, cut on a found key. Errors end the task.
	ask func(ctx context.Context) error
	cut func(ctx context.Context, behind string) error

	searching bool
	searches  sync.WaitGroup
}

// newSplitter returns a splitter that does nothing where the task cannot be split or the lease never asks.
func (t *taskRun) newSplitter(able bool) *splitter {
	s := &splitter{t: t, found: make(chan string, 1)}
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
	case key := <-s.found:
		return s.take(ctx, key)
	default:
		return nil
	}
}

func (s *splitter) take(ctx context.Context, key string) error {
	s.searching = false
	if key == "" {
		return nil
	}
	return s.cut(ctx, key)
}

// search looks for a key about halfway between last, the last one dispatched, and the stop, while the task goes on.
func (s *splitter) search(ctx context.Context, last string) {
	if s.searching || last == "" {
		return
	}
	s.searching = true
	src, _ := s.t.job.sides()
	h := &halver{t: s.t, src: src, stop: s.t.task.To, low: last}
	s.searches.Go(func() { s.found <- h.find(ctx) })
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
	s.ask = func(ctx context.Context) error {
		s.search(ctx, j.passed)
		return nil
	}
	s.cut = func(ctx context.Context, behind string) error {
		at := store.Next(behind)
		if behind <= j.passed || t.task.To != "" && at >= t.task.To {
			return nil // the task went past it meanwhile
		}
		holds, err := t.splits(ctx, at, 0)
		if holds {
			j.lower(at)
			t.task.To = at
		}
		return err
	}
	return s
}

// newListSplitter splits what is left of a list, at the line in the middle. items are the task's, next the first one not
// dispatched.
func (t *taskRun) newListSplitter(items *[]item, next *int) *splitter {
	// An upload that an earlier holder left belongs to this task, wherever its line is.
	s := t.newSplitter(len(t.task.Uploads) == 0)
	first := t.task.Line
	s.ask = func(ctx context.Context) error {
		left := len(*items) - *next
		keep := *next + (left+1)/2
		if keep >= len(*items) {
			return nil
		}
		holds, err := t.splits(ctx, "", first+int64(keep))
		if holds {
			*items = (*items)[:keep]
			t.task.EndLine = first + int64(keep)
		}
		return err
	}
	return s
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
