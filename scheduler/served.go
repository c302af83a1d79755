package scheduler

import (
	"bytes"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// What work is taken to cost, in bytes moved.
const (
	objectCost  = 256 << 10       // of a request or two, whatever the size of their object
	listedCost  = 1 << 10         // of an object in a listing, a thousand of which come in one request
	listingCost = 4 << 20         // what a scan is expected to cost: a page or a million, nobody knows
	absence     = 5 * time.Second // without use for a slot, from which on a job counts as absent
	biasTasks   = 2               // by how many tasks a job may be ahead of another and still get the first slot at a node
	lagTasks    = 4               // how far a job may lie behind, in tasks beyond one for each slot
)

// work is an amount of it.
type work struct{ objects, bytes int64 }

func (w work) cost() int64 { return w.bytes + objectCost*w.objects }

// service is what one holding of a task did.
type service struct {
	job, node string
	kind      fsm.TaskKind
	since     time.Duration // when it was granted
	expected  work          // what was left of the task then
	settled   work          // by its advances
	cost      int64         // of what was settled
	charged   int64         // what its job was charged for so far
	pending   int           // advances being committed: the task may be gone before they are charged
	overdue   overdue
}

// left is what the holding is expected to cost its job still.
func (s *service) left() int64 { return max(0, s.expectedCost()-s.charged) }

func (s *service) expectedCost() int64 {
	if s.kind == fsm.ScanTask || s.kind == fsm.RelistTask {
		return listingCost
	}
	return s.expected.cost()
}

// account is what a running job was served while this node leads. Only differences between accounts mean anything.
type account struct {
	priority int
	served   int64
	largest  int64         // cost of its largest task so far
	active   bool          // it has use for slots, or had until a moment ago
	wanted   time.Duration // when it last had
}

// expect estimates what is left of a task, by what the scan saw and the mean size of the job's objects.
func expect(state *fsm.State, t *fsm.Task) (w work) {
	switch t.Kind {
	case fsm.ListTask:
		w.objects = t.EndLine - t.Line
	case fsm.RangeTask:
		cut := state.Cut(t.Job, t.Cut)
		if cut == nil || cut.Tasks == 0 {
			return work{1, 0} // the rest of a retry: nobody counted it
		}
		n := int64(cut.Tasks)
		return work{
			objects: max(1, (cut.Objects-cut.SettledObjects)/n-t.Objects),
			bytes:   max(0, (cut.Bytes-cut.SettledBytes)/n-t.Bytes),
		}
	default:
		return work{}
	}
	if c := &state.Job(t.Job).Counts; c.Listed > 0 {
		w.bytes = int64(float64(c.BytesListed) / float64(c.Listed) * float64(w.objects))
	}
	return w
}

// done is what counts as work done, and its cost. What was listed and left alone costs its place in the listing only.
func done(c *fsm.Counts) (w work, cost int64) {
	idle := c.Skipped + c.Filtered
	w = work{max(0, c.Found()), max(0, c.BytesFound)}
	return w, max(0, c.BytesMoved) + objectCost*max(0, c.Found()-idle) + listedCost*max(0, idle+c.Listed)
}

// serviceOf returns the service of a held task, and begins it.
func (r *reign) serviceOf(state *fsm.State, t *fsm.Task) *service {
	te := holdingOf(t)
	s := r.services[te]
	if s == nil {
		s = &service{job: t.Job, node: t.Node, kind: t.Kind, since: r.cfg.Clock.Monotonic(), expected: expect(state, t)}
		r.services[te] = s
		if a := r.accounts[t.Job]; a != nil {
			a.largest = max(a.largest, s.expectedCost())
		}
	}
	return s
}

// servicesOf returns the services that a call's advances are about, by the place of the command. Once these are committed the
// tasks may be gone, and with them what the state knows of them.
func (r *reign) servicesOf(cmds []fsm.Command) map[int]*service {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := map[int]*service{}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for i, cmd := range cmds {
			if c, ok := cmd.(fsm.AdvanceTask); ok {
				if t := state.Task(c.Task); t != nil && t.Leased() && t.Epoch == c.Epoch {
					of[i] = r.serviceOf(state, t)
					of[i].pending++
				}
			}
		}
	})
	return of
}

// committed ends what servicesOf began.
func (r *reign) committed(of map[int]*service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range of {
		s.pending--
	}
}

// advanced charges a job for what an advance settled, and learns from a task that ended.
func (r *reign) advanced(s *service, cmd fsm.Command) {
	c, ok := cmd.(fsm.AdvanceTask)
	if s == nil || !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w, cost := done(&c.Counts)
	s.settled = work{s.settled.objects + w.objects, s.settled.bytes + w.bytes}
	s.cost += cost
	r.charge(s, s.cost)
	if c.Done {
		r.learn(s)
		delete(r.services, fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
	}
}

// charge brings what a job was charged for a holding up to its cost.
func (r *reign) charge(s *service, cost int64) {
	more := cost - s.charged
	if more <= 0 {
		return
	}
	s.charged = cost
	if a := r.accounts[s.job]; a != nil {
		a.served += more
	}
}

// account brings the accounts of all running jobs up to date: what holdings did since the last poll, which are gone, which
// jobs have use for slots. The caller holds mu.
func (r *reign) account(state *fsm.State, running []*fsm.Job) {
	for _, job := range running {
		a := r.accounts[job.ID]
		if a == nil {
			a = &account{}
			r.accounts[job.ID] = a
		}
		a.priority = job.Priority
	}
	held := map[fsm.TaskEpoch]bool{}
	for t := range state.Leased() {
		held[holdingOf(t)] = true
		r.serviceOf(state, t)
	}
	for te, s := range r.services {
		if !held[te] && s.pending == 0 {
			delete(r.services, te)
		}
	}
	for _, sess := range r.sessions {
		for id, h := range sess.running {
			if s := r.services[fsm.TaskEpoch{Task: id, Epoch: h.Epoch}]; s != nil {
				live := int64(0)
				if t := state.Task(id); t != nil && bytes.Equal(t.From, h.From) && t.Line == h.Line { // else an advance settled it
					_, live = done(&h.Progress)
				}
				// What both sides moved tells of objects that are not settled yet.
				r.charge(s, max(s.cost+live, h.Moved/2))
			}
		}
	}
	for id := range r.accounts {
		if job := state.Job(id); job == nil || job.State != fsm.Running {
			delete(r.accounts, id)
		}
	}
}

// balance sets the loads of the jobs on a board, by which they take turns. A job that had no use for slots until now gets no
// credit for that: it begins where the one served least stands. Neither is one owed without end that was kept from
// its share, say by a node that cannot do it.
func (r *reign) balance(b *board) {
	now := r.cfg.Clock.Monotonic()
	least, most, largest := map[int]int64{}, map[int]int64{}, map[int]int64{}
	note := func(m map[int]int64, p int, v int64, better func(a, b int64) bool) {
		if old, ok := m[p]; !ok || better(v, old) {
			m[p] = v
		}
	}
	less, more := func(a, b int64) bool { return a < b }, func(a, b int64) bool { return a > b }
	inHand := map[string]int64{}
	for _, s := range r.services {
		inHand[s.job] += s.left()
	}
	for i := range b.jobs {
		if a := r.accounts[b.jobs[i].id]; a.active {
			note(least, a.priority, a.served, less)
		}
	}
	for i := range b.jobs {
		j := &b.jobs[i]
		a := r.accounts[j.id]
		wants := j.leased+len(j.scans)+len(j.copies) > 0
		if floor, any := least[a.priority]; wants && !a.active && any {
			a.served = max(a.served, floor)
		}
		if wants {
			a.wanted = now
		}
		a.active = a.wanted != 0 && now-a.wanted < absence // a task on its way back is nobody's for a moment
		for _, cost := range j.costs {
			a.largest = max(a.largest, cost)
		}
		j.load = a.served + inHand[j.id]
		if a.active {
			note(most, a.priority, j.load, more)
			note(largest, a.priority, a.largest, more)
		}
	}
	for i := range b.jobs {
		j := &b.jobs[i]
		a := r.accounts[j.id]
		j.bias = biasTasks * largest[a.priority]
		lag := int64(b.slots+lagTasks) * largest[a.priority]
		if behind := most[a.priority] - lag - j.load; a.active && behind > 0 {
			a.served += behind
			j.load += behind
		}
	}
}
