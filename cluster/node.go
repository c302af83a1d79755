package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// StateMachine is what the log is applied to.
type StateMachine interface {
	// Apply changes the state by a committed entry, each index once and in order; the answer goes to the proposer.
	Apply(index uint64, entry []byte) any
	// Snapshot notes the state quickly; the function returned writes it out beside further Apply calls.
	Snapshot() func(io.Writer) error
	// Restore replaces the state.
	Restore(r io.Reader) error
}

// Config describes a node.
type Config struct {
	Dir        string  // folder of the raft log and its snapshots, made on first use; its owner holds the data directory's lock
	NodeID     string  // Dir.NodeID
	Multiplier float64 // of raft's timers (1 s without a leader starts an election), 0.05 to 10; 0 means 1
	Machine    StateMachine
	Logger     *slog.Logger
	// OnStuck is called when an operation takes longer than StuckAfter: a leader whose disk hangs goes on being leader,
	// so that its process has to end. It must not wait for Shutdown.
	OnStuck    func(error)
	StuckAfter time.Duration // 0 means 30 s
	// Network makes the node a member of a cluster of several; without it the node is a cluster of one, for ever.
	Network *Network
	// Watcher hears of commits and calls; nil: nobody does.
	Watcher Watcher
}

// Settings of raft. Entries are at most MaxEntry, so that the log kept behind a snapshot stays small.
const (
	logCacheEntries   = 512
	snapshotsKept     = 2
	snapshotThreshold = 4096
	snapshotInterval  = 60 * time.Second
	trailingLogs      = 4096
	boltTimeout       = 5 * time.Second
	defaultStuckAfter = 30 * time.Second
	drainPatience     = time.Second // for raft to answer what is outstanding before and after it stops
	// raft's own names in its stable store.
	termName  = "CurrentTerm"
	votedName = "LastVoteTerm"
)

// Node is this process's member of the raft cluster.
type Node struct {
	raft    *raft.Raft
	store   *raftboltdb.BoltStore
	pending pending
	stuck   func(error)
	watcher Watcher // nil: nobody watches
	started time.Time
	net     *network // nil in a cluster of one

	stop     context.CancelFunc // of the watchdog
	watchdog sync.WaitGroup
	once     sync.Once
	down     chan struct{} // closed when the node has shut down
	downErr  error
}

// Start opens the log, restores the state from it and joins the election. On first use it makes a cluster of one. ctx
// bounds the start only; the node runs until Shutdown.
func Start(ctx context.Context, c Config) (*Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	conf, err := raftConfig(c)
	if err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	if err := makeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	n := &Node{stuck: c.OnStuck, watcher: c.Watcher, started: time.Now(), down: make(chan struct{})}
	if n.stuck == nil {
		n.stuck = func(error) {}
	}
	if err := n.open(ctx, c, conf); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	n.startWatchdog(c)
	return n, nil
}

// open opens log and ports and starts raft between them. What it has opened it closes when it fails.
func (n *Node) open(ctx context.Context, c Config, conf *raft.Config) (err error) {
	if n.store, err = openLog(filepath.Join(c.Dir, "raft.db")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeParts())
		}
	}()
	if c.Network == nil {
		_, transport := raft.NewInmemTransport(raft.ServerAddress(c.NodeID))
		n.raft, err = startRaft(c, conf, n.store, transport)
		return err
	}
	if n.net, err = openNetwork(*c.Network, c.NodeID, c.Logger, c.Watcher); err != nil {
		return err
	}
	transport := n.net.transport(conf)
	if n.raft, err = startRaft(c, conf, n.store, transport); err != nil {
		return errors.Join(err, transport.Close())
	}
	return n.join(ctx)
}

// join starts what makes a node one of several.
func (n *Node) join(ctx context.Context) error {
	if err := n.net.start(ctx, n.raft.LastIndex() > 0); err != nil {
		return err
	}
	if err := n.look(); err != nil {
		return err
	}
	b := newBootstrap(n.net, n.net.gossip.currentStart() > 1)
	n.Handle("POST "+bootstrapPath, handleJSON(n.net.logWrite, func(_ context.Context, in pledgeRequest) (struct{}, error) {
		return struct{}{}, b.pledge(in.Founders)
	}))
	n.Handle("POST "+statusPath, handleJSON(n.net.logWrite, n.status))
	n.Handle("POST "+leavePath, handleJSON(n.net.logWrite, n.letLeave))
	n.net.run(n.net.follow)
	n.net.run(n.watch)
	n.net.run(n.net.rejoin)
	n.net.run(func(ctx context.Context) { b.run(ctx, n) })
	n.net.run(newReconciler(n).run)
	return nil
}

// closeParts closes what is open, in the order in which nothing waits for something closed before.
func (n *Node) closeParts() error {
	n.pending.close()
	var err error
	if n.net != nil {
		err = n.net.disconnect()
	}
	if n.raft != nil {
		err = errors.Join(err, n.raft.Shutdown().Error())
	}
	if n.net != nil {
		n.net.mux.close()
	}
	n.pending.wait(drainPatience) // raft answers what it had taken up when it stops
	return errors.Join(err, n.store.Close())
}

func raftConfig(c Config) (*raft.Config, error) {
	m := c.Multiplier
	if m == 0 {
		m = 1
	}
	if m < 0.05 || m > 10 {
		return nil, fmt.Errorf("multiplier %v is not in 0.05 to 10", m)
	}
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * m) }
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.NodeID)
	conf.HeartbeatTimeout = scale(conf.HeartbeatTimeout)
	conf.ElectionTimeout = scale(conf.ElectionTimeout)
	conf.LeaderLeaseTimeout = scale(conf.LeaderLeaseTimeout)
	conf.SnapshotThreshold = snapshotThreshold
	conf.SnapshotInterval = snapshotInterval
	conf.TrailingLogs = trailingLogs
	conf.BatchApplyCh = true      // up to ten times the rate; what waits is bounded by the callers' contexts
	conf.ShutdownOnRemove = false // a leader that loses its vote goes on as a follower
	conf.NoLegacyTelemetry = true
	conf.Logger = raftLogger(c.Logger)
	return conf, nil
}

func openLog(path string) (*raftboltdb.BoltStore, error) {
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		// Without a time-out a second process would wait for ever. The list of free pages is rebuilt at the start instead
		// of written at each commit.
		BoltOptions:             &bbolt.Options{Timeout: boltTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", path, err)
	}
	return store, nil
}

func startRaft(c Config, conf *raft.Config, store *raftboltdb.BoltStore, transport raft.Transport) (*raft.Raft, error) {
	logs, err := raft.NewLogCache(logCacheEntries, store)
	if err != nil {
		return nil, fmt.Errorf("make log cache: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(c.Dir, snapshotsKept, conf.Logger)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if err := forgetHalfBootstrap(logs, store, snapshots); err != nil {
		return nil, err
	}
	if c.Network == nil {
		if err := bootstrapAlone(conf, logs, store, snapshots, transport); err != nil {
			return nil, err
		}
	}
	r, err := raft.NewRaft(conf, machine{c.Machine}, logs, store, snapshots, transport)
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	if c.Network != nil {
		return r, nil // it may be no member yet, or no more
	}
	if err := checkMember(r, conf.LocalID); err != nil {
		return nil, errors.Join(err, r.Shutdown().Error())
	}
	return r, nil
}

// bootstrapAlone makes this node a cluster of one unless there is a state already.
func bootstrapAlone(conf *raft.Config, logs raft.LogStore, store raft.StableStore, snapshots raft.SnapshotStore, transport raft.Transport) error {
	alone := raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: transport.LocalAddr()}}}
	err := raft.BootstrapCluster(conf, logs, store, snapshots, transport, alone)
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// forgetHalfBootstrap repairs what a crash inside the first bootstrap leaves: raft sets the term, then writes the
// first entry. A term without any entry would keep a cluster of one from ever having a leader. Where a vote was given
// there is a cluster, and the term stays.
func forgetHalfBootstrap(logs raft.LogStore, store raft.StableStore, snapshots raft.SnapshotStore) error {
	term, err := store.GetUint64([]byte(termName))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) || err == nil && term == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read term: %w", err)
	}
	voted, err := store.GetUint64([]byte(votedName))
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return fmt.Errorf("read vote: %w", err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	kept, err := snapshots.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if last > 0 || len(kept) > 0 || voted > 0 {
		return nil
	}
	if err := store.SetUint64([]byte(termName), 0); err != nil {
		return fmt.Errorf("reset term: %w", err)
	}
	return nil
}

// checkMember refuses a log of another node: this one could wait for ever to become its leader.
func checkMember(r *raft.Raft, id raft.ServerID) error {
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	servers := f.Configuration().Servers
	if !slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id }) {
		return fmt.Errorf("the log is not of node %s: %v", id, servers)
	}
	return nil
}

// LeaderCh signals changes of leadership: true when this node became leader, false when it is no more. Only the newest
// signal is kept, so that each one received, of either value, means: stop what the leader did, then see.
func (n *Node) LeaderCh() <-chan bool { return n.raft.LeaderCh() }

// IsLeader tells whether this node is leader as far as it knows.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// LeaderID is the node that leads as far as this node knows, "" when it knows of none. A node without the state goes by
// what the leaders say of themselves.
func (n *Node) LeaderID() string {
	if _, id := n.raft.LeaderWithID(); id != "" || n.net == nil {
		return string(id)
	}
	if n.raft.LastIndex() > 0 {
		return ""
	}
	var leader Member
	for _, m := range n.net.table.alive() {
		if m.Term > leader.Term {
			leader = m
		}
	}
	return leader.ID
}

// Term is the current election term.
func (n *Node) Term() uint64 { return n.raft.CurrentTerm() }

// Shutdown stops the node and closes its log. It gives up waiting when ctx ends, and may be called again to wait on.
func (n *Node) Shutdown(ctx context.Context) error {
	n.once.Do(func() {
		if n.net == nil {
			n.pending.close()
		}
		go n.shutdown() // waited for through down
	})
	select {
	case <-n.down:
		return n.downErr
	case <-ctx.Done():
		return fmt.Errorf("shut down node: %w", ctx.Err())
	}
}

func (n *Node) shutdown() {
	defer close(n.down)
	if n.net != nil && n.IsLeader() {
		// Without it the others would notice after an election's time only. There may be nobody, which is fine.
		if err := n.handOver(context.Background()); err != nil {
			n.net.log.Debug("leadership is not handed over", "reason", err)
		}
	}
	n.pending.close()
	// What raft has queued but not taken up when it stops is never answered (hashicorp/raft#498): as long as it runs it
	// answers, unless there is no quorum. What then remains waits on nothing but memory.
	n.pending.wait(drainPatience)
	err := n.closeParts()
	n.stop()
	n.watchdog.Wait()
	if err != nil {
		n.downErr = fmt.Errorf("shut down node: %w", err)
	}
}

// machine adapts a StateMachine to raft.
type machine struct{ StateMachine }

// Apply implements raft.FSM.
func (m machine) Apply(l *raft.Log) any { return m.StateMachine.Apply(l.Index, l.Data) }

// Snapshot implements raft.FSM.
func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot(m.StateMachine.Snapshot()), nil
}

// Restore implements raft.FSM.
func (m machine) Restore(r io.ReadCloser) error {
	return errors.Join(m.StateMachine.Restore(r), r.Close())
}

// snapshot writes a noted state out.
type snapshot func(io.Writer) error

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s(sink); err != nil {
		return fmt.Errorf("persist snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
