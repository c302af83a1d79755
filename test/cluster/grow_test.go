package cluster_test

import (
	"testing"
	"time"
)

const (
	joinLimit  = 5 * time.Second // from the start of a node to its first task
	leaveLimit = 2 * time.Second // from leaving to holding nothing
)

func TestNodesJoinAndLeaveMidJob(t *testing.T) {
	rounds, files := 1, 2500
	if shared.long {
		rounds, files = 5, 10000
	}
	j := newJob(t)
	j.files(t, newRandom(t), files)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 10)
	j.waitWrites(t, 30, startLimit)
	for range rounds {
		_, others := c.leader(t)
		j.join(t, c, others[0])
		j.leave(t, c)
	}
	d, ok := j.status(t, c.nodes[0])
	if ok && d.State != "running" {
		t.Errorf("the job is %q before all nodes came and went: it was too short", d.State)
	}
	j.proxy.Clear()
	leader, _ := c.leader(t)
	j.finish(t, leader, time.Minute)
}

// join adds a node and waits until it works.
func (j *job) join(t *testing.T, c *cluster, witness *node) {
	t.Helper()
	n := c.addNode(t)
	begin := time.Now()
	n.start(t)
	eventually(t, startLimit, "the new node holds tasks", func() bool {
		m, ok := n.machines(t)
		if !ok {
			return false
		}
		seen, ok := witness.machines(t)
		return ok && m.busy(n.id(t)) > 0 && seen.busy(n.id(t)) > 0
	})
	took := time.Since(begin)
	t.Logf("%s held tasks %v after its start", n.name, took)
	if took > joinLimit {
		t.Errorf("%s held tasks %v after its start, want at most %v", n.name, took, joinLimit)
	}
}

// leave takes a node out that works and does not lead.
func (j *job) leave(t *testing.T, c *cluster) {
	t.Helper()
	leader, others := c.leader(t)
	gone := others[0]
	id := gone.id(t)
	eventually(t, startLimit, "the node that is to leave works", func() bool {
		m, ok := leader.machines(t)
		return ok && m.busy(id) > 0
	})
	begin := time.Now()
	gone.must(t, "node", "leave")
	eventually(t, startLimit, "the node that left holds nothing", func() bool {
		m, ok := leader.machines(t)
		return ok && !m.Stale && m.busy(id) == 0
	})
	took := time.Since(begin)
	gone.waitExit(t, 0)
	t.Logf("%s held nothing %v after it was told to leave, and ended after %v", gone.name, took, time.Since(begin))
	if took > leaveLimit {
		t.Errorf("%s held nothing only %v after it was told to leave, want %v", gone.name, took, leaveLimit)
	}
	eventually(t, startLimit, "the others know that it left", func() bool {
		m, ok := leader.machines(t)
		return ok && (m.state(id) == "left" || m.state(id) == "")
	})
}
