package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFounders(t *testing.T) {
	node := func(id string, change ...func(*Member)) Member {
		m := Member{ID: id, Alive: true, Expect: 3}
		for _, f := range change {
			f(&m)
		}
		return m
	}
	tests := []struct {
		name    string
		members []Member
		self    string
		want    []string
	}{
		{"too few", []Member{node("a"), node("b")}, "a", nil},
		{"enough", []Member{node("c"), node("b"), node("a")}, "b", []string{"a", "b", "c"}},
		{"the lowest of more", []Member{node("a"), node("b"), node("c"), node("d")}, "a", []string{"a", "b", "c"}},
		{"not among them", []Member{node("a"), node("b"), node("c"), node("d")}, "d", nil},
		{"one has state", []Member{node("a"), node("b"), node("c"), node("d", func(m *Member) { m.HasState = true })}, "a", nil},
		{"one knows a cluster", []Member{node("a"), node("b"), node("c", func(m *Member) { m.Cluster = "x" })}, "a", nil},
		{"one expects another number", []Member{node("a"), node("b"), node("c", func(m *Member) { m.Expect = 2 })}, "a", nil},
		{"one is dead", []Member{node("a"), node("b"), node("c", func(m *Member) { m.Alive = false })}, "a", nil},
		{"one only works", []Member{node("a"), node("b"), node("c", func(m *Member) { m.WorkerOnly = true })}, "a", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, founders(test.members, test.self, 3)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFoundation(t *testing.T) {
	for n, voters := range map[int]int{1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 7: 5} {
		var ids []string
		for i := range n {
			ids = append(ids, string(rune('a'+i)))
		}
		got := 0
		for _, s := range foundation(ids).Servers {
			if s.Suffrage == 0 {
				got++
			}
		}
		if got != voters {
			t.Errorf("%d founders: %d voters", n, got)
		}
	}
}

// TestPledges binds a node to one list at a time.
func TestPledges(t *testing.T) {
	o, err := openOrigin(filepath.Join(t.TempDir(), "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	n := &network{nodeID: "b", table: newTable(), origin: o}
	n.conf.Expect, n.conf.Timing.Probe = 3, time.Hour
	for _, id := range []string{"a", "b", "c"} {
		n.table.put(Member{ID: id, Alive: true, Expect: 3}, planNow)
	}
	first, second := []string{"a", "b", "c"}, []string{"_", "a", "b"}
	b := newBootstrap(n, false)
	if err := b.pledge(second); err == nil {
		t.Error("pledged to a list that it does not see")
	}
	for range 2 {
		if err := b.pledge(first); err != nil {
			t.Error(err)
		}
	}
	n.table.put(Member{ID: "_", Alive: true, Expect: 3}, planNow) // from now on it sees the second list
	if err := b.pledge(second); err == nil {
		t.Error("pledged to two lists")
	}
	if _, err := o.accept(Member{ID: "x", Cluster: "other"}); err != nil {
		t.Error(err)
	}
	if o.id != "" {
		t.Error("took a cluster's ID while pledged")
	}
	b.until = time.Now()
	if err := b.pledge(second); err != nil {
		t.Error(err)
	}
	if err := newBootstrap(n, true).pledge(second); err == nil {
		t.Error("pledged right after a restart")
	}
	o.hasState(true)
	if err := newBootstrap(n, false).pledge(second); err == nil {
		t.Error("pledged with a state")
	}
}

func TestOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	reopen := func() *origin {
		t.Helper()
		o, err := openOrigin(path)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := reopen()
	accept := func(cluster string) error {
		_, err := o.accept(Member{ID: "m" + cluster, Cluster: cluster})
		return err
	}
	if err := accept(""); err != nil || o.cluster() != "" {
		t.Error(err, o.cluster())
	}
	if err := accept("x"); err != nil {
		t.Error(err)
	}
	if o.cluster() != "" {
		t.Error("told before it is kept")
	}
	if err := accept("y"); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a second cluster: %v", err)
	}
	if first, err := o.accept(Member{ID: "my", Cluster: "y"}); err == nil || first {
		t.Error("refused for the first time twice")
	}
	if err := o.learn(""); err != nil || o.cluster() != "x" {
		t.Error(err, o.cluster())
	}
	o = reopen()
	if o.cluster() != "x" {
		t.Errorf("after a restart the cluster is %q", o.cluster())
	}
	if err := o.learn("x"); err != nil {
		t.Error(err)
	}
	if err := o.learn("y"); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a state of another cluster: %v", err)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openOrigin(path); err == nil {
		t.Error("a broken file is read")
	}
}

// TestOriginOfAState takes no ID from others once there is a state, for the state will have one.
func TestOriginOfAState(t *testing.T) {
	o, err := openOrigin(filepath.Join(t.TempDir(), "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	o.hasState(true)
	if _, err := o.accept(Member{ID: "a", Cluster: "x"}); err != nil {
		t.Error(err)
	}
	if err := o.learn("y"); err != nil || o.cluster() != "y" {
		t.Error(err, o.cluster())
	}
	if _, err := o.accept(Member{ID: "a", Cluster: "x"}); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("got %v", err)
	}
}

func TestStartsAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starts")
	for want := range uint64(3) {
		if got, err := countStart(path); err != nil || got != want+1 {
			t.Errorf("%d, %v", got, err)
		}
	}
	if err := os.WriteFile(path, []byte("many"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := countStart(path); err == nil {
		t.Error("a broken file is read")
	}
}

func TestTable(t *testing.T) {
	tb := newTable()
	at := func(s int) time.Time { return planNow.Add(time.Duration(s) * time.Second) }
	tb.put(Member{ID: "a", Start: 2, Alive: true}, at(0))
	changed := tb.wait()
	tb.put(Member{ID: "a", Start: 2, Alive: true}, at(1))
	tb.put(Member{ID: "a", Start: 1, Alive: true, Peer: "old"}, at(1)) // a late message of the life before
	tb.lost("a", 1, at(1))
	tb.lost("nobody", 1, at(1))
	select {
	case <-changed:
		t.Error("nothing has changed, and it is said to")
	default:
	}
	tb.lost("a", 2, at(2))
	<-changed
	if m, _ := tb.get("a"); m.Alive || !m.Since.Equal(at(2)) {
		t.Errorf("%+v", m)
	}
	tb.update("a", func(m *Member) { m.Leaving = true })
	tb.put(Member{ID: "a", Start: 2}, at(3))
	if m, _ := tb.get("a"); !m.Leaving {
		t.Error("it was said to leave, and stays")
	}
	tb.put(Member{ID: "a", Start: 3, Alive: true}, at(4))
	if m, _ := tb.get("a"); m.Leaving || !m.Alive || !m.Since.Equal(at(4)) {
		t.Errorf("a new life: %+v", m)
	}
	tb.put(Member{ID: "self", Alive: true, Self: true}, at(4))
	if got := tb.alive(); len(got) != 1 || got[0].ID != "a" {
		t.Errorf("%v", got)
	}
	tb.remove("a")
	if len(tb.all()) != 1 {
		t.Errorf("%v", tb.all())
	}
}

func TestMembersAreKept(t *testing.T) {
	n := &network{nodeID: "self", table: newTable(), log: slog.New(slog.DiscardHandler)}
	n.conf.Dir = t.TempDir()
	n.table.put(Member{ID: "self", Self: true, Alive: true, Peer: "s"}, planNow)
	n.table.put(Member{ID: "a", Start: 4, Alive: true, Peer: "p", Gossip: "g", Cluster: "c", Term: 3}, planNow)
	n.table.put(Member{ID: "b", Peer: "p2", Gossip: "g2"}, planNow)
	n.table.put(Member{ID: "gone", Leaving: true}, planNow)
	if err := n.saveMembers(n.addresses()); err != nil {
		t.Fatal(err)
	}
	n.table = newTable()
	if err := n.loadMembers(); err != nil {
		t.Fatal(err)
	}
	got := n.table.all()
	if len(got) != 2 || !got[1].Since.Equal(planNow) || got[0].Since.Before(planNow) {
		t.Fatalf("%+v", got)
	}
	got[0].Since, got[1].Since = time.Time{}, time.Time{}
	want := []Member{{ID: "a", Start: 4, Peer: "p", Gossip: "g", Cluster: "c"}, {ID: "b", Peer: "p2", Gossip: "g2"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := os.WriteFile(n.membersPath(), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.loadMembers(); err != nil { // it is only a help
		t.Error(err)
	}
}

func TestSeedsAreResolved(t *testing.T) {
	for seed, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:7462", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "::1": "[::1]:7462",
	} {
		got, err := resolveSeed(deadline(t), seed)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v", seed, got, err)
		}
	}
	if got, err := resolveSeed(deadline(t), "localhost:1"); err != nil || !slices.Contains(got, "127.0.0.1:1") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGossipLog(t *testing.T) {
	var buf logBuffer
	l := gossipLogger(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	for range 2 {
		l.Printf("[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=10.0.0.9:4711")
	}
	l.Printf("[ERR] memberlist: discarding stream with unacceptable label %q: from=[::1]:4711", "x")
	l.Printf("[ERR] memberlist: Push/Pull with x failed")
	l.Printf("[WARN] memberlist: Refuting a suspect message")
	got := buf.String()
	for text, want := range map[string]int{
		`level=WARN msg="peer 10.0.0.9 does not have this cluster's key"`: 1,
		`level=WARN msg="peer ::1 is of a cluster with another label"`:    1,
		`level=INFO msg="Push/Pull with x failed" component=gossip`:       1,
		`Refuting`: 0,
	} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("%q is there %d times, want %d, in:\n%s", text, n, want, got)
		}
	}
}

// TestRecover loses two of three nodes for good and goes on with the third.
func TestRecover(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	c.apply("one")
	c.everywhere("one")
	id := c.leader().machine.id()
	for _, n := range c.nodes {
		c.stop(n)
	}
	left := c.nodes[1]
	dir := &Dir{Path: left.dir, NodeID: left.name}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if err := Recover(deadline(t), dir, &recorder{}, []string{"a"}, log); err == nil {
		t.Error("recovered without itself")
	}
	empty := &Dir{Path: t.TempDir(), NodeID: "x"}
	if err := Recover(deadline(t), empty, &recorder{}, []string{"x"}, log); !errors.Is(err, ErrNoState) {
		t.Errorf("got %v", err)
	}
	if err := Recover(deadline(t), dir, &recorder{}, []string{"b", "b"}, log); err != nil {
		t.Fatal(err)
	}
	left.conf.Network.Join = nil
	c.start(left)
	c.voters(1, 1)
	c.apply("two")
	if d := cmp.Diff([]string{"one", "two"}, left.machine.commands()); d != "" {
		t.Error(d)
	}
	if left.machine.id() != id {
		t.Error("the cluster has another ID")
	}
	c.start(c.prepare("d", 0, left.GossipAddr()))
	c.voters(1, 2)
	c.everywhere("two")
}

// TestChangedAddress moves a machine to another address while its node runs.
func TestChangedAddress(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b")
	var moved atomic.Bool
	n := c.prepare("m", 2, c.nodes[0].GossipAddr())
	n.conf.Network.Bind = "0.0.0.0"
	n.conf.Network.address = func(context.Context) (string, error) {
		if moved.Load() {
			return "127.0.0.2", nil
		}
		return "127.0.0.1", nil
	}
	c.start(n)
	c.voters(3, 3)
	c.everybodySeesAll()
	// Nobody is at the old address any more, so that only the node itself can tell of the new one.
	c.wires.own(n.GossipAddr(), "nobody")
	c.wires.own(fmt.Sprintf("127.0.0.1:%d", n.PeerAddr().(*net.TCPAddr).Port), "nobody")
	c.wires.isolate("nobody", true)
	moved.Store(true)
	for _, other := range c.nodes[:2] {
		eventually(t, other.name+" knows the new address", func() bool {
			m, _ := other.net.table.get("m")
			return m.Alive && strings.HasPrefix(m.Peer, "127.0.0.2:") && strings.HasPrefix(m.Gossip, "127.0.0.2:")
		})
	}
	c.apply("moved")
	c.everywhere("moved")
}

// TestFiveNodesExpectThree starts a fourth and a fifth node with the founders' command line, at the same time as them.
func TestFiveNodesExpectThree(t *testing.T) {
	c := newTestCluster(t)
	var seeds []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		n := c.prepare(name, 3, seeds...)
		c.start(n)
		seeds = append(seeds, n.GossipAddr())
	}
	c.voters(5, 5)
	c.apply("one")
	c.everywhere("one")
	ids := map[string]bool{}
	for _, n := range c.running() {
		ids[n.machine.id()] = true
	}
	if len(ids) != 1 {
		t.Errorf("%d clusters", len(ids))
	}
}

func TestDraining(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b")
	for _, on := range []bool{true, false} {
		if err := c.nodes[0].SetDraining(on); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other knows", func() bool {
			m, _ := c.nodes[1].net.table.get("a")
			return m.Draining == on
		})
	}
}

// TestWorkerOnly is never a server, and still knows the leader.
func TestWorkerOnly(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b")
	w := c.prepare("w", 0, c.nodes[0].GossipAddr())
	w.conf.Network.WorkerOnly = true
	c.start(w)
	eventually(t, "the worker knows the leader", func() bool { return w.LeaderID() == c.leader().name })
	c.apply("one")
	c.voters(1, 2)
	if w.raft.LastIndex() != 0 {
		t.Error("the worker has a log")
	}
}
