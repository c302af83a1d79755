package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// endpoint is a route of the API, and the least role that it takes.
type endpoint struct{ method, path, role string }

// endpoints are all that the nodes serve, for a job and a node that are there.
func endpoints(job, node string) []endpoint {
	const v, o, a, nodes = "viewer", "operator", "admin", "nodes"
	all := []endpoint{
		{"GET", "/healthz", ""}, {"GET", "/readyz", ""},
		{"GET", "/v1/jobs", v}, {"GET", "/v1/jobs/" + job, v}, {"GET", "/v1/jobs/" + job + "/errors", v}, {"GET", "/v1/jobs/" + job + "/spec", v},
		{"GET", "/v1/machines", v}, {"GET", "/v1/machines/" + node + "/tasks", v}, {"GET", "/v1/node", v}, {"GET", "/v1/settings", v},
		{"GET", "/v1/state", v},
		{"POST", "/v1/jobs", o}, {"DELETE", "/v1/jobs/" + job, o}, {"GET", "/v1/history", o},
		{"POST", "/v1/machines/" + node + "/drain", o}, {"POST", "/v1/machines/" + node + "/undrain", o},
		{"PUT", "/v1/settings", a}, {"GET", "/v1/tokens", a}, {"POST", "/v1/tokens", a}, {"DELETE", "/v1/tokens/vera", a},
		{"POST", "/v1/node/stop", a}, {"POST", "/v1/node/leave", a},
		{"POST", "/v1/history", nodes},
	}
	for _, verb := range []string{"pause", "continue", "redo", "retry"} {
		all = append(all, endpoint{"POST", "/v1/jobs/" + job + "/" + verb, o})
	}
	return all
}

// TestRoutesOfNodes asks the leader and another node for everything without a token, with worthless ones, and as a viewer.
// What a viewer may not do is not done.
func TestRoutesOfNodes(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 20)
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		n.args = append(n.args, "--http-tls", "always")
		n.start(t)
	}
	c.waitWhole(t)
	leader, others := c.leader(t)
	at := others[0]
	viewer, removed := at.invite(t, "vera", "viewer"), at.invite(t, "rita", "admin")
	at.must(t, "ctl", "token", "rm", "rita")
	j.add(t, at, 10)
	j.finish(t, at, startLimit)
	before := at.must(t, "ctl", "history", "--json")

	worthless := map[string]string{"no token": "", "garbage": "brigade1.x.y", "removed": tokenIn(t, removed.file)}
	for _, n := range []*node{leader, at} {
		for _, e := range endpoints(j.id, at.id(t)) {
			for name, token := range worthless {
				status, header, body := n.request(t, e.method, e.path, token)
				want := http.StatusUnauthorized
				if e.role == "" {
					want = http.StatusOK
				}
				tooMany := status == http.StatusTooManyRequests && want == http.StatusUnauthorized && header.Get("Retry-After") != ""
				if status != want && !tooMany || want == http.StatusUnauthorized && header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s at %s, %s: %d, want %d: %s", e.method, e.path, n.name, name, status, want, body)
				}
			}
			status, _, body := n.request(t, e.method, e.path, tokenIn(t, viewer.file))
			want := http.StatusForbidden
			if e.role == "" || e.role == "viewer" {
				want = http.StatusOK
			}
			var p struct {
				Type   string
				Needed string `json:"needed_role"`
			}
			err := json.Unmarshal(body, &p)
			refused := strings.HasSuffix(p.Type, ":forbidden") && (p.Needed == e.role || e.role == "nodes" && p.Needed == "")
			if status != want || err != nil || want == http.StatusForbidden && !refused {
				t.Errorf("%s %s at %s by a viewer: %d, want %d: %v: %s", e.method, e.path, n.name, status, want, err, body)
			}
		}
	}
	if after := at.must(t, "ctl", "history", "--json"); string(after) != string(before) {
		t.Errorf("what was refused was done: the history was\n%sand is\n%s", before, after)
	}
	for _, n := range c.nodes {
		if !n.running() {
			t.Errorf("%s ended", n.name)
		}
	}
	if m, ok := at.machines(t); !ok || m.state(at.id(t)) != "alive" {
		t.Errorf("%s is %s", at.name, fmt.Sprint(m))
	}
}
