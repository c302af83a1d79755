package scheduler

import (
	"bytes"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// session is what the leader knows of one node: the lease of all that it holds, and what it was told. It is guarded by
// the reign's mu.
type session struct {
	node     string
	instance string // "" until the node calls for the first time in this reign
	previous string // instance that was superseded
	deadline time.Duration

	seq     uint64 // of the latest poll
	waiting bool   // that poll is in flight
	leaving bool   // the process stops: no more tasks
	unheard bool   // held tasks when this reign began, and has not polled since
	slots   int
	want    int
	running map[uint64]Holding // as the latest poll said, less what ended since
	opened  map[JobKey]uint64  // with the revisions that they go by
	shares  []ShareUse         // as the latest poll said

	// Granted tasks that the worker was told of, with the poll that carried them. A task that a later poll does not
	// report as running got lost on the way, or its process did.
	delivered  map[fsm.TaskEpoch]uint64
	dropTold   map[fsm.TaskEpoch]bool
	yieldTold  map[fsm.TaskEpoch]bool
	sharesTold []shareMark
	renewTold  map[JobKey]uint64        // revision of the description that the worker was told last
	marks      map[fsm.TaskEpoch]*mark  // of what the latest poll reported as running
	asked      map[JobKey]time.Duration // when a pre-flight was asked for
	preflights map[JobKey]preflightAt
}

// preflightAt is a pre-flight and when it arrived, by the monotonic clock.
type preflightAt struct {
	Preflight
	at time.Duration
}

func newSession(node, instance string, deadline time.Duration) *session {
	return &session{
		node: node, instance: instance, deadline: deadline, running: map[uint64]Holding{},
		delivered: map[fsm.TaskEpoch]uint64{}, dropTold: map[fsm.TaskEpoch]bool{}, yieldTold: map[fsm.TaskEpoch]bool{},
		marks: map[fsm.TaskEpoch]*mark{},
		asked: map[JobKey]time.Duration{}, preflights: map[JobKey]preflightAt{}, renewTold: map[JobKey]uint64{},
	}
}

// admit renews the caller's lease and takes over what its call says. It returns the tasks that the state grants to the
// node but that its process does not have.
func (r *reign) admit(req *SyncRequest) (s *session, lost []fsm.TaskEpoch, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Monotonic()
	s, err = r.sessionOf(req, now)
	if err != nil {
		return nil, nil, err
	}
	s.deadline = now + LeaseTTL
	s.leaving = s.leaving || req.Stopping
	for _, p := range req.Preflights {
		s.preflights[p.Job] = preflightAt{p, now}
		delete(s.asked, p.Job)
	}
	if req.Seq > s.seq {
		lost = r.takePoll(s, req)
	}
	if req.Seq == 0 {
		r.takeNews(s, req.News, now)
	}
	if s.leaving && req.Seq > 0 && len(req.Running) == 0 {
		lost = r.farewell(s)
	}
	r.nudge()
	return s, lost, nil
}

// sessionOf finds or makes the session of the calling process. A process that replaces another starts with nothing: all
// that the state grants to its node counts as told, so that its first poll brings out what is lost.
func (r *reign) sessionOf(req *SyncRequest, now time.Duration) (*session, error) {
	s := r.sessions[req.Node]
	switch {
	case s != nil && s.instance == req.Instance:
		return s, nil
	case s != nil && s.instance == "":
		s.instance = req.Instance
		return s, nil
	case s != nil && s.previous == req.Instance:
		return nil, ErrSuperseded
	}
	fresh := newSession(req.Node, req.Instance, now+LeaseTTL)
	if s != nil {
		fresh.previous = s.instance
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for t := range state.LeasedBy(req.Node) {
			fresh.delivered[holdingOf(t)] = 0
		}
	})
	r.sessions[req.Node] = fresh
	r.tell()
	return fresh, nil
}

// takePoll replaces what the session knows by what a newer poll says.
func (r *reign) takePoll(s *session, req *SyncRequest) (lost []fsm.TaskEpoch) {
	s.seq, s.slots, s.want = req.Seq, req.Slots, req.Want
	s.setOpened(req.Opened, req.Revisions)
	clear(s.running)
	s.unheard = false
	s.watch(req.Running, r.cfg.Clock.Monotonic())
	r.hearShares(s, req.Shares)
	for _, h := range req.Running {
		// A task given back and granted again may be there twice for a moment: the older one is ending.
		if h.Epoch > s.running[h.Task].Epoch {
			s.running[h.Task] = h
		}
	}
	r.tell() // an older poll of this session that still waits has no one to answer to
	r.cfg.Machine.Read(func(state *fsm.State) {
		held := map[fsm.TaskEpoch]bool{}
		for t := range state.LeasedBy(s.node) {
			te := holdingOf(t)
			held[te] = true
			told, ok := s.delivered[te]
			if ok && told < req.Seq && s.running[t.ID].Epoch != t.Epoch {
				lost = append(lost, te)
			}
		}
		keepOnly(s.delivered, held)
		keepOnly(s.yieldTold, held)
	})
	for te := range s.dropTold {
		if s.running[te.Task].Epoch != te.Epoch {
			delete(s.dropTold, te)
		}
	}
	return lost
}

// farewell ends the session of a process that stopped in order, and returns all that its node still holds. A grant that
// is being committed meanwhile is found as one without a session.
func (r *reign) farewell(s *session) (held []fsm.TaskEpoch) {
	delete(r.sessions, s.node)
	r.cfg.Machine.Read(func(state *fsm.State) {
		for t := range state.LeasedBy(s.node) {
			held = append(held, holdingOf(t))
		}
	})
	return held
}

func keepOnly[V any](m map[fsm.TaskEpoch]V, keep map[fsm.TaskEpoch]bool) {
	for te := range m {
		if !keep[te] {
			delete(m, te)
		}
	}
}

// ended forgets a task that the worker itself gave up or finished.
func (r *reign) ended(s *session, te fsm.TaskEpoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.running[te.Task].Epoch == te.Epoch {
		delete(s.running, te.Task)
	}
	delete(s.delivered, te)
	delete(r.yielding, te)
	delete(r.splits, te)
}

// lingering are tasks that a process still runs though they are not granted to it any more. Nobody else gets them until
// it stopped, can do no more harm, or its lease ended.
func (r *reign) lingering(state *fsm.State) map[uint64]bool {
	out := map[uint64]bool{}
	now := r.cfg.Clock.Monotonic()
	for _, s := range r.sessions {
		for id, h := range s.running {
			t := state.Task(id)
			if s.powerless(fsm.TaskEpoch{Task: id, Epoch: h.Epoch}, now) {
				continue
			}
			if t != nil && (t.Node != s.node || t.Epoch != h.Epoch) {
				out[id] = true
			}
		}
	}
	return out
}

// haunted tells whether a process still runs a task that is gone from the state, as those of a job are that was started
// afresh: the job begins again when no write of the time before can still come.
func (r *reign) haunted(state *fsm.State, now time.Duration) bool {
	for _, s := range r.sessions {
		for id, h := range s.running {
			if state.Task(id) == nil && !s.powerless(fsm.TaskEpoch{Task: id, Epoch: h.Epoch}, now) {
				return true
			}
		}
		for te := range s.delivered { // it may have begun, and not have said so yet
			if state.Task(te.Task) == nil && !s.powerless(te, now) {
				return true
			}
		}
	}
	return false
}

// live sums what a job's running tasks did and have not settled. Progress that counts from a lower bound other than the
// task's is left out: an Advance settled it.
func (r *reign) live(state *fsm.State, job string) (c fsm.Counts) {
	for _, s := range r.sessions {
		for id, h := range s.running {
			t := state.Task(id)
			if t == nil || t.Job != job || t.Node != s.node || t.Epoch != h.Epoch {
				continue
			}
			if bytes.Equal(t.From, h.From) && t.Line == h.Line {
				c = c.Add(h.Progress)
			}
		}
	}
	return c
}

// moved sums what a job's running tasks took and gave.
func (r *reign) moved(state *fsm.State, job string) (sum int64) {
	for _, s := range r.sessions {
		for id, h := range s.running {
			if t := state.Task(id); t != nil && t.Job == job && t.Node == s.node && t.Epoch == h.Epoch {
				sum += h.Moved
			}
		}
	}
	return sum
}
