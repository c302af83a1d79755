package scheduler

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// When a pre-flight is asked for again: no answer came, or it failed while other nodes can do the job.
const (
	preflightPatience = 60 * time.Second
	preflightRetry    = 15 * time.Second
)

// Sync answers one call of a worker.
func (l *Leader) Sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	if err := req.validate(); err != nil {
		return SyncResponse{}, err
	}
	r, err := l.current(ctx, req.Wait)
	if err != nil {
		return SyncResponse{}, err
	}
	if req.Term > r.term {
		return SyncResponse{}, fmt.Errorf("%w: the worker has seen term %d, this is %d", ErrNotLeader, req.Term, r.term)
	}
	return r.serve(ctx, &req)
}

func (r *reign) serve(ctx context.Context, req *SyncRequest) (SyncResponse, error) {
	s, lost, err := r.admit(req)
	if err != nil {
		return SyncResponse{}, err
	}
	if err := r.release(ctx, lost); err != nil {
		return SyncResponse{}, err
	}
	resp := SyncResponse{Term: r.term}
	if resp.Results, err = r.commit(ctx, s, req); err != nil {
		return SyncResponse{}, err
	}
	if req.Seq > 0 {
		err = r.poll(ctx, s, req, &resp)
	} else {
		r.mu.Lock()
		resp.Yield = taskIDs(r.yieldsOf(s))
		r.mu.Unlock()
	}
	if err == nil {
		err = r.verify(ctx, resp.Results)
	}
	if err != nil {
		return SyncResponse{}, err
	}
	return resp, nil
}

// verify makes sure that this node still led after the call came: only then the answer renews a lease.
func (r *reign) verify(ctx context.Context, results []CommandResult) error {
	if slices.ContainsFunc(results, func(c CommandResult) bool { return c.Index > 0 }) {
		return nil // a commit needs a quorum
	}
	v, ok := r.cfg.Log.(verified)
	if !ok {
		return nil
	}
	if err := v.Verify(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return nil
}

// release takes tasks back. A refusal means that they were taken back already.
func (r *reign) release(ctx context.Context, tasks []fsm.TaskEpoch) error {
	for chunk := range slices.Chunk(tasks, 500) {
		assignees := r.assignees(chunk)
		if o := r.propose(ctx, fsm.ReleaseTasks{Tasks: chunk})[0]; o.err != nil {
			return fmt.Errorf("release %d tasks: %w", len(chunk), o.err)
		}
		for te, h := range assignees {
			r.cfg.Logger.Info("task taken back from its node", "job", h.job, "task", te.Task, "node", h.node)
		}
	}
	return nil
}

// poll waits until there is something to tell the worker, and tells it.
func (r *reign) poll(ctx context.Context, s *session, req *SyncRequest, resp *SyncResponse) error {
	timer := time.NewTimer(min(req.Wait, maxSyncWait))
	defer timer.Stop()
	final := req.Wait == 0 || len(req.Commands) > 0
	r.setWaiting(s, req.Seq, true)
	defer r.setWaiting(s, req.Seq, false)
	for {
		changed := r.cfg.Machine.Changed()
		done, news := r.answer(s, req, resp, final)
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-news:
		case <-timer.C:
			final = true
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.stopped:
			return ErrNotLeader
		}
	}
}

// setOpened takes over what a poll says of the jobs that are open. A worker that tells no revisions is told of none.
func (s *session) setOpened(keys []JobKey, revisions []uint64) {
	s.opened = make(map[JobKey]uint64, len(keys))
	for i, key := range keys {
		s.opened[key] = math.MaxUint64
		if len(revisions) == len(keys) {
			s.opened[key] = revisions[i]
		}
	}
	for key := range s.renewTold {
		if _, open := s.opened[key]; !open {
			delete(s.renewTold, key)
		}
	}
}

func (r *reign) setWaiting(s *session, seq uint64, waiting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.seq == seq {
		s.waiting = waiting
	}
	if waiting {
		r.nudge()
	}
}

// answer fills the response if there is news, or if this is the final look. News that were told before do not count as
// such, or a worker that takes long to stop a task would poll without pause.
func (r *reign) answer(s *session, req *SyncRequest, resp *SyncResponse, final bool) (done bool, news <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.node] != s || s.seq != req.Seq {
		return true, nil // superseded by a newer process, or given up by the caller
	}
	a := SyncResponse{}
	yields := r.yieldsOf(s)
	a.Split = r.splitsOf(s)
	shared := false
	r.cfg.Machine.Read(func(state *fsm.State) {
		a.Assignments = r.assignmentsOf(state, s)
		a.Drop = r.dropsOf(state, s)
		a.Preflight = r.preflightsFor(state, s)
		a.Close = r.closable(state, s)
		a.Renew = r.renewals(state, s)
		a.Shares, shared = r.sharesOf(state, s)
		a.Shared = sharedBy(state, s)
	})
	if !final && !shared && !r.urgent(s, &a, yields) {
		return false, r.news
	}
	r.told(s, &a, yields)
	resp.Assignments, resp.Drop, resp.Yield = a.Assignments, a.Drop, taskIDs(yields)
	resp.Renew = a.Renew
	resp.Preflight, resp.Close, resp.Split, resp.Shares, resp.Shared = a.Preflight, a.Close, a.Split, a.Shares, a.Shared
	return true, nil
}

func (r *reign) urgent(s *session, a *SyncResponse, yields []fsm.TaskEpoch) bool {
	for i := range a.Renew {
		if s.renewTold[keyOf(&a.Renew[i], a.Renew[i].Pass)] < a.Renew[i].Revision {
			return true
		}
	}
	if len(a.Assignments) > 0 || len(a.Preflight) > 0 || len(a.Split) > 0 || s.sharesChanged(a.Shared) {
		return true
	}
	for _, te := range a.Drop {
		if !s.dropTold[te] {
			return true
		}
	}
	for _, te := range yields {
		if !s.yieldTold[te] {
			return true
		}
	}
	return false
}

// told remembers what an answer carries.
func (r *reign) told(s *session, a *SyncResponse, yields []fsm.TaskEpoch) {
	for i := range a.Assignments {
		s.delivered[holdingOf(&a.Assignments[i].Task)] = s.seq
	}
	for _, te := range a.Drop {
		s.dropTold[te] = true
	}
	for _, te := range yields {
		s.yieldTold[te] = true
	}
	for i := range a.Renew {
		s.renewTold[keyOf(&a.Renew[i], a.Renew[i].Pass)] = a.Renew[i].Revision
	}
	s.sharesTold = markShares(a.Shared)
	for _, te := range a.Split {
		r.splits[te].untold = 0
	}
	r.toldShares(s, a.Shares)
	now := r.cfg.Clock.Monotonic()
	for _, p := range a.Preflight {
		s.asked[p.Key] = now
	}
}

// assignmentsOf are the tasks granted to the node that it was not told of yet.
func (r *reign) assignmentsOf(state *fsm.State, s *session) (out []Assignment) {
	for t := range state.LeasedBy(s.node) {
		if _, told := s.delivered[holdingOf(t)]; told {
			continue
		}
		if job := state.Job(t.Job); job != nil {
			out = append(out, Assignment{Task: *t, Job: jobInfo(job)})
		}
	}
	return out
}

// dropsOf are the tasks that the worker runs and should not.
func (r *reign) dropsOf(state *fsm.State, s *session) (out []fsm.TaskEpoch) {
	for id, h := range s.running {
		t := state.Task(id)
		if t == nil || t.Node != s.node || t.Epoch != h.Epoch {
			out = append(out, fsm.TaskEpoch{Task: id, Epoch: h.Epoch})
		}
	}
	return out
}

// yieldsOf are the node's scans that shall give their slot back. The caller holds mu.
func (r *reign) yieldsOf(s *session) (out []fsm.TaskEpoch) {
	for te, node := range r.yielding {
		if node == s.node {
			out = append(out, te)
		}
	}
	return out
}

func taskIDs(tasks []fsm.TaskEpoch) (ids []uint64) {
	for _, te := range tasks {
		ids = append(ids, te.Task)
	}
	slices.Sort(ids)
	return ids
}

// preflightsFor are the jobs that the node shall open and report on.
func (r *reign) preflightsFor(state *fsm.State, s *session) (out []PreflightTask) {
	if s.leaving || s.want == 0 {
		return nil // it takes no work
	}
	now := r.cfg.Clock.Monotonic()
	for _, job := range state.Jobs() {
		key, active := r.activeKey(job)
		if !active {
			continue
		}
		if at, asked := s.asked[key]; asked && now-at < preflightPatience {
			continue
		}
		if p, known := s.preflights[key]; known && (now-p.at < preflightRetry || r.judge(job, key, &p.Preflight).verdict != unable) {
			continue
		}
		out = append(out, PreflightTask{Job: jobInfo(job), Key: key})
	}
	return out
}

// activeKey names the pass that nodes are to work on, now or as soon as it starts.
func (r *reign) activeKey(job *fsm.Job) (JobKey, bool) {
	switch {
	case job.State == fsm.Running:
		return keyOf(job, job.Pass), true
	case job.State == fsm.Pending, r.requested[job.ID] != nil:
		return keyOf(job, job.Pass+1), true
	}
	return JobKey{}, false
}

// renewals are the running jobs that the worker has open by an older description than they have.
func (r *reign) renewals(state *fsm.State, s *session) (out []fsm.Job) {
	for key, revision := range s.opened {
		if job := state.Job(key.ID); job != nil && job.State == fsm.Running && keyOf(job, job.Pass) == key && revision < job.Revision {
			out = append(out, jobInfo(job))
		}
	}
	return out
}

// outdate forgets the pre-flights that an older description led to, where a newer one may lead elsewhere: those that failed,
// and those of a job that has not begun, whose sides may have changed. The caller holds mu.
func (r *reign) outdate(state *fsm.State) {
	again := false
	for _, s := range r.sessions {
		for key, p := range s.preflights {
			if job := state.Job(key.ID); job != nil && p.Revision < job.Revision && (!p.OK || job.Pass == 0) {
				delete(s.preflights, key)
				delete(s.asked, key)
				again = true
			}
		}
	}
	if again {
		r.tell() // a poll that the change of the state woke may have looked before
	}
}

// closable are the jobs that the worker opened and that need no more work.
func (r *reign) closable(state *fsm.State, s *session) (out []JobKey) {
	for key := range s.opened {
		job := state.Job(key.ID)
		if job != nil {
			if active, ok := r.activeKey(job); ok && active == key {
				continue
			}
		}
		out = append(out, key)
	}
	return out
}
