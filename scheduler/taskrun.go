package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// taskRun is one granted task at its worker: the lease and the ledger that the engine gets.
type taskRun struct {
	w      *Worker
	held   fsm.TaskEpoch
	task   fsm.Task
	job    fsm.Job
	ctx    context.Context // of the run
	cancel context.CancelCauseFunc
	lost   atomic.Bool // dropped by the leader or fenced; never taken back
	yield  atomic.Bool
	moved  atomic.Int64
	splits atomic.Bool     // the engine said that it can
	split  chan struct{}   // requests that the engine has not taken
	left   atomic.Int64    // requests, as the engine estimated
	told   int64           // left as the leader was told at once; only the engine uses it
	stop   context.Context // ends when the task shall settle what is in flight and be given back
	end    context.CancelFunc

	limiter *transfer.Limiter // set before the task runs

	shares sharedUploads

	mu       sync.Mutex
	from     []byte // lower bound as the leader last confirmed it
	line     int64
	progress fsm.Counts // since then
	done     bool       // an Advance with Done was confirmed
}

func newTaskRun(w *Worker, a *Assignment, cancel context.CancelCauseFunc) *taskRun {
	t := &taskRun{
		w: w, held: holdingOf(&a.Task), task: a.Task, job: a.Job, ctx: context.Background(), cancel: cancel, from: a.Task.From, line: a.Task.Line,
		split: make(chan struct{}, maxParts),
	}
	t.stop, t.end = context.WithCancel(w.stopCtx)
	t.shares.start(&a.Task)
	return t
}

// holding is what a poll says of the task.
func (t *taskRun) holding() Holding {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Holding{
		Task: t.held.Task, Epoch: t.held.Epoch, From: t.from, Line: t.line, Progress: t.progress,
		Moved: t.moved.Load(), Splits: t.splits.Load(), Left: t.left.Load(), Lost: t.lost.Load(),
	}
}

// lose ends the task: it is someone else's now, or may be.
func (t *taskRun) lose() {
	t.lost.Store(true)
	t.cancel(transfer.ErrFenced)
}

// Check implements transfer.Lease: two atomic loads and a look at the clock.
func (t *taskRun) Check() error {
	if t.lost.Load() || int64(t.w.cfg.Clock.Monotonic()) >= t.w.deadline.Load() {
		return transfer.ErrFenced
	}
	return nil
}

// Stopping implements transfer.Lease.
func (t *taskRun) Stopping() <-chan struct{} { return t.stop.Done() }

// SplitRequests implements transfer.SplitLease.
func (t *taskRun) SplitRequests() <-chan struct{} {
	t.splits.Store(true)
	if t.task.Kind == fsm.ScanTask {
		t.news(false) // where nodes wait, they wait for this one
	}
	return t.split
}

// giveUp asks the task to end early. A scan does at its next Advance, which it was told to make work by; anything else is
// given back as when the worker stops.
func (t *taskRun) giveUp() {
	t.yield.Store(true)
	if t.task.Kind != fsm.ScanTask {
		t.end()
	}
}

// Left implements transfer.LeftLease. The leader learns by the next poll, but at once where there is much more than it
// thinks: it may have left the task in peace for that.
func (t *taskRun) Left(requests int64) {
	before := t.left.Swap(requests)
	if requests > 2*t.told+leastLeft {
		if before > 0 {
			t.news(false)
		}
		t.told = requests
	}
}

// Declined implements transfer.LeftLease.
func (t *taskRun) Declined() { t.news(true) }

// news tells the leader of this task without waiting for the next poll. A failure is no harm: the poll follows.
func (t *taskRun) news(declined bool) {
	h := t.holding()
	h.Declined = declined
	t.w.workers.Go(func() {
		if _, err := t.w.sync(t.ctx, SyncRequest{News: []Holding{h}}); err != nil {
			t.w.cfg.Logger.Debug("leader not told of a task's news", "job", t.job.ID, "task", h.Task, "error", err)
		}
	})
}

// askSplit passes a request on. More than the engine can take are none.
func (t *taskRun) askSplit() {
	select {
	case t.split <- struct{}{}:
	default:
	}
}

// Moved implements transfer.MovedLease.
func (t *taskRun) Moved(n int64) { t.moved.Add(n) }

// Limiter implements transfer.LimitedLease.
func (t *taskRun) Limiter() *transfer.Limiter { return t.limiter }

// Advance implements transfer.Ledger.
func (t *taskRun) Advance(ctx context.Context, a transfer.Advance) (yield bool, err error) {
	cmd := advanceFrom(t.held, a)
	if err := t.commit(ctx, cmd); err != nil {
		return false, fmt.Errorf("advance task %d: %w", t.held.Task, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = fsm.Counts{}
	t.done = t.done || a.Done
	if t.task.Kind == fsm.ListTask {
		t.line = a.ToLine
	} else {
		t.from = bytes.Clone(cmd.To)
	}
	return t.yield.Load(), nil
}

// PlanUpload implements transfer.Ledger.
func (t *taskRun) PlanUpload(ctx context.Context, u transfer.Upload) error {
	cmd := fsm.PlanUpload{Task: t.held.Task, Epoch: t.held.Epoch, Key: []byte(u.Key), Known: u.Known, Planned: u.Planned.UnixNano()}
	if err := t.commit(ctx, cmd); err != nil {
		return fmt.Errorf("plan upload of %q: %w", u.Key, err)
	}
	return nil
}

// OpenUpload implements transfer.Ledger.
func (t *taskRun) OpenUpload(ctx context.Context, u transfer.Upload) error {
	cmd := fsm.OpenUpload{Task: t.held.Task, Epoch: t.held.Epoch, Key: []byte(u.Key), ID: u.ID, Version: u.Version, Part: u.PartSize}
	if err := t.commit(ctx, cmd); err != nil {
		return fmt.Errorf("open upload of %q: %w", u.Key, err)
	}
	return nil
}

// CloseUpload implements transfer.Ledger.
func (t *taskRun) CloseUpload(ctx context.Context, key string) error {
	cmd := fsm.CloseUpload{Task: t.held.Task, Epoch: t.held.Epoch, Key: []byte(key)}
	if err := t.commit(ctx, cmd); err != nil {
		return fmt.Errorf("close upload of %q: %w", key, err)
	}
	return nil
}

// Split implements transfer.Ledger.
func (t *taskRun) Split(ctx context.Context, at string, atLine int64) error {
	cmd := fsm.SplitTask{Task: t.held.Task, Epoch: t.held.Epoch, At: bound(at), AtLine: atLine}
	err := t.commit(ctx, cmd)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fsm.ErrBadRange), errors.Is(err, fsm.ErrInvalid), errors.Is(err, ErrRefused):
		err = fmt.Errorf("%w: %w", transfer.ErrSplitRefused, err)
	}
	return fmt.Errorf("split task %d: %w", t.held.Task, err)
}

// Progress implements transfer.Ledger.
func (t *taskRun) Progress(c transfer.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = countsFrom(c)
}

// commit sends one command until its outcome is known or the lease is lost: an answer that got lost says nothing about
// what the leader did, and a command repeated is recognised.
func (t *taskRun) commit(ctx context.Context, cmd fsm.Command) error {
	data, err := fsm.Encode(cmd)
	if err != nil {
		return err
	}
	return t.send(ctx, SyncRequest{Commands: [][]byte{data}})
}

func (t *taskRun) send(ctx context.Context, req SyncRequest) error {
	retry := firstRetry
	for {
		if err := t.Check(); err != nil {
			return err
		}
		resp, err := t.w.sync(ctx, req)
		if err == nil {
			return t.outcome(resp.Results[0].Err())
		}
		if errors.Is(err, ErrRefused) {
			return err
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		retry = min(2*retry, longestRetry)
	}
}

// outcome turns the leader's refusals that mean "not yours any more" into ErrFenced.
func (t *taskRun) outcome(err error) error {
	if errors.Is(err, fsm.ErrStaleEpoch) || errors.Is(err, fsm.ErrNoTask) || errors.Is(err, fsm.ErrNoJob) {
		t.lost.Store(true)
		return fmt.Errorf("%w: %w", transfer.ErrFenced, err)
	}
	return err
}

// run works on one task from the grant to its last command.
func (w *Worker) run(ctx context.Context, t *taskRun) {
	key := keyOf(&t.job, t.job.Pass)
	opened, err := w.openHere(ctx, key, &t.job)
	if err != nil {
		w.cannotOpen(ctx, t, failedPreflight(key, t.job.Revision, err))
		return
	}
	defer w.jobs.release(opened)
	if report := opened.report(key, t.job.Revision); !rightPlace(&t.job, &report) {
		w.cannotOpen(ctx, t, report)
		return
	}
	w.finish(ctx, t, w.runEngine(ctx, opened.forPass(&t.job), t))
}

// cannotOpen gives a task back and tells why this node cannot work on its job, in one call, so that the leader does not
// grant it here again.
func (w *Worker) cannotOpen(ctx context.Context, t *taskRun, report Preflight) {
	if ctx.Err() != nil {
		return
	}
	data, err := fsm.Encode(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{t.held}})
	if err == nil {
		err = t.send(ctx, SyncRequest{Commands: [][]byte{data}, Preflights: []Preflight{report}})
	}
	w.logEnd(t, err)
}

// finish sends the last command of a task, if there is one to send.
func (w *Worker) finish(ctx context.Context, t *taskRun, err error) {
	if ctx.Err() != nil || errors.Is(err, transfer.ErrFenced) {
		return // not ours any more, or no time left: the leader takes it back by itself
	}
	t.mu.Lock()
	done := t.done
	t.mu.Unlock()
	var cmd fsm.Command
	var jobErr *transfer.JobError
	switch {
	case done:
		if err != nil {
			w.cfg.Logger.Warn("task failed after it was done", "job", t.job.ID, "task", t.held.Task, "error", err)
		}
		return
	case err == nil, errors.Is(err, transfer.ErrStopped):
		cmd = fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{t.held}}
	case w.blame(err) == BlameJob:
		w.cannotOpen(ctx, t, failedPreflight(keyOf(&t.job, t.job.Pass), t.job.Revision, err))
		return
	case w.blame(err) == BlameNode:
		cmd = fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{t.held}}
	case errors.As(err, &jobErr):
		cmd = t.failure(jobErr.Class, err, true)
	default:
		cmd = t.failure(store.ClassOf(err), err, false)
	}
	w.logEnd(t, t.commit(ctx, cmd))
}

func (w *Worker) blame(err error) Blame {
	if w.cfg.Unable == nil {
		return BlameTask
	}
	return w.cfg.Unable(err)
}

func (t *taskRun) failure(class store.Class, err error, pause bool) fsm.Command {
	return fsm.FailTask{
		Task: t.held.Task, Epoch: t.held.Epoch, Class: string(class), Reason: oneLine(err.Error()), Pause: pause,
	}
}

// logEnd notes that the last command of a task did not get through. The leader takes such a task back by itself.
func (w *Worker) logEnd(t *taskRun, err error) {
	if err != nil && !errors.Is(err, transfer.ErrFenced) && !errors.Is(err, context.Canceled) {
		w.cfg.Logger.Warn("end of task not reported", "job", t.job.ID, "task", t.held.Task, "error", err)
	}
}

func failedPreflight(key JobKey, revision uint64, err error) Preflight {
	p := Preflight{Job: key, Revision: revision, Class: string(store.ClassOf(err)), Reason: oneLine(err.Error())}
	var of interface{ Side() string }
	if errors.As(err, &of) {
		p.Side = of.Side()
	}
	return p
}

// oneLine makes a reason of an error's text: one line of valid UTF-8, at most reasonLimit bytes.
func oneLine(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) <= reasonLimit {
		return text
	}
	cut := reasonLimit - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
