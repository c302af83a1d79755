package cluster_test

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// healLimit is how soon a cluster works again after all its nodes were away.
const healLimit = time.Minute

func TestAllNodesRestartedAtOnce(t *testing.T) {
	beside(t)
	t.Run("stopped", func(t *testing.T) { restartAll(t, syscall.SIGTERM) })
	if shared.long {
		t.Run("killed", func(t *testing.T) { restartAll(t, syscall.SIGKILL) })
	}
}

// restartAll ends all nodes in the middle of a job and starts them again.
func restartAll(t *testing.T, end syscall.Signal) {
	j := newJob(t)
	j.files(t, newRandom(t), 1000)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 100, startLimit)

	begin := time.Now()
	for _, n := range c.nodes {
		n.signal(t, end)
	}
	for _, n := range c.nodes {
		n.waitEnd(t)
	}
	t.Logf("all nodes ended within %v", time.Since(begin))
	begin = time.Now()
	for _, n := range c.nodes {
		n.start(t)
	}
	c.waitWhole(t)
	whole := time.Since(begin)
	before, ok := j.status(t, c.nodes[0])
	if !ok || before.State != "running" || before.Objects["found"] >= int64(len(j.want)) {
		t.Fatalf("the job is not under way after the restart: %v", before)
	}
	eventually(t, healLimit, "the job goes on", func() bool {
		d, ok := j.status(t, c.nodes[0])
		return ok && d.Objects["found"] > before.Objects["found"]
	})
	t.Logf("whole again %v after the restart, the job went on after %v", whole, time.Since(begin))
	j.proxy.Clear()
	j.finish(t, c.nodes[0], time.Minute)
	j.checkSameEverywhere(t, c)
}

// checkSameEverywhere compares what the nodes say of the job once they are at the same index.
func (j *job) checkSameEverywhere(t *testing.T, c *cluster) {
	t.Helper()
	var all []map[string]any
	eventually(t, startLimit, "all nodes are at the same index", func() bool {
		all = nil
		for _, n := range c.nodes {
			out, err := n.brigade("ctl", "status", "--jobID="+j.id, "--json")
			if err != nil {
				return false
			}
			var d map[string]any
			if err := json.Unmarshal(out, &d); err != nil {
				t.Fatalf("read job: %v", err)
			}
			all = append(all, d)
		}
		for _, d := range all[1:] {
			if d["index"] == nil || d["index"] != all[0]["index"] {
				return false
			}
		}
		return true
	})
	for i, d := range all[1:] {
		if diff := cmp.Diff(all[0], d); diff != "" {
			t.Errorf("%s and %s differ at equal index:\n%s", c.nodes[0].name, c.nodes[i+1].name, diff)
		}
	}
}
