package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/test/sink"
)

const (
	sharedLimit   = 6 << 20 // bytes a second, over all nodes
	limitWindow   = 8 * time.Second
	limitedSize   = 256 << 10
	limitedNumber = 1800 // objects, 75 s of them
)

// limited is a job with a limit between two servers that count.
type limited struct {
	*job
	to *servers.Counted
}

// addLimited submits the job at a node.
func addLimited(t *testing.T, at *node) *limited {
	t.Helper()
	from := servers.Count(t, sink.New(sink.Options{}))
	l := &limited{job: &job{id: "move"}, to: servers.Count(t, sink.New(sink.Options{}))}
	side := func(bucket, url string) string {
		return fmt.Sprintf(`{url: "s3://%s/?endpoint=%s&region=us-east-1&path_style=true", access_key: a, secret_key: b}`, bucket, url)
	}
	text := fmt.Sprintf("id: %s\nsource: %s\ndestination: %s\ntask: {objects: 20}\nlimits: {bandwidth: %d}\n",
		l.id, side(fmt.Sprintf("syn%d-%d", limitedNumber, limitedSize), from.URL), side("to", l.to.URL), sharedLimit)
	path := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.must(t, "ctl", "add", path)
	return l
}

// waitWork waits until all nodes hold tasks, and a moment more for their shares.
func (l *limited) waitWork(t *testing.T, nodes ...*node) {
	t.Helper()
	eventually(t, startLimit, "all nodes hold tasks", func() bool {
		m, ok := nodes[0].machines(t)
		for _, n := range nodes {
			if _, up := n.machines(t); !up {
				return false
			}
			ok = ok && m.busy(n.id(t)) > 0
		}
		return ok
	})
	before := l.to.Total()
	eventually(t, startLimit, "bytes of two seconds went by", func() bool { return l.to.Total()-before > 2*sharedLimit })
}

// measure checks what arrives within a window.
func (l *limited) measure(t *testing.T, when string) {
	t.Helper()
	before, begin := l.to.Total(), time.Now()
	<-time.After(limitWindow)
	part := float64(l.to.Total()-before) / time.Since(begin).Seconds() / sharedLimit
	t.Logf("%s: %.3f of the limit", when, part)
	if part < 0.85 || part > 1.02 {
		t.Errorf("%s: %.3f of the limit, want 0.85 to 1.02", when, part)
	}
}

// TestLimitIsSharedOverNodes: the nodes of a cluster together keep to a job's limit and make use of it, also when one of
// them dies, one joins, and the leader is killed.
func TestLimitIsSharedOverNodes(t *testing.T) {
	beside(t)
	c := startCluster(t, 3)
	leader, others := c.leader(t)
	l := addLimited(t, leader)
	l.waitWork(t, c.nodes...)
	if d, ok := l.status(t, others[0]); !ok || d.Limits.Bandwidth != sharedLimit {
		t.Errorf("the status tells a limit of %d", d.Limits.Bandwidth)
	}
	l.measure(t, "three nodes")

	gone := others[0].id(t)
	others[0].kill(t)
	eventually(t, startLimit, "the lease of the dead node ends", func() bool {
		m, ok := leader.machines(t)
		return ok && m.busy(gone) == 0
	})
	l.waitWork(t, leader, others[1])
	l.measure(t, "after a node was killed")

	joined := c.addNode(t)
	joined.start(t)
	l.waitWork(t, leader, others[1], joined)
	l.measure(t, "after a node joined")

	d, ok := l.status(t, leader)
	if ok && d.State != "running" {
		t.Errorf("the job is %q before all was measured: it was too short", d.State)
	}
	eventually(t, 2*time.Minute, "the job ends", func() bool {
		d, ok = l.status(t, leader)
		return ok && d.State == "succeeded"
	})
	if d.Bytes["copied"] != limitedNumber*limitedSize {
		t.Errorf("%d bytes copied, want %d", d.Bytes["copied"], limitedNumber*limitedSize)
	}
	most := l.to.Busiest(5*time.Second) / sharedLimit
	t.Logf("within any 5 s at most %.3f of the limit", most)
	if most > 1.05 {
		t.Errorf("within 5 s %.3f of the limit", most)
	}
}

// TestLimitOutlivesItsLeader: the next leader gives out nothing that may still be in use, and then all of it.
func TestLimitOutlivesItsLeader(t *testing.T) {
	beside(t)
	c := startCluster(t, 3)
	leader, others := c.leader(t)
	l := addLimited(t, leader)
	l.waitWork(t, c.nodes...)
	gone := leader.id(t)
	leader.kill(t)
	eventually(t, startLimit, "the lease of the dead leader ends", func() bool {
		m, ok := others[0].machines(t)
		return ok && m.Leader != gone && m.Leader != "" && !m.Stale && m.busy(gone) == 0 && m.busy(others[0].id(t)) > 0
	})
	l.waitWork(t, others...)
	l.measure(t, "after the leader was killed")
	if most := l.to.Busiest(5*time.Second) / sharedLimit; most > 1.05 {
		t.Errorf("within 5 s %.3f of the limit", most)
	}
}
