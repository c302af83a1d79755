package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// runFunc is a Runner.
type runFunc func(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error

func (f runFunc) Run(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	return f(ctx, job, task, lease, ledger)
}

// engine is a Runner over an imaginary source of keys 0 to keys-1, 10 bytes each. It behaves as transfer does: checks
// the lease before each write, advances often, stops, splits and yields when asked.
type engine struct {
	keys  int                                                                // per job
	pause time.Duration                                                      // what a page or a copy takes
	cut   int                                                                // keys of a cut; 0 is 4
	move  func(ctx context.Context, node string, lease transfer.Lease) error // what else a copy takes; may be nil

	mu     sync.Mutex
	writes []write
}

// write is one key written.
type write struct {
	job, node   string
	task, epoch uint64
	key         int
	at          time.Time
}

// on returns the engine as one node's Runner.
func (e *engine) on(node string) Runner {
	return runFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
		if task.Kind == transfer.Scan {
			return e.scan(ctx, task, lease, ledger)
		}
		return e.copy(ctx, node, job, task, lease, ledger)
	})
}

func number(bound string, none int) int {
	if bound == "" {
		return none
	}
	n, err := strconv.Atoi(bound)
	if err != nil {
		panic(err)
	}
	return n
}

// rest waits, as work does, and tells what interrupted it.
func (e *engine) rest(ctx context.Context, lease transfer.Lease) error {
	timer := time.NewTimer(e.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return lease.Check()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-lease.Stopping():
		return transfer.ErrStopped
	}
}

// split answers a request, if there is one: the task goes on to the middle of what is left, from its next key on.
func (e *engine) split(ctx context.Context, lease transfer.Lease, ledger transfer.Ledger, task *transfer.Task, next int) error {
	select {
	case <-lease.(transfer.SplitLease).SplitRequests():
	default:
		return nil
	}
	end := number(task.To, e.keys)
	at := (next + end + 1) / 2
	if at >= end || at <= next {
		return nil
	}
	switch err := ledger.Split(ctx, string(key(at)), 0); {
	case errors.Is(err, transfer.ErrFenced):
		return err
	case errors.Is(err, transfer.ErrSplitRefused):
		return nil
	}
	task.To = string(key(at))
	return nil
}

// scan goes through pages of three cuts and cuts ranges.
func (e *engine) scan(ctx context.Context, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	cut := max(e.cut, 4)
	page := 3 * cut
	from := number(task.From, 0)
	for {
		if err := e.rest(ctx, lease); err != nil {
			return err
		}
		if err := e.split(ctx, lease, ledger, &task, from); err != nil {
			return err
		}
		end := number(task.To, e.keys)
		to := min(from+page, end)
		a := transfer.Advance{From: task.From, To: string(key(to)), Done: to == end}
		if a.Done {
			a.To = task.To
		}
		for c := from; c < to; c += cut {
			n := int64(min(cut, to-c))
			a.Cuts = append(a.Cuts, transfer.Cut{From: string(key(c)), To: string(key(c + int(n))), Objects: n, Bytes: 10 * n})
			a.Counts.Listed += n
			a.Counts.BytesListed += 10 * n
		}
		yield, err := ledger.Advance(ctx, a)
		if err != nil || a.Done || yield {
			return err
		}
		task.From, from = a.To, to
	}
}

// copy writes the keys of a range and advances after every second one.
func (e *engine) copy(ctx context.Context, node string, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	from, end := number(task.From, 0), number(task.To, e.keys)
	a := transfer.Advance{From: task.From}
	for k := from; k < end; k++ {
		stop := e.rest(ctx, lease)
		if stop == nil && e.move != nil {
			stop = e.move(ctx, node, lease)
		}
		if stop == nil {
			if err := e.split(ctx, lease, ledger, &task, k); err != nil {
				return err
			}
			end = number(task.To, e.keys)
		}
		if stop == nil {
			e.write(write{job.ID, node, task.ID, task.Epoch, k, time.Now()})
			c := transfer.Counts{Copied: 1, BytesFound: 10, BytesCopied: 10, BytesMoved: 10}
			a.Counts.Copied++
			a.Counts.BytesFound += 10
			a.Counts.BytesCopied += 10
			a.Counts.BytesMoved += 10
			a.Objects, a.Bytes = a.Objects+1, a.Bytes+10
			ledger.Progress(c)
			a.To = string(key(k + 1))
		} else if !errors.Is(stop, transfer.ErrStopped) || a.Objects == 0 {
			return stop
		}
		a.Done = k+1 == end && stop == nil
		if a.Objects < 2 && !a.Done && stop == nil {
			continue
		}
		if _, err := ledger.Advance(ctx, a); err != nil {
			return err
		}
		if stop != nil {
			return stop
		}
		a = transfer.Advance{From: a.To}
	}
	return nil
}

func (e *engine) write(w write) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writes = append(e.writes, w)
}

// check is the oracle: every key was written, and no holder of a task wrote after a later holder did.
func (e *engine) check(t *testing.T, jobs ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	latest := map[uint64]write{}
	seen := map[string]map[int]bool{}
	for _, w := range e.writes {
		if l := latest[w.task]; l.epoch > w.epoch {
			t.Errorf("%s wrote key %d of task %d under epoch %d at %v, after %s did under epoch %d at %v",
				w.node, w.key, w.task, w.epoch, w.at, l.node, l.epoch, l.at)
		}
		latest[w.task] = w
		if seen[w.job] == nil {
			seen[w.job] = map[int]bool{}
		}
		seen[w.job][w.key] = true
	}
	for _, job := range jobs {
		if len(seen[job]) != e.keys {
			t.Errorf("job %s: %d of %d keys written", job, len(seen[job]), e.keys)
		}
	}
}

// wire is the way from one worker to the leader, which may fail.
type wire struct {
	to func() Syncer

	mu       sync.Mutex
	cut      bool                    // calls fail at once
	lost     int                     // so many answers get lost
	slow     time.Duration           // how long an answer takes on its way
	tap      func(*SyncRequest)      // sees every call
	answered func(SyncRequest) error // may lose an answer
}

func (w *wire) Sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	w.mu.Lock()
	cut, tap := w.cut, w.tap
	w.mu.Unlock()
	if cut {
		return SyncResponse{}, errWire
	}
	if tap != nil {
		tap(&req)
	}
	resp, err := w.to().Sync(ctx, req)
	w.mu.Lock()
	slow, lose := w.slow, w.lost > 0 || w.cut
	if w.lost > 0 {
		w.lost--
	}
	answered := w.answered
	w.mu.Unlock()
	if slow > 0 {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return SyncResponse{}, ctx.Err()
		}
	}
	if lose {
		return SyncResponse{}, errWire
	}
	if answered != nil {
		if err := answered(req); err != nil {
			return SyncResponse{}, err
		}
	}
	return resp, err
}

func (w *wire) set(f func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// side is a store that only counts how often it was closed.
type side struct {
	store.Destination
	closed *atomic.Int64
}

func (s side) Close() error {
	s.closed.Add(1)
	return nil
}

// node is a running worker.
type node struct {
	*Worker
	wire   *wire
	spool  *memSpool
	kill   context.CancelFunc // as kill -9 would, but for its goroutines
	result chan error

	mu      sync.Mutex
	opened  atomic.Int64
	closed  atomic.Int64
	refuses error                // what Open returns
	side    func() *transfer.Job // what Open returns instead of a job without sides
}

// node starts a worker.
func (r *rig) node(name string, slots int, run Runner) *node {
	n := &node{wire: &wire{to: func() Syncer { return r.leader }}, spool: r.spool, result: make(chan error, 1)}
	n.launch(name, slots, run)
	return n
}

func (n *node) launch(name string, slots int, run Runner) {
	n.Worker = NewWorker(WorkerConfig{
		Node: name, Runner: run, Leader: n.wire, Open: n.open, Slots: slots, Clock: bubbleClock{}, Spool: n.spool,
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.kill = cancel
	go func() { n.result <- n.Run(ctx) }()
}

func (n *node) open(_ context.Context, job *fsm.Job) (*transfer.Job, Preflight, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuses != nil {
		return nil, Preflight{}, n.refuses
	}
	if n.side != nil {
		return n.side(), Preflight{SourceClockOffset: time.Minute}, nil
	}
	n.opened.Add(1)
	s := side{closed: &n.closed}
	return &transfer.Job{ID: job.ID, Source: s, Destination: s}, Preflight{SourceClockOffset: time.Minute}, nil
}

// end kills the worker and waits for it.
func (n *node) end(t *testing.T) {
	t.Helper()
	n.kill()
	if err := <-n.result; err != nil {
		t.Errorf("worker: %v", err)
	}
	if !n.allClosed() {
		t.Errorf("%d stores opened, %d closed", 2*n.opened.Load(), n.closed.Load())
	}
}

func (n *node) allClosed() bool { return n.closed.Load() == 2*n.opened.Load() }

func jobNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("job-%d", i))
	}
	return names
}
