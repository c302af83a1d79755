package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Default ports of a node.
const (
	DefaultPeerPort   = 7461
	DefaultGossipPort = 7462
)

// Network makes a node a member of a cluster of several. Keys, Dir, ClusterID and Found are required.
type Network struct {
	// Keys are the cluster keys that are valid at first: the first is used, all are accepted. SetKeys changes them.
	Keys  []Key
	Dir   string // folder of the files about the cluster: the data directory
	Label string // of the gossip, keeps clusters that share a network apart; "" means "brigade"
	// Bind is the IP that the ports listen on, "" for every interface. Advertise is the host or IP that others reach this
	// node at; "" means Bind, or a private address of the machine where Bind is every interface.
	Bind, Advertise string
	// PeerPort and GossipPort are TCP, and TCP and UDP; 0 picks a free one.
	PeerPort, GossipPort int
	// Join names gossip addresses, HOST[:PORT], of nodes that may be up. They are asked for as long as they do not answer.
	Join []string
	// Expect is the number of nodes that make a new cluster together; each must be started with the same. 1 makes one
	// alone, unless Join names others; 0 never makes one.
	Expect     int
	API        string // host:port of the HTTP port, for the others to know
	Version    string // of the program, for the others to know
	WorkerOnly bool   // never holds the state
	// ClusterID returns the ID of the cluster that is in the state, "" before it is; it is called from the start on. Found
	// returns the entry that puts an ID there, which the first leader applies. The first such entry counts.
	ClusterID func() string
	Found     func(id string) ([]byte, error)

	Timing Timing
	// Dial opens all TCP connections to others; nil means net.Dialer. Drop tells of an address that datagrams to it are
	// to be lost; nil loses none. Both are for tests of faults.
	Dial Dialer
	Drop func(address string) bool

	address func(context.Context) (string, error) // in place of the machine's, for tests
}

// Timing holds the times that a cluster lives by; 0 means the default.
type Timing struct {
	Probe       time.Duration // between gossip's probes of other nodes, 1 s; a node is given up after about five
	Rejoin      time.Duration // between attempts to reach nodes that are not alive, 15 s; a tenth of it while alone
	Plan        time.Duration // between looks of the leader at the members, 1 s
	Stable      time.Duration // Policy.Stable, 10 s
	FailedVoter time.Duration // Policy.FailedVoter, 2 min
	Forget      time.Duration // Policy.Forget, 72 h
	Replenish   time.Duration // between looks for segments without a second copy, 10 min; a tenth of it between looks who is there
}

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		value *time.Duration
		is    time.Duration
	}{
		{&t.Probe, time.Second}, {&t.Rejoin, 15 * time.Second}, {&t.Plan, time.Second}, {&t.Stable, 10 * time.Second},
		{&t.FailedVoter, 2 * time.Minute}, {&t.Forget, 72 * time.Hour}, {&t.Replenish, 10 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.is
		}
	}
	return t
}

// PortError is a port of a node that cannot be listened on.
type PortError struct {
	Port   string // peer or gossip
	Number int
	Err    error
}

// Error implements error.
func (e *PortError) Error() string { return "listen on " + e.Port + " port: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PortError) Unwrap() error { return e.Err }

// network is a node's side of the cluster: its ports, and what it knows of the others.
type network struct {
	conf   Network
	nodeID string
	log    *slog.Logger

	table  *table
	origin *origin
	mux    *mux
	dialer *dialer
	calls  *calls
	gossip *gossip
	id     *identities

	address func(context.Context) (string, error) // IP that others reach this node at

	flags   flags
	life    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// flags are what an operator asks of a node while it runs.
type flags struct {
	mu                sync.Mutex
	draining, leaving bool
	diskLow           bool
}

func (f *flags) set(change func(*flags)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *flags) get() (draining, leaving, diskLow bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.draining, f.leaving, f.diskLow
}

func (c *Network) check() error {
	switch {
	case len(c.Keys) == 0:
		return errors.New("no cluster key")
	case c.ClusterID == nil || c.Found == nil:
		return errors.New("no ClusterID or no Found")
	case c.Expect < 0 || c.Expect > MaxServers:
		return fmt.Errorf("expect %d is not in 0 to %d", c.Expect, MaxServers)
	case c.Dir == "":
		return errors.New("no folder for the files about the cluster")
	}
	if c.Bind == "" {
		c.Bind = "0.0.0.0"
	}
	if net.ParseIP(c.Bind) == nil {
		return fmt.Errorf("bind %q is not an IP", c.Bind)
	}
	if c.Label == "" {
		c.Label = "brigade"
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	c.Timing = c.Timing.withDefaults()
	return nil
}

// openNetwork listens on the peer port. Nothing is told or asked before start.
func openNetwork(c Network, nodeID string, log *slog.Logger, watch Watcher) (*network, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	id, err := newIdentities(c.Keys, nodeID)
	if err != nil {
		return nil, err
	}
	n := &network{conf: c, nodeID: nodeID, log: log, table: newTable(), id: id}
	n.address = func(ctx context.Context) (string, error) { return advertised(ctx, c.Bind, c.Advertise) }
	if c.address != nil {
		n.address = c.address
	}
	n.life, n.stop = context.WithCancel(context.Background())
	if n.origin, err = openOrigin(filepath.Join(c.Dir, "cluster.json")); err != nil {
		return nil, err
	}
	if err := n.loadMembers(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(c.Bind, strconv.Itoa(c.PeerPort)))
	if err != nil {
		return nil, &PortError{Port: "peer", Number: c.PeerPort, Err: err}
	}
	n.dialer = &dialer{id: id, dial: c.Dial, address: n.peerAddress, conns: map[net.Conn]string{}}
	n.mux = newMux(l, id, nodeID, log)
	n.calls = newCalls(n.mux.calls, n.dialer)
	n.calls.watch = watch
	return n, nil
}

// start starts the gossip.
func (n *network) start(ctx context.Context, hasState bool) error {
	keys, err := gossipKeys(n.conf.Keys)
	if err != nil {
		return err
	}
	first := n.meta(hasState, 0)
	if first.Peer, err = n.peerAdvertised(ctx); err != nil {
		return err
	}
	n.origin.hasState(hasState)
	n.gossip, err = startGossip(ctx, gossipConfig{
		nodeID: n.nodeID, label: n.conf.Label, keys: keys, bind: n.conf.Bind, port: n.conf.GossipPort, advertise: n.address,
		probe: n.conf.Timing.Probe, dial: n.conf.Dial, drop: n.conf.Drop, accept: n.accept,
		newStart: func() (uint64, error) { return countStart(filepath.Join(n.conf.Dir, "starts")) },
	}, first, n.log)
	return err
}

// run runs f until the network closes.
func (n *network) run(f func(ctx context.Context)) { n.running.Go(func() { f(n.life) }) }

// disconnect ends everything that talks to others, so that raft has nobody to wait for when it stops; mux.close comes after
// that.
func (n *network) disconnect() error {
	n.stop()
	var err error
	if n.gossip != nil {
		err = n.gossip.stop()
	}
	n.running.Wait()
	n.dialer.close()
	n.mux.disconnect()
	return errors.Join(err, n.calls.close())
}

// transport is raft's way to the others.
func (n *network) transport(conf *raft.Config) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: raftStream{n.mux.raft, n.dialer}, MaxPool: 3, Logger: conf.Logger,
		// With requests in flight beside each other, a follower whose disk stalls can block replication to it until the
		// leader restarts.
		MaxRPCsInFlight: 1,
		// The longest that a connection without a reset, as after a partition, goes on being used.
		Timeout:                 max(10*conf.HeartbeatTimeout, time.Second),
		MsgpackUseNewTimeFormat: true,
	})
}

// peerAddress is where a node is now, or was last.
func (n *network) peerAddress(nodeID string) (string, bool) {
	m, ok := n.table.get(nodeID)
	return m.Peer, ok && m.Peer != ""
}

// peerAdvertised is this node's own address. A host name stays one, for the others to look up when they dial.
func (n *network) peerAdvertised(ctx context.Context) (string, error) {
	_, port, err := net.SplitHostPort(n.mux.listener.Addr().String())
	if err != nil {
		return "", fmt.Errorf("read own port: %w", err)
	}
	if n.conf.Advertise != "" {
		return net.JoinHostPort(n.conf.Advertise, port), nil
	}
	host, err := n.address(ctx)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

func (n *network) meta(hasState bool, term uint64) meta {
	draining, leaving, diskLow := n.flags.get()
	self, _ := n.table.get(n.nodeID)
	return meta{
		Peer: self.Peer, API: n.conf.API, Version: n.conf.Version, Cluster: n.origin.cluster(), Expect: n.conf.Expect,
		HasState: hasState, WorkerOnly: n.conf.WorkerOnly, Draining: draining, Leaving: leaving, DiskLow: diskLow,
		Term: term,
	}
}

// accept decides whether gossip may take a member up.
func (n *network) accept(m Member) error {
	if m.ID == n.nodeID {
		return nil
	}
	first, err := n.origin.accept(m)
	if err != nil && first {
		n.log.Warn("a node of another cluster is kept out", "node", m.ID, "address", m.Gossip, "its_cluster", m.Cluster, "this_cluster", n.origin.cluster())
	}
	return err
}

// logWrite logs an answer that could not be written: its caller is gone.
func (n *network) logWrite(err error) {
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		n.log.Debug("answer not delivered", "error", err)
	}
}

// Handle answers calls of other nodes to a path; Caller tells which. Bodies are at most 8 MiB. It panics on a node without
// a network and on a path that is taken.
func (n *Node) Handle(pattern string, h http.Handler) { n.net.calls.routes.Handle(pattern, h) }

// PeerClient returns a client that reaches one node, whatever host a URL names, and no other. Connections are pooled.
// Calls by GET, HEAD, PUT and DELETE, and those with an Idempotency-Key, are repeated once over a new connection.
func (n *Node) PeerClient(nodeID string) *http.Client { return n.net.calls.client(nodeID) }

// Call posts in as JSON to a path of another node and reads the answer into out, unless that is nil. It is never
// repeated. An answer that is an error is a *PeerError.
func (n *Node) Call(ctx context.Context, nodeID, path string, in, out any) error {
	return n.net.calls.callJSON(ctx, nodeID, path, in, out)
}

// PeerAddr is where the peer port listens.
func (n *Node) PeerAddr() net.Addr { return n.net.mux.listener.Addr() }

// GossipAddr is the address that others join this node at.
func (n *Node) GossipAddr() string { return n.net.gossip.address() }

// Members are the nodes that are known, alive or not, in order of their IDs; nil in a cluster of one.
func (n *Node) Members() []Member {
	if n.net == nil {
		return nil
	}
	return n.net.table.all()
}

// MembersChanged is closed by the next change of Members.
func (n *Node) MembersChanged() <-chan struct{} { return n.net.table.wait() }

// Quorate tells whether as many voters are alive, in gossip's opinion, as it takes to lead: without them nothing can be
// written. A cluster of one always is.
func (n *Node) Quorate() bool {
	servers, err := n.Servers()
	if err != nil || n.net == nil {
		return err == nil
	}
	voters, alive := 0, 0
	for _, s := range servers {
		if !s.Voter {
			continue
		}
		voters++
		if m, _ := n.net.table.get(s.ID); m.Alive {
			alive++
		}
	}
	return alive >= voters/2+1
}

// Servers are the members that hold the state, as this node knows it, and which of them vote.
func (n *Node) Servers() ([]Server, error) {
	servers, _, err := n.configuration()
	return servers, err
}
