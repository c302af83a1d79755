package cluster_test

import (
	"slices"
	"testing"
	"time"
)

// electionLimit is how soon after the loss of a leader work must go on.
const electionLimit = 5 * time.Second

func TestLeaderKilledMidJob(t *testing.T) {
	kills, files := 2, 1500
	if shared.long {
		kills, files = 20, 12000
	}
	j := newJob(t)
	j.files(t, newRandom(t), files)
	c := startCluster(t, 3)
	j.slow(500 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 30, startLimit)

	var elected, working []time.Duration
	for range kills {
		leader, others := c.leader(t)
		old, witness := leader.id(t), others[0]
		leader.kill(t)
		begin := time.Now()
		eventually(t, 2*startLimit, "another node leads", func() bool {
			m, ok := witness.machines(t)
			return ok && !m.Stale && m.Leader != "" && m.Leader != old
		})
		elected = append(elected, time.Since(begin))
		done := j.tasksDone(t, witness)
		eventually(t, startLimit, "another task ends", func() bool { return j.tasksDone(t, witness) > done })
		working = append(working, time.Since(begin))
		leader.start(t)
		c.waitWhole(t)
	}
	t.Logf("new leader after %v, tasks end after %v", elected, working)
	if worst := slices.Max(elected); worst > electionLimit {
		t.Errorf("a new leader took %v, want at most %v", worst, electionLimit)
	}
	if worst := slices.Max(working); worst > electionLimit {
		t.Errorf("work went on after %v, want at most %v", worst, electionLimit)
	}
	if d, ok := j.status(t, c.nodes[0]); !ok || d.State != "running" {
		t.Errorf("the job is %q before the last kill was survived: it was too short", d.State)
	}
	j.proxy.Clear()
	j.finish(t, c.nodes[0], time.Minute)
}

// tasksDone is how many tasks ended, as a node tells; -1 if it does not.
func (j *job) tasksDone(t *testing.T, at *node) int64 {
	t.Helper()
	d, ok := j.status(t, at)
	if !ok {
		return -1
	}
	return d.Tasks["done"]
}
