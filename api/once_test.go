package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const testKey = "8e03978e-40d5-43dd-bc93-6894a57f9324"

// again sends a request twice with one key and wants the same status, and the second time nothing to happen.
func (b *bench) again(method, path, body string) (first, second string) {
	b.t.Helper()
	header := map[string]string{KeyHeader: testKey, "If-Match": "*"}
	resp, first := b.request(method, path, body, header)
	status, before := resp.StatusCode, b.effects()
	if status >= 300 {
		b.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, first)
	}
	if resp.Header.Get(ReplayHeader) != "" {
		b.t.Errorf("%s %s: done before, says the first answer", method, path)
	}
	events := len(b.history())
	resp, second = b.request(method, path, body, header)
	if resp.StatusCode != status || resp.Header.Get(ReplayHeader) != "true" || b.effects() != before || len(b.history()) != events {
		b.t.Errorf("%s %s, again: %s, %v, %s after %s: %s", method, path, resp.Status, resp.Header, b.effects(), before, second)
	}
	return first, second
}

func (b *bench) history() (all []fsm.Event) {
	b.machine.Read(func(s *fsm.State) { all = s.History() })
	return all
}

// TestWritesOnce sends every request that changes something twice.
func TestWritesOnce(t *testing.T) {
	seen := map[string]bool{"POST /v1/preview": true, "PUT /v1/segments": true} // these change nothing in the state
	// What the first answer says besides the job, nobody keeps: which keys changed, which uploads are left.
	madeAnew := map[string]bool{"DELETE /v1/jobs/{id}": true, "PUT /v1/jobs/{id}/spec": true, "POST /v1/notices/test": true}
	for _, test := range []struct {
		pattern, path, body string
		from                fsm.JobState
	}{
		{"POST /v1/jobs", "/v1/jobs", `{"id":"photos"}`, ""},
		{"DELETE /v1/jobs/{id}", "/v1/jobs/j", "", fsm.Succeeded},
		{"PUT /v1/jobs/{id}/spec", "/v1/jobs/j/spec", `{"id":"j","rest":"x"}`, fsm.Succeeded},
		{"POST /v1/key/switch", "/v1/key/switch", "", ""},
		{"POST /v1/key/back", "/v1/key/back", "", ""},
		{"POST /v1/key/finish", "/v1/key/finish", "", ""},
		{"POST /v1/jobs/{id}/pause", "/v1/jobs/j/pause", `{"reason":"lunch"}`, fsm.Running},
		{"POST /v1/jobs/{id}/continue", "/v1/jobs/j/continue", "", fsm.Paused},
		{"POST /v1/jobs/{id}/redo", "/v1/jobs/j/redo", "", fsm.Succeeded},
		{"POST /v1/jobs/{id}/retry", "/v1/jobs/j/retry", "", fsm.Failed},
		{"POST /v1/machines/{id}/drain", "/v1/machines/node-2/drain", "", ""},
		{"POST /v1/machines/{id}/undrain", "/v1/machines/node-2/undrain", "", ""},
		{"PUT /v1/settings", "/v1/settings", `{"settings":{"max-worker-num":"3"}}`, ""},
		{"POST /v1/notices/test", "/v1/notices/test", `{"to":"ops@example.com"}`, ""},
		{"POST /v1/tokens", "/v1/tokens", `{"name":"ann","role":"viewer"}`, ""},
		{"DELETE /v1/tokens/{name}", "/v1/tokens/held", "", ""},
		{"POST /v1/node/stop", "/v1/node/stop", "", ""},
		{"POST /v1/node/leave", "/v1/node/leave", "", ""},
	} {
		seen[test.pattern] = true
		t.Run(test.pattern, func(t *testing.T) {
			room := &keyRoom{}
			b := newBench(t, func(c *Config) { c.Keys, c.Notices = room, &tongue{} })
			b.hold("held", fsm.Viewer, 0)
			room.say(keyNode(benchNode, oldKey, nextKey))
			if strings.HasSuffix(test.path, "/back") || strings.HasSuffix(test.path, "/finish") {
				b.must(fsm.SwitchKey{From: oldKey, To: nextKey, At: 1})
				room.say(keyNode(benchNode, nextKey, oldKey))
			}
			if test.from != "" {
				b.bring(test.from)
			}
			method, _, _ := strings.Cut(test.pattern, " ")
			first, second := b.again(method, test.path, test.body)
			if first != second && !madeAnew[test.pattern] {
				t.Errorf("the answers differ:\n%s\n%s", first, second)
			}
			var snapshot bytes.Buffer
			if err := b.machine.Snapshot()(&snapshot); err != nil || bytes.Contains(snapshot.Bytes(), []byte(testKey)) {
				t.Errorf("the state holds the key, or %v", err)
			}
		})
	}
	for _, rt := range newBench(t).server.routes() {
		if !strings.HasPrefix(rt.pattern, http.MethodGet) && rt.role != peers && !seen[rt.pattern] {
			t.Errorf("%s is not tried", rt.pattern)
		}
	}
}

// TestOnceAndThenAnother makes sure that the job, which went on meanwhile, is left alone.
func TestOnceAndThenAnother(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	header := map[string]string{KeyHeader: testKey}
	b.request(http.MethodPost, "/v1/jobs/j/pause", "", header)
	b.must(fsm.ContinueJob{Job: "j", Nonce: testNonce})
	resp, body := b.request(http.MethodPost, "/v1/jobs/j/pause", "", header)
	if resp.StatusCode != 200 || b.job("j").State != fsm.Running || !strings.Contains(body, `"state":"running"`) {
		t.Errorf("%s, the job is %s: %s", resp.Status, b.job("j").State, body)
	}
	for name, r := range map[string][3]string{
		"other body":   {http.MethodPost, "/v1/jobs/j/pause", `{"reason":"x"}`},
		"other path":   {http.MethodPost, "/v1/jobs/j/redo", ""},
		"other method": {http.MethodDelete, "/v1/jobs/j", ""},
		"other query":  {http.MethodPost, "/v1/jobs/j/pause?x=1", ""},
	} {
		resp, body := b.request(r[0], r[1], r[2], header)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != http.StatusUnprocessableEntity || p.Code() != CodeKeyReused {
			t.Errorf("%s: %s: %s, %v", name, resp.Status, body, err)
		}
	}
	other := b.hold("ann", fsm.Operator, 0)
	header["Authorization"] = "Bearer " + other.bearer()
	if resp, _ := b.request(http.MethodPost, "/v1/jobs/j/pause", "", header); resp.StatusCode != 200 || b.job("j").State != fsm.Paused {
		t.Errorf("another caller's equal key: %s", resp.Status)
	}
}

func TestKeys(t *testing.T) {
	b := newBench(t)
	for key, good := range map[string]bool{
		testKey: true, `"` + testKey + `"`: true, strings.Repeat("x", 16): true, strings.Repeat("x", 128): true,
		"short": false, strings.Repeat("x", 129): false, "spaces in the middle": false, strings.Repeat("ä", 20): false,
	} {
		resp, body := b.request(http.MethodPost, "/v1/machines/node-2/drain", "", map[string]string{KeyHeader: key})
		if (resp.StatusCode == 200) != good || !good && !strings.Contains(body, CodeBadKey) {
			t.Errorf("%q: %s: %s", key, resp.Status, body)
		}
	}
	if resp, _ := b.request(http.MethodGet, "/v1/jobs", "", map[string]string{KeyHeader: "short"}); resp.StatusCode != 200 {
		t.Errorf("a read with a key: %s", resp.Status)
	}
	header := map[string]string{KeyHeader: testKey + "x"}
	for range 2 {
		if resp, body := b.request(http.MethodPost, "/v1/jobs", `{"id":"photos"}`, header); resp.StatusCode != 201 || len(b.job("photos").Nonce) != nonceBytes {
			t.Errorf("a job under a UUID: %s: %s", resp.Status, body)
		}
	}
}

// TestKeysAreFreeAfterADay lets the time of a key pass.
func TestKeysAreFreeAfterADay(t *testing.T) {
	b := newBench(t)
	header := map[string]string{KeyHeader: testKey}
	drain := func(node string) int {
		resp, _ := b.request(http.MethodPost, "/v1/machines/"+node+"/drain", "", header)
		return resp.StatusCode
	}
	if got := drain("node-2"); got != 200 {
		t.Fatal(got)
	}
	if got := drain(benchNode); got != 422 {
		t.Errorf("at once: %d", got)
	}
	b.mu.Lock()
	b.at += int64(fsm.OnceAge)
	b.mu.Unlock()
	if got := drain(benchNode); got != 200 {
		t.Errorf("a day later: %d", got)
	}
}

// TestTokenAgainAfterALeader makes a token, loses the answer and the leader with it, and asks the next one.
func TestTokenAgainAfterALeader(t *testing.T) {
	b := newBench(t)
	const body = `{"name":"ann","role":"viewer"}`
	_, first := b.request(http.MethodPost, "/v1/tokens", body, map[string]string{KeyHeader: testKey})
	var snapshot bytes.Buffer
	if err := b.machine.Snapshot()(&snapshot); err != nil {
		t.Fatal(err)
	}
	next := newBench(t) // with what the log brought it, and the key of the same cluster
	next.at, next.index = b.at, b.index
	if err := next.machine.Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
		t.Fatal(err)
	}
	resp, second := next.request(http.MethodPost, "/v1/tokens", body, map[string]string{KeyHeader: testKey})
	var made [2]MadeToken
	if err := errors.Join(json.Unmarshal([]byte(first), &made[0]), json.Unmarshal([]byte(second), &made[1])); err != nil {
		t.Fatal(err)
	}
	if made[0].Token == "" || made[0].Token != made[1].Token || made[0].ID != made[1].ID || resp.StatusCode != 201 {
		t.Errorf("%s: another token", resp.Status)
	}
	token, _ := parseToken(made[0].Token)
	if bytes.Contains(snapshot.Bytes(), []byte(token.secret)) {
		t.Error("the state holds the secret")
	}
	next.server.cfg.Sealer = nil // as where the cluster key was exchanged
	resp, second = next.request(http.MethodPost, "/v1/tokens", body, map[string]string{KeyHeader: testKey})
	if resp.StatusCode != 409 || !strings.Contains(second, "cannot be told again") {
		t.Errorf("%s: %s", resp.Status, second)
	}
}

// TestOnceAtTheSameTime sends one request many times at once, through two nodes.
func TestOnceAtTheSameTime(t *testing.T) {
	follower, leader, _ := pair(t)
	leader.bring(fsm.Succeeded)
	before := leader.index
	var sending sync.WaitGroup
	for i := range 8 {
		b := []*bench{follower, leader}[i%2]
		sending.Go(func() {
			resp, body := b.request(http.MethodPost, "/v1/jobs/j/redo", "", map[string]string{KeyHeader: testKey})
			if resp.StatusCode != 200 {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
	sending.Wait()
	if n := len(leader.history()); n != 1 || leader.job("j").State != fsm.Pending {
		t.Errorf("%d events after %d commands, the job is %s", n, leader.index-before, leader.job("j").State)
	}
}

// TestStopOnceThroughAFollower has a node that does not lead record its own stop under the key.
func TestStopOnceThroughAFollower(t *testing.T) {
	follower, leader, _ := pair(t)
	follower.request(http.MethodPost, "/v1/node/stop", "", map[string]string{KeyHeader: testKey})
	var done []byte
	leader.machine.Read(func(s *fsm.State) {
		if n := len(s.History()); n != 1 || s.History()[0].Verb != "stop" {
			t.Errorf("%d events", n)
		}
	})
	var snapshot bytes.Buffer
	if err := leader.machine.Snapshot()(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := follower.machine.Restore(&snapshot); err != nil { // as raft brings it here
		t.Fatal(err)
	}
	follower.mu.Lock()
	follower.at = leader.at
	follower.mu.Unlock()
	resp, body := follower.request(http.MethodPost, "/v1/node/stop", "", map[string]string{KeyHeader: testKey})
	if resp.StatusCode != 202 || follower.stopped != 1 || resp.Header.Get(ReplayHeader) != "true" {
		t.Errorf("%s, stopped %d times: %s %s", resp.Status, follower.stopped, body, done)
	}
}

// cutter is a network that loses the first answers.
type cutter struct {
	lose int
	keys []string
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.keys = append(c.keys, r.Header.Get(KeyHeader))
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && len(c.keys) <= c.lose {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	}
	return resp, err
}

// TestClientSendsAgain loses answers on the way to the client, which sends the same request under the same key.
func TestClientSendsAgain(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Succeeded)
	cut := &cutter{lose: 2}
	b.client.http.Transport = cut
	if _, err := b.client.Redo(t.Context(), "j", false); err != nil {
		t.Fatal(err)
	}
	if len(cut.keys) != 3 || cut.keys[0] == "" || cut.keys[0] != cut.keys[2] || len(b.history()) != 1 {
		t.Errorf("keys %v, %d events", cut.keys, len(b.history()))
	}
	was := cut.keys[0]
	cut.keys, cut.lose = nil, 9
	start := time.Now()
	if _, err := b.client.Jobs(t.Context()); !errors.Is(err, ErrUnreachable) || len(cut.keys) != maxAttempts || time.Since(start) > time.Minute {
		t.Errorf("%v after %d attempts", err, len(cut.keys))
	}
	cut.keys, cut.lose = nil, 0
	if _, err := b.client.Drain(t.Context(), "node-2", true); err != nil || cut.keys[0] == was {
		t.Errorf("two requests have one key: %v", err)
	}
}
