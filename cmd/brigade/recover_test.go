package main

import (
	"os"
	"slices"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// TestRaftRecover loses two of three nodes for good: the third goes on alone with the jobs.
func TestRaftRecover(t *testing.T) {
	c := newTeam(t, 3)
	left := c.nodes[2]
	left.eventually("three nodes vote", func() bool {
		return len(slices.DeleteFunc(left.machines().Nodes, func(m api.Machine) bool { return m.Role == roleNonvoter })) == 3
	})
	left.run(codeDone, "ctl", "add", left.jobFile("photos"))
	left.reaches("photos", fsm.Succeeded)
	_, errs := left.run(codeRefused, "raft", "recover", "--yes")
	contains(t, "recover of a running node", errs, "in use by another process")
	_, errs = left.run(codeMisuse, "raft", "recover")
	contains(t, "recover without a yes", errs, "--yes")
	for _, n := range c.nodes {
		n.kill <- os.Interrupt
		if code := <-n.end; code != codeDone {
			t.Fatalf("exit %d:\n%s", code, n.log.String())
		}
		n.end <- codeDone
	}
	out, _ := left.run(codeDone, "raft", "recover", "--yes")
	contains(t, "recover", out, "is recovered")
	c.nodes = []*nodeBench{left}
	c.start(left)
	if d := left.status("photos"); d.State != fsm.Succeeded || d.Objects.Copied != 10 {
		t.Errorf("%+v", d)
	}
	left.run(codeDone, "ctl", "redo", "photos")
	left.reaches("photos", fsm.Succeeded)
}
