package cluster_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLeaderSuspended stops a leader as the suspension of its machine does: others take over, say that they cannot reach it, and
// take it back as a follower when it wakes. What it logs and the others log meanwhile stays readable.
func TestLeaderSuspended(t *testing.T) {
	beside(t)
	away := 12 * time.Second // longer than a lease of a worker
	if shared.long {
		away = 60 * time.Second
	}
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 30, startLimit)
	old, others := c.leader(t)
	witness, id := others[0], old.id(t)
	before := strings.Count(witness.said(t), "\n")
	old.signal(t, syscall.SIGSTOP)
	suspended := time.Now()
	saw := map[string]bool{}
	eventually(t, startLimit, "another node leads, the suspended one is suspect, then dead", func() bool {
		m, ok := witness.machines(t)
		if ok {
			saw[m.state(id)] = true
		}
		return ok && !m.Stale && m.Leader != "" && m.Leader != id && saw["suspect"] && saw["dead"]
	})
	done := j.tasksDone(t, witness)
	eventually(t, heldLimit, "work goes on", func() bool { return j.tasksDone(t, witness) > done })
	waitUntil(t, suspended.Add(away))
	if lines := strings.Count(witness.said(t), "\n") - before; lines > 60 {
		t.Errorf("%d lines were logged in %v in which a node was away", lines, time.Since(suspended))
	}
	old.signal(t, syscall.SIGCONT)
	c.waitWhole(t)
	if m, ok := witness.machines(t); !ok || m.Leader == id {
		t.Errorf("the node that woke leads: %v", m)
	}
	j.proxy.Clear()
	j.finish(t, old, time.Minute)
	j.checkSameEverywhere(t, c)
}

// waitUntil waits for a moment that nothing but the clock tells of.
func waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(at)):
	case <-t.Context().Done():
	}
}
