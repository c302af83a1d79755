package fsm

import (
	"bytes"
	"iter"
	"maps"
	"slices"
)

// State is all jobs and tasks. Its methods are for reading inside Machine.Read; what they return may be kept, for jobs,
// tasks and cuts are never changed in place.
type State struct {
	index    uint64 // of the last entry applied
	lastTask uint64 // highest task ID given out
	jobs     map[string]*Job
	tasks    map[uint64]*Task
	cuts     map[string]map[uint64]*Cut // by job, then by cut

	// Of the cluster as a whole. The maps are replaced, never changed in place.
	clusterID string
	settings  map[string]string
	draining  map[string]bool // nodes that get no work
	keys      Keys

	// Of those who use it. Tokens are replaced, events are never changed.
	tokens    map[string]*Token // by ID
	history   []Event
	lastEvent uint64  // number of the last one
	done      []*Done // the oldest first; replaced, never changed in place

	// Of what people are to be told. Slices and maps are replaced, never changed in place.
	notices        []*Notice // the oldest first
	lastNotice     uint64
	droppedNotices uint64
	told           map[string]Told

	// Derived from tasks, rebuilt on restore and never encoded.
	byJob  map[string]*jobTasks
	byNode map[string]*idSet // leased tasks
	byKind map[KindHeld]int
}

// KindHeld sorts outstanding tasks by what they are and whether a node holds them.
type KindHeld struct {
	Kind TaskKind
	Held bool
}

// jobTasks are the outstanding tasks of a job. Scans are apart, for the scheduler weighs them against the others.
type jobTasks struct {
	pending, pendingScans, leased, leasedScans idSet
}

func newState() *State {
	return &State{
		jobs: map[string]*Job{}, tasks: map[uint64]*Task{}, cuts: map[string]map[uint64]*Cut{},
		byJob: map[string]*jobTasks{}, byNode: map[string]*idSet{}, byKind: map[KindHeld]int{},
	}
}

// Index is the raft index of the last entry applied.
func (s *State) Index() uint64 { return s.index }

// ClusterID names the cluster; "" until a leader has named it.
func (s *State) ClusterID() string { return s.clusterID }

// Setting returns a setting of the cluster, "" where the default holds.
func (s *State) Setting(name string) string { return s.settings[name] }

// Settings returns the settings that were made; the map is not to be changed.
func (s *State) Settings() map[string]string { return s.settings }

// Draining tells whether a node is to be given no work.
func (s *State) Draining(node string) bool { return s.draining[node] }

// Job returns a job, nil if there is none.
func (s *State) Job(id string) *Job { return s.jobs[id] }

// Jobs returns all jobs ordered by ID.
func (s *State) Jobs() []*Job {
	jobs := make([]*Job, 0, len(s.jobs))
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		jobs = append(jobs, s.jobs[id])
	}
	return jobs
}

// Task returns an outstanding task, nil if there is none.
func (s *State) Task(id uint64) *Task { return s.tasks[id] }

// Cut returns a cut of a job, nil once it is settled.
func (s *State) Cut(job string, id uint64) *Cut { return s.cuts[job][id] }

// PendingScans yields the job's scans that nobody holds, the oldest first.
func (s *State) PendingScans(job string) iter.Seq[*Task] {
	return s.each(func(t *jobTasks) *idSet { return &t.pendingScans }, job)
}

// Pending yields the job's tasks other than scans that nobody holds, the oldest first.
func (s *State) Pending(job string) iter.Seq[*Task] {
	return s.each(func(t *jobTasks) *idSet { return &t.pending }, job)
}

// LeasedOf yields the job's tasks that nodes hold, scans first.
func (s *State) LeasedOf(job string) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for _, sel := range []func(*jobTasks) *idSet{
			func(t *jobTasks) *idSet { return &t.leasedScans },
			func(t *jobTasks) *idSet { return &t.leased },
		} {
			for t := range s.each(sel, job) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// TasksOf yields all outstanding tasks of the job.
func (s *State) TasksOf(job string) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for _, seq := range []iter.Seq[*Task]{s.PendingScans(job), s.Pending(job), s.LeasedOf(job)} {
			for t := range seq {
				if !yield(t) {
					return
				}
			}
		}
	}
}

func (s *State) each(sel func(*jobTasks) *idSet, job string) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		of := s.byJob[job]
		if of == nil {
			return
		}
		for id := range sel(of).all() {
			if !yield(s.tasks[id]) {
				return
			}
		}
	}
}

// LeasedBy yields the tasks that a node holds, ordered by ID.
func (s *State) LeasedBy(node string) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		held := s.byNode[node]
		if held == nil {
			return
		}
		for id := range held.all() {
			if !yield(s.tasks[id]) {
				return
			}
		}
	}
}

// Leased yields every task that a node holds, ordered by node and ID.
func (s *State) Leased() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for _, node := range slices.Sorted(maps.Keys(s.byNode)) {
			for t := range s.LeasedBy(node) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// TaskCounts are numbers of outstanding tasks.
type TaskCounts struct {
	PendingScans, Pending, LeasedScans, Leased int
}

// Outstanding is the sum.
func (c TaskCounts) Outstanding() int { return c.PendingScans + c.Pending + c.LeasedScans + c.Leased }

// TaskCounts counts the outstanding tasks of a job.
func (s *State) TaskCounts(job string) TaskCounts {
	t := s.byJob[job]
	if t == nil {
		return TaskCounts{}
	}
	return TaskCounts{
		PendingScans: t.pendingScans.len(), Pending: t.pending.len(),
		LeasedScans: t.leasedScans.len(), Leased: t.leased.len(),
	}
}

// Outstanding counts the outstanding tasks of all jobs.
func (s *State) Outstanding() int { return len(s.tasks) }

// TaskKinds counts the outstanding tasks of all jobs by what they are.
func (s *State) TaskKinds() map[KindHeld]int { return maps.Clone(s.byKind) }

// LeaseCounts counts the tasks that each node holds.
func (s *State) LeaseCounts() map[string]int {
	counts := make(map[string]int, len(s.byNode))
	for node, held := range s.byNode {
		counts[node] = held.len()
	}
	return counts
}

// Segments yields every segment that the state refers to, some more than once; what manifests name comes on top.
func (s *State) Segments() iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		for _, j := range s.Jobs() {
			for _, seg := range slices.Concat(j.Failed, j.Audit) {
				if !yield(seg) {
					return
				}
			}
			for _, lost := range j.LostRanges {
				if lost.Task.Segment != nil && !yield(*lost.Task.Segment) {
					return
				}
			}
			for t := range s.TasksOf(j.ID) {
				if t.Segment != nil && !yield(*t.Segment) {
					return
				}
			}
		}
	}
}

// putTask adds a task or replaces the one with its ID.
func (s *State) putTask(t *Task) {
	if old := s.tasks[t.ID]; old != nil {
		if old.Node == t.Node {
			s.tasks[t.ID] = t // neither moves in the indexes
			return
		}
		s.unindex(old)
	}
	s.tasks[t.ID] = t
	s.indexTask(t)
}

// dropTask removes a task.
func (s *State) dropTask(t *Task) {
	s.unindex(t)
	delete(s.tasks, t.ID)
}

func (s *State) indexTask(t *Task) {
	s.byKind[KindHeld{t.Kind, t.Leased()}]++
	of := s.byJob[t.Job]
	if of == nil {
		of = &jobTasks{}
		s.byJob[t.Job] = of
	}
	of.set(t).add(t.ID)
	if t.Leased() {
		held := s.byNode[t.Node]
		if held == nil {
			held = &idSet{}
			s.byNode[t.Node] = held
		}
		held.add(t.ID)
	}
}

func (s *State) unindex(t *Task) {
	s.byKind[KindHeld{t.Kind, t.Leased()}]--
	of := s.byJob[t.Job]
	of.set(t).remove(t.ID)
	if of.empty() {
		delete(s.byJob, t.Job)
	}
	if t.Leased() {
		held := s.byNode[t.Node]
		held.remove(t.ID)
		if held.len() == 0 {
			delete(s.byNode, t.Node)
		}
	}
}

// set returns the set that a task belongs in.
func (t *jobTasks) set(task *Task) *idSet {
	switch {
	case task.Kind == ScanTask && task.Leased():
		return &t.leasedScans
	case task.Kind == ScanTask:
		return &t.pendingScans
	case task.Leased():
		return &t.leased
	default:
		return &t.pending
	}
}

func (t *jobTasks) empty() bool {
	return t.pending.len()+t.pendingScans.len()+t.leased.len()+t.leasedScans.len() == 0
}

// putCut adds or replaces a cut.
func (s *State) putCut(job string, id uint64, c *Cut) {
	if s.cuts[job] == nil {
		s.cuts[job] = map[uint64]*Cut{}
	}
	s.cuts[job][id] = c
}

// dropCut forgets a cut.
func (s *State) dropCut(job string, id uint64) {
	delete(s.cuts[job], id)
	if len(s.cuts[job]) == 0 {
		delete(s.cuts, job)
	}
}

// jobOf finds the job that a command means. A job of the same ID with another nonce is another job.
func (s *State) jobOf(id string, nonce []byte) (*Job, error) {
	j := s.jobs[id]
	if j == nil || !bytes.Equal(j.Nonce, nonce) {
		return nil, ErrNoJob
	}
	return j, nil
}

// held finds the task that a holder's command means and checks that it still is the holder.
func (s *State) held(id, epoch uint64) (*Task, error) {
	t := s.tasks[id]
	switch {
	case t == nil:
		return nil, ErrNoTask
	case !t.Leased() || t.Epoch != epoch:
		return nil, ErrStaleEpoch
	default:
		return t, nil
	}
}

// clone returns a shallow copy to change and put back: what a value refers to is shared, and replaced when it changes.
func clone[T any](v *T) *T {
	c := *v
	return &c
}
