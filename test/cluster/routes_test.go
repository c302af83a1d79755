package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// endpoint is a route of the API, and the least role that it takes.
type endpoint struct{ method, path, role string }

// knownEndpoints are endpoints that nodes serve, with roles as they shall be.
func knownEndpoints() []endpoint {
	const v, o, a = "viewer", "operator", "admin"
	all := []endpoint{
		{"GET", "/healthz", ""}, {"GET", "/readyz", ""},
		{"GET", "/v1/jobs", v}, {"GET", "/v1/jobs/{id}", v}, {"GET", "/v1/jobs/{id}/errors", v}, {"GET", "/v1/jobs/{id}/spec", v},
		{"GET", "/v1/machines", v}, {"GET", "/v1/machines/{id}/tasks", v}, {"GET", "/v1/node", v}, {"GET", "/v1/settings", v},
		{"GET", "/v1/state", v},
		{"POST", "/v1/jobs", o}, {"DELETE", "/v1/jobs/{id}", o}, {"GET", "/v1/history", o},
		{"POST", "/v1/machines/{id}/drain", o}, {"POST", "/v1/machines/{id}/undrain", o},
		{"PUT", "/v1/settings", a}, {"GET", "/v1/tokens", a}, {"POST", "/v1/tokens", a}, {"DELETE", "/v1/tokens/{name}", a},
		{"POST", "/v1/node/stop", a}, {"POST", "/v1/node/leave", a},
		{"POST", "/v1/history", "nodes"},
	}
	for _, verb := range []string{"pause", "continue", "redo", "retry"} {
		all = append(all, endpoint{"POST", "/v1/jobs/{id}/" + verb, o})
	}
	return all
}

// described are the endpoints in a node's OpenAPI document.
func (n *node) described(t *testing.T) (all []endpoint) {
	t.Helper()
	status, _, body := n.request(t, http.MethodGet, "/openapi.json", tokenIn(t, filepath.Join(n.data, "token")))
	var d struct {
		Paths map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal(body, &d); err != nil || len(d.Paths) == 0 {
		t.Fatalf("read the OpenAPI document: %d, %v", status, err)
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			e := endpoint{strings.ToUpper(method), path, ""}
			for _, s := range op.Security {
				for _, roles := range s {
					e.role = strings.Join(roles, " ")
				}
			}
			all = append(all, e)
		}
	}
	return all
}

// endpoints are all of a node, about a job and a node that are there.
func (n *node) endpoints(t *testing.T, j *job) (all []endpoint) {
	t.Helper()
	all = knownEndpoints()
	for _, e := range n.described(t) {
		i := slices.IndexFunc(all, func(w endpoint) bool { return w.method == e.method && w.path == e.path })
		if i < 0 {
			all = append(all, e)
		} else if all[i].role != e.role {
			t.Errorf("%s %s is for %q, says the document, not for %q", e.method, e.path, e.role, all[i].role)
		}
	}
	for i := range all {
		e := &all[i]
		id := j.id
		if strings.HasPrefix(e.path, "/v1/machines/") {
			id = n.id(t)
		}
		e.path = strings.NewReplacer("{id}", id, "{name}", "vera").Replace(e.path)
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

	all := at.endpoints(t, j)
	worthless := map[string]string{"no token": "", "garbage": "brigade1.x.y", "removed": tokenIn(t, removed.file)}
	for _, n := range []*node{leader, at} {
		for _, e := range all {
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
			if e.role == "" || e.role == "viewer" {
				if status >= 500 || status == http.StatusUnauthorized || status == http.StatusForbidden {
					t.Errorf("%s %s at %s by a viewer: %d: %s", e.method, e.path, n.name, status, body)
				}
				continue
			}
			var p struct {
				Type   string
				Needed string `json:"needed_role"`
			}
			err := json.Unmarshal(body, &p)
			needed := p.Needed == e.role || e.role == "nodes" && p.Needed == ""
			if status != http.StatusForbidden || err != nil || !strings.HasSuffix(p.Type, ":forbidden") || !needed {
				t.Errorf("%s %s at %s by a viewer: %d, want 403: %v: %s", e.method, e.path, n.name, status, err, body)
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
