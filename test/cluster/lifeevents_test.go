//go:build linux

package cluster_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// follow looks on by curl, as events come, from before the job is there until it was removed: the function returned waits for
// that, and checks what was told.
func (l *life) follow(t *testing.T) (end func()) {
	t.Helper()
	h := l.operator
	if !h.curl {
		return func() {}
	}
	line := append(slices.Clone(h.machine), "curl", "-K", "-")
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(h.config(t, request{path: "/v1/events", endless: true}))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	var mu sync.Mutex
	var states []string
	var reading sync.WaitGroup
	began := make(chan struct{})
	reading.Go(func() {
		name := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if of, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				if name = of; name == "reset" {
					close(began)
				}
			}
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var d struct {
				ID, State string
				Removed   bool
			}
			if !ok || name != "job" || json.Unmarshal([]byte(data), &d) != nil || d.ID != l.job.id {
				continue
			}
			if d.Removed {
				d.State = "removed"
			}
			mu.Lock()
			states = append(states, d.State)
			mu.Unlock()
		}
	})
	told := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
	l.told = func(state string) bool { return slices.Contains(told(), state) }
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		reading.Wait()
		_ = cmd.Wait() // the kill is how it ended
	})
	t.Cleanup(stop)
	eventually(t, startLimit, "the stream of events begins", func() bool {
		select {
		case <-began:
			return true
		default:
			return false
		}
	})
	return func() {
		t.Helper()
		eventually(t, startLimit, "it is told that the job was removed", func() bool { return slices.Contains(told(), "removed") })
		stop()
		left := told()
		for _, want := range []string{"running", "paused", "running", "failed", "succeeded", "removed"} {
			i := slices.Index(left, want)
			if i < 0 {
				t.Fatalf("the job was %q, say the events: %q is missing", told(), want)
			}
			left = left[i+1:]
		}
	}
}
