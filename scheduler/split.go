package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// When a running task is asked to make work for an idle node.
const (
	splitAge      = time.Second            // a younger copy may end by itself soon
	splitAgain    = 500 * time.Millisecond // after a split took effect, and nothing more comes of the request
	splitPatience = 5 * time.Second        // after a request; twice as long each time nothing came of it
	maxPatience   = time.Minute
	maxParts      = 64 // of one task at once
	leastLeft     = 8  // requests: a listing that takes fewer ends before a split of it would pay
)

// splitAsk is what came of asking one holding.
type splitAsk struct {
	node   string
	untold int           // parts that the next answer to the node's poll asks for
	parts  int           // asked for, of which nothing came yet; 0 when the request is closed
	made   bool          // something came of the latest request
	at     time.Duration // of the latest request
	until  time.Duration // no further request before
	left   int64         // of the task, at the latest request
	vain   int           // requests in a row that led to nothing, the open one not counted
}

// candidate is a task that could be split.
type candidate struct {
	holding fsm.TaskEpoch
	job     string
	node    string
	scan    bool
	vain    int
	left    int64 // requests of a listing; 0 where not known
	since   time.Duration
	parts   int // to be asked for
}

// askSplits asks tasks to hand out as many parts as the plan left slots free: one each, those with most left, and of
// the others the longest running, first; then more of those that have most left. Requests that are still open count, or
// one free slot would have every task split. The caller holds mu.
func (r *reign) askSplits(b *board) {
	now := r.cfg.Clock.Monotonic()
	candidates := r.candidates(b, now)
	free := b.idle(slices.ContainsFunc(candidates, func(c candidate) bool { return c.scan })) - r.openParts(now)
	if free <= 0 {
		return
	}
	var asked []candidate
	for _, c := range candidates {
		if free > 0 && b.idleFor(c) > 0 {
			c.parts, free = 1, free-1
			asked = append(asked, c)
		}
	}
	for ; free > 0; free-- {
		c := b.mostLeft(asked)
		if c == nil {
			break
		}
		c.parts++
	}
	for _, c := range asked {
		r.ask(c, now)
	}
	if len(asked) > 0 {
		r.tell()
	}
}

// mostLeft is the candidate that gives the largest part if it hands out one more than it is asked for.
func (b *board) mostLeft(asked []candidate) (most *candidate) {
	size := func(c *candidate) float64 {
		left := float64(c.left)
		if c.left == 0 {
			left = leastLeft * maxParts
		}
		return left / float64(c.parts+1)
	}
	for i := range asked {
		c := &asked[i]
		worth := c.left == 0 || size(c) >= leastLeft/2
		if worth && c.parts < min(maxParts, b.idleFor(*c)) && (most == nil || size(c) > size(most)) {
			most = c
		}
	}
	return most
}

// idle counts the slots that the plan left free, for scans or for anything else.
func (b *board) idle(scans bool) (free int) {
	for i := range b.nodes {
		free += b.nodes[i].room(scans)
	}
	return free
}

// openParts counts the parts that something may still come of.
func (r *reign) openParts(now time.Duration) (open int) {
	for _, a := range r.splits {
		if now-a.at < splitPatience {
			open += a.parts
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
	if a.parts > 0 && !a.made {
		a.vain++
	}
	a.untold, a.parts, a.made, a.left, a.at = c.parts, c.parts, false, c.left, now
	a.until = now + a.patience()
}

// patience is how long a request may take before the same task is asked again.
func (a *splitAsk) patience() time.Duration {
	patience := splitPatience
	for range a.vain {
		patience = min(2*patience, maxPatience)
	}
	return patience
}

// split notes that a task was split: more may be had of it soon.
func (r *reign) split(te fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.splits[te]; a != nil {
		a.made, a.vain, a.parts = true, 0, max(0, a.parts-1)
		if a.parts == 0 {
			a.until = r.cfg.Clock.Monotonic() + splitAgain
		}
	}
	r.renew(te)
}

// takeNews takes over what a worker tells of single tasks between two polls. The caller holds mu.
func (r *reign) takeNews(s *session, news []Holding, now time.Duration) {
	for _, h := range news {
		te := fsm.TaskEpoch{Task: h.Task, Epoch: h.Epoch}
		held := false
		r.cfg.Machine.Read(func(state *fsm.State) {
			t := state.Task(h.Task)
			held = t != nil && t.Node == s.node && t.Epoch == h.Epoch
		})
		if !held {
			continue
		}
		if a := r.splits[te]; a != nil && h.Declined {
			a.decline(now, h.Left)
		}
		h.Declined = false
		if s.marks[te] == nil {
			s.marks[te] = &mark{first: now, moved: now, seen: h}
		}
		s.running[h.Task] = h
	}
}

// decline closes a request: what came of it came. A task that was asked before it knew what it has, and has much by now,
// is asked again soon.
func (a *splitAsk) decline(now time.Duration, left int64) {
	if !a.made && a.parts > 0 {
		a.vain++
	}
	if a.made || a.vain == 1 && a.left == 0 && left >= leastLeft {
		a.until = now + splitAgain
	}
	a.parts, a.untold, a.left = 0, 0, left
}

// candidates are the tasks that may be asked now: those first that did not disappoint, then those with
// most left, then the longest running.
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
					holding: holdingOf(t), job: t.Job, node: s.node, scan: t.Kind == fsm.ScanTask,
					since: s.since(holdingOf(t), now),
				}
				if c.scan {
					c.left = h.Left // how soon its listing ends says nothing about a copy
				}
				if rests, running := resting[t.Job]; running && !(c.scan && rests) && r.mayAsk(&c, now) {
					out = append(out, c)
				}
			}
		}
	})
	slices.SortFunc(out, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.vain, y.vain), cmp.Compare(y.left, x.left), cmp.Compare(x.since, y.since), cmp.Compare(x.holding.Task, y.holding.Task))
	})
	return out
}

// mayAsk tells whether it is time to ask a task, and notes how often that was in vain.
func (r *reign) mayAsk(c *candidate, now time.Duration) bool {
	if _, yields := r.yielding[c.holding]; yields || c.left > 0 && c.left < leastLeft || !c.scan && now-c.since < splitAge {
		return false
	}
	a := r.splits[c.holding]
	if a == nil {
		return true
	}
	c.vain = a.vain
	if a.parts > 0 && !a.made {
		c.vain++
	}
	if a.parts == 0 && c.left > 2*a.left && a.left > 0 {
		c.vain = 0 // it found out that it has more than it thought
		return true
	}
	return now >= a.until
}

// idleFor counts the free slots that would do for a part of a task. A copy keeps its whole node busy: only another
// node is of use. Scans wait for one answer at a time, so they are worth splitting among the slots of one node.
func (b *board) idleFor(c candidate) (free int) {
	for i := range b.nodes {
		if n := &b.nodes[i]; n.ready[c.job] && (c.scan || n.id != c.node) {
			free += n.room(c.scan)
		}
	}
	return free
}

// splitsOf are the node's tasks that are asked to split and were not told, each as often as parts are wanted of it. The caller holds mu.
func (r *reign) splitsOf(s *session) (out []fsm.TaskEpoch) {
	for te, a := range r.splits {
		if a.node == s.node {
			out = append(out, slices.Repeat([]fsm.TaskEpoch{te}, a.untold)...)
		}
	}
	slices.SortFunc(out, func(x, y fsm.TaskEpoch) int { return cmp.Compare(x.Task, y.Task) })
	return out
}
