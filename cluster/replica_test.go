package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// spools shares a spool on every node that runs.
func (c *testCluster) spools() []*SharedSpool {
	c.t.Helper()
	var all []*SharedSpool
	for _, n := range c.running() {
		local, err := OpenSpool(filepath.Join(n.dir, "spool"))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, n.ShareSpool(local))
	}
	return all
}

func (c *testCluster) everybodySeesAll() {
	c.t.Helper()
	for _, n := range c.running() {
		eventually(c.t, n.name+" sees all, in one cluster", func() bool {
			all := n.net.table.alive()
			for _, m := range all {
				if m.Cluster == "" || m.Cluster != n.net.origin.cluster() {
					return false
				}
			}
			return len(all) == len(c.running())-1
		})
	}
}

func copies(t *testing.T, spools []*SharedSpool, name [32]byte) (n int) {
	t.Helper()
	for _, s := range spools {
		if _, err := s.local.Get(deadline(t), name); err == nil {
			n++
		} else if !errors.Is(err, ErrNoSegment) {
			t.Fatal(err)
		}
	}
	return n
}

func TestSpoolKeepsTwoCopies(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	spools := c.spools()
	c.everybodySeesAll()
	data := bytes.Repeat([]byte("x"), MaxSegment)
	name, err := spools[0].Put(deadline(t), data)
	if err != nil {
		t.Fatal(err)
	}
	if got := copies(t, spools, name); got != 2 {
		t.Errorf("%d copies", got)
	}
	for i, s := range spools {
		got, err := s.Peek(deadline(t), name)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("spool %d: %v", i, err)
		}
	}
	if got := copies(t, spools, name); got != 2 {
		t.Errorf("%d copies after all have peeked at it", got)
	}
	for i, s := range spools {
		got, err := s.Get(deadline(t), name)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("spool %d: %v", i, err)
		}
	}
	if got := copies(t, spools, name); got != 3 {
		t.Errorf("%d copies after all have read it", got)
	}
	if _, err := spools[0].Get(deadline(t), sha256.Sum256([]byte("nobody has this"))); !errors.Is(err, ErrNoSegment) {
		t.Errorf("got %v", err)
	}
}

func TestSpoolOfOneNodeGetsItsSecondCopyLater(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	first := c.spools()[0]
	name, err := first.Put(deadline(t), []byte("alone"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Singles() != 1 {
		t.Errorf("%d segments with one copy", first.Singles())
	}
	b := c.prepare("b", 1, c.nodes[0].GossipAddr())
	c.start(b)
	local, err := OpenSpool(filepath.Join(b.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	b.ShareSpool(local)
	eventually(t, "a second copy", func() bool {
		_, err := local.Get(deadline(t), name)
		return err == nil && first.Singles() == 0
	})
}

// TestSpoolSurvivesItsNode reads what a node wrote that is gone.
func TestSpoolSurvivesItsNode(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	spools := c.spools()
	c.everybodySeesAll()
	name, err := spools[2].Put(deadline(t), []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	c.stop(c.nodes[2])
	for _, s := range spools[:2] {
		if got, err := s.Get(deadline(t), name); err != nil || string(got) != "kept" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := spools[0].Replicate(deadline(t), name); err != nil {
		t.Error(err)
	}
	if got := copies(t, spools[:2], name); got != 2 {
		t.Errorf("%d copies on those that are left", got)
	}
}

// TestSpoolWithAFullPeer stores the second copy elsewhere, or fails where there is no elsewhere.
func TestSpoolWithAFullPeer(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	spools := c.spools()
	c.everybodySeesAll()
	full := func(string) (uint64, uint64, error) { return 0, 1 << 40, nil }
	spools[1].local.space = full
	for _, text := range []string{"one", "two", "three", "four"} { // some would go to the full one first
		if _, err := spools[0].Put(deadline(t), []byte(text)); err != nil {
			t.Error(err)
		}
	}
	spools[2].local.space = full
	if _, err := spools[0].Put(deadline(t), []byte("five")); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("got %v", err)
	}
}

func TestSpoolRepairsAndRefusesCorruption(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b")
	spools := c.spools()
	c.everybodySeesAll()
	name, err := spools[0].Put(deadline(t), []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spools[0].local.path(name), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := spools[0].Get(deadline(t), name); err != nil || string(got) != "right" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := spools[0].local.Get(deadline(t), name); err != nil || string(got) != "right" {
		t.Errorf("not repaired: %q, %v", got, err)
	}
	// What does not match its name is not taken.
	err = spools[0].send(deadline(t), "b", name, []byte("left"))
	var refusal *PeerError
	if !errors.As(err, &refusal) || refusal.Code != codeBadSegment {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"zz", hex.EncodeToString(name[:4])} {
		_, err := c.nodes[0].net.calls.call(deadline(t), "b", http.MethodGet, spoolPath+path, nil)
		if !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSweep(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	s := c.spools()[0]
	var names [][32]byte
	for _, text := range []string{"one", "two", "three"} {
		name, err := s.Put(deadline(t), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	keep := func(name [32]byte) bool { return name == names[1] }
	if n, err := s.Sweep(deadline(t), time.Now().Add(-time.Hour), keep); n != 0 || err != nil {
		t.Errorf("%d young segments removed, %v", n, err)
	}
	if n, err := s.Sweep(deadline(t), time.Now().Add(time.Hour), keep); n != 2 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := s.Get(deadline(t), names[1]); err != nil || s.Singles() != 1 {
		t.Errorf("%v, %d singles", err, s.Singles())
	}
}
