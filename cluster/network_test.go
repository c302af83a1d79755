package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// founded is a recorder whose first entry is the cluster's ID.
type founded struct{ recorder }

const foundPrefix = "cluster "

func (f *founded) id() string {
	for _, e := range f.seen() {
		if id, ok := strings.CutPrefix(e, foundPrefix); ok {
			return id
		}
	}
	return ""
}

// commands are the entries besides the cluster's ID.
func (f *founded) commands() []string {
	return slices.DeleteFunc(f.seen(), func(e string) bool { return strings.HasPrefix(e, foundPrefix) })
}

// wires is the network of a test: every TCP connection and every datagram passes it.
type wires struct {
	mu    sync.Mutex
	owner map[string]string // address → machine
	cut   map[string]bool   // machines cut off
	open  map[*wire]struct{}
}

type wire struct {
	net.Conn
	from, to string
}

func newWires() *wires {
	return &wires{owner: map[string]string{}, cut: map[string]bool{}, open: map[*wire]struct{}{}}
}

func (w *wires) blocked(from, address string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	to := w.owner[address]
	return from != to && (w.cut[from] || w.cut[to])
}

func (w *wires) dialer(from string) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if w.blocked(from, address) {
			return nil, errors.New("no route to " + address)
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		c := &wire{conn, from, w.owner[address]}
		if c.from != c.to && (w.cut[c.from] || w.cut[c.to]) { // meanwhile
			conn.Close()
			return nil, errors.New("no route to " + address)
		}
		w.open[c] = struct{}{}
		return c, nil
	}
}

// isolate cuts a machine off, or takes it back.
func (w *wires) isolate(machine string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[machine] = yes
	for c := range w.open {
		if yes && (c.from == machine || c.to == machine) {
			c.Close()
			delete(w.open, c)
		}
	}
}

func (w *wires) own(address, machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner[address] = machine
}

// testCluster is a cluster in one process.
type testCluster struct {
	t     *testing.T
	wires *wires
	key   Key
	nodes []*testNode
}

type testNode struct {
	*Node
	name    string
	dir     string
	machine *founded
	conf    Config
	log     *logBuffer
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	return &testCluster{t: t, wires: newWires(), key: makeKey(t)}
}

// prepare makes a node that is not started.
func (c *testCluster) prepare(name string, expect int, join ...string) *testNode {
	n := &testNode{name: name, dir: c.t.TempDir()}
	n.conf = Config{
		NodeID: name, Multiplier: 0.2,
		Network: &Network{
			Keys: []Key{c.key}, Bind: "127.0.0.1", Join: join, Expect: expect, Version: "test",
			Dial: c.wires.dialer(name), Drop: func(a string) bool { return c.wires.blocked(name, a) },
			Timing: Timing{
				Probe: 100 * time.Millisecond, Rejoin: time.Second, Plan: 50 * time.Millisecond, Stable: 300 * time.Millisecond,
				FailedVoter: time.Hour,
			},
		},
	}
	c.nodes = append(c.nodes, n)
	return n
}

// start starts a prepared or stopped node.
func (c *testCluster) start(n *testNode) {
	c.t.Helper()
	n.machine, n.log = &founded{}, &logBuffer{}
	conf, network := n.conf, *n.conf.Network
	conf.Dir, conf.Machine, conf.Network = filepath.Join(n.dir, "raft"), n.machine, &network
	conf.Logger = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", n.name)
	network.Dir, network.ClusterID = n.dir, n.machine.id
	network.Found = func(id string) ([]byte, error) { return []byte(foundPrefix + id), nil }
	node, err := Start(deadline(c.t), conf)
	if err != nil {
		c.t.Fatal(err)
	}
	n.Node = node
	c.wires.own(node.PeerAddr().String(), n.name)
	c.wires.own(node.GossipAddr(), n.name)
	c.t.Cleanup(func() {
		stop(c.t, node)
		if c.t.Failed() {
			text := n.log.String()
			c.t.Logf("log of %s, its end:\n%s", n.name, text[max(0, len(text)-6000):])
		}
	})
}

// form starts nodes that make a cluster together.
func (c *testCluster) form(names ...string) {
	c.t.Helper()
	var seeds []string
	for _, name := range names {
		n := c.prepare(name, len(names), seeds...)
		c.start(n)
		seeds = append(seeds, n.GossipAddr())
	}
	c.leader()
}

// running are the nodes that have been started and not stopped.
func (c *testCluster) running() []*testNode {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *testNode) bool { return n.Node == nil })
}

func (c *testCluster) stop(n *testNode) {
	c.t.Helper()
	stop(c.t, n.Node)
	n.Node = nil
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(60 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// leader waits until a node leads a founded cluster.
func (c *testCluster) leader() (leader *testNode) {
	c.t.Helper()
	eventually(c.t, "a leader", func() bool {
		for _, n := range c.running() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			ok := n.IsLeader() && n.Verify(ctx) == nil && n.machine.id() != ""
			if cancel(); ok {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// apply commits a command on whoever leads, again and again until it is known to be done.
func (c *testCluster) apply(command string) {
	c.t.Helper()
	eventually(c.t, "apply "+command, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := c.leader().Apply(ctx, []byte(command))
		return err == nil
	})
}

// everywhere waits until all nodes that run have seen a command.
func (c *testCluster) everywhere(command string) {
	c.t.Helper()
	for _, n := range c.running() {
		eventually(c.t, n.name+" has "+command, func() bool { return slices.Contains(n.machine.commands(), command) })
	}
}

// voters waits until the leader's configuration has voters and servers in such numbers.
func (c *testCluster) voters(voters, servers int) {
	c.t.Helper()
	var got []Server
	eventually(c.t, fmt.Sprintf("%d voters of %d servers", voters, servers), func() bool {
		var err error
		got, err = c.leader().Servers()
		count := 0
		for _, s := range got {
			if s.Voter {
				count++
			}
		}
		return err == nil && count == voters && len(got) == servers
	})
}

func TestThreeNodes(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	c.apply("one")
	c.everywhere("one")

	old := c.leader()
	c.stop(old)
	c.apply("two")
	c.everywhere("two")
	if now := c.leader(); now.name == old.name {
		t.Errorf("%s leads on", now.name)
	}

	c.start(old) // with another port, for it takes any that is free
	c.everywhere("two")
	c.voters(3, 3)
	for _, n := range c.running() {
		eventually(t, n.name+" knows the leader", func() bool { return n.LeaderID() == c.leader().name })
	}
}

func TestFiveNodesAndGrowth(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c", "d", "e")
	c.voters(5, 5)
	c.apply("one")
	c.everywhere("one")
	c.start(c.prepare("f", 5, c.nodes[1].GossipAddr()))
	c.voters(5, 6)
	c.everywhere("one")
}

func TestGrowFromOne(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	c.apply("one")
	c.voters(1, 1)
	seed := c.nodes[0].GossipAddr()
	c.start(c.prepare("b", 1, seed))
	c.voters(1, 2)
	c.start(c.prepare("c", 1, seed))
	c.voters(3, 3)
	c.everywhere("one")
	c.stop(c.nodes[0])
	c.apply("two")
	c.everywhere("two")
}

func TestLeave(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c", "d")
	c.voters(3, 4)
	c.apply("one")
	for _, want := range []struct{ voters, servers int }{{3, 3}, {1, 2}, {1, 1}} {
		gone := c.leader()
		if err := gone.Leave(deadline(t)); err != nil {
			t.Fatal(err)
		}
		c.stop(gone)
		c.voters(want.voters, want.servers)
		c.apply("after " + gone.name)
		c.everywhere("after " + gone.name)
	}
	if err := c.leader().Leave(deadline(t)); err != nil {
		t.Errorf("the last node cannot leave: %v", err)
	}
}

func TestFollowerLeaves(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	gone := c.running()[slices.IndexFunc(c.running(), func(n *testNode) bool { return !n.IsLeader() })]
	if err := gone.Leave(deadline(t)); err != nil {
		t.Fatal(err)
	}
	c.stop(gone)
	c.voters(1, 2)
	c.apply("one")
	c.everywhere("one")
}

// TestWipedNode starts a node with an empty directory, hence another ID, on the ports of one that is gone.
func TestWipedNode(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.apply("one")
	c.voters(3, 3)
	gone := c.nodes[2]
	gone.keepPorts(t)
	c.stop(gone)
	fresh := c.prepare("z", 3, c.nodes[0].GossipAddr())
	fresh.conf.Network.PeerPort, fresh.conf.Network.GossipPort = gone.conf.Network.PeerPort, gone.conf.Network.GossipPort
	c.start(fresh)
	eventually(t, "z in the place of c", func() bool {
		servers, err := c.leader().Servers()
		return err == nil && len(servers) == 3 && slices.Contains(servers, Server{"z", true})
	})
	c.everywhere("one")
}

// TestIsolation cuts a node off for long enough to be forgotten, and to forget everybody.
func TestIsolation(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	lost := c.leader()
	c.wires.isolate(lost.name, true)
	others := slices.DeleteFunc(c.running(), func(n *testNode) bool { return n == lost })
	forgotten := func(n *testNode, who string) bool {
		m, ok := n.net.table.get(who)
		return ok && !m.Alive
	}
	eventually(t, "the others have given the node up", func() bool {
		return forgotten(others[0], lost.name) && forgotten(others[1], lost.name)
	})
	eventually(t, "the node has given the others up", func() bool {
		return forgotten(lost, others[0].name) && forgotten(lost, others[1].name) && !lost.IsLeader()
	})
	if _, err := lost.Apply(deadline(t), []byte("lost")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("the minority wrote: %v", err)
	}
	c.apply("meanwhile")
	// Memberlist forgets a dead node after 30 probe intervals: from then on only the join loop can bring them together.
	m, _ := lost.net.table.get(others[0].name)
	eventually(t, "both sides have forgotten the other", func() bool {
		return time.Since(m.Since) > 2*deadAfterProbe*lost.conf.Network.Timing.Probe
	})
	c.wires.isolate(lost.name, false)
	c.everywhere("meanwhile")
	for _, n := range c.running() {
		eventually(t, n.name+" sees all", func() bool { return len(n.net.table.alive()) == 2 })
	}
}

func TestRestartOfAll(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.apply("one")
	c.everywhere("one")
	id := c.leader().machine.id()
	for _, n := range c.nodes {
		n.conf.Network.Join = nil // the file of the last members has to do
		n.keepPorts(t)
		c.stop(n)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	c.voters(3, 3)
	c.apply("two")
	c.everywhere("two")
	if got := c.leader().machine.id(); got != id {
		t.Errorf("the cluster was %s and is %s", id, got)
	}
}

// keepPorts makes the next start listen where the node listens now.
func (n *testNode) keepPorts(t *testing.T) {
	t.Helper()
	for address, port := range map[string]*int{n.PeerAddr().String(): &n.conf.Network.PeerPort, n.GossipAddr(): &n.conf.Network.GossipPort} {
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if *port, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOtherKey(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	stranger := c.prepare("s", 0, c.nodes[0].GossipAddr())
	stranger.conf.Network.Keys = []Key{makeKey(t)}
	c.start(stranger)
	const line = "does not have this cluster's key"
	for _, n := range c.nodes {
		eventually(t, n.name+" says that the key is another", func() bool { return strings.Contains(n.log.String(), line) })
	}
	if got := c.nodes[0].Members(); len(got) != 1 {
		t.Errorf("the stranger is in: %v", got)
	}
	// The peer port, which a stranger would have to guess.
	stranger.net.table.put(Member{ID: "a", Peer: c.nodes[0].PeerAddr().String()}, time.Now())
	if err := stranger.Call(deadline(t), "a", statusPath, struct{}{}, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the peer port says so, too", func() bool {
		return strings.Contains(c.nodes[0].log.String(), "msg=\"peer 127.0.0.1:") // with its port, unlike gossip's line
	})
}

func TestTwoClustersNeverMerge(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	first := c.nodes[0]
	second := &testCluster{t: t, wires: c.wires, key: c.key}
	second.form("z")
	// A third node names both, and one node of a cluster names the other's.
	between := c.prepare("m", 0, first.GossipAddr(), second.nodes[0].GossipAddr())
	c.start(between)
	eventually(t, "one cluster has the node between", func() bool {
		return between.machine.id() != ""
	})
	if err := second.nodes[0].net.gossip.join(first.GossipAddr()); err != nil {
		t.Log(err) // refused already by memberlist, or its members one by one
	}
	for _, n := range []*testNode{first, second.nodes[0]} {
		eventually(t, n.name+" keeps the other out", func() bool { return strings.Contains(n.log.String(), "of another cluster is kept out") })
	}
	has := func(n *testNode, id string) bool {
		servers, err := n.Servers()
		return err != nil || slices.ContainsFunc(servers, func(s Server) bool { return s.ID == id })
	}
	if has(first, "z") || has(second.nodes[0], "a") || has(first, "m") == has(second.nodes[0], "m") {
		t.Error("the clusters have merged")
	}
	if first.machine.id() == second.nodes[0].machine.id() {
		t.Error("the clusters have one ID")
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newTestCluster(t)
	n := c.prepare("a", 1)
	n.conf.Logger = slog.New(slog.DiscardHandler)
	n.conf.Dir, n.conf.Machine = filepath.Join(n.dir, "raft"), &recorder{}
	n.conf.Network.Dir, n.conf.Network.ClusterID = n.dir, func() string { return "" }
	n.conf.Network.Found = func(string) ([]byte, error) { return nil, nil }
	port := l.Addr().(*net.TCPAddr).Port
	for what, set := range map[string]func(*Network){
		"peer port":   func(w *Network) { w.PeerPort, w.GossipPort = port, 0 },
		"gossip port": func(w *Network) { w.PeerPort, w.GossipPort = 0, port },
	} {
		set(n.conf.Network)
		node, err := Start(deadline(t), n.conf)
		if err == nil {
			stop(t, node)
			t.Fatalf("%s: started", what)
		}
		if !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(n.dir, "raft", "raft.db")); err != nil {
		t.Error(err)
	}
}
