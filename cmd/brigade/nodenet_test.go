package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
)

// team is a cluster of nodes in this process, on one machine: they see the same files.
type team struct {
	t     *testing.T
	key   string
	nodes []*nodeBench
}

func newTeam(t *testing.T, size int) *team {
	t.Helper()
	c := &team{t: t, key: filepath.Join(t.TempDir(), "cluster.key")}
	if _, err := cluster.NewKeyFile(c.key); err != nil {
		t.Fatal(err)
	}
	for range size {
		c.grow()
	}
	return c
}

// grow adds a node, which joins the first.
func (c *team) grow() *nodeBench {
	c.t.Helper()
	n := &nodeBench{bench: newBench(c.t)}
	n.data = filepath.Join(n.dir, "data")
	n.env["BRIGADE_DATA"] = n.data
	if len(c.nodes) > 0 {
		n.src, n.dst, n.dir = c.nodes[0].src, c.nodes[0].dst, c.nodes[0].dir
	}
	c.start(n)
	c.nodes = append(c.nodes, n)
	return n
}

// start starts a node with the same command line each time.
func (c *team) start(n *nodeBench) {
	c.t.Helper()
	args := []string{"--cluster-key-file", c.key, "--bind", "127.0.0.1", "--peer-port", "0", "--gossip-port", "0"}
	for _, other := range c.nodes {
		if other != n {
			args = append(args, "--join", other.gossip())
			break
		}
	}
	n.start(args...)
}

// gossip is the address that others join a node at, as it logs it.
func (n *nodeBench) gossip() string {
	n.t.Helper()
	found := regexp.MustCompile(`gossip=(\S+)`).FindAllStringSubmatch(n.log.String(), -1)
	if len(found) == 0 {
		n.t.Fatalf("no gossip address in the log:\n%s", n.log.String())
	}
	return found[len(found)-1][1]
}

func (n *nodeBench) machines() (m api.Machines) {
	n.t.Helper()
	out, _ := n.run(codeDone, "ctl", "status", "--machine", "--json")
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		n.t.Fatal(err)
	}
	return m
}

// alive waits until a node sees as many members alive.
func (n *nodeBench) alive(count int) {
	n.t.Helper()
	n.eventually(fmt.Sprintf("%d nodes are alive", count), func() bool {
		alive := 0
		for _, machine := range n.machines().Nodes {
			if machine.State == api.Alive {
				alive++
			}
		}
		return alive == count
	})
}

// self is the ID of a node.
func (n *nodeBench) self() string {
	n.t.Helper()
	c, err := n.app.client(&clientFlags{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	self, err := c.Self(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return self.ID
}

// TestClusterOfThree drives jobs from nodes that do not lead, and stops the one that does.
func TestClusterOfThree(t *testing.T) {
	c := newTeam(t, 3)
	first := c.nodes[0]
	first.alive(3)
	first.eventually("three nodes vote", func() bool {
		voters := 0
		for _, m := range first.machines().Nodes {
			if m.Role != roleNonvoter {
				voters++
			}
		}
		return voters == 3
	})
	follower := c.nodes[slices.IndexFunc(c.nodes, func(n *nodeBench) bool { return n.self() != first.machines().Leader })]
	follower.run(codeDone, "ctl", "add", follower.jobFile("photos", "task: {objects: 1}"))
	for _, n := range c.nodes {
		n.reaches("photos", fsm.Succeeded)
		if d := n.status("photos"); d.Objects.Copied != 10 || d.Stale {
			t.Errorf("%+v", d)
		}
	}
	first.checkCopied()

	leader := c.nodes[slices.IndexFunc(c.nodes, func(n *nodeBench) bool { return n.self() == first.machines().Leader })]
	leader.kill <- os.Interrupt
	if code := <-leader.end; code != codeDone {
		t.Errorf("the leader ended with %d:\n%s", code, leader.log.String())
	}
	leader.end <- codeDone
	rest := slices.DeleteFunc(slices.Clone(c.nodes), func(n *nodeBench) bool { return n == leader })
	rest[0].eventually("another node leads", func() bool { m := rest[0].machines(); return m.Leader != "" && !m.Stale })
	rest[0].run(codeDone, "ctl", "add", rest[0].jobFile("again", "compare: always"), "--yes")
	rest[1].reaches("again", fsm.Succeeded)
	c.start(leader)
	leader.eventually("the node is back", func() bool { return leader.status("again").State == fsm.Succeeded })
}

// TestNodeJoinsAndLeaves adds a node in the middle of a job, drains it and takes it out again.
func TestNodeJoinsAndLeaves(t *testing.T) {
	c := newTeam(t, 1)
	first := c.nodes[0]
	gate := make(chan struct{})
	blocked := func(ctx context.Context, _ string) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	first.put = blocked
	for i := range 40 {
		first.write(fmt.Sprintf("more/%02d", i), "x")
	}
	first.run(codeDone, "ctl", "add", first.jobFile("photos", "task: {objects: 1}"))
	second := c.grow()
	second.put = blocked
	id := second.self()
	first.eventually("the new node works", func() bool {
		return slices.ContainsFunc(first.machines().Nodes, func(m api.Machine) bool { return m.ID == id && m.Busy > 0 && m.Slots == taskSlots })
	})
	close(gate)
	first.reaches("photos", fsm.Succeeded)
	if d := first.status("photos"); d.Objects.Copied != 50 {
		t.Errorf("%+v", d.Objects)
	}
	second.run(codeDone, "node", "drain")
	if !strings.Contains(second.log.String(), "drains") {
		first.eventually("it drains", func() bool { return strings.Contains(second.log.String(), "drains") })
	}
	second.run(codeDone, "node", "leave")
	if code := <-second.end; code != codeDone {
		t.Errorf("exit %d:\n%s", code, second.log.String())
	}
	second.end <- codeDone
	first.eventually("the node is out", func() bool {
		return !slices.ContainsFunc(first.machines().Nodes, func(m api.Machine) bool { return m.ID == id && m.State == api.Alive })
	})
	_, errs := first.run(codeRefused, "node", "leave")
	contains(t, "stderr", errs, "only node")
}
