package cluster_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestWrongClusterKey(t *testing.T) {
	beside(t)
	c := startCluster(t, 1)
	member := c.nodes[0]
	c.keyFile = c.newKey(t, "other.key")
	stranger := c.addNode(t)
	stranger.args = replace(stranger.args, "--bootstrap-expect", "2")
	stranger.start(t)
	stranger.waitSaid(t, fmt.Sprintf("peer 127.0.0.1:%d does not have this cluster's key", member.gossip))
	member.waitSaid(t, "peer 127.0.0.1 does not have this cluster's key")
	for _, n := range c.nodes {
		t.Logf("%s says: %s", n.name, strings.TrimSpace(n.waitSaid(t, "does not have this cluster's key")))
	}
	m, ok := member.machines(t)
	if !ok || len(m.Nodes) != 1 || m.Leader != member.id(t) {
		t.Errorf("the cluster counts %v after a node with another key came", m)
	}
	if m, ok := stranger.machines(t); ok && (m.Leader != "" || m.state(member.id(t)) != "") {
		t.Errorf("a node with another key sees %v", m)
	}
}

func TestNodesThatCannotStart(t *testing.T) {
	beside(t)
	c := startCluster(t, 1)
	first := c.nodes[0]
	holder := fmt.Sprintf("by process %d (", first.cmd.Process.Pid)
	tests := []struct {
		name string
		args func(n *node) []string
		want []string
	}{
		{"data directory in use", func(n *node) []string { return replace(n.args, "--data", first.data) }, []string{"in use", first.data}},
		{"API port in use", func(n *node) []string {
			return replace(n.args, "--http", fmt.Sprintf("127.0.0.1:%d", first.http))
		}, []string{"address already in use", fmt.Sprint(first.http), holder, "--http"}},
		{"peer port in use", func(n *node) []string {
			return replace(n.args, "--peer-port", fmt.Sprint(first.peer))
		}, []string{"address already in use", fmt.Sprint(first.peer), holder, "--peer-port"}},
		{"gossip port in use", func(n *node) []string {
			return replace(n.args, "--gossip-port", fmt.Sprint(first.gossip))
		}, []string{"address already in use", fmt.Sprint(first.gossip), holder, "--gossip-port"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := c.addNode(t)
			n.args = test.args(n)
			n.start(t)
			n.waitExit(t, 1)
			t.Logf("it says: %s", strings.TrimSpace(n.waitSaid(t, test.want...)))
		})
	}
	if m, ok := first.machines(t); !ok || m.Stale || len(m.Nodes) != 1 {
		t.Errorf("the first node is disturbed: %v", m)
	}
}

// replace gives a flag another value.
func replace(args []string, flag, value string) []string {
	out := append([]string(nil), args...)
	for i, a := range out {
		if a == flag {
			out[i+1] = value
		}
	}
	return out
}
