package cluster

import (
	"net/http"
	"testing"
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
