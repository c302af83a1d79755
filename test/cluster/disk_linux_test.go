package cluster_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	diskSize = "440m"    // of a data directory's file system; a node needs 256 MiB of it to be free
	diskLess = 240 << 20 // what is written beside the data to make it nearly full
)

// TestLeaderDiskFillsUpMidJob fills the leader's disk: another node leads, the work goes on elsewhere, and comes back with
// the room.
func TestLeaderDiskFillsUpMidJob(t *testing.T) {
	beside(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("file systems of a test's own need root")
		}
		t.Skip("file systems of a test's own need root")
	}
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		mountSmall(t, n.data)
		n.start(t)
	}
	c.waitWhole(t)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 30, startLimit)
	full, others := c.leader(t)
	witness, id := others[0], full.id(t)
	filler := filepath.Join(full.data, "filler")
	if err := os.WriteFile(filler, make([]byte, diskLess), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, startLimit, "another node leads, and the full one holds nothing and says why", func() bool {
		m, ok := witness.machines(t)
		return ok && !m.Stale && m.Leader != "" && m.Leader != id && m.busy(id) == 0 && m.disk(id) == "low"
	})
	t.Logf("another node led, and the full one held nothing, after %v", time.Since(begin))
	full.waitSaid(t, "nearly full", "gives its work back")
	done := j.tasksDone(t, witness)
	eventually(t, startLimit, "the others work on", func() bool { return j.tasksDone(t, witness) > done+5 })
	if m, ok := witness.machines(t); !ok || m.busy(id) != 0 || m.state(id) != "alive" {
		t.Errorf("the full node has work again: %v", m)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, startLimit, "the node with room again works", func() bool {
		m, ok := witness.machines(t)
		return ok && m.disk(id) == "" && m.busy(id) > 0
	})
	j.proxy.Clear()
	d := j.finish(t, witness, time.Minute)
	if d.Tasks["failed"] != 0 {
		t.Errorf("%d tasks were given up", d.Tasks["failed"])
	}
	j.checkSameEverywhere(t, c)
}

// mountSmall makes a folder a small file system of its own.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize+",mode=0700"); err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// disk is what a node's disk is said to be, by its ID.
func (m machines) disk(id string) string {
	for _, n := range m.Nodes {
		if n.ID == id {
			return n.Disk
		}
	}
	return "(unknown node)"
}
