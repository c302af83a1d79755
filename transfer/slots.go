package transfer

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Slots bounds the objects and parts in flight on one machine, and shares them between jobs: a slot that comes free goes to
// the waiting job that holds fewest. However many tasks a job has here, however large its objects are, it gets as many
// requests as any other that has use for them. Within a job objects come before further parts of objects in flight.
//
// A task waits for one slot at a time. Where several come free at once, all but one would go to the job with most tasks,
// which has waiters left; so what is free is kept for the job behind for a moment after a grant.
type Slots struct {
	mu    sync.Mutex
	size  int
	used  int
	turns uint64 // grants so far
	lanes map[string]*lane
	later *time.Timer // looks again when what was kept free was not called for; nil when nothing is
}

// How long slots are kept free for a job that was just given one after a wait, and how long none are after it did not come.
const (
	slotGrace = 20 * time.Millisecond
	slotRest  = time.Second
)

// lane is one job's place.
type lane struct {
	held           int
	last           uint64 // turn of the latest grant
	objects, parts []*slotWaiter
	keep, rest     time.Time // free slots are kept for it until keep, but not before rest
}

// slotWaiter waits for one slot.
type slotWaiter struct {
	granted chan struct{} // closed under mu
}

// NewSlots returns n slots, at least one.
func NewSlots(n int) *Slots { return &Slots{size: max(n, 1), lanes: map[string]*lane{}} }

// Acquire waits for a slot for an object of a job; Release gives it back.
func (s *Slots) Acquire(ctx context.Context, job string) error { return s.acquire(ctx, job, false) }

// AcquirePart waits for a slot for one more part of an object in flight; Release gives it back.
func (s *Slots) AcquirePart(ctx context.Context, job string) error { return s.acquire(ctx, job, true) }

// TryAcquire takes a slot if one is free that nobody waits for.
func (s *Slots) TryAcquire(job string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == s.size || s.anyWaits() {
		return false
	}
	s.take(s.lane(job))
	return true
}

func (s *Slots) acquire(ctx context.Context, job string, part bool) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	w := &slotWaiter{granted: make(chan struct{})}
	s.mu.Lock()
	l := s.lane(job)
	if part {
		l.parts = append(l.parts, w)
	} else {
		l.objects = append(l.objects, w)
	}
	s.hand()
	s.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.has() {
		s.free(job) // it came too late
	} else {
		l.forget(w)
		s.tidy(job)
	}
	return context.Cause(ctx)
}

// Release gives a job's slot back.
func (s *Slots) Release(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(job)
}

// Cede gives back a slot that was used for a part, if somebody else is to have it: an object of the same job, or a job
// that is two or more behind. It tells whether it did; else the slot may be used for the next part.
func (s *Slots) Cede(job string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.lanes[job]
	cede := len(own.objects) > 0
	for _, l := range s.lanes {
		cede = cede || l.waits() && l.held+1 < own.held
	}
	if cede {
		s.free(job)
	}
	return cede
}

// InUse is the number of slots that are held.
func (s *Slots) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Size is the number of slots that there are.
func (s *Slots) Size() int { return s.size }

func (s *Slots) lane(job string) *lane {
	l := s.lanes[job]
	if l == nil {
		l = &lane{}
		s.lanes[job] = l
	}
	return l
}

// take counts a slot as the job's.
func (s *Slots) take(l *lane) {
	s.turns++
	s.used, l.held, l.last = s.used+1, l.held+1, s.turns
}

// free counts a slot as nobody's and hands it to whoever is to have it next.
func (s *Slots) free(job string) {
	s.used--
	s.lanes[job].held--
	s.hand()
	for name := range s.lanes {
		s.tidy(name)
	}
}

// hand gives free slots to those who wait, the job that holds fewest first. Where that is one whose next waiter is still on
// its way, they stay free for a moment.
func (s *Slots) hand() {
	for s.used < s.size && s.anyWaits() {
		now := time.Now()
		var best *lane
		for _, l := range s.lanes {
			if (l.waits() || l.kept(now)) && (best == nil || l.held < best.held || l.held == best.held && l.last < best.last) {
				best = l
			}
		}
		if !best.waits() {
			s.lookLater(best, now)
			return
		}
		w := best.pop()
		s.take(best)
		best.keep = now.Add(slotGrace)
		close(w.granted)
	}
}

// lookLater hands out what was kept free for a job if it did not come.
func (s *Slots) lookLater(l *lane, now time.Time) {
	if s.later != nil {
		return
	}
	s.later = time.AfterFunc(l.keep.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.later = nil
		if now := time.Now(); !l.waits() && !l.keep.After(now) {
			l.rest = now.Add(slotRest)
		}
		s.hand()
		for job := range s.lanes {
			s.tidy(job)
		}
	})
}

func (s *Slots) anyWaits() bool {
	for _, l := range s.lanes {
		if l.waits() {
			return true
		}
	}
	return false
}

// tidy forgets a job that neither holds nor wants a slot.
func (s *Slots) tidy(job string) {
	if l := s.lanes[job]; l.held == 0 && !l.waits() && !(s.anyWaits() && l.kept(time.Now())) {
		delete(s.lanes, job)
	}
}

// kept tells whether free slots wait for the job.
func (l *lane) kept(now time.Time) bool { return now.Before(l.keep) && !now.Before(l.rest) }

func (w *slotWaiter) has() bool {
	select {
	case <-w.granted:
		return true
	default:
		return false
	}
}

func (l *lane) waits() bool { return len(l.objects)+len(l.parts) > 0 }

// pop takes out who is next.
func (l *lane) pop() (w *slotWaiter) {
	queue := &l.objects
	if len(*queue) == 0 {
		queue = &l.parts
	}
	w = (*queue)[0]
	*queue = (*queue)[1:]
	return w
}

func (l *lane) forget(w *slotWaiter) {
	same := func(x *slotWaiter) bool { return x == w }
	l.objects, l.parts = slices.DeleteFunc(l.objects, same), slices.DeleteFunc(l.parts, same)
}
