//go:build figures

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The two commands that a newcomer runs, on a fresh clone.
func TestFigureFreshClone(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.Command("git", "clone", "-q", filepath.Join("..", ".."), clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	for _, target := range []string{"demo", "demo", "test"} {
		began := time.Now()
		cmd := exec.Command("make", target)
		cmd.Dir, cmd.Env = clone, newcomer()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("make %s: %v\n%s", target, err, tail(string(out)))
		}
		record(t, err == nil, "make "+target+" on a fresh clone", "passes", fmt.Sprintf("passes, in %v", time.Since(began).Round(time.Second)))
	}
	if err := os.RemoveAll(filepath.Join(clone, "demo-out")); err != nil {
		t.Errorf("the demo's copy cannot be removed: %v", err)
	}
}

// newcomer is the environment without what the Makefile that runs this test put into it.
func newcomer() (env []string) {
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "MAKE"), name == "MFLAGS", strings.HasPrefix(name, "BRIGADE_"):
		case name == "PATH":
			if _, rest, ok := strings.Cut(value, "/bin/tools:"); ok {
				value = rest
			}
			env = append(env, "PATH="+value)
		default:
			env = append(env, e)
		}
	}
	return env
}

// What `make bench` measured last stands among the figures.
func TestFigureBench(t *testing.T) {
	path := filepath.Join("..", "bench", "RESULTS.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("no results of make bench: %v", err)
	}
	var results struct {
		Works []struct {
			Work      string  `json:"work"`
			RateRatio float64 `json:"rate_ratio"`
			CPURatio  float64 `json:"cpu_ratio"`
			Met       bool    `json:"met"`
		} `json:"works"`
	}
	if err := json.Unmarshal(b, &results); err != nil || len(results.Works) == 0 {
		t.Fatalf("read %s: %d works, %v", path, len(results.Works), err)
	}
	for _, w := range results.Works {
		record(t, w.Met, "beside rclone: "+w.Work, ">= 1.5 x its rate, < 1 x its CPU", fmt.Sprintf("%.2f x its rate, %.2f x its CPU", w.RateRatio, w.CPURatio))
	}
}
