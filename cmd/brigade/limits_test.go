package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

func TestLimitsChange(t *testing.T) {
	spec := fsm.Spec{Version: fsm.SpecVersion, ID: "j", Source: fsm.Side{URL: "u", Sealed: map[string][]byte{"secret_key": []byte("x")}}, MaxFailures: 9}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	job := &fsm.Job{ID: "j", Nonce: []byte("n"), Spec: text}
	if _, changes, err := limitsChange(job, fsm.LimitsSpec{}); changes || err != nil {
		t.Errorf("equal limits: %v, %v", changes, err)
	}
	cmd, changes, err := limitsChange(job, fsm.LimitsSpec{Bandwidth: "1M"})
	if err != nil || !changes || len(cmd.Limits.Bandwidth) != 1 || cmd.Limits.Bandwidth[0].Rate != 1<<20 || cmd.Limits.MaxFailures != 9 {
		t.Fatalf("%+v, %v, %v", cmd, changes, err)
	}
	want := strings.Replace(string(text), `"max_failures"`, `"limits":{"bandwidth":"1M"},"max_failures"`, 1)
	if string(cmd.Spec) != want {
		t.Errorf("spec %s, want %s", cmd.Spec, want)
	}
}

// TestLimitsAreShown: the limit of a job file holds at a node, and status and look tell of it.
func TestLimitsAreShown(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "limits: {bandwidth: 50M}"))
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
	if d := n.status("photos"); d.Limits == nil || d.Limits.Bandwidth != 50<<20 {
		t.Errorf("limits in the document: %+v", d.Limits)
	}
	out, _ := n.run(codeDone, "ctl", "status", "--jobID=photos")
	contains(t, "status of the job", out, "limit      52 MB/s now, over all nodes")
	out, _ = n.run(codeDone, "ctl", "look", "photos")
	contains(t, "look", out, "limits:", "bandwidth: 50M")
	n.run(codeDone, "ctl", "add", n.jobFile("free"), "--yes")
	n.reaches("free", fsm.Succeeded)
	if d := n.status("free"); d.Limits != nil {
		t.Errorf("a job without limits has %+v", d.Limits)
	}
}
