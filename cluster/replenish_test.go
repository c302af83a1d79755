package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tended is a test cluster whose nodes keep two copies of everything that was put.
type tended struct {
	*testCluster
	spools map[*testNode]*SharedSpool
	used   map[[32]byte]bool
}

// startTended starts a node with a spool, and tends it.
func (c *tended) startTended(n *testNode) {
	c.t.Helper()
	n.conf.Network.Timing.Replenish = time.Second
	c.start(n)
	local, err := OpenSpool(filepath.Join(n.dir, "spool"))
	if err != nil {
		c.t.Fatal(err)
	}
	s := n.ShareSpool(local)
	c.spools[n] = s
	n.net.run(func(ctx context.Context) {
		s.Tend(ctx, func(context.Context) (map[[32]byte]bool, error) { return c.used, nil })
	})
}

// lose ends a node.
func (c *tended) lose(n *testNode) {
	c.t.Helper()
	c.stop(n)
	delete(c.spools, n)
}

func (c *tended) copies(name [32]byte) (n int) {
	for _, s := range c.spools {
		if _, err := s.local.Get(deadline(c.t), name); err == nil {
			n++
		}
	}
	return n
}

func (c *tended) everythingTwice() {
	c.t.Helper()
	eventually(c.t, "everything is there twice", func() bool {
		for name := range c.used {
			if c.copies(name) < 2 {
				return false
			}
		}
		return true
	})
}

// TestSecondCopiesAreMadeAgain wipes one of three nodes, then takes another away for good: nothing is missing.
func TestSecondCopiesAreMadeAgain(t *testing.T) {
	c := &tended{testCluster: newTestCluster(t), spools: map[*testNode]*SharedSpool{}, used: map[[32]byte]bool{}}
	const segments = 24
	var contents []string
	for i := range segments {
		text := fmt.Sprint("segment ", i)
		contents = append(contents, text)
		c.used[sha256.Sum256([]byte(text))] = true
	}
	var seeds []string
	for _, name := range []string{"a", "b", "c"} {
		n := c.prepare(name, 3, seeds...)
		c.startTended(n)
		seeds = append(seeds, n.GossipAddr())
	}
	a, b, wiped := c.nodes[0], c.nodes[1], c.nodes[2]
	c.voters(3, 3)
	c.everybodySeesAll()
	names := map[[32]byte]string{}
	for i, text := range contents {
		name, err := c.spools[c.nodes[i%3]].Put(deadline(t), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		names[name] = text
	}
	unused, err := c.spools[wiped].Put(deadline(t), []byte("nothing refers to this"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.copies(unused); got != 2 {
		t.Fatalf("%d copies of what is not used yet", got)
	}

	wiped.keepPorts(t)
	c.lose(wiped)
	if err := os.RemoveAll(wiped.dir); err != nil {
		t.Fatal(err)
	}
	again := c.prepare("d", 3, seeds[:2]...)
	again.conf.Network.PeerPort, again.conf.Network.GossipPort = wiped.conf.Network.PeerPort, wiped.conf.Network.GossipPort
	c.startTended(again)
	c.voters(3, 3)
	c.everythingTwice()
	if got := c.copies(unused); got != 1 {
		t.Errorf("%d copies of what nothing refers to", got)
	}

	c.lose(b)
	for name, text := range names {
		for _, n := range []*testNode{a, again} {
			got, err := c.spools[n].Get(deadline(t), name)
			if err != nil || string(got) != text {
				t.Errorf("%s: %q of node %s: %v", text, got, n.name, err)
			}
		}
	}
}

// TestNoCopiesForANodeThatRestarts leaves the segments of a node alone that has just gone: it may come back with them.
func TestNoCopiesForANodeThatRestarts(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	c.everybodySeesAll()
	s := c.spools()[0]
	gone := c.nodes[2]
	if !s.settled(time.Now()) {
		t.Error("not settled with all nodes there")
	}
	c.stop(gone)
	eventually(t, "it is seen to be gone", func() bool { m, _ := c.nodes[0].net.table.get("c"); return !m.Alive })
	if s.settled(time.Now()) {
		t.Error("settled though a member has just gone")
	}
	if !s.settled(time.Now().Add(gone.conf.Network.Timing.FailedVoter)) {
		t.Error("not settled long after it has gone")
	}
	c.nodes[0].net.table.update("c", func(m *Member) { m.Leaving = true })
	if !s.settled(time.Now()) {
		t.Error("not settled though it has left")
	}
}

// TestSweepSparesWhatIsStoredAgain: old content that is put again is about to be named by a command.
func TestSweepSparesWhatIsStoredAgain(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	s := c.spools()[0]
	name, err := s.Put(deadline(t), []byte("again"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(s.local.path(name), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(deadline(t), []byte("again")); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(deadline(t), time.Now().Add(-time.Hour), func([32]byte) bool { return false }); n != 0 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
}
