package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	httpPatience  = 3 * time.Second // for answers under way when the node stops
	startPatience = time.Minute
)

var errOnlyMember = &api.Problem{
	Type: "urn:brigade:problem:" + api.CodeConflict, Title: "the only node cannot leave", Status: http.StatusConflict,
	Detail: "this is the only node of its cluster, and cannot leave; brigade node stop stops it",
}

// node is one running node.
type node struct {
	app     *app
	cfg     nodeConfig
	logger  *slog.Logger
	level   *slog.LevelVar
	dir     *cluster.Dir
	machine *fsm.Machine
	desk    *jobDesk
	place   *place
	leader  *scheduler.Leader
	mover   *transfer.Node
	crew    *crew
	pace    *pace
	server  *http.Server
	address string // of the API

	cancel  context.CancelFunc
	running sync.WaitGroup
	stop    chan struct{} // room for one: the API asked for a stop
	failed  chan error    // room for one: what ends the node
}

// runNode runs a node until it is told to stop, or cannot go on.
func (a *app) runNode(parent context.Context, cfg nodeConfig) (err error) {
	stopper := watchSignals(parent, a.signals)
	defer stopper.close()
	level := &slog.LevelVar{}
	level.Set(cfg.logLevel)
	n := &node{
		app: a, cfg: cfg, level: level, logger: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})),
		machine: fsm.NewMachine(), stop: make(chan struct{}, 1), failed: make(chan error, 1), cancel: func() {},
	}
	listener, err := net.Listen("tcp", cfg.http)
	if err != nil {
		return refused(fmt.Errorf("open the API's port: %w; --http gives another", err))
	}
	if n.dir, err = cluster.OpenDir(cfg.data); err != nil {
		return refused(errors.Join(err, listener.Close()))
	}
	n.address = listener.Addr().String()
	if err = n.start(stopper.soft, listener); err == nil {
		err = n.wait(stopper)
	}
	if stopper.hard.Err() != nil {
		return stopper.or(err) // at once: the state is safe whenever the process ends
	}
	if err = errors.Join(err, n.close()); err != nil {
		return refused(err)
	}
	n.logger.Info("node stopped", "node", n.dir.NodeID)
	return nil
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
	sealer, err := clusterSealer(n.cfg.keyFile, n.cfg.data)
	if err != nil {
		return err
	}
	token, err := api.LocalToken(n.dir.Path)
	if err != nil {
		return err
	}
	n.pace = &pace{}
	if n.place, err = n.alone(ctx); err != nil {
		return err
	}
	n.mover = transfer.NewNode(n.dir.NodeID, n.place.spool, n.logger, n.cfg.concurrency, n.cfg.memory)
	n.pace.read = n.mover.Meter.BytesWritten.Load
	n.desk = &jobDesk{app: n.app, sealer: sealer, machine: n.machine, spool: n.place.spool, concurrency: n.cfg.concurrency}
	n.crew = newCrew(n)
	n.work(context.WithoutCancel(ctx))
	n.serve(listener, token)
	if err := api.WriteAddr(n.dir.Path, n.address); err != nil {
		return err
	}
	n.logger.Info("node started", "node", n.dir.NodeID, "data", n.dir.Path, "api", n.address, "version", versionOf())
	return nil
}

// newLeader makes this node's scheduler.
func (n *node) newLeader(log scheduler.Log, spool transfer.Spool) *scheduler.Leader {
	return scheduler.NewLeader(scheduler.LeaderConfig{
		Log: log, Machine: n.machine, Spool: spool, Logger: n.logger, Jitter: mathrand.Float64,
	})
}

// work runs leader, worker and what follows the state, until close.
func (n *node) work(ctx context.Context) {
	ctx, n.cancel = context.WithCancel(ctx)
	n.running.Go(func() { n.fail(n.leader.Run(ctx)) })
	n.running.Go(func() { n.fail(n.crew.run(ctx)) })
	n.running.Go(func() { n.pace.run(ctx) })
	n.running.Go(func() { n.followLevel(ctx) })
	n.running.Go(func() { n.nameCluster(ctx) })
}

// serve answers requests, until close.
func (n *node) serve(listener net.Listener, token api.Token) {
	server := api.New(api.Config{
		Node: n.dir.NodeID, Token: token, State: n.machine, Leader: n.leader, Jobs: n.desk, Members: n.place.members,
		Control: n, Forwarder: n.place.forwarder, Logger: n.logger,
	})
	if n.place.serve != nil {
		n.place.serve(server.PeerHandler())
	}
	n.server = api.HTTPServer(server.Handler(), n.logger)
	n.running.Go(func() {
		if err := n.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("serve the API: %w", err))
		}
	})
}

// wait returns when the node is to stop, with the reason if there is one that it cannot go on.
func (n *node) wait(s *stopper) error {
	select {
	case <-s.soft.Done():
		n.logger.Info("stopping: work is given back; another signal stops at once")
	case <-n.stop:
		n.logger.Info("stopping: work is given back")
	case err := <-n.failed:
		return err
	}
	ctx, cancel := context.WithTimeout(s.hard, stopPatience)
	defer cancel()
	n.crew.stop(ctx)
	return nil
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

// Leave implements api.Control.
func (n *node) Leave(ctx context.Context) error {
	if err := n.place.leave(ctx); err != nil {
		return err
	}
	n.Stop()
	return nil
}

// followLevel keeps the log at the level that the cluster is set to, else at this node's own.
func (n *node) followLevel(ctx context.Context) {
	for {
		changed := n.machine.Changed()
		level := n.cfg.logLevel
		var set string
		n.machine.Read(func(s *fsm.State) { set = s.Setting(api.LogLevel) })
		if set != "" && level.UnmarshalText([]byte(set)) != nil {
			level = n.cfg.logLevel
		}
		n.level.Set(level)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// nameCluster gives a new cluster its ID, on the node that leads it first.
func (n *node) nameCluster(ctx context.Context) {
	if n.leader.Ready(ctx) != nil {
		return // the node stops
	}
	named := false
	n.machine.Read(func(s *fsm.State) { named = s.ClusterID() != "" })
	if named {
		return
	}
	var id [16]byte
	rand.Read(id[:]) // never fails, says its documentation
	result, err := n.leader.Propose(ctx, fsm.SetClusterID{ID: hex.EncodeToString(id[:])})
	if err = errors.Join(err, result.Err); err != nil && !errors.Is(err, fsm.ErrOtherID) && ctx.Err() == nil {
		n.logger.Warn("cluster not named, the next leader will", "error", err)
	}
}
