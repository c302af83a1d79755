package scheduler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	dispatchTick = 500 * time.Millisecond // looks at leases and back-off even when nothing happens
	refusedRest  = time.Second            // after a refused command about a job
	maxGrants    = 400                    // of one command, which must fit into an entry
)

// dispatch looks at the state whenever something happened, and proposes what follows from it.
func (r *reign) dispatch(ctx context.Context) {
	tick := time.NewTicker(dispatchTick)
	defer tick.Stop()
	for {
		changed := r.cfg.Machine.Changed()
		r.round(ctx)
		select {
		case <-changed:
		case <-r.wake:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// round takes back what is due (leases that expired, tasks that stand still), starts, pauses and finishes passes, and fills free slots.
func (r *reign) round(ctx context.Context) {
	if err := r.release(ctx, append(r.expire(), r.stalled()...)); err != nil {
		return // the leadership ends, or the next round finds them again
	}
	r.jobRound(ctx)
	grants := r.review()
	var cmds []fsm.Command
	for chunk := range slices.Chunk(grants, maxGrants) {
		cmds = append(cmds, fsm.AssignTasks{Grants: chunk})
	}
	for _, o := range r.propose(ctx, cmds...) {
		if o.err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("tasks not assigned, will retry", "error", o.err)
		}
	}
}

// expire ends sessions that were silent for too long, and returns all tasks that no live session holds.
func (r *reign) expire() (orphans []fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Monotonic()
	for node, s := range r.sessions {
		if now >= s.deadline {
			r.cfg.Logger.Warn("node is silent, its tasks go to others", "node", node)
			delete(r.sessions, node)
			r.tell()
		}
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for t := range state.Leased() {
			if r.sessions[t.Node] == nil {
				orphans = append(orphans, holdingOf(t))
			}
		}
	})
	return orphans
}

// review makes the plan, remembers the scans that shall yield and the tasks that shall split, and returns the grants.
func (r *reign) review() []fsm.Grant {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.board()
	grants, yields := b.plan()
	for _, y := range yields {
		r.yielding[y.holding] = y.node
	}
	if len(yields) > 0 {
		r.tell()
	}
	r.askSplits(b)
	r.lookCloser(b)
	return grants
}

// lookCloser asks tasks to make way: late ones, and those of jobs that hold more than their part of a node. It takes a while
// where many tasks are held, and nothing about it is urgent. The caller holds mu.
func (r *reign) lookCloser(b *board) {
	now := r.cfg.Clock.Monotonic()
	if now-r.looked < dispatchTick {
		return
	}
	r.looked = now
	r.hurry(b)
	r.makeRoom(b)
}

// board collects what planning needs. The caller holds mu.
func (r *reign) board() *board {
	b := &board{}
	r.cfg.Machine.Read(func(state *fsm.State) {
		var running []*fsm.Job
		for _, job := range state.Jobs() {
			if job.State == fsm.Running {
				running = append(running, job)
			}
		}
		b.scans = r.scansHeld(state)
		free := 0
		for _, s := range r.sessions {
			n := r.nodeView(state, s, running)
			free += n.room(true)
			if slots := setSlots(state, s.slots); r.share(state, s, slots) > 0 {
				b.slots += slots
			}
			b.nodes = append(b.nodes, n)
		}
		slices.SortFunc(b.nodes, func(x, y nodeView) int { return cmp.Compare(x.id, y.id) })
		r.account(state, running)
		lingering := r.lingering(state)
		for _, job := range running {
			b.jobs = append(b.jobs, r.jobView(b, state, job, free, lingering))
		}
		r.prune(state)
		r.forgetTasks(state)
	})
	r.balance(b)
	return b
}

// nodeView counts a node's free slots: none unless a poll waits there that can carry the grant at once.
func (r *reign) nodeView(state *fsm.State, s *session, running []*fsm.Job) nodeView {
	n := nodeView{id: s.node, ready: map[string]bool{}}
	for _, job := range running {
		n.ready[job.ID] = r.ready(job, s)
	}
	copies := 0
	for t := range state.LeasedBy(s.node) {
		n.held++
		if t.Kind != fsm.ScanTask {
			copies++
			n.add(t.Job)
		}
	}
	slots := slotsOf(state, s)
	share := r.share(state, s, slots)
	n.works, n.full = !s.leaving && share > 0, copies >= share || n.held >= slots
	if !s.waiting || !n.works {
		return n
	}
	room := max(0, slots-n.held)
	n.free = min(room, max(0, share-copies))
	n.spare = room - n.free
	return n
}

// share is the part of a node's slots that copies are given: none while the node drains, and half on the leader's own
// machine once others take work. Scans mostly wait, and may have the other half.
func (r *reign) share(state *fsm.State, s *session, slots int) int {
	switch {
	case slots <= 0 || state.Draining(s.node):
		return 0
	case s.node == r.cfg.Node && r.othersWork(state):
		return max(1, slots/2)
	}
	return slots
}

// othersWork tells whether any node but the leader's takes work.
func (r *reign) othersWork(state *fsm.State) bool {
	for _, s := range r.sessions {
		if s.node != r.cfg.Node && !s.leaving && slotsOf(state, s) > 0 && !state.Draining(s.node) {
			return true
		}
	}
	return false
}

// slotsOf is the number of tasks that a node may hold. A node that wants none gets none.
func slotsOf(state *fsm.State, s *session) int {
	own := min(s.want, s.slots)
	if own <= 0 {
		return 0
	}
	return setSlots(state, own)
}

// setSlots is a node's own number of slots, unless the cluster is set to another.
func setSlots(state *fsm.State, own int) int {
	if limit := state.Limit(fsm.SettingMaxTasks); limit > 0 {
		return min(limit, maxSlots)
	}
	return own
}

// jobView lists the tasks of a job that could be granted now: one more than there are free slots, to see whether any
// is left over.
func (r *reign) jobView(b *board, state *fsm.State, job *fsm.Job, free int, lingering map[uint64]bool) jobView {
	counts := state.TaskCounts(job.ID)
	j := jobView{
		id: job.ID, priority: job.Priority, leased: counts.Leased + counts.LeasedScans,
		throttled: r.throttle(job.ID, counts.Leased+counts.Pending), costs: map[uint64]int64{}, avoid: map[uint64]map[string]bool{},
	}
	now := r.cfg.Clock.Now().UnixNano()
	grantable := func(t *fsm.Task) bool {
		// A stamp further ahead than any back-off is from a leader whose clock was wrong.
		rests := t.NotBefore > now && t.NotBefore-now <= int64(maxBackoff)
		return !rests && !lingering[t.ID]
	}
	for t := range state.PendingScans(job.ID) {
		if len(j.scans) > free {
			break
		}
		if grantable(t) {
			j.add(state, &j.scans, t)
		}
	}
	for t := range state.Pending(job.ID) {
		if len(j.copies) > free {
			break
		}
		if grantable(t) {
			j.add(state, &j.copies, t)
			if avoid := r.avoided(b, t); avoid != nil {
				j.avoid[t.ID] = avoid
			}
		}
	}
	return j
}

// add puts a task that could be granted on a queue of the job.
func (j *jobView) add(state *fsm.State, queue *[]uint64, t *fsm.Task) {
	*queue = append(*queue, t.ID)
	w := service{kind: t.Kind, expected: expect(state, t)}
	j.costs[t.ID] = w.expectedCost()
}

// throttle tells whether a job's scans rest: from the limit of outstanding copies on, until half of it is left. Scans
// do not count, so the work that ends the rest is always work that may run.
func (r *reign) throttle(job string, copies int) bool {
	switch limit := r.cfg.OutstandingLimit; {
	case copies > limit:
		r.throttled[job] = true
	case copies <= limit/2:
		delete(r.throttled, job)
	}
	return r.throttled[job]
}

func (r *reign) scansHeld(state *fsm.State) (out []scanView) {
	for t := range state.Leased() {
		if t.Kind != fsm.ScanTask {
			continue
		}
		_, yielding := r.yielding[holdingOf(t)]
		out = append(out, scanView{holding: holdingOf(t), job: t.Job, node: t.Node, yielding: yielding})
	}
	return out
}

// prune forgets what is about tasks and jobs that are gone.
func (r *reign) prune(state *fsm.State) {
	for te := range r.yielding {
		if t := state.Task(te.Task); t == nil || t.Epoch != te.Epoch {
			delete(r.yielding, te)
		}
	}
	for te := range r.splits {
		if t := state.Task(te.Task); t == nil || t.Epoch != te.Epoch {
			delete(r.splits, te)
		}
	}
	for id := range r.stumbles {
		if state.Task(id) == nil {
			delete(r.stumbles, id)
		}
	}
	for id := range r.throttled {
		if state.Job(id) == nil {
			delete(r.throttled, id)
		}
	}
}
