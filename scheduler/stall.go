package scheduler

import (
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	// defaultTaskStall is how long a task may stand still before it is taken away.
	defaultTaskStall = 5 * time.Minute
	// lostGrace passes between a worker's word that a task can write no more and its next grant, for what it had sent
	// before. It is what lies between the two ends of a lease.
	lostGrace = LeaseTTL - WorkerTTL
)

// mark is when a holding was first reported, and when it last did something.
type mark struct {
	first, moved time.Duration
	lost         time.Duration // since when its worker reports it as lost; 0 while it does not
	seen         Holding
}

// since is when a holding was first reported.
func (s *session) since(te fsm.TaskEpoch, now time.Duration) time.Duration {
	if m := s.marks[te]; m != nil {
		return m.first
	}
	return now
}

// watch compares what a poll says of its tasks with what the one before said.
func (s *session) watch(running []Holding, now time.Duration) {
	reported := map[fsm.TaskEpoch]bool{}
	for _, h := range running {
		te := fsm.TaskEpoch{Task: h.Task, Epoch: h.Epoch}
		reported[te] = true
		m := s.marks[te]
		if m == nil {
			m = &mark{first: now, moved: now, seen: h}
			s.marks[te] = m
		}
		if h.Moved != m.seen.Moved || h.Progress != m.seen.Progress || h.Line != m.seen.Line || string(h.From) != string(m.seen.From) {
			m.moved = now
		}
		if h.Lost && m.lost == 0 {
			m.lost = now
		}
		m.seen = h
	}
	keepOnly(s.marks, reported)
}

// powerless tells whether a holding that its worker still runs can do no more harm: it was told to stop long enough ago.
func (s *session) powerless(te fsm.TaskEpoch, now time.Duration) bool {
	m := s.marks[te]
	return m != nil && m.lost != 0 && now-m.lost >= lostGrace
}

// taskStall is how long a task may do nothing: as the cluster is set, else as this node is.
func (r *reign) taskStall(state *fsm.State) time.Duration {
	if d, err := time.ParseDuration(state.Settings()[fsm.SettingTaskStall]); err == nil && d > 0 {
		return d
	}
	return r.cfg.TaskStall
}

// stalled returns the tasks that stood still for too long.
func (r *reign) stalled() (tasks []fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Monotonic()
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, s := range r.sessions {
			for te, m := range s.marks {
				t := state.Task(te.Task)
				if t == nil || t.Node != s.node || t.Epoch != te.Epoch || now-m.moved < r.taskStall(state) {
					continue
				}
				if r.helped(state, t, now) {
					continue
				}
				r.cfg.Logger.Warn("task stands still, it goes to others", "job", t.Job, "task", t.ID, "node", s.node, "since", now-m.moved)
				tasks = append(tasks, te)
			}
		}
	})
	return tasks
}
