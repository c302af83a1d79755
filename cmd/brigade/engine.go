package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	// raftMultiplier scales raft's timers; a cluster of one elects itself, and need not wait long before.
	raftMultiplier = 0.05
	// taskSlots is how many tasks run at once: enough that the end of one does not leave the connections idle.
	taskSlots = 8
	// lockName is the lock in a data directory.
	lockName = "lock"
	// stopPatience bounds how long tasks may take to settle what is in flight.
	stopPatience = 10 * time.Second
)

// engine is a cluster of one in this process: replicated state, leader and worker.
type engine struct {
	log     *slog.Logger
	logFile io.Closer
	dir     *cluster.Dir
	node    *cluster.Node
	machine *fsm.Machine
	spool   *cluster.Spool
	leader  *scheduler.Leader
	worker  *scheduler.Worker
	mover   *transfer.Node

	cancel  context.CancelFunc
	running sync.WaitGroup
	failed  chan error // the worker's end, if it is not in order
}

// engineConfig says what an engine works with.
type engineConfig struct {
	paths       jobPaths
	concurrency int
	memory      int64

	archivedEvery time.Duration // 0 means the scheduler's own
	open          func(context.Context, *fsm.Job, *cluster.Spool) (*transfer.Job, scheduler.Preflight, error)
}

// startEngine opens the state, which locks it, and starts the cluster on it. It returns once this node leads.
func (a *app) startEngine(ctx context.Context, cfg engineConfig) (*engine, error) {
	if err := os.MkdirAll(filepath.Dir(cfg.paths.dir), 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	dir, err := cluster.OpenDir(cfg.paths.dir)
	if err != nil {
		return nil, err
	}
	e := &engine{dir: dir, machine: fsm.NewMachine(), failed: make(chan error, 1)}
	if e.log, e.logFile, err = a.openLog(dir.Path); err == nil {
		err = e.start(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// start starts the cluster of one, then leader and worker.
func (e *engine) start(ctx context.Context, cfg engineConfig) (err error) {
	if e.spool, err = cluster.OpenSpool(e.dir.Spool()); err != nil {
		return err
	}
	e.node, err = cluster.Start(ctx, cluster.Config{
		Dir: e.dir.Raft(), NodeID: e.dir.NodeID, Multiplier: raftMultiplier, Machine: e.machine, Logger: e.log,
		OnStuck: e.report,
	})
	if err != nil {
		return fmt.Errorf("start the embedded cluster: %w", err)
	}
	return e.lead(ctx, cfg)
}

// lead runs leader and worker until close; the worker once there is a leader to call.
func (e *engine) lead(ctx context.Context, cfg engineConfig) error {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.cancel = cancel
	e.leader = scheduler.NewLeader(scheduler.LeaderConfig{
		Log: e.node, Machine: e.machine, Spool: e.spool, Logger: e.log, Jitter: rand.Float64,
		ArchivedEvery: cfg.archivedEvery,
	})
	open := func(ctx context.Context, job *fsm.Job) (*transfer.Job, scheduler.Preflight, error) {
		return cfg.open(ctx, job, e.spool)
	}
	e.mover = transfer.NewNode(e.dir.NodeID, e.spool, e.log, cfg.concurrency, cfg.memory)
	e.mover.Tuning.FirstCuts = 1 // no other node waits for work
	e.worker = scheduler.NewWorker(scheduler.WorkerConfig{
		Node: e.dir.NodeID, Runner: e.mover, Leader: e.leader, Open: open, Spool: e.spool, Slots: taskSlots, Logger: e.log,
	})
	e.running.Go(func() { e.report(e.leader.Run(life)) })
	if err := e.leader.Ready(ctx); err != nil {
		return err
	}
	if err := sweepSpool(ctx, e.machine, e.spool); err != nil {
		return err
	}
	e.running.Go(func() { e.report(e.worker.Run(life)) })
	return nil
}

// report keeps the first error that ended leader or worker.
func (e *engine) report(err error) {
	if err == nil {
		return
	}
	select {
	case e.failed <- err:
	default:
	}
}

// settle lets tasks settle what is in flight and give themselves back.
func (e *engine) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	e.worker.Stop(ctx)
}

// close stops everything and unlocks the state. It waits for what it started.
func (e *engine) close() error {
	return errors.Join(e.halt(), e.dir.Close())
}

// halt stops everything that uses the state, which stays locked.
func (e *engine) halt() error {
	if e.cancel != nil {
		e.cancel()
	}
	e.running.Wait()
	var errs []error
	if e.node != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		errs = append(errs, e.node.Shutdown(ctx))
	}
	if e.logFile != nil {
		errs = append(errs, e.logFile.Close())
	}
	return errors.Join(errs...)
}

// end closes the engine, and removes the state where it is not worth keeping.
func (e *engine) end(paths jobPaths, keep bool) error {
	if keep {
		return e.close()
	}
	return e.discard(paths)
}

// discard stops everything and removes the state. The lock is held until all else is gone.
func (e *engine) discard(paths jobPaths) error {
	err := e.halt()
	entries, readErr := os.ReadDir(paths.dir)
	err = errors.Join(err, readErr)
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(paths.dir, entry.Name())))
		}
	}
	if removeErr := os.Remove(paths.key); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	if err = errors.Join(err, e.dir.Close(), os.RemoveAll(paths.dir)); err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}

// sweepSpool removes the segments that nothing refers to any more: those of earlier passes, and those whose command never
// came. No task runs yet, so that no segment is on its way into the state.
func sweepSpool(ctx context.Context, machine *fsm.Machine, spool *cluster.Spool) error {
	used, err := usedSegments(ctx, machine, spool)
	if err != nil {
		return err
	}
	for entry, err := range spool.List(ctx) {
		if err != nil {
			return fmt.Errorf("sweep spool: %w", err)
		}
		if used[entry.Name] {
			continue
		}
		if err := spool.Remove(entry.Name); err != nil {
			return fmt.Errorf("sweep spool: %w", err)
		}
	}
	return nil
}

// usedSegments are the names of all segments that the state refers to, those that manifests name included.
func usedSegments(ctx context.Context, machine *fsm.Machine, spool transfer.Spool) (map[[32]byte]bool, error) {
	var list []fsm.Segment
	machine.Read(func(s *fsm.State) { list = slices.Collect(s.Segments()) })
	used := map[[32]byte]bool{}
	for _, s := range list {
		used[[32]byte(s.Name)] = true
	}
	err := segmentsOf(ctx, spool, list, func(name [32]byte) error { used[name] = true; return nil })
	if err == nil {
		err = listSegments(ctx, machine, spool, used)
	}
	if err != nil {
		return nil, fmt.Errorf("find segments in use: %w", err)
	}
	return used, nil
}

// job returns the job as the state has it, nil if there is none.
func (e *engine) job(id string) (job *fsm.Job) {
	e.machine.Read(func(s *fsm.State) { job = s.Job(id) })
	return job
}

// tally returns where a job stands now.
func (e *engine) tally(id string) tally {
	t := tally{listing: true, written: e.mover.Meter.BytesWritten.Load()}
	if st, ok := e.leader.Status(id); ok {
		t.counts, t.listing, t.limit = st.Counts, !st.ListingDone, st.Bandwidth
	}
	return t
}

// propose commits a command and returns why the state refused it.
func (e *engine) propose(ctx context.Context, cmd fsm.Command) error {
	result, err := e.leader.Propose(ctx, cmd)
	if err != nil {
		return fmt.Errorf("commit %T: %w", cmd, err)
	}
	if result.Err != nil {
		return fmt.Errorf("commit %T: %w", cmd, result.Err)
	}
	return nil
}
