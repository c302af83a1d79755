package scheduler

import (
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// What the leader logs of jobs and tasks: one line for each thing that an operator would ask about later. It is said after the
// command that it is of was committed.

// assignee is whose a task is.
type assignee struct{ job, node string }

// assignees tells whose tasks are, while the state still knows.
func (r *reign) assignees(tasks []fsm.TaskEpoch) map[fsm.TaskEpoch]assignee {
	of := map[fsm.TaskEpoch]assignee{}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, te := range tasks {
			if t := state.Task(te.Task); t != nil && t.Leased() && t.Epoch == te.Epoch {
				of[te] = assignee{t.Job, t.Node}
			}
		}
	})
	return of
}

// failing are the holdings that a call's commands fail.
func failing(cmds []fsm.Command) (tasks []fsm.TaskEpoch) {
	for _, cmd := range cmds {
		if c, ok := cmd.(fsm.FailTask); ok {
			tasks = append(tasks, fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
		}
	}
	return tasks
}

// logTask says what became of a task that failed.
func (r *reign) logTask(of map[fsm.TaskEpoch]assignee, cmd fsm.Command) {
	c, ok := cmd.(fsm.FailTask)
	h, known := of[fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch}]
	if !ok || !known {
		return
	}
	log := r.cfg.Logger.With("job", h.job, "task", c.Task, "node", h.node, "class", c.Class, "reason", c.Reason)
	switch {
	case c.Pause:
		log.Warn("task failed for good, its job is paused")
	case c.GiveUp:
		log.Warn("task given up: its attempts failed")
	default:
		log.Info("attempt at a task failed, it is tried again", "in", time.Duration(c.NotBefore-c.At).Round(time.Millisecond))
	}
}

// logJob says what was decided about a job as a whole.
func (r *reign) logJob(cmd fsm.Command) {
	switch c := cmd.(type) {
	case fsm.StartPass:
		r.cfg.Logger.Info("pass started", "job", c.Job, "pass", c.Pass)
	case fsm.PauseJob:
		r.cfg.Logger.Warn("job paused", "job", c.Job, "class", c.Class, "reason", c.Reason)
	case fsm.RetryJob:
		r.cfg.Logger.Info("what failed of the job is tried again", "job", c.Job)
	case fsm.FinishPass:
		r.logEndOfPass(c)
	}
}

func (r *reign) logEndOfPass(c fsm.FinishPass) {
	var job *fsm.Job
	r.cfg.Machine.Read(func(state *fsm.State) { job = state.Job(c.Job) })
	if job == nil || job.Pass != c.Pass {
		return // removed, or begun again, by now
	}
	n := &job.Counts
	log := r.cfg.Logger.With("job", job.ID, "pass", job.Pass, "state", job.State, "found", n.Found(), "copied", n.Copied, "skipped", n.Skipped,
		"failed", n.Failed, "tasks_given_up", job.TasksLost, "bytes_moved", n.BytesMoved,
		"took", time.Duration(c.At-job.Started).Round(time.Millisecond))
	if c.RetryAt > 0 {
		log = log.With("retry_at", time.Unix(0, c.RetryAt).UTC().Format(time.RFC3339))
	}
	if job.State == fsm.Failed {
		log.Warn("pass ended")
		return
	}
	log.Info("pass ended")
}
