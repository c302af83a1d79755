package api

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

// behind is a node that has just started and whose state is not what the leader's is.
func behind(t *testing.T) (follower, leader *bench, w *wire) {
	t.Helper()
	follower, leader, w = pair(t)
	follower.server.currency.is.Store(false)
	leader.bring(fsm.Running)
	return follower, leader, w
}

// replicate brings the leader's state to a follower, as raft does.
func replicate(t *testing.T, leader, follower *bench) {
	t.Helper()
	var snapshot bytes.Buffer
	if err := errors.Join(leader.machine.Snapshot()(&snapshot), follower.machine.Restore(&snapshot)); err != nil {
		t.Fatal(err)
	}
}

// TestNewNodeTrustsNoToken has a node start with a token in its state that was removed meanwhile, and without one that was
// made meanwhile.
func TestNewNodeTrustsNoToken(t *testing.T) {
	t.Parallel()
	follower, leader, w := behind(t)
	old := follower.hold("old", fsm.Admin, 0)
	fresh := leader.hold("fresh", fsm.Viewer, 0)
	ask := func(path string, token Token) (int, string) {
		resp, body := follower.request(http.MethodGet, path, "", map[string]string{"Authorization": "Bearer " + token.bearer()})
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", body)
		}
		return resp.StatusCode, body
	}
	for name, token := range map[string]Token{"removed": old, "made": fresh} {
		if status, body := ask("/v1/node", token); status != 503 || !strings.Contains(body, CodeNotReady) {
			t.Errorf("the token that was %s, before the state is here: %d %s", name, status, body)
		}
	}
	if status, body := ask("/readyz", fresh); status != 503 || !strings.Contains(body, CodeNotReady) {
		t.Errorf("ready before the state is here: %d %s", status, body)
	}
	if status, _ := ask("/healthz", fresh); status != 200 {
		t.Errorf("health: %d", status)
	}
	if status, _ := ask("/v1/node", follower.token); status != 200 {
		t.Errorf("the token in the data directory: %d", status)
	}
	w.broken = errors.New("cut")
	replicate(t, leader, follower)
	if status, _ := ask("/v1/node", fresh); status != 503 {
		t.Errorf("while the leader cannot be asked: %d", status)
	}
	w.broken = nil
	if status, body := ask("/v1/node", fresh); status != 200 {
		t.Errorf("once the state is here: %d %s", status, body)
	}
	if status, _ := ask("/v1/node", old); status != 401 {
		t.Errorf("the token that was removed, once the state is here: %d", status)
	}
	if status, _ := ask("/readyz", fresh); status != 200 {
		t.Errorf("ready: %d", status)
	}
	follower.leads("") // a node that has caught up once goes on as it is
	if status, _ := ask("/v1/node", fresh); status != 200 {
		t.Errorf("without a leader later on: %d", status)
	}
}

// TestTokenWaitsForTheState has the state come while a request waits for it.
func TestTokenWaitsForTheState(t *testing.T) {
	follower, leader, _ := behind(t)
	fresh := leader.hold("fresh", fsm.Viewer, 0)
	follower.client.token = fresh
	done := make(chan error, 1)
	go func() {
		_, err := follower.client.Self(t.Context())
		done <- err
	}()
	for len(follower.server.currency.asking) == 0 { // until the request has asked
		if len(done) > 0 {
			t.Fatal("the request did not wait: ", <-done)
		}
	}
	replicate(t, leader, follower)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNewLeaderTrustsNoToken has a node lead that has not applied its log.
func TestNewLeaderTrustsNoToken(t *testing.T) {
	b := newBench(t)
	b.unready = errors.New("the log is not applied")
	token := b.hold("ann", fsm.Viewer, 0)
	header := map[string]string{"Authorization": "Bearer " + token.bearer()}
	if resp, body := b.request(http.MethodGet, "/v1/node", "", header); resp.StatusCode != 503 {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if resp, _ := b.request(http.MethodGet, "/readyz", "", nil); resp.StatusCode != 503 {
		t.Errorf("ready: %s", resp.Status)
	}
	b.mu.Lock()
	b.unready = nil
	b.mu.Unlock()
	if resp, body := b.request(http.MethodGet, "/v1/node", "", header); resp.StatusCode != 200 {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
