package cluster_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestRecoverAfterTwoOfThreeAreLost loses two of three nodes for good in the middle of a job: the third goes on with it, alone
// first, then with new ones.
func TestRecoverAfterTwoOfThreeAreLost(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 1000)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 50, startLimit)
	// Segments are on two nodes; with both goes what the job has yet to do. The one that listed has one of each.
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(len(a.segments(t)), len(b.segments(t))) })
	left := c.nodes[2]
	done := j.tasksDone(t, left)
	eventually(t, startLimit, "tasks end", func() bool { return j.tasksDone(t, left) > done })
	for _, n := range c.nodes[:2] {
		n.kill(t)
		if err := os.RemoveAll(n.data); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, startLimit, "the one that is left knows no leader", func() bool {
		m, ok := left.machines(t)
		return ok && m.Leader == "" && m.Stale
	})
	before, ok := j.status(t, left)
	if !ok || before.State != "running" {
		t.Fatalf("the job is %q when the quorum is lost", before.State)
	}
	if _, err := left.brigade("raft", "recover", "--yes"); err == nil {
		t.Error("a running node was recovered")
	}
	left.stop(t)
	t.Logf("it says: %s", left.must(t, "raft", "recover", "--yes"))
	c.nodes = c.nodes[2:]
	c.expect = 1
	left.start(t)
	eventually(t, startLimit, "it leads alone, and the job goes on", func() bool {
		d, ok := j.status(t, left)
		return ok && !d.Stale && d.Objects["found"] > before.Objects["found"]
	})
	fresh := c.addNode(t)
	fresh.start(t)
	eventually(t, startLimit, "a new node works", func() bool {
		if _, answers := fresh.machines(t); !answers {
			return false // it may not have an ID yet
		}
		m, ok := left.machines(t)
		return ok && m.busy(fresh.id(t)) > 0
	})
	j.proxy.Clear()
	j.finish(t, fresh, time.Minute)
}

// segments are the files in a node's spool.
func (n *node) segments(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.data, "spool", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
