package scheduler

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// Failed attempts: a task waits longer after each one, and is given up after maxAttempts in a row that settled nothing.
const (
	maxAttempts  = 3
	firstBackoff = time.Second
	backoffGrows = 8
	maxBackoff   = time.Minute
)

// stumble counts failed attempts at one lower bound. An attempt that settled something is a step forward, however it
// ended: a long scan shall outlive more than maxAttempts bad moments.
type stumble struct {
	from     []byte
	line     int64
	attempts int
}

// commit checks, stamps and commits the commands of one call. An error means that an outcome is not known; the worker
// then sends all of them again.
func (r *reign) commit(ctx context.Context, s *session, req *SyncRequest) ([]CommandResult, error) {
	if len(req.Commands) == 0 {
		return nil, nil
	}
	results := make([]CommandResult, len(req.Commands))
	var cmds []fsm.Command
	var at []int
	for i, data := range req.Commands {
		cmd, err := r.check(req.Node, data)
		if err != nil {
			results[i] = resultOf(0, err)
			continue
		}
		cmds, at = append(cmds, r.stampWork(cmd)), append(at, i)
	}
	services := r.servicesOf(cmds)
	defer r.committed(services)
	assignees := r.assignees(failing(cmds))
	scanAdvanced := false
	for i, o := range r.propose(ctx, cmds...) {
		if o.err != nil {
			return nil, fmt.Errorf("commit %T: %w", cmds[i], o.err)
		}
		results[at[i]] = resultOf(o.result.Index, o.result.Err)
		if o.result.Err == nil {
			r.advanced(services[i], cmds[i])
			scanAdvanced = r.settled(s, cmds[i]) || scanAdvanced
			r.logTask(assignees, cmds[i])
		}
	}
	if scanAdvanced {
		r.review()
	}
	return results, nil
}

// check decodes a worker's command and refuses what is not its to send.
func (r *reign) check(node string, data []byte) (fsm.Command, error) {
	if len(data) > fsm.MaxScanAdvance {
		return nil, fmt.Errorf("command of %d bytes: %w", len(data), fsm.ErrTooLarge)
	}
	cmd, err := fsm.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	tasks, ok := tasksOf(cmd)
	if !ok {
		return nil, fmt.Errorf("%w: a worker may not send %T", ErrRefused, cmd)
	}
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, te := range tasks {
			t := state.Task(te.Task)
			if t != nil && t.Leased() && t.Epoch == te.Epoch && t.Node != node {
				err = fmt.Errorf("%w: task %d belongs to another node", ErrRefused, te.Task)
			}
		}
	})
	return cmd, err
}

// tasksOf names the holdings that a worker's command is about; ok is false for commands that workers may not send.
func tasksOf(cmd fsm.Command) (tasks []fsm.TaskEpoch, ok bool) {
	one := func(task, epoch uint64) ([]fsm.TaskEpoch, bool) {
		return []fsm.TaskEpoch{{Task: task, Epoch: epoch}}, true
	}
	switch c := cmd.(type) {
	case fsm.AdvanceTask:
		return one(c.Task, c.Epoch)
	case fsm.FailTask:
		return one(c.Task, c.Epoch)
	case fsm.SplitTask:
		return one(c.Task, c.Epoch)
	case fsm.PlanUpload:
		return one(c.Task, c.Epoch)
	case fsm.OpenUpload:
		return one(c.Task, c.Epoch)
	case fsm.CloseUpload:
		return one(c.Task, c.Epoch)
	case fsm.ShareParts:
		return one(c.Task, c.Epoch)
	case fsm.ReleaseTasks:
		return c.Tasks, true
	}
	return nil, false
}

// stampWork writes into a worker's command what only the leader may decide: times, back-off, giving up.
func (r *reign) stampWork(cmd fsm.Command) fsm.Command {
	now := r.cfg.Clock.Now().UnixNano()
	switch c := cmd.(type) {
	case fsm.AdvanceTask:
		c.At = now
		return c
	case fsm.FailTask:
		attempts := r.stumbled(c.Task)
		c.At, c.NotBefore = now, now+int64(backoff(attempts, r.cfg.Jitter()))
		// What wants other credentials or permissions wants somebody to give them, for all tasks of the job.
		c.Pause = c.Pause || attempts >= maxAttempts && c.Class == string(store.Auth)
		c.GiveUp = attempts >= maxAttempts && !c.Pause
		if c.Pause {
			c.NotBefore = 0 // the operator decides when it goes on
		}
		return c
	}
	return cmd
}

// stumbled counts one more failed attempt and returns how many there were in a row without anything settled.
func (r *reign) stumbled(task uint64) int {
	var t *fsm.Task
	r.cfg.Machine.Read(func(state *fsm.State) { t = state.Task(task) })
	if t == nil {
		return 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.stumbles[task]
	switch {
	case !known:
		// Attempts under earlier leaders count as long as nothing shows that they settled something.
		last = stumble{t.From, t.Line, min(t.Attempt, maxAttempts-2)}
	case last.line != t.Line || !bytes.Equal(last.from, t.From):
		last = stumble{t.From, t.Line, 0}
	}
	last.attempts++
	r.stumbles[task] = last
	return last.attempts
}

// backoff is the time that a task rests after n failed attempts: 1 s, 8 s, then a minute, half as much or as much again
// by jitter in [0,1), within 1 s and 1 min.
func backoff(n int, jitter float64) time.Duration {
	d := firstBackoff
	for i := 1; i < n && d < maxBackoff; i++ {
		d *= backoffGrows
	}
	return min(max(time.Duration(float64(d)*(0.5+jitter)), firstBackoff), maxBackoff)
}

// settled updates what the leader remembers of a worker's task after a command of it took effect, and tells whether a
// scan went on.
func (r *reign) settled(s *session, cmd fsm.Command) (scanAdvanced bool) {
	switch c := cmd.(type) {
	case fsm.AdvanceTask:
		if c.Done {
			r.ended(s, fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
			return false
		}
		return r.isScan(c.Task)
	case fsm.SplitTask:
		r.split(fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
	case fsm.ShareParts:
		if !c.Back {
			r.split(fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
		}
	case fsm.FailTask:
		r.ended(s, fsm.TaskEpoch{Task: c.Task, Epoch: c.Epoch})
	case fsm.ReleaseTasks:
		for _, te := range c.Tasks {
			r.ended(s, te)
		}
	}
	return false
}

func (r *reign) isScan(task uint64) (scan bool) {
	r.cfg.Machine.Read(func(state *fsm.State) {
		t := state.Task(task)
		scan = t != nil && t.Kind == fsm.ScanTask
	})
	return scan
}
