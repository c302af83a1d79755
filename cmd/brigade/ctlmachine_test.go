package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// TestStatusOfOneMachine asks what the machine at an address does.
func TestStatusOfOneMachine(t *testing.T) {
	n := startNode(t)
	writing, goOn := make(chan struct{}, 100), make(chan struct{})
	n.put = func(context.Context, string) error {
		writing <- struct{}{}
		<-goOn
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	<-writing
	out, _ := n.run(codeDone, "ctl", "status", "--ip", "127.0.0.1", "--json")
	var d machineDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if len(d.Nodes) != 1 || d.Leader != d.Nodes[0].ID || d.Nodes[0].Busy != len(d.Nodes[0].Tasks) || d.Nodes[0].Busy == 0 {
		t.Fatalf("%s", out)
	}
	if held := d.Nodes[0].Tasks[0]; held.Job != "photos" || held.Kind == "" || held.ID == 0 {
		t.Errorf("%+v", held)
	}
	out, _ = n.run(codeDone, "ctl", "status", "--ip", d.Nodes[0].Address)
	contains(t, "machine", out, "leader", "alive", "photos", "TASK", "SETTLED")
	_, errs := n.run(codeRefused, "ctl", "status", "--ip", "10.9.8.7")
	contains(t, "unknown machine", errs, "10.9.8.7", "127.0.0.1:")
	_, errs = n.run(codeMisuse, "ctl", "status", "--ip", "127.0.0.1", "--machine")
	contains(t, "two views", errs, "--ip")
	close(goOn)
	n.reaches("photos", fsm.Succeeded)
	out, _ = n.run(codeDone, "ctl", "status", "--ip", "127.0.0.1")
	contains(t, "idle machine", out, "it holds no task")
}

func TestMachinesByAddress(t *testing.T) {
	for _, test := range []struct {
		has, asked string
		want       bool
	}{
		{"10.0.0.7:7461", "10.0.0.7", true}, {"10.0.0.7:7461", "10.0.0.7:7461", true}, {"10.0.0.7:7461", "10.0.0.7:7460", false},
		{"10.0.0.7:7461", "10.0.0.70", false}, {"[fe80::1]:7461", "fe80::1", true}, {"[fe80::1]:7461", "[fe80::1]", true}, {"", "10.0.0.7", false},
	} {
		if got := isAt(api.Machine{Address: test.has}, test.asked); got != test.want {
			t.Errorf("%q is at %q: %v", test.has, test.asked, got)
		}
	}
}
