package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoCredentialInClear looks for every secret in all that nodes keep, log at their most talkative, print of themselves
// when they are made to, and answer to an admin.
func TestNoCredentialInClear(t *testing.T) {
	beside(t)
	j := newJob(t)
	from := newRandom(t)
	j.files(t, from, 300)
	temporary := *j // the store knows no such sessions, and says so
	temporary.id, temporary.session = "temporary", fmt.Sprintf("session/of+a role=%016x", from.Uint64())
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		n.args = append(n.args, "--http-tls", "always", "--log-level", "debug")
		n.start(t)
	}
	c.waitWhole(t)
	leader, others := c.leader(t)
	admin, brief := others[0].invite(t, "anna", "admin"), others[0].invite(t, "bert", "viewer", "--expires", "1s")
	secret := ofCluster(t, c, &temporary)
	c.plantSettings(t, secret)
	for _, v := range []*visitor{admin, brief} {
		secret.note(t, v.file)
	}
	some := refusing(func(key string) bool { return strings.HasSuffix(key, "7") })
	j.proxy.Add(some)
	j.slow(300 * time.Millisecond)
	admin.may(t, others[0], "add", "--yes", j.jobFile(t, 10), temporary.jobFile(t, 10)) // the second cannot be looked into
	j.waitWrites(t, 30, startLimit)
	leader.kill(t)
	leader.start(t)
	c.waitWhole(t)
	for _, n := range c.nodes {
		secret.absent(t, "what the system tells of "+n.name, processOf(t, n))
	}
	others[0].dump(t, syscall.SIGQUIT)
	c.waitWhole(t)
	others[1].dump(t, syscall.SIGABRT)
	c.waitWhole(t)
	j.proxy.Replace(some)
	eventually(t, time.Minute, "the job ends", func() bool {
		d, ok := j.status(t, c.nodes[0])
		return ok && d.Objects["failed"] > 0 && d.State == "failed"
	})
	eventually(t, startLimit, "a token expires", func() bool { _, err := brief.at(leader, "status"); return err != nil })
	d, ok := temporary.status(t, c.nodes[0])
	if !ok || d.State != "paused" || !strings.Contains(d.Reason, "session token") {
		t.Errorf("the job whose session nobody knows is %s: %s", d.State, d.Reason)
	}
	for _, of := range []*job{j, &temporary} {
		for where, text := range c.answers(t, admin, of) {
			secret.absent(t, where, text)
		}
	}
	j.proxy.Clear()
	admin.may(t, others[0], "retry", j.id)
	j.finish(t, c.nodes[0], time.Minute)
	for _, n := range c.nodes {
		n.stop(t)
		secret.absentIn(t, n, j.bucket) // the job's description, which credentials came with
	}
}

// plantSettings makes settings that are secrets: of a mail server and of a webhook where nobody answers.
func (c *cluster) plantSettings(t *testing.T, secret secrets) {
	t.Helper()
	dir, from := t.TempDir(), newRandom(t)
	line := []string{"ctl", "set", "mail.from=brigade@test.local", "mail.to=ops@test.local", "mail.host=127.0.0.1", "mail.port=1", "mail.user=anybody", "notify.severity=info", "webhook.chat.private=true"}
	for name, text := range map[string]string{"mail.password": "mail/of+a %016x", "webhook.chat.url": "https://127.0.0.1:1/hook/%016x", "webhook.chat.secret": "hook/secret %016x"} {
		secret[name] = fmt.Sprintf(text, from.Uint64())
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(secret[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		line = append(line, name+"=file:"+file)
	}
	c.nodes[0].must(t, line...)
	if _, err := c.nodes[1].brigade("ctl", "mail", "test"); err == nil || !strings.Contains(err.Error(), "not taken") {
		t.Errorf("a test by a mail server that is not there: %v", err)
	}
	if _, err := c.nodes[1].brigade("ctl", "webhook", "test", "chat"); err == nil || !strings.Contains(err.Error(), "not taken") {
		t.Errorf("a test of a webhook that is not there: %v", err)
	}
}

// dump has a node at work end with a dump of its goroutines, and starts it again.
func (n *node) dump(t *testing.T, s syscall.Signal) {
	t.Helper()
	n.signal(t, s)
	n.waitExit(t, 2)
	if said := n.said(t); !strings.Contains(said, "goroutine ") || !strings.Contains(said, "scheduler.") {
		t.Errorf("%s printed no dump after %v", n.name, s)
	}
	n.start(t)
}

// processOf is what whoever is on the machine sees of a node: its command line and environment. Where the system tells nobody,
// that is nothing.
func processOf(t *testing.T, n *node) []byte {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	var all []byte
	for _, name := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", n.cmd.Process.Pid, name))
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	if !bytes.Contains(all, []byte("--cluster-key-file")) {
		t.Errorf("the command line of %s is not among %q", n.name, all)
	}
	return all
}

// answers are what ctl prints and what the API answers to everything that it can be asked about a job with failures.
func (c *cluster) answers(t *testing.T, v *visitor, j *job) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, n := range c.nodes {
		for _, line := range []string{
			"status", "status --jobID=" + j.id, "status --machine", "look " + j.id, "errors " + j.id, "history", "token list", "set", "status --mail",
		} {
			for _, form := range []string{"", " --json"} {
				out := v.may(t, n, strings.Fields(line+form)...)
				if out == "" && !strings.HasPrefix(line, "errors ") {
					t.Errorf("%s prints nothing", line+form)
				}
				all["ctl "+line+form] = append(all["ctl "+line+form], out...)
			}
		}
		for _, path := range []string{
			"/v1/jobs", "/v1/jobs/" + j.id, "/v1/jobs/" + j.id + "/errors", "/v1/jobs/" + j.id + "/spec", "/v1/machines",
			"/v1/machines/" + n.id(t) + "/tasks", "/v1/node", "/v1/settings", "/v1/notices", "/v1/state", "/v1/tokens", "/v1/history", "/healthz", "/readyz",
		} {
			status, header, body := n.request(t, http.MethodGet, path, tokenIn(t, v.file))
			if status != http.StatusOK {
				t.Errorf("GET %s: %d: %s", path, status, body)
			}
			all[path] = append(append(all[path], fmt.Sprint(header)...), body...)
		}
	}
	return all
}

// tokenIn is what stands in a token file.
func tokenIn(t *testing.T, file string) string {
	t.Helper()
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(line))
}

// request asks the API of a node, which speaks TLS on loopback, and returns what it answers; a token of "" is none.
func (n *node) request(t *testing.T, method, path, token string) (status int, header http.Header, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("https://127.0.0.1:%d%s", n.http, path), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	ca, err := os.ReadFile(n.authority())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting(ca)}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp.StatusCode, resp.Header, nil // it has no end
	}
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}
