package cluster_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is some nodes with one key.
type cluster struct {
	dir     string
	keyFile string
	expect  int
	nodes   []*node
}

// newCluster describes a cluster of n nodes, which are not started.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), expect: n}
	c.keyFile = c.newKey(t, "cluster.key")
	for range n {
		c.addNode(t)
	}
	return c
}

// startCluster runs a cluster of n nodes and waits for its leader.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := newCluster(t, n)
	for _, n := range c.nodes {
		n.start(t)
	}
	c.waitWhole(t)
	return c
}

// newKey makes a cluster key.
func (c *cluster) newKey(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if out, err := exec.Command(shared.binary, "keygen", path).CombinedOutput(); err != nil {
		t.Fatalf("make key: %v: %s", err, out)
	}
	return path
}

// addNode describes one node more, which joins those before it.
func (c *cluster) addNode(t *testing.T) *node {
	t.Helper()
	name := fmt.Sprintf("n%d", len(c.nodes)+1)
	n := &node{
		name: name, data: filepath.Join(c.dir, name), log: filepath.Join(c.dir, name+".log"),
		http: freePort(t), peer: freePort(t), gossip: freePort(t),
	}
	c.nodes = append(c.nodes, n)
	for _, n := range c.nodes[:min(len(c.nodes), c.expect)] {
		n.args = c.line(n)
	}
	n.args = c.line(n)
	t.Cleanup(func() { n.cleanUp(t) })
	return n
}

// line is the command line of a node.
func (c *cluster) line(n *node) []string {
	var join []string
	for _, other := range c.nodes[:min(len(c.nodes), c.expect)] {
		join = append(join, fmt.Sprintf("127.0.0.1:%d", other.gossip))
	}
	line := []string{
		"node", "start", "--data", n.data, "--cluster-key-file", c.keyFile, "--bind", "127.0.0.1",
		"--http", fmt.Sprintf("127.0.0.1:%d", n.http), "--peer-port", fmt.Sprint(n.peer), "--gossip-port", fmt.Sprint(n.gossip),
		"--bootstrap-expect", fmt.Sprint(c.expect), "--concurrency", "8",
	}
	if c.expect == 1 && n == c.nodes[0] {
		return line // makes a cluster of one, and waits for nobody
	}
	return append(line, "--join", strings.Join(join, ","))
}

// cleanUp ends the process, if there is one, and shows the end of its log if the test failed.
func (n *node) cleanUp(t *testing.T) {
	if n.cmd != nil && n.running() {
		n.signal(t, syscall.SIGKILL)
		<-n.exited
	}
	if t.Failed() && n.cmd != nil {
		said := n.said(t)
		t.Logf("%s said:\n%s", n.name, said[max(0, len(said)-4000):])
	}
}

// selfID reads the ID out of a node's own file.
func (n *node) selfID(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read ID of %s: %v", n.name, err)
	}
	var own struct{ ID string }
	if err := json.Unmarshal(text, &own); err != nil || own.ID == "" {
		t.Fatalf("read ID of %s: %v", n.name, err)
	}
	return own.ID
}

// machines is what `ctl status --machine --json` prints.
type machines struct {
	Leader string `json:"leader"`
	Stale  bool   `json:"stale"`
	Index  uint64 `json:"index"`
	Nodes  []struct {
		ID      string `json:"id"`
		Address string `json:"address"`
		State   string `json:"state"`
		Role    string `json:"role"`
		Busy    int    `json:"busy"`
		Disk    string `json:"disk"`
	} `json:"nodes"`
}

// machines asks a node; false if it does not answer now.
func (n *node) machines(t *testing.T) (m machines, ok bool) {
	t.Helper()
	out, err := n.brigade("ctl", "status", "--machine", "--json")
	if err != nil {
		return m, false
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("read machines: %v: %s", err, out)
	}
	return m, true
}

// busy is how many tasks a node holds, by its ID; 0 if it is not known.
func (m machines) busy(id string) int {
	for _, n := range m.Nodes {
		if n.ID == id {
			return n.Busy
		}
	}
	return 0
}

// state is a node's state, by its ID; "" if it is not known.
func (m machines) state(id string) string {
	for _, n := range m.Nodes {
		if n.ID == id {
			return n.State
		}
	}
	return ""
}

// startLimit bounds the start of a cluster; generous, since test machines are often overloaded.
const startLimit = 30 * time.Second

// waitWhole waits until every running node sees a leader and all of them alive.
func (c *cluster) waitWhole(t *testing.T) {
	t.Helper()
	var running []*node
	for _, n := range c.nodes {
		if n.cmd != nil && n.running() {
			running = append(running, n)
		}
	}
	eventually(t, startLimit, "every node sees a leader and all others", func() bool {
		for _, n := range running {
			m, ok := n.machines(t)
			if !ok || m.Leader == "" || m.Stale {
				return false
			}
			for _, other := range running {
				if m.state(other.id(t)) != "alive" {
					return false
				}
			}
		}
		return true
	})
}

// leader returns the node that leads and the others that run.
func (c *cluster) leader(t *testing.T) (leader *node, others []*node) {
	t.Helper()
	var id string
	eventually(t, startLimit, "there is a leader", func() bool {
		for _, n := range c.nodes {
			if n.cmd == nil || !n.running() {
				continue
			}
			if m, ok := n.machines(t); ok && m.Leader != "" && !m.Stale {
				id = m.Leader
				return true
			}
		}
		return false
	})
	for _, n := range c.nodes {
		switch {
		case n.cmd == nil || !n.running():
		case n.id(t) == id:
			leader = n
		default:
			others = append(others, n)
		}
	}
	if leader == nil {
		t.Fatalf("the leader %s is none of the nodes that run", id)
	}
	return leader, others
}
