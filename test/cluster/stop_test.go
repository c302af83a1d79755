package cluster_test

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

// allStopLimit is how soon all nodes end that are told to stop at once.
const allStopLimit = 3 * time.Second

// TestAllNodesStopAtOnce tells all nodes of a cluster to stop: none waits for others that are gone, whoever has work to
// settle yet.
func TestAllNodesStopAtOnce(t *testing.T) {
	t.Run("all work", func(t *testing.T) { stopsAtOnce(t, func(*cluster) {}) })
	t.Run("the leader works", func(t *testing.T) { stopsAtOnce(t, func(c *cluster) { c.takesAll(t, true) }) })
	t.Run("a follower works", func(t *testing.T) { stopsAtOnce(t, func(c *cluster) { c.takesAll(t, false) }) })
	t.Run("idle", func(t *testing.T) {
		for range 3 {
			checkStops(t, startCluster(t, 3))
		}
	})
}

func stopsAtOnce(t *testing.T, prepare func(*cluster)) {
	j := newJob(t)
	j.files(t, newRandom(t), 400)
	c := startCluster(t, 3)
	prepare(c)
	j.slow(500 * time.Millisecond)
	j.add(t, c.nodes[0], 40)
	j.waitWrites(t, 12, startLimit)
	checkStops(t, c)
	for _, n := range c.nodes {
		n.start(t)
	}
	for _, n := range c.nodes {
		eventually(t, startLimit, "the node gets work again", func() bool { _, err := n.brigade("node", "undrain"); return err == nil })
	}
	j.proxy.Clear()
	j.finish(t, c.nodes[0], time.Minute)
}

func checkStops(t *testing.T, c *cluster) {
	t.Helper()
	took := c.stopAll(t)
	t.Logf("the nodes ended after %v", took)
	for _, d := range took {
		if d > allStopLimit {
			t.Errorf("a node ended %v after all were told to stop, want at most %v", d, allStopLimit)
		}
	}
}

// stopAll tells all nodes to stop at the same time, and measures how long each takes.
func (c *cluster) stopAll(t *testing.T) []time.Duration {
	t.Helper()
	took := make([]time.Duration, len(c.nodes))
	begin := time.Now()
	for _, n := range c.nodes {
		n.signal(t, syscall.SIGTERM)
	}
	var ends sync.WaitGroup
	for i, n := range c.nodes {
		ends.Go(func() {
			<-n.exited
			took[i] = time.Since(begin)
		})
	}
	ends.Wait()
	for _, n := range c.nodes {
		if code := n.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s: exit %d, want 0", n.name, code)
		}
	}
	return took
}
