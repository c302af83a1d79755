package cluster

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestCallOf: the names of calls are few, whatever the paths name.
func TestCallOf(t *testing.T) {
	for path, want := range map[string]string{
		"/spool/0a1b": "spool", "/spool-have": "spool-have", "/sync": "sync", "/v1/jobs/photos": "api", "/v1/": "api",
		"/cluster/status": "status", "/cluster/bootstrap": "bootstrap", "": "",
	} {
		if got := callOf(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

// TestIdleConnectionsAreClosedBelow: whoever watches a client's calls does not keep its connections open.
func TestIdleConnectionsAreClosedBelow(t *testing.T) {
	below := &closer{}
	client := &http.Client{Transport: watched{below, nil}}
	client.CloseIdleConnections()
	if below.closed != 1 {
		t.Errorf("closed %d times", below.closed)
	}
	(&http.Client{Transport: watched{http.NewFileTransport(http.Dir(t.TempDir())), nil}}).CloseIdleConnections()
}

type closer struct {
	http.RoundTripper
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

// commits counts what a Watcher hears.
type commits struct{ done, failed atomic.Int64 }

func (c *commits) Committed(took time.Duration, err error) {
	if err != nil || took <= 0 {
		c.failed.Add(1)
		return
	}
	c.done.Add(1)
}

func (c *commits) Called(string, int, time.Duration) { c.failed.Add(1) }

// TestWatcherHearsOfCommits: of those that worked, and of those that did not.
func TestWatcherHearsOfCommits(t *testing.T) {
	heard := &commits{}
	n := start(t, Config{Dir: t.TempDir(), NodeID: "a", Machine: &recorder{}, Watcher: heard})
	lead(t, n)
	apply(t, n, "one", "two")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Apply(ctx, []byte("three")); err == nil {
		t.Error("an entry is taken after its time")
	}
	if heard.done.Load() != 2 || heard.failed.Load() != 1 {
		t.Errorf("heard of %d commits and %d failures", heard.done.Load(), heard.failed.Load())
	}
	s := n.RaftStats()
	if !s.Leads || !s.HasLeader || s.Term == 0 || s.Applied < 2 || s.Applied != s.Last || s.Committed != s.Last || s.Voters != 1 || s.Servers != 1 || s.LastContact != 0 {
		t.Errorf("%+v", s)
	}
}
