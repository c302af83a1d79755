package main

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
)

// TestStatusNamesIdleNodes: the status in words names the nodes that get no tasks, and why, and no others.
func TestStatusNamesIdleNodes(t *testing.T) {
	text := jobText(&api.Job{ID: "j", State: "running", Nodes: []api.Node{
		{ID: "0123456789abcdef", Ready: true},
		{ID: "fedcba9876543210", Side: "source", Class: "config", Reason: "source: the node has ext4 mounted at /"},
	}})
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "no tasks") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "fedcba987654  source: the node has ext4") || !strings.Contains(lines[0], "mounted at /") {
		t.Errorf("said %q in\n%s", lines, text)
	}
}
