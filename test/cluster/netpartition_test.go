//go:build linux

package cluster_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// noLeaderLimit is how soon a write that finds no leader must fail.
const noLeaderLimit = 5 * time.Second

// TestNetPartition cuts two of five nodes off, the leader among them, in the middle of a job.
func TestNetPartition(t *testing.T) {
	beside(t)
	c, j := troubled(t, 5, 1500)
	leader, others := c.leader(t)
	minority, majority := []*node{leader, others[0]}, others[1:]
	cut := time.Now()
	c.lab.Split(t, c.hosts(minority...), c.hosts(majority...))

	eventually(t, startLimit, "the majority has a leader of its own", func() bool {
		m, ok := majority[0].machines(t)
		return ok && !m.Stale && m.Leader != "" && m.Leader != leader.id(t)
	})
	t.Logf("the majority has a leader after %v", time.Since(cut))
	done := j.tasksDone(t, majority[0])
	for _, n := range minority {
		eventually(t, startLimit, "the minority says that it may be behind", func() bool {
			d, ok := j.status(t, n)
			return ok && d.Stale && d.State == "running"
		})
		if text := string(n.must(t, "ctl", "status")); !strings.Contains(text, "may be old") {
			t.Errorf("ctl status on the minority side does not say that it may be old: %s", text)
		}
	}
	c.checkNoLeader(t, j, minority)
	eventually(t, startLimit, "the majority works on", func() bool { return j.tasksDone(t, majority[0]) > done })

	other := newJob(t)
	other.id, other.proxy.URL = "second", c.serve(t, other.proxy)
	other.files(t, newRandom(t), 20)
	other.add(t, majority[0], 10)
	c.lab.Heal(t)
	c.over(t, j)
	other.finish(t, minority[0], time.Minute)
	var problem struct{ Title string }
	if status, err := c.call(t.Context(), minority[0], http.MethodGet, "/v1/jobs/third", &problem); err != nil || status != http.StatusNotFound {
		t.Errorf("a job whose submission failed: status %d, %v", status, err)
	}
	c.checkSameState(t)
}

// checkNoLeader sees that writes on nodes without a leader fail in time, and say why.
func (c *netCluster) checkNoLeader(t *testing.T, j *job, nodes []*node) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "third.yaml")
	text := "id: third\nsource: {url: \"file://" + j.source + "/\"}\ndestination: {url: \"file://" + t.TempDir() + "/\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			begin := time.Now()
			var problem struct{ Type, Title string }
			ctx, cancel := context.WithTimeout(t.Context(), 2*noLeaderLimit)
			defer cancel()
			status, err := c.call(ctx, n, http.MethodPost, "/v1/jobs/"+j.id+"/pause", &problem)
			took := time.Since(begin)
			t.Logf("a write at %s: %d %s after %v", n.name, status, problem.Title, took)
			if err != nil || status != http.StatusServiceUnavailable || took > noLeaderLimit {
				t.Errorf("a write at %s: status %d after %v, %v", n.name, status, took, err)
			}
		})
		all.Go(func() {
			if _, err := n.brigade("ctl", "add", file); err == nil || !strings.Contains(err.Error(), "no leader") {
				t.Errorf("ctl add at %s: %v, want no leader", n.name, err)
			}
		})
	}
	all.Wait()
}
