package cluster_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// door is a node and those who come to it, by what they have. They use ctl.
type door struct {
	node *node
	who  map[string]*hand
	dir  string
}

func newDoor(t *testing.T) *door {
	t.Helper()
	c := newCluster(t, 1)
	n := c.nodes[0]
	n.args = append(n.args, "--http-tls", "always")
	n.start(t)
	c.waitWhole(t)
	local := &hand{addr: fmt.Sprintf("127.0.0.1:%d", n.http), token: filepath.Join(n.data, "token"), ca: n.authority()}
	d := &door{node: n, dir: t.TempDir(), who: map[string]*hand{
		"admin": local.invited(t, "anna", "admin", nil, local.addr), "viewer": local.invited(t, "vera", "viewer", nil, local.addr),
	}}
	for name, lifetime := range map[string]string{"brief": "1s", "removed": "1h"} {
		d.who[name] = local.with(filepath.Join(d.dir, name+".token"))
		local.must(t, request{ctl: []string{"ctl", "token", "add", name, "--role", "admin", "--expires", lifetime, "--out", d.who[name].token}}, 201, nil)
	}
	local.must(t, request{ctl: []string{"ctl", "token", "rm", "removed"}}, 200, nil)
	eventually(t, startLimit, "the token expires", func() bool { return d.who["brief"].ask(t, request{ctl: []string{"ctl", "status"}}).exit != 0 })
	parts := strings.Split(tokenIn(t, d.who["admin"].token), ".")
	parts[2] = strings.Repeat("x", len(parts[2]))
	d.who["wrong"] = local.with(d.file(t, "wrong.token", strings.Join(parts, ".")))
	d.who["garbage"] = local.with(d.file(t, "garbage.token", "this is\nno token\x00, and is long enough"))
	return d
}

// with is somebody at the same place with another token.
func (h *hand) with(token string) *hand {
	other := *h
	other.token = token
	return &other
}

// file makes a file.
func (d *door) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// submission adds a job, which ctl reads in a file and curl sends.
func (d *door) submission(t *testing.T, name, text string) request {
	t.Helper()
	return request{ctl: []string{"ctl", "add", d.file(t, name+".yaml", text)}, method: "POST", path: "/v1/jobs", body: text}
}

// TestBadRequests asks a node, by ctl and by curl, for what it refuses. The answer says what is wrong and what is allowed.
func TestBadRequests(t *testing.T) {
	beside(t)
	d := newDoor(t)
	source, target := t.TempDir(), t.TempDir()
	job := func(more string) string {
		return fmt.Sprintf(`{"source": {"url": %q}, "destination": {"url": %q}%s}`, source, target, more)
	}
	good := d.submission(t, "good", job(`, "id": "j"`))
	d.who["admin"].must(t, good, 201, nil)
	status := request{ctl: []string{"ctl", "status"}, path: "/v1/jobs"}
	stranger := []string{"the token is not valid: it is not of this cluster, or was removed"}
	for _, test := range []struct {
		name, who string
		ask       request
		want      refusal
	}{
		{"wrong token", "wrong", status, refusal{1, 401, "unauthorized", stranger}},
		{"removed token", "removed", status, refusal{1, 401, "unauthorized", stranger}},
		{"expired token", "brief", status, refusal{1, 401, "token-expired", []string{"the token brief expired at 2"}}},
		{"no token", "garbage", request{ctl: status.ctl}, refusal{exit: 1, words: []string{"does not hold a token that this version reads"}}},
		{"viewer adds", "viewer", good, refusal{1, 403, "forbidden", []string{"takes the role operator", "the token vera has the role viewer"}}},
		{
			"viewer sets", "viewer",
			request{ctl: []string{"ctl", "set", "max-worker-num=2"}, method: "PUT", path: "/v1/settings", body: `{"settings": {"max-worker-num": "2"}}`},
			refusal{1, 403, "forbidden", []string{"takes the role admin", "the token vera has the role viewer"}},
		},
		{
			"too large", "admin", d.submission(t, "large", job(`, "id": "`+strings.Repeat("x", 1_200_000)+`"`)),
			refusal{2, 413, "too-large", []string{" bytes"}},
		},
		{"unknown key", "admin", d.submission(t, "key", job(`, "compair": "size"`)), refusal{2, 422, "invalid-job", []string{"compair: unknown key", `did you mean "compare"`}}},
		{"no YAML", "admin", d.submission(t, "yaml", "{"), refusal{2, 422, "invalid-job", []string{"is not YAML"}}},
		{
			"path as ID", "admin", d.submission(t, "path", job(`, "id": "../x"`)),
			refusal{2, 422, "invalid-job", []string{`"../x" is not an ID; allowed: 1 to 128 characters of a-z A-Z 0-9 . _ -`}},
		},
		{"there already", "admin", d.submission(t, "other", job(`, "id": "j", "compare": "size"`)), refusal{1, 409, "job-exists", []string{`a job with the ID "j" exists`, "give another ID, or remove that job first"}}},
		{
			"unknown job", "admin", request{ctl: []string{"ctl", "pause", "nope"}, method: "POST", path: "/v1/jobs/nope/pause"},
			refusal{1, 404, "no-such-job", []string{`there is no job "nope"`}},
		},
		{"path as ID of a job", "admin", request{ctl: []string{"ctl", "pause", "a/b"}}, refusal{exit: 2, words: []string{`"a/b" is not the ID of a job`, "a-z A-Z 0-9"}}},
		{"the same", "admin", request{method: "POST", path: "/v1/jobs/a%2Fb/pause"}, refusal{status: 404, code: "no-such-job", words: []string{`there is no job "a/b"`}}},
		{"dots as ID", "admin", request{ctl: []string{"ctl", "rm", ".."}}, refusal{exit: 2, words: []string{`".." is not the ID of a job`}}},
		{"empty ID", "admin", request{ctl: []string{"ctl", "status", "--jobID="}}, refusal{exit: 2, words: []string{`"" is not the ID of a job`}}},
		{
			"unknown setting", "admin", request{ctl: []string{"ctl", "set", "max-worker=2"}, method: "PUT", path: "/v1/settings", body: `{"settings": {"max-worker": "2"}}`},
			refusal{1, 400, "bad-request", []string{`setting "max-worker" is not known; known are`, "max-worker-num"}},
		},
		{
			"unknown member", "admin", request{method: "PUT", path: "/v1/settings", body: `{"settings": {}, "more": 1}`},
			refusal{status: 400, code: "unknown-field", words: []string{"not known here", `"more"`}},
		},
		{
			"address not ours", "admin", request{ctl: []string{"ctl", "status", "--ip=192.0.2.1"}},
			refusal{exit: 1, words: []string{`no machine has the address "192.0.2.1"; those known have 127.0.0.1:`}},
		},
		{"node not ours", "admin", request{method: "POST", path: "/v1/machines/0123/drain"}, refusal{status: 404, code: "not-found", words: []string{`there is no node "0123"`}}},
		{"too many arguments", "admin", request{ctl: []string{"ctl", "status", "j"}}, refusal{exit: 2, words: []string{"status takes no arguments, not 1", "--help"}}},
		{"wrong method", "admin", request{method: "PUT", path: "/v1/jobs"}, refusal{status: 405, code: "method-not-allowed", words: []string{"/v1/jobs takes GET or"}}},
		{"nothing there", "admin", request{path: "/v1/job"}, refusal{status: 404, code: "not-found", words: []string{"there is nothing at /v1/job"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := *d.who[test.who]
			if test.ask.ctl != nil {
				h.mayNot(t, test.ask, test.want)
			}
			if test.ask.path != "" {
				h.curl = true
				h.mayNot(t, test.ask, test.want)
			}
		})
	}
}

// TestWrongAddresses has ctl call what is no node, or not so.
func TestWrongAddresses(t *testing.T) {
	beside(t)
	d := newDoor(t)
	gateway := shared.gateway.VersityGW(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	api := d.who["admin"].addr
	for _, test := range []struct {
		addr  string
		exit  int
		words string
	}{
		{"http://" + api, 1, "this port speaks TLS; use https://" + api},
		{gateway.URL, 1, "it is not a Brigade node"},
		{"https://" + strings.TrimPrefix(gateway.URL, "http://"), 1, "does not speak TLS; use " + gateway.URL},
		{fmt.Sprintf("https://127.0.0.1:%d", d.node.peer), 1, "not of the cluster that the token is for"},
		{"https://" + nobody, 1, "no node answers at https://" + nobody},
		{"http://192.0.2.1:7460", 2, "would send the token over the network in clear"},
		{"ftp://" + api, 2, "is not HOST:PORT, http://HOST:PORT or https://HOST:PORT"},
		{"127.0.0.1", 2, `address "127.0.0.1" has no port`},
	} {
		h := *d.who["admin"]
		h.addr = test.addr
		h.mayNot(t, request{ctl: []string{"ctl", "status"}}, refusal{exit: test.exit, words: []string{test.words}})
	}
	h := d.who["admin"]
	exit, out, said := h.run(t, "", nil, "curl", "-sS", "-w", "%{http_code}", "http://"+api+"/v1/jobs")
	if want := fmt.Sprint(http.StatusBadRequest); exit != 0 || !strings.Contains(string(out), "HTTP request to an HTTPS server") || !strings.HasSuffix(string(out), want) {
		t.Errorf("HTTP on the TLS port by curl: exit %d: %s%s", exit, out, said)
	}
	// What curl needs to call the node by TLS, ctl prints.
	ca := h.must(t, request{ctl: []string{"ctl", "ca"}}, 200, nil)
	if kept, err := os.ReadFile(h.ca); err != nil || !strings.Contains(string(ca.out), strings.Split(string(kept), "\n")[1]) {
		t.Errorf("ctl ca prints %s, not what %s holds: %v", ca.out, h.ca, err)
	}
}
