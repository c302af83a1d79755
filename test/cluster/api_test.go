package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ask sends a request to a node with the token of its data directory. The status is 0 where nobody answers.
func (n *node) ask(t *testing.T, method, path, body string, header map[string]string) (status int, replayed bool, answer string) {
	t.Helper()
	resp, err := n.open(context.Background(), t, method, path, body, header)
	if err != nil {
		return 0, false, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false, err.Error()
	}
	return resp.StatusCode, resp.Header.Get("Idempotency-Replayed") == "true", string(text)
}

// open sends a request and leaves the answer to be read.
func (n *node) open(ctx context.Context, t *testing.T, method, path, body string, header map[string]string) (*http.Response, error) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(n.data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", n.http, path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return http.DefaultClient.Do(r)
}

// streamed is one event of a stream.
type streamed struct{ name, id, data string }

// follow reads the events of a node until the test ends.
func (n *node) follow(t *testing.T, last string) <-chan streamed {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	header := map[string]string{}
	if last != "" {
		header["Last-Event-ID"] = last
	}
	resp, err := n.open(ctx, t, http.MethodGet, "/v1/events", "", header)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("follow %s: %v, %v", n.name, resp, err)
	}
	events, done := make(chan streamed, 10_000), make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		defer resp.Body.Close()
		var e streamed
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			default:
				if e.name != "" {
					events <- e
				}
				e = streamed{}
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return events
}

// waitEvent reads on to an event with such words, and returns the last ID up to there.
func waitEvent(t *testing.T, events <-chan streamed, name string, words ...string) (last string) {
	t.Helper()
	over := time.After(startLimit)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ends before %s %v", name, words)
			}
			if e.id != "" {
				last = e.id
			}
			all := e.name == name
			for _, word := range words {
				all = all && strings.Contains(e.data, word)
			}
			if all {
				return last
			}
		case <-over:
			t.Fatalf("waited in vain for the event %s %v", name, words)
		}
	}
}

// TestRequestsAcrossLeaders sends the same requests again after the leader is lost, to other nodes, and follows events there.
func TestRequestsAcrossLeaders(t *testing.T) {
	beside(t)
	c := startCluster(t, 3)
	leader, others := c.leader(t)
	old := leader.id(t)
	events := others[0].follow(t, "")
	waitEvent(t, events, "reset")
	waitEvent(t, events, "leader", old)
	waitEvent(t, events, "node", old, `"alive"`)

	source, destination := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "f"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	description := fmt.Sprintf(`{"id": "move", "source": {"url": %q}, "destination": {"url": %q}}`, source, destination)
	addKey, tokenKey := map[string]string{"Idempotency-Key": "a-key-of-the-job-move"}, map[string]string{"Idempotency-Key": "a-key-of-the-token-ann"}
	const wanted = `{"name": "ann", "role": "viewer"}`
	if status, replayed, answer := others[1].ask(t, http.MethodPost, "/v1/jobs", description, addKey); status != 201 || replayed {
		t.Fatalf("%d: %s", status, answer)
	}
	last := waitEvent(t, events, "job", `"move"`, `"succeeded"`)
	status, _, first := others[0].ask(t, http.MethodPost, "/v1/tokens", wanted, tokenKey)
	if status != 201 {
		t.Fatalf("%d: %s", status, first)
	}

	leader.kill(t)
	if waitEvent(t, events, "leader"); last == "" {
		t.Error("the events have no ID")
	}
	for _, n := range others {
		eventually(t, startLimit, "the token is told again by "+n.name, func() bool {
			status, replayed, again := n.ask(t, http.MethodPost, "/v1/tokens", wanted, tokenKey)
			if status == 201 && (!replayed || again != first) {
				t.Fatalf("replayed %v, and the answer differs: %v", replayed, again != first)
			}
			return status == 201
		})
		if status, replayed, answer := n.ask(t, http.MethodPost, "/v1/jobs", description, addKey); status != 201 || !replayed {
			t.Errorf("the job again: %d, replayed %v: %s", status, replayed, answer)
		}
		if status, _, answer := n.ask(t, http.MethodPost, "/v1/jobs", `{}`, addKey); status != 422 || !strings.Contains(answer, "idempotency-key-reused") {
			t.Errorf("something else under the key: %d: %s", status, answer)
		}
	}
	if n := strings.Count(string(others[0].must(t, "ctl", "history", "--json")), "\n"); n != 2 {
		t.Errorf("%d events in the history", n)
	}

	// Another node goes on where the first left off, and a request waits there.
	_, _, answer := others[1].ask(t, http.MethodGet, "/v1/jobs/move", "", nil)
	var job struct{ Index uint64 }
	if err := json.Unmarshal([]byte(answer), &job); err != nil || job.Index == 0 {
		t.Fatalf("%s: %v", answer, err)
	}
	waited := make(chan string, 1)
	go func() {
		_, _, answer := others[1].ask(t, http.MethodGet, fmt.Sprintf("/v1/jobs/move?index=%d&wait=30s", job.Index), "", nil)
		waited <- answer
	}()
	if status, _, answer := others[0].ask(t, http.MethodPost, "/v1/jobs/move/redo", "", nil); status != 200 {
		t.Fatalf("%d: %s", status, answer)
	}
	waitEvent(t, others[1].follow(t, last), "job", `"move"`)
	if answer := <-waited; !strings.Contains(answer, `"id":"move"`) || strings.Contains(answer, fmt.Sprintf(`"index":%d}`, job.Index)) {
		t.Errorf("after the wait: %s", answer)
	}
}
