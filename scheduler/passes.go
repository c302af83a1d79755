package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// passRequest is a pass that somebody asked for and waits to see started.
type passRequest struct {
	waiters int
	failed  chan struct{} // closed when err is set
	err     error
}

// RequestPass starts the next pass of a job that is pending or finished, as soon as a node passed its pre-flight, and
// returns the job then. Where no node can, it returns a *PreflightError; a pending job is paused with the same reason.
func (l *Leader) RequestPass(ctx context.Context, id string) (*fsm.Job, error) {
	r, err := l.current(ctx, maxSyncWait)
	if err != nil {
		return nil, err
	}
	before := readJob(l.cfg.Machine, id)
	switch {
	case before == nil:
		return nil, fmt.Errorf("start a pass of %q: %w", id, fsm.ErrNoJob)
	case before.State == fsm.Running || before.State == fsm.Paused || before.State == fsm.Canceled:
		return nil, fmt.Errorf("start a pass of %q: %w: it is %s", id, fsm.ErrJobState, before.State)
	}
	req := r.request(id)
	defer r.withdraw(id, req)
	for {
		changed := l.cfg.Machine.Changed()
		job := readJob(l.cfg.Machine, id)
		switch {
		case job == nil || keyOf(job, 0) != keyOf(before, 0):
			return nil, fmt.Errorf("start a pass of %q: %w", id, fsm.ErrNoJob)
		case job.Pass > before.Pass:
			return job, nil
		case job.State == fsm.Paused:
			return nil, &PreflightError{Class: job.Class, Reason: job.Reason}
		}
		select {
		case <-changed:
		case <-req.failed:
			return nil, req.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-r.stopped:
			return nil, ErrNotLeader
		}
	}
}

func (r *reign) request(id string) *passRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	req := r.requested[id]
	if req == nil {
		req = &passRequest{failed: make(chan struct{})}
		r.requested[id] = req
	}
	req.waiters++
	r.tell()
	r.nudge()
	return req
}

func (r *reign) withdraw(id string, req *passRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.waiters--; req.waiters == 0 && r.requested[id] == req {
		delete(r.requested, id)
	}
}

// jobRound proposes what is due for jobs as a whole.
func (r *reign) jobRound(ctx context.Context) {
	cmds, jobs := r.jobCommands()
	for i, o := range r.propose(ctx, cmds...) {
		err := o.err
		if err == nil {
			err = o.result.Err
		}
		if err == nil {
			r.logJob(cmds[i])
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		r.cfg.Logger.Warn("command about a job refused, will retry", "job", jobs[i], "command", fmt.Sprintf("%T", cmds[i]), "error", err)
		r.mu.Lock()
		r.resting[jobs[i]] = r.cfg.Clock.Monotonic() + refusedRest
		r.mu.Unlock()
	}
}

// jobCommands decides on every job that is active, and samples the running ones for their rates.
func (r *reign) jobCommands() (cmds []fsm.Command, jobs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Monotonic()
	r.cfg.Machine.Read(func(state *fsm.State) {
		r.outdate(state)
		active := map[JobKey]bool{}
		room := roomForJobs(state)
		for _, job := range inTurn(state.Jobs()) {
			key, ok := r.activeKey(job)
			if !ok && !r.retryDue(state, job) {
				continue
			}
			active[key] = ok
			r.sample(state, job, now)
			if until, rests := r.resting[job.ID]; rests && now < until {
				continue
			}
			cmd := r.retryCommand(state, job)
			if ok {
				cmd = r.jobCommand(state, job, key)
			}
			if starts(cmd) {
				if room == 0 || job.Incarnation > 0 && job.Pass == 0 && r.haunted(state, now) {
					continue
				}
				room--
			}
			if cmd != nil {
				cmds, jobs = append(cmds, cmd), append(jobs, job.ID)
			}
		}
		r.forget(state, active)
	})
	return cmds, jobs
}

// roomForJobs is how many more jobs may run, as the cluster is set; below zero is no limit.
func roomForJobs(state *fsm.State) int {
	limit := state.Limit(fsm.SettingMaxJobs)
	if limit == 0 {
		return -1
	}
	for _, job := range state.Jobs() {
		if job.State == fsm.Running {
			limit--
		}
	}
	return max(limit, 0)
}

// inTurn orders jobs by when they may start: the highest priority first, then the oldest.
func inTurn(jobs []*fsm.Job) []*fsm.Job {
	slices.SortStableFunc(jobs, func(a, b *fsm.Job) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Submitted, b.Submitted))
	})
	return jobs
}

// jobCommand is what is due for one job, nil for nothing.
func (r *reign) jobCommand(state *fsm.State, job *fsm.Job, key JobKey) fsm.Command {
	stamp := r.cfg.Clock.Now().UnixNano()
	if job.State == fsm.Running && job.Unfinished == 0 {
		return fsm.FinishPass{Job: job.ID, Nonce: job.Nonce, Pass: job.Pass, RetryAt: r.retryAt(state, job, stamp), At: stamp}
	}
	fix, wait, none := r.placeCommand(job, key)
	if fix != nil || wait {
		return fix
	}
	passed, failed := r.preflights(job, key)
	if none != nil {
		passed, failed = nil, none
	}
	if r.maySolveItself(job, failed) {
		return nil
	}
	switch {
	case passed != nil && job.State != fsm.Running:
		return fsm.StartPass{
			Job: job.ID, Nonce: job.Nonce, Pass: job.Pass + 1, At: stamp,
			Clock:     stamp + int64(passed.SourceClockOffset),
			SkewNanos: int64(passed.DestinationClockOffset - passed.SourceClockOffset),
		}
	case failed == nil:
		return nil
	case job.State == fsm.Running || job.State == fsm.Pending:
		return fsm.PauseJob{Job: job.ID, Nonce: job.Nonce, Class: failed.Class, Reason: failed.Reason, At: stamp}
	}
	r.refuse(job.ID, key, &PreflightError{Class: failed.Class, Reason: failed.Reason})
	return nil
}

// refuse ends the wait of those who requested a pass. Who asks again gets a new look at both sides.
func (r *reign) refuse(job string, key JobKey, err error) {
	if req := r.requested[job]; req != nil {
		req.err = err
		close(req.failed)
		delete(r.requested, job)
	}
	for _, s := range r.sessions {
		delete(s.preflights, key)
	}
}

// forget drops what was learned about passes that nobody works on: the next one, or the same one continued after a
// pause, is looked at afresh.
func (r *reign) forget(state *fsm.State, active map[JobKey]bool) {
	for _, s := range r.sessions {
		for key := range s.preflights {
			if !active[key] {
				delete(s.preflights, key)
			}
		}
		for key := range s.asked {
			if !active[key] {
				delete(s.asked, key)
			}
		}
	}
	for id := range r.resting {
		if state.Job(id) == nil {
			delete(r.resting, id)
		}
	}
	for id := range r.places {
		if state.Job(id) == nil {
			delete(r.places, id)
		}
	}
	for id := range r.stuck {
		if job := state.Job(id); job == nil || job.State != fsm.Running {
			delete(r.stuck, id)
		}
	}
	for id := range r.windows {
		if job := state.Job(id); job == nil || job.State != fsm.Running {
			delete(r.windows, id)
		}
	}
}

// window keeps samples of a running job over the last rateSpan.
type window struct {
	pass    uint64
	samples []sample
}

type sample struct {
	at     time.Duration
	counts fsm.Counts
}

const (
	rateSpan   = 10 * time.Second
	sampleStep = time.Second
)

// sample notes where a running job stands, once per sampleStep.
func (r *reign) sample(state *fsm.State, job *fsm.Job, now time.Duration) {
	if job.State != fsm.Running {
		return
	}
	w := r.windows[job.ID]
	if w == nil || w.pass != job.Pass {
		w = &window{pass: job.Pass}
		r.windows[job.ID] = w
	}
	if n := len(w.samples); n > 0 && now-w.samples[n-1].at < sampleStep {
		return
	}
	w.samples = append(w.samples, sample{now, job.Counts.Add(r.live(state, job.ID))})
	// The newest sample that is rateSpan old is where the window starts.
	for len(w.samples) > 1 && now-w.samples[1].at >= rateSpan {
		w.samples = w.samples[1:]
	}
}
