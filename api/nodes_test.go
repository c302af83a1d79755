package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/scheduler"
)

// TestNodesOf: the document says of every node whether it can work on the job, and if not, why.
func TestNodesOf(t *testing.T) {
	st := scheduler.Status{Nodes: []scheduler.Standing{
		{Node: "a", Ready: true},
		{Node: "b", Side: "source", Class: "config", Reason: "not mounted"},
	}}
	want := []Node{{ID: "a", Ready: true}, {ID: "b", Side: "source", Class: "config", Reason: "not mounted"}}
	if d := cmp.Diff(want, nodesOf(st)); d != "" {
		t.Error(d)
	}
}
