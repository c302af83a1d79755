package scheduler

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// WorkerTTL is how long a worker trusts its leases after it sent its last call that succeeded. It is shorter than
// LeaseTTL, which counts from the later moment when that call arrived.
const WorkerTTL = 10 * time.Second

const (
	syncTimeout   = 5 * time.Second // of one call, beyond what the leader was asked to wait
	fenceTick     = 250 * time.Millisecond
	firstRetry    = 20 * time.Millisecond
	longestRetry  = time.Second
	reasonLimit   = 500 // bytes
	instanceBytes = 16
)

// Runner works on one task; *transfer.Node is one.
type Runner interface {
	Run(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error
}

// Open opens both sides of a job and proves that this node can work on it. Of the Preflight it fills the clock offsets and
// what the sides are; the rest follows from the error, which may tell its side by a method Side() string. What belongs to a pass (its start, the skew) is written into the job later.
type Open func(ctx context.Context, job *fsm.Job) (*transfer.Job, Preflight, error)

// Renew brings an opened job up to its description, which was before, for all requests that begin from now on. An error
// means that it has to be opened anew. It is not called at the same time for one job, and does nothing that takes long.
type Renew func(before []byte, job *fsm.Job, opened *transfer.Job) error

// Blame is what an error of a task means for its node.
type Blame int

// A task that fails for its node's sake is given back, and its attempt is not counted.
const (
	BlameTask Blame = iota // the attempt failed
	BlameNode              // the node stops working, for a reason of its own
	BlameJob               // the node cannot work on the job now; the leader asks again in a while
)

// WorkerConfig is what a worker works with. Everything but Clock, Renew and Unable is required.
type WorkerConfig struct {
	Node   string // this node's ID
	Runner Runner
	Leader Syncer
	Open   Open
	// Renew brings a job that is open up to a description that changed. nil: it is opened anew for the tasks that begin.
	Renew Renew
	Spool transfer.Spool
	Slots int // tasks at once
	// Unable tells of a task's error whether the node is to blame for it, not the task. nil: it never is.
	Unable func(err error) Blame
	Clock  Clock
	Logger *slog.Logger
}

// Worker runs granted tasks.
type Worker struct {
	cfg      WorkerConfig
	instance string
	deadline atomic.Int64 // monotonic nanoseconds; no write may begin after it
	term     atomic.Uint64
	seq      uint64 // of the last poll; only the poll loop uses it
	jobs     *openJobs
	limits   *jobLimits

	stopCtx  context.Context // ends when Stop is called
	stop     context.CancelFunc
	drainCtx context.Context // ends when, after that, no task is left
	drained  context.CancelFunc
	ended    chan struct{} // closed when Run returned

	mu      sync.Mutex
	abort   context.CancelCauseFunc // of Run's context; nil before Run
	tasks   map[fsm.TaskEpoch]*taskRun
	workers sync.WaitGroup
}

// NewWorker returns a worker that does nothing until Run.
func NewWorker(cfg WorkerConfig) *Worker {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock{}
	}
	var random [instanceBytes]byte
	rand.Read(random[:]) // never fails
	w := &Worker{
		cfg: cfg, instance: hex.EncodeToString(random[:]), tasks: map[fsm.TaskEpoch]*taskRun{},
		jobs: newOpenJobs(cfg.Open, cfg.Renew), limits: &jobLimits{jobs: map[JobKey]*jobLimit{}}, ended: make(chan struct{}),
	}
	w.stopCtx, w.stop = context.WithCancel(context.Background())
	w.drainCtx, w.drained = context.WithCancel(context.Background())
	return w
}

// Run calls the leader and runs what it grants, until ctx ends (tasks are cancelled) or Stop was called (tasks end in
// order). Whatever it started has ended when it returns. It returns ErrSuperseded when another process speaks for this
// node, and else nil. A worker runs once.
func (w *Worker) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	w.mu.Lock()
	w.abort = cancel
	w.mu.Unlock()
	defer close(w.ended)
	var fence sync.WaitGroup
	fence.Go(func() { w.watchLease(ctx) })
	w.pollUntil(ctx)
	w.farewell(ctx)
	superseded := errors.Is(context.Cause(ctx), ErrSuperseded)
	cancel(nil)
	w.workers.Wait()
	fence.Wait()
	if err := w.jobs.closeAll(); err != nil {
		w.cfg.Logger.Warn("stores not closed in order", "error", err)
	}
	if superseded {
		return ErrSuperseded
	}
	return nil
}

// Stop ends the worker: tasks settle what is in flight, advance and are given back. When ctx ends first, what is left is
// cancelled. It returns when Run did.
func (w *Worker) Stop(ctx context.Context) {
	w.stop()
	w.checkDrained()
	w.mu.Lock()
	abort := w.abort
	w.mu.Unlock()
	if abort == nil {
		return
	}
	select {
	case <-w.ended:
		return
	case <-ctx.Done():
	}
	abort(context.Cause(ctx))
	<-w.ended
}

// farewell tells the leader that this process is done, so that nothing stays granted to it until the lease ends.
func (w *Worker) farewell(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	w.seq++
	if _, err := w.sync(ctx, SyncRequest{Seq: w.seq, Slots: w.cfg.Slots}); err != nil {
		w.cfg.Logger.Warn("leader not told of the stop", "error", err)
	}
}

// checkDrained ends drainCtx once the worker stops and has no task.
func (w *Worker) checkDrained() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopCtx.Err() != nil && len(w.tasks) == 0 {
		w.drained()
	}
}

// pollUntil polls until ctx ends or the worker is drained.
func (w *Worker) pollUntil(ctx context.Context) {
	retry := firstRetry
	silent, heard := false, false
	for ctx.Err() == nil && w.drainCtx.Err() == nil {
		resp, err := w.poll(ctx)
		if err == nil {
			if silent {
				w.cfg.Logger.Info("the leader answers")
			}
			retry, silent, heard = firstRetry, false, true
			w.take(ctx, &resp)
			continue
		}
		if ctx.Err() != nil || w.drainCtx.Err() != nil {
			return
		}
		if w.stopCtx.Err() != nil && errors.Is(err, context.Canceled) {
			continue // Stop interrupted the poll
		}
		if !silent {
			w.logSilence(err, heard)
			silent = true
		}
		if !w.pause(ctx, retry) {
			return
		}
		retry = min(2*retry, longestRetry)
	}
}

// logSilence says that there is no leader to be had. Before there was one that is how every node begins.
func (w *Worker) logSilence(err error, heard bool) {
	if !heard && errors.Is(err, ErrNotLeader) {
		w.cfg.Logger.Info("waiting for a leader")
		return
	}
	w.cfg.Logger.Warn("the leader does not answer, will retry", "error", err)
}

// pause waits and tells whether to go on.
func (w *Worker) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-w.drainCtx.Done():
	}
	return false
}

// poll makes one poll. Stop interrupts it, for the leader must learn that no more tasks are wanted.
func (w *Worker) poll(parent context.Context) (SyncResponse, error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	defer context.AfterFunc(w.drainCtx, cancel)()
	w.seq++
	req := SyncRequest{Seq: w.seq, Slots: w.cfg.Slots, Wait: maxSyncWait}
	req.Opened, req.Revisions = w.jobs.keys()
	if w.stopCtx.Err() == nil {
		req.Want = w.cfg.Slots
		defer context.AfterFunc(w.stopCtx, cancel)()
	}
	w.mu.Lock()
	for _, t := range w.tasks {
		req.Running = append(req.Running, t.holding())
	}
	w.mu.Unlock()
	req.Busy = len(req.Running)
	req.Shares = w.limits.uses()
	return w.sync(ctx, req)
}

// sync makes one call, and on success renews the leases from the moment when it was sent.
func (w *Worker) sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, req.Wait+syncTimeout)
	defer cancel()
	req.Node, req.Instance, req.Term = w.cfg.Node, w.instance, w.term.Load()
	req.Stopping = w.stopCtx.Err() != nil
	sent := w.cfg.Clock.Monotonic()
	resp, err := w.cfg.Leader.Sync(ctx, req)
	switch {
	case errors.Is(err, ErrSuperseded):
		w.abort(ErrSuperseded)
		return SyncResponse{}, err
	case err != nil:
		return SyncResponse{}, err
	case len(resp.Results) != len(req.Commands):
		return SyncResponse{}, fmt.Errorf("%d results for %d commands", len(resp.Results), len(req.Commands))
	case !raise(&w.term, resp.Term):
		return SyncResponse{}, fmt.Errorf("%w: answer of term %d, seen %d", ErrNotLeader, resp.Term, w.term.Load())
	}
	w.renew(int64(sent + WorkerTTL))
	w.markYields(resp.Yield)
	return resp, nil
}

// raise lifts v to n, and tells whether n is not below it.
func raise(v *atomic.Uint64, n uint64) bool {
	for {
		seen := v.Load()
		if n < seen {
			return false
		}
		if v.CompareAndSwap(seen, n) {
			return true
		}
	}
}

func (w *Worker) renew(deadline int64) {
	for {
		d := w.deadline.Load()
		if deadline <= d || w.deadline.CompareAndSwap(d, deadline) {
			return
		}
	}
}

func (w *Worker) markYields(ids []uint64) {
	if len(ids) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tasks {
		for _, id := range ids {
			if t.held.Task == id {
				t.giveUp()
			}
		}
	}
}

// watchLease cancels every task once the lease is over. Checks in the tasks themselves are the fence; this frees those
// that wait for something.
func (w *Worker) watchLease(ctx context.Context) {
	tick := time.NewTicker(fenceTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if int64(w.cfg.Clock.Monotonic()) < w.deadline.Load() {
			continue
		}
		w.mu.Lock()
		for _, t := range w.tasks {
			t.lose()
		}
		w.mu.Unlock()
	}
}

// take acts on the answer to a poll.
func (w *Worker) take(ctx context.Context, resp *SyncResponse) {
	w.mu.Lock()
	for _, te := range resp.Drop {
		if t := w.tasks[te]; t != nil {
			t.lose()
		}
	}
	for _, te := range resp.Split {
		if t := w.tasks[te]; t != nil {
			t.askSplit()
		}
	}
	for i := range resp.Shared {
		s := &resp.Shared[i]
		if t := w.tasks[fsm.TaskEpoch{Task: s.Task, Epoch: s.Epoch}]; t != nil {
			t.shares.hear(s)
		}
	}
	w.mu.Unlock()
	w.jobs.retire(resp.Close)
	for i := range resp.Renew {
		w.takeOver(&resp.Renew[i])
	}
	for _, p := range resp.Preflight {
		w.workers.Go(func() { w.preflight(ctx, p) })
	}
	var unwanted []*Assignment
	for i := range resp.Assignments {
		if a := &resp.Assignments[i]; !w.start(ctx, a) {
			unwanted = append(unwanted, a)
		}
	}
	w.limits.set(resp.Shares)
	if len(unwanted) > 0 {
		w.workers.Go(func() { w.giveBack(ctx, unwanted) })
	}
}

// takeOver brings a job that is open here up to its description.
func (w *Worker) takeOver(job *fsm.Job) {
	key := keyOf(job, job.Pass)
	switch outdated, taken := w.jobs.update(key, job); {
	case taken:
		w.cfg.Logger.Info("the job's description changed: requests go by it from now on", "job", job.ID, "revision", job.Revision)
	case outdated:
		w.cfg.Logger.Info("the job's description changed: tasks that begin go by it", "job", job.ID, "revision", job.Revision)
	}
}

// start runs a task, unless the worker stops.
func (w *Worker) start(parent context.Context, a *Assignment) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopCtx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithCancelCause(parent)
	t := newTaskRun(w, a, cancel)
	t.ctx = ctx
	if w.tasks[t.held] != nil {
		cancel(nil)
		t.end()
		return true // told twice
	}
	w.tasks[t.held] = t
	t.limiter = w.limits.acquire(&a.Job)
	w.workers.Go(func() {
		defer cancel(nil)
		defer t.end()
		w.run(ctx, t)
		w.limits.release(&t.job)
		w.mu.Lock()
		delete(w.tasks, t.held)
		w.mu.Unlock()
		w.checkDrained()
	})
	return true
}

// giveBack releases tasks that came while the worker stops. A failure is no harm: the leader finds out by the next poll
// or the end of the lease.
func (w *Worker) giveBack(ctx context.Context, unwanted []*Assignment) {
	tasks := make([]fsm.TaskEpoch, len(unwanted))
	for i, a := range unwanted {
		tasks[i] = holdingOf(&a.Task)
	}
	data, err := fsm.Encode(fsm.ReleaseTasks{Tasks: tasks})
	if err == nil {
		_, err = w.sync(ctx, SyncRequest{Commands: [][]byte{data}})
	}
	if err == nil {
		return
	}
	for _, a := range unwanted {
		w.cfg.Logger.Warn("task not given back", "job", a.Job.ID, "task", a.Task.ID, "error", err)
	}
}

// preflight opens a job and reports what came of it.
func (w *Worker) preflight(ctx context.Context, p PreflightTask) {
	var report Preflight
	opened, err := w.openHere(ctx, p.Key, &p.Job)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		report = failedPreflight(p.Key, p.Job.Revision, err)
	} else {
		report = opened.report(p.Key, p.Job.Revision)
		defer w.jobs.release(opened)
	}
	w.report(ctx, SyncRequest{Preflights: []Preflight{report}})
}

// report sends a call until it arrives or ctx ends.
func (w *Worker) report(ctx context.Context, req SyncRequest) {
	retry := firstRetry
	for {
		_, err := w.sync(ctx, req)
		if err == nil || !w.pause(ctx, retry) {
			return
		}
		retry = min(2*retry, longestRetry)
	}
}
