package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/metrics"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	httpPatience  = 3 * time.Second // for answers under way when the node stops
	quorumLook    = 100 * time.Millisecond
	quorumLooks   = 5 // in a row without a quorum, after which a stopping node waits no longer
	startPatience = time.Minute
	closeShare    = 13 * time.Second // of --stop-timeout, for all that comes after the work is given back
)

var errStopTooLong = errors.New("the node did not stop in order in time (--stop-timeout) and ends as it is; nothing is lost by that")

// node is one running node.
type node struct {
	app     *app
	cfg     nodeConfig // that the node was started with
	source  nodeSource
	started *settledConfig
	live    *liveConfig
	log     *nodeLog
	logger  *slog.Logger
	level   *slog.LevelVar
	dir     *cluster.Dir
	machine *fsm.Machine
	desk    *jobDesk
	place   *place
	keys    *nodeKeys // nil where there is no cluster key
	leader  *scheduler.Leader
	mover   *transfer.Node
	crew    *crew
	pace    *pace
	disk    *diskWatch
	tell    *teller
	rates   *rateKeeper
	metrics *metrics.Metrics
	server  *http.Server

	supervisor *supervisor

	address string // of the API

	life    context.Context // ends in close
	cancel  context.CancelFunc
	running sync.WaitGroup
	leaving sync.Once
	left    chan struct{} // closed when the attempt to leave is over
	stop    chan struct{} // room for one: the API asked for a stop
	failed  chan error    // room for one: what ends the node
}

// runNode runs a node until it is told to stop, or cannot go on.
func (a *app) runNode(parent context.Context, source nodeSource, cfg *settledConfig) (err error) {
	stopper := watchFor(parent, a.signals, make(chan struct{}, 1))
	defer stopper.close()
	log, err := openNodeLog(&cfg.nodeConfig, a.err)
	if err != nil {
		return err
	}
	n := &node{
		app: a, cfg: cfg.nodeConfig, source: source, started: cfg, live: newLiveConfig(cfg),
		log: log, level: log.level, logger: log.logger,
		machine: fsm.NewMachine(), stop: make(chan struct{}, 1), failed: make(chan error, 1), left: make(chan struct{}), cancel: func() {},
	}
	n.supervisor = newSupervisor(a, n.logger)
	if err := a.harden(cfg.coreDumps); err != nil {
		return refused(err)
	}
	listener, err := net.Listen("tcp", cfg.http)
	if err != nil {
		return refused(fmt.Errorf("open the API's port: %w%s; --http gives another", err, heldBy(err, cfg.http)))
	}
	if n.dir, err = cluster.OpenDir(cfg.data); err != nil {
		return refused(errors.Join(err, listener.Close()))
	}
	n.address = listener.Addr().String()
	logLimits(n.logger)
	if err = n.start(stopper.soft, listener); err == nil {
		n.wait(stopper)
	}
	return n.finish(stopper, err)
}

// harden protects the process, where it is one of our own.
func (a *app) harden(coreDumps bool) error {
	if a.protect == nil {
		return nil
	}
	return a.protect(coreDumps)
}

// start starts everything, the API last: from then on the node can be asked.
func (n *node) start(ctx context.Context, listener net.Listener) (err error) {
	defer func() {
		if err != nil && n.server == nil {
			err = errors.Join(err, listener.Close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if n.cfg.keyFile != "" {
		if n.keys, err = openNodeKeys(n.cfg.keyFile, n.dir.Path, n.logger); err != nil {
			return err
		}
	}
	sealer, err := clusterSealer(n.keys, n.cfg.data)
	if err != nil {
		return err
	}
	access, err := n.access()
	if err != nil {
		return err
	}
	n.pace, n.disk, n.metrics = &pace{}, newDiskWatch(), metrics.New(versionOf())
	n.rates = newRateKeeper(n.dir.Path, n.dir.NodeID, n.machine, n.logger, time.Now)
	n.tell = n.newTeller(sealer)
	n.tell.rates = n.rates
	if n.place, err = n.takePlace(ctx); err != nil {
		return err
	}
	n.mover = transfer.NewNode(n.dir.NodeID, n.place.spool, n.logger, n.cfg.concurrency, n.cfg.memory)
	n.pace.read = n.mover.Meter.BytesWritten.Load
	n.mover.Watcher = n.metrics
	n.observe()
	n.desk = &jobDesk{
		app: n.app, sealer: sealer, machine: n.machine, spool: n.place.spool, concurrency: n.cfg.concurrency, away: n.awayNodes,
		rates: n.rates,
	}
	n.crew = newCrew(n)
	if n.keys != nil {
		n.keys.start(func(keys []cluster.Key) error {
			return errors.Join(n.place.setKeys(keys), sealer.SetKeys(keys), access.setKeys(keys))
		})
	}
	n.work(context.WithoutCancel(ctx))
	n.serve(listener, access)
	if err := api.WriteAddr(n.dir.Path, n.localAddress()); err != nil {
		return err
	}
	n.logger.Info("node started", "node", n.dir.NodeID, "data", n.dir.Path, "api", n.address, "version", versionOf())
	return nil
}

// newLeader makes this node's scheduler.
func (n *node) newLeader(log scheduler.Log, spool transfer.Spool) *scheduler.Leader {
	n.tell.spool = spool
	return scheduler.NewLeader(scheduler.LeaderConfig{
		Log: log, Machine: n.machine, Spool: spool, Logger: n.logger, Jitter: mathrand.Float64, Node: n.dir.NodeID,
		Retries: scheduler.DefaultRetries, Teller: n.metrics.Teller(n.tell),
	})
}

// work runs leader, worker and what follows the state, until close.
func (n *node) work(ctx context.Context) {
	ctx, n.cancel = context.WithCancel(ctx)
	n.life = ctx
	n.running.Go(func() { n.fail(n.leader.Run(ctx)) })
	n.running.Go(func() { n.fail(n.crew.run(ctx)) })
	n.running.Go(func() { n.pace.run(ctx) })
	n.running.Go(func() { n.rates.run(ctx, n.disk.isLow) })
	n.running.Go(func() { n.logLeader(ctx) })
	n.running.Go(func() { n.watchDisk(ctx) })
	n.running.Go(func() { n.followSettings(ctx) })
	n.running.Go(func() { n.beReported(ctx) })
	n.running.Go(func() { n.newLookout().run(ctx) })
	if n.keys != nil {
		n.running.Go(func() { n.followKeys(ctx) })
		n.running.Go(func() { n.resealJobs(ctx) })
	}
	if n.place.tend != nil {
		n.running.Go(func() { n.place.tend(ctx) })
	}
}

// serve answers requests, until close.
func (n *node) serve(listener net.Listener, access *nodeAccess) {
	cfg := api.Config{
		Node: n.dir.NodeID, Token: access.token, State: n.machine, Leader: n.leader, Jobs: n.desk, Members: n.place.members,
		Control: n, Forwarder: n.place.forwarder, Logger: n.logger, Authority: access.authority, Spool: n.place.spool,
		Sealer: n.desk.sealer, Version: versionOf(), Notices: notices{n.tell}, Rates: n.rates,
		Metrics: n.metrics.Handler(), MetricsOpen: n.cfg.metricsOpen,
	}
	if n.keys != nil {
		cfg.Keys = n.place.keys
	}
	server := api.New(cfg)
	if n.place.serve != nil {
		n.place.serve(server.PeerHandler())
	}
	n.server = api.HTTPServer(server.Handler(), n.logger)
	n.server.RegisterOnShutdown(server.Close)
	listener = api.LimitConnections(listener)
	n.running.Go(func() {
		if err := access.serve(n.server, listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("serve the API: %w", err))
		}
	})
}

// wait returns when the node is to stop. Until then it reloads when asked to.
func (n *node) wait(s *stopper) {
	for {
		select {
		case <-s.reloads:
			n.reload(s.soft)
			continue
		case <-s.soft.Done():
			n.logger.Info("stopping: work is given back; another signal stops at once")
		case <-n.stop:
			n.logger.Info("stopping: work is given back")
		case err := <-n.failed:
			n.fail(err) // finish finds it
		}
		return
	}
}

// finish stops in order, in the time that is given for it, unless another signal ends that. The state is safe whenever the
// process ends.
func (n *node) finish(s *stopper, err error) error {
	within := n.live.current.Load().stopTimeout
	n.supervisor.stopping(within)
	ctx, cancel := context.WithTimeout(s.hard, within)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- n.giveBackAndClose(ctx, err) }() // the process does not outlive it by more than its exit
	select {
	case err = <-closed:
	case <-ctx.Done():
		if s.hard.Err() != nil {
			return &exitError{codeInterrupted, errors.New("stopped at once; what was not settled is found again")}
		}
		return refused(errors.Join(err, errStopTooLong))
	}
	if err != nil {
		return refused(err)
	}
	n.logger.Info("node stopped", "node", n.dir.NodeID)
	return nil
}

// givingBack is how long tasks may take to settle what is in flight: the part of --stop-timeout that is not for the rest.
func (n *node) givingBack() time.Duration {
	within := n.live.current.Load().stopTimeout
	return max(within/2, within-closeShare)
}

// giveBackAndClose gives work back, unless the node cannot go on, and stops everything.
func (n *node) giveBackAndClose(ctx context.Context, err error) error {
	select {
	case failed := <-n.failed:
		err = errors.Join(err, failed)
	default:
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, n.givingBack())
		stopWatching := n.watchQuorum(ctx, cancel)
		n.crew.stop(ctx)
		stopWatching()
		cancel()
	}
	return errors.Join(err, n.close())
}

// watchQuorum calls off a stop in order once so many voters are gone that nobody is left to give work back to: as when all
// nodes are told to stop at once. What is not settled then is found again at the destination. The function returned ends it.
func (n *node) watchQuorum(ctx context.Context, callOff func()) (end func()) {
	if n.place.quorate == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(quorumLook)
		defer tick.Stop()
		for without := 0; without < quorumLooks; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if without++; n.place.quorate() {
				without = 0
			}
		}
		n.logger.Info("too few nodes are left to give work back to: it is left as it is")
		callOff()
	})
	return func() { cancel(); watching.Wait() }
}

// close stops everything and unlocks the data directory. It waits for what it started.
func (n *node) close() error {
	var errs []error
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), httpPatience)
		if err := n.server.Shutdown(ctx); err != nil {
			errs = append(errs, n.server.Close())
		}
		cancel()
		errs = append(errs, api.RemoveAddr(n.dir.Path))
	}
	n.cancel()
	n.running.Wait()
	if n.place != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		errs = append(errs, n.place.shutdown(ctx))
	}
	return errors.Join(append(errs, n.dir.Close())...)
}

// fail ends the node, unless something else did.
func (n *node) fail(err error) {
	if err == nil {
		return
	}
	select {
	case n.failed <- err:
	default:
	}
}

// Stop implements api.Control.
func (n *node) Stop() {
	select {
	case n.stop <- struct{}{}:
	default: // asked for already
	}
}

// Leave implements api.Control: work is given back first. A leave takes as long as the others need to do without this node;
// when ctx ends, it goes on.
func (n *node) Leave(ctx context.Context) error {
	if err := n.place.mayLeave(); err != nil {
		return err
	}
	n.leaving.Do(func() {
		n.running.Go(func() {
			defer close(n.left)
			n.leave()
		})
	})
	select {
	case <-n.left:
	case <-ctx.Done():
	}
	return nil
}

// leave takes the node out of the cluster, then stops it.
func (n *node) leave() {
	stop, cancel := context.WithTimeout(n.life, n.givingBack())
	n.crew.stop(stop)
	cancel()
	if err := n.place.leave(n.life); err != nil {
		n.fail(fmt.Errorf("leave the cluster: %w", err))
		return
	}
	n.logger.Info("the node has left the cluster")
	n.Stop()
}
