//go:build linux

package cluster_test

import (
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/netlab"
)

// lossLasts is how long a one-way loss lasts: long enough for gossip to take a node for dead, and for leases to end.
const lossLasts = 20 * time.Second

// TestNetOneWayLoss loses what passes between nodes in one direction only, in the middle of a job.
func TestNetOneWayLoss(t *testing.T) {
	beside(t)
	for _, c := range []struct {
		name string
		long bool // not in the short form
		lose func(t *testing.T, l *netlab.Lab, leader, follower *netlab.Host)
	}{
		{"leader to follower", false, func(t *testing.T, l *netlab.Lab, leader, follower *netlab.Host) { l.CutOneWay(t, leader, follower) }},
		{"follower to leader", true, func(t *testing.T, l *netlab.Lab, leader, follower *netlab.Host) { l.CutOneWay(t, follower, leader) }},
		{"leader muted", false, func(t *testing.T, l *netlab.Lab, leader, _ *netlab.Host) { l.Mute(t, leader) }},
		{"leader deaf", true, func(t *testing.T, l *netlab.Lab, leader, _ *netlab.Host) { l.Deafen(t, leader) }},
		{"follower muted", true, func(t *testing.T, l *netlab.Lab, _, follower *netlab.Host) { l.Mute(t, follower) }},
		{"follower deaf", true, func(t *testing.T, l *netlab.Lab, _, follower *netlab.Host) { l.Deafen(t, follower) }},
	} {
		if c.long && !shared.long {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			lasts, files := lossLasts/4, 1000
			if shared.long {
				lasts, files = lossLasts, 3000
			}
			net, j := troubled(t, 3, files)
			leader, others := net.leader(t)
			c.lose(t, net.lab, net.host(leader), net.host(others[0]))
			net.worksFor(t, j, others[1], lasts)
			net.lab.Heal(t)
			net.over(t, j)
		})
	}
}

// worksFor waits for a time in which there is trouble, and sees that a node out of it tells of progress.
func (c *netCluster) worksFor(t *testing.T, j *job, witness *node, lasts time.Duration) {
	t.Helper()
	done, over := j.tasksDone(t, witness), time.After(lasts)
	eventually(t, startLimit, "work goes on in the trouble", func() bool { return j.tasksDone(t, witness) > done })
	<-over
}

// TestNetIsolation cuts one node off from everybody, which forget it meanwhile, as it forgets them.
func TestNetIsolation(t *testing.T) {
	beside(t)
	lasts, files := 10*time.Second, 1500
	if shared.long {
		lasts, files = 30*time.Second, 4000
	}
	inTurn(t, files, func(t *testing.T, c *netCluster, j *job, alone, witness *node) {
		id := alone.id(t)
		c.lab.Isolate(t, c.host(alone))
		c.worksFor(t, j, witness, lasts)
		if m, ok := witness.machines(t); !ok || m.state(id) == "alive" {
			t.Errorf("the node that is cut off is %q to the others", m.state(id))
		}
		c.lab.Heal(t)
		c.over(t, j)
	})
}
