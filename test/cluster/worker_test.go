package cluster_test

import (
	"testing"
	"time"
)

// elsewhereLimit is how soon after a worker died its tasks must run on other nodes: its lease ends 15 s after its last call.
const elsewhereLimit = 20 * time.Second

// TestKilledWorkersTasksMoveOn: a worker that dies costs its tasks no more than its lease, and nothing that it did.
func TestKilledWorkersTasksMoveOn(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 3000)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	// So few tasks that the others take all that comes free, and the job cannot end without those of the dead.
	j.add(t, c.nodes[0], 150)
	j.waitWrites(t, 30, startLimit)
	leader, others := c.leader(t)
	dead := others[0]
	id := dead.id(t)
	var held int
	eventually(t, startLimit, "the worker holds tasks", func() bool {
		m, ok := leader.machines(t)
		held = m.busy(id)
		return ok && held > 0
	})
	dead.kill(t)
	begin := time.Now()
	eventually(t, 2*elsewhereLimit, "the dead worker holds nothing", func() bool {
		m, ok := leader.machines(t)
		return ok && !m.Stale && m.busy(id) == 0
	})
	took := time.Since(begin)
	t.Logf("%d tasks of the dead worker were given to others %v after its end", held, took)
	if took > elsewhereLimit {
		t.Errorf("the dead worker's tasks were given to others after %v, want at most %v", took, elsewhereLimit)
	}
	if d, ok := j.status(t, leader); !ok || d.State != "running" {
		t.Errorf("the job is %q before the tasks moved on: it was too short", d.State)
	}
	j.proxy.Clear()
	j.finish(t, leader, 2*time.Minute)
}
