package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// When a running task is asked to make work for an idle node.
const (
	splitAge      = time.Second     // a younger task may end by itself soon
	splitAgain    = time.Second     // after a split took effect
	splitPatience = 5 * time.Second // after a request; twice as long each time nothing came of it
	maxPatience   = time.Minute
)

// splitAsk is what came of asking one holding.
type splitAsk struct {
	node   string
	untold bool          // the next answer to the node's poll carries the request
	until  time.Duration // no further request before
	open   bool          // nothing came of it yet
	vain   int           // requests in a row that led to nothing
}

// candidate is a task that could be split.
type candidate struct {
	holding fsm.TaskEpoch
	job     string
	node    string
	scan    bool
	since   time.Duration
}

// askSplits asks the longest running tasks to split, one for each slot that the plan left free. Requests that are still
// open count, or one free slot would have every task split. The caller holds mu.
func (r *reign) askSplits(b *board) {
	free := 0
	for i := range b.nodes {
		free += b.nodes[i].free
	}
	now := r.cfg.Clock.Monotonic()
	for _, a := range r.splits {
		if a.open && now < a.until {
			free--
		}
	}
	if free <= 0 {
		return
	}
	asked := false
	for _, c := range r.candidates(b, now) {
		if free == 0 {
			break
		}
		if b.idleFor(c) {
			r.ask(c, now)
			free, asked = free-1, true
		}
	}
	if asked {
		r.tell()
	}
}

// ask notes a request, to be told by the next answer.
func (r *reign) ask(c candidate, now time.Duration) {
	a := r.splits[c.holding]
	if a == nil {
		a = &splitAsk{node: c.node}
		r.splits[c.holding] = a
	}
	if a.open {
		a.vain++
	}
	patience := splitPatience
	for range a.vain {
		patience = min(2*patience, maxPatience)
	}
	a.untold, a.open, a.until = true, true, now+patience
}

// split notes that a task was split: more may be had of it soon.
func (r *reign) split(te fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.splits[te]; a != nil {
		a.open, a.vain, a.until = false, 0, r.cfg.Clock.Monotonic()+splitAgain
	}
}

// candidates are the tasks that may be asked now, the longest running first.
func (r *reign) candidates(b *board, now time.Duration) (out []candidate) {
	throttled := map[string]bool{}
	for i := range b.jobs {
		throttled[b.jobs[i].id] = b.jobs[i].throttled
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, s := range r.sessions {
			for _, h := range s.running {
				t := state.Task(h.Task)
				if !h.Splits || s.leaving || t == nil || t.Node != s.node || t.Epoch != h.Epoch {
					continue
				}
				c := candidate{holdingOf(t), t.Job, s.node, t.Kind == fsm.ScanTask, s.since(holdingOf(t), now)}
				rests, running := throttled[t.Job]
				if !running || c.scan && rests || now-c.since < splitAge {
					continue
				}
				if _, yields := r.yielding[c.holding]; yields {
					continue
				}
				if a := r.splits[c.holding]; a == nil || now >= a.until {
					out = append(out, c)
				}
			}
		}
	})
	slices.SortFunc(out, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.since, y.since), cmp.Compare(x.holding.Task, y.holding.Task))
	})
	return out
}

// idleFor tells whether some free slot would do for a part of a task. A copy keeps its whole node busy: only another
// node is of use. Scans wait for one answer at a time, so they are worth splitting among the slots of one node.
func (b *board) idleFor(c candidate) bool {
	return slices.ContainsFunc(b.nodes, func(n nodeView) bool {
		return n.free > 0 && n.ready[c.job] && (c.scan || n.id != c.node)
	})
}

// splitsOf are the node's tasks that are asked to split and were not told. The caller holds mu.
func (r *reign) splitsOf(s *session) (out []fsm.TaskEpoch) {
	for te, a := range r.splits {
		if a.untold && a.node == s.node {
			out = append(out, te)
		}
	}
	slices.SortFunc(out, func(x, y fsm.TaskEpoch) int { return cmp.Compare(x.Task, y.Task) })
	return out
}
