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
	at     time.Duration // of the latest request
	until  time.Duration // no further request before
	open   bool          // nothing came of it yet
	vain   int           // requests in a row that led to nothing, the open one not counted
}

// candidate is a task that could be split.
type candidate struct {
	holding fsm.TaskEpoch
	job     string
	node    string
	scan    bool
	vain    int
	since   time.Duration
}

// askSplits asks the longest running tasks to split, one for each slot that the plan left free. Requests that are still
// open count, or one free slot would have every task split. The caller holds mu.
func (r *reign) askSplits(b *board) {
	now := r.cfg.Clock.Monotonic()
	free := b.idle() - r.openSplits(now)
	if free <= 0 {
		return
	}
	asked := false
	for _, c := range r.candidates(b, now) {
		if free <= 0 {
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

// idle counts the slots that the plan left free.
func (b *board) idle() (free int) {
	for i := range b.nodes {
		free += b.nodes[i].free
	}
	return free
}

// openSplits counts the requests that something may still come of.
func (r *reign) openSplits(now time.Duration) (open int) {
	for _, a := range r.splits {
		if a.open && now-a.at < splitPatience {
			open++
		}
	}
	return open
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
	a.untold, a.open, a.at, a.until = true, true, now, now+patience
}

// split notes that a task was split: more may be had of it soon.
func (r *reign) split(te fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.splits[te]; a != nil {
		a.open, a.vain, a.until = false, 0, r.cfg.Clock.Monotonic()+splitAgain
	}
}

// candidates are the tasks that may be asked now: those first that did not disappoint, then the longest running.
func (r *reign) candidates(b *board, now time.Duration) (out []candidate) {
	resting := map[string]bool{} // by running job: whether its scans rest
	for i := range b.jobs {
		resting[b.jobs[i].id] = b.jobs[i].throttled
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, s := range r.sessions {
			for _, h := range s.running {
				t := state.Task(h.Task)
				if !h.Splits || s.leaving || t == nil || t.Node != s.node || t.Epoch != h.Epoch {
					continue
				}
				c := candidate{
					holding: holdingOf(t), job: t.Job, node: s.node, scan: t.Kind == fsm.ScanTask, since: s.since(holdingOf(t), now),
				}
				if rests, running := resting[t.Job]; running && !(c.scan && rests) && r.mayAsk(&c, now) {
					out = append(out, c)
				}
			}
		}
	})
	slices.SortFunc(out, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.vain, y.vain), cmp.Compare(x.since, y.since), cmp.Compare(x.holding.Task, y.holding.Task))
	})
	return out
}

// mayAsk tells whether it is time to ask a task, and notes how often that was in vain.
func (r *reign) mayAsk(c *candidate, now time.Duration) bool {
	if _, yields := r.yielding[c.holding]; yields || now-c.since < splitAge {
		return false
	}
	a := r.splits[c.holding]
	if a == nil {
		return true
	}
	c.vain = a.vain
	if a.open {
		c.vain++
	}
	return now >= a.until
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
