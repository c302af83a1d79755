package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// When a task takes too long.
const (
	overdueTimes  = 5                // as long as expected
	overdueFloor  = 30 * time.Second // no task is overdue before
	overdueAge    = 5                // finished tasks that have to be known, of the same job and kind
	paceMemory    = 64               // finished tasks that are remembered
	fasterTimes   = 2                // as fast as the holder is a node worth handing a task over to
	fasterSamples = 2                // finished tasks by which a node is known
	avoidFor      = time.Minute      // that a task is kept from a node that gave it back
)

// overdue is what was done about a holding that takes too long.
type overdue struct {
	asked    bool // to split
	at       time.Duration
	givesOut bool // was asked to give the task back, which happens once
}

// finished is a task that ended well.
type finished struct {
	node string
	work
	took time.Duration
}

// paceKey is what tasks are compared within.
type paceKey struct {
	job  string
	kind fsm.TaskKind
}

// learn remembers how long a task took.
func (r *reign) learn(s *service) {
	took := r.cfg.Clock.Monotonic() - s.since
	if !hasPace(s.kind) || s.settled.objects <= 0 || took <= 0 {
		return
	}
	key := paceKey{s.job, s.kind}
	r.paces[key] = append(r.paces[key], finished{s.node, s.settled, took})
	r.paces[key] = r.paces[key][max(0, len(r.paces[key])-paceMemory):]
}

// hasPace tells whether tasks of a kind can be compared by what they hold. Scans cannot: nobody knows what is ahead.
func hasPace(kind fsm.TaskKind) bool { return kind == fsm.RangeTask || kind == fsm.ListTask }

// median returns the middle of the values, and false where there are too few.
func median[T cmp.Ordered](values []T, least int) (m T, ok bool) {
	if len(values) < least || len(values) == 0 {
		return m, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// pace is how long tasks of a kind take, by the object and by the byte.
type pace struct {
	perObject, perByte float64 // nanoseconds
	known              bool
}

// paceOf is the usual one of the tasks that ended.
func paceOf(done []finished) (p pace) {
	var byObject, byByte []float64
	for _, f := range done {
		byObject = append(byObject, float64(f.took)/float64(f.objects))
		if f.bytes > 0 {
			byByte = append(byByte, float64(f.took)/float64(f.bytes))
		}
	}
	p.perObject, p.known = median(byObject, overdueAge)
	p.perByte, _ = median(byByte, overdueAge)
	return p
}

// expected is how long so much work takes, by the object or by the byte, whichever is longer.
func (p pace) expected(w work) time.Duration {
	return time.Duration(max(p.perObject*float64(w.objects), p.perByte*float64(w.bytes)))
}

// speedOf is the cost per second that a node got through in such tasks; false where it is not known.
func speedOf(done []finished, node string) (float64, bool) {
	var speeds []float64
	for _, f := range done {
		if f.node == node {
			speeds = append(speeds, float64(f.cost())/f.took.Seconds())
		}
	}
	return median(speeds, fasterSamples)
}

// hurry asks tasks that take much longer than expected to split, and those of which that is no use to be given back, for
// a node that has shown to be faster and has a slot free. The caller holds mu.
func (r *reign) hurry(b *board) {
	now := r.cfg.Clock.Monotonic()
	late := r.late(now)
	for _, te := range late {
		s := r.services[te]
		switch {
		case !s.overdue.asked:
			s.overdue.asked, s.overdue.at = true, now
			r.askLate(b, te, now)
		case s.overdue.givesOut || now-s.overdue.at < splitPatience:
		default:
			if b.takeFaster(r, te, s, now) {
				s.overdue.givesOut = true
				r.yielding[te] = s.node
				r.gave(te.Task, s.node, now)
				r.cfg.Logger.Info("task takes too long, a faster node is to have it", "job", s.job, "task", te.Task, "node", s.node,
					"after", now-s.since)
				r.tell()
			}
		}
	}
}

// late are the copies that take too long, by ID.
func (r *reign) late(now time.Duration) (out []fsm.TaskEpoch) {
	paces := map[paceKey]pace{}
	for key, done := range r.paces {
		paces[key] = paceOf(done)
	}
	for te, s := range r.services {
		if !hasPace(s.kind) || now-s.since < overdueFloor {
			continue
		}
		if p := paces[paceKey{s.job, s.kind}]; p.known && now-s.since >= overdueTimes*p.expected(s.expected) {
			out = append(out, te)
		}
	}
	slices.SortFunc(out, func(x, y fsm.TaskEpoch) int { return cmp.Compare(x.Task, y.Task) })
	return out
}

// askLate asks an overdue task to split, whether or not a slot is free: the part is there for the next one. It is no use
// where its own node is the only one for the job, or where the task says that it cannot.
func (r *reign) askLate(b *board, te fsm.TaskEpoch, now time.Duration) {
	for _, c := range r.candidates(b, now) {
		if c.holding == te && b.others(c.job, c.node) {
			c.parts = 1
			r.ask(c, now)
			r.tell()
		}
	}
}

// others tells whether a node besides this one could do a job.
func (b *board) others(job, node string) bool {
	return slices.ContainsFunc(b.nodes, func(n nodeView) bool { return n.id != node && n.works && n.ready[job] })
}

// takeFaster takes a free slot for an overdue task on a node that never gave it back and was much faster at such work than
// its holder is.
func (b *board) takeFaster(r *reign, te fsm.TaskEpoch, s *service, now time.Duration) bool {
	if _, asked := r.yielding[te]; asked {
		return false
	}
	speed := float64(s.charged) / (now - s.since).Seconds()
	for i := range b.nodes {
		n := &b.nodes[i]
		_, had := r.givers[te.Task][n.id]
		if n.free == 0 || n.id == s.node || had || !n.ready[s.job] {
			continue
		}
		if theirs, known := speedOf(r.paces[paceKey{s.job, s.kind}], n.id); known && theirs >= fasterTimes*speed {
			n.free--
			return true
		}
	}
	return false
}

// gave notes that a node is to give a task back.
func (r *reign) gave(task uint64, node string, now time.Duration) {
	if r.givers[task] == nil {
		r.givers[task] = map[string]time.Duration{}
	}
	r.givers[task][node] = now
}

// avoided are the nodes that gave a task back lately, unless no other is there for it.
func (r *reign) avoided(b *board, t *fsm.Task) map[string]bool {
	givers := r.givers[t.ID]
	if len(givers) == 0 {
		return nil
	}
	now := r.cfg.Clock.Monotonic()
	avoid := map[string]bool{}
	for node, at := range givers {
		avoid[node] = now-at < avoidFor
	}
	for _, n := range b.nodes {
		if !avoid[n.id] && n.works && n.ready[t.Job] {
			return avoid
		}
	}
	return nil
}

// renew takes the measure of a task anew that was split: less is left of it.
func (r *reign) renew(te fsm.TaskEpoch) {
	s := r.services[te]
	if s == nil {
		return
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		if t := state.Task(te.Task); t != nil && t.Epoch == te.Epoch {
			w := expect(state, t)
			s.expected = work{s.settled.objects + w.objects, s.settled.bytes + w.bytes}
		}
	})
	s.overdue.asked = false
}

// forgetTasks drops what is known of tasks and jobs that are gone.
func (r *reign) forgetTasks(state *fsm.State) {
	for id := range r.givers {
		if state.Task(id) == nil {
			delete(r.givers, id)
		}
	}
	for key := range r.paces {
		if job := state.Job(key.job); job == nil || job.State != fsm.Running {
			delete(r.paces, key)
		}
	}
}
