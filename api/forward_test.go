package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// wire passes requests on to another node's peer port.
type wire struct {
	to     string
	broken error
	twice  bool // the first answer is lost on the way, and reads like one of a node that lost its leadership
	shared bool // the follower's state is the leader's; else the leader's index says nothing to the follower

	mu   sync.Mutex
	seen []*http.Request
}

func (w *wire) Forward(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.seen = append(w.seen, r)
	first := len(w.seen) == 1
	w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	r.URL.Scheme, r.URL.Host = "http", w.to
	resp, err := http.DefaultTransport.RoundTrip(r)
	if w.twice && err == nil && first {
		resp.StatusCode = http.StatusServiceUnavailable
	}
	if err == nil && !w.shared {
		resp.Header.Del(IndexHeader)
	}
	return resp, err
}

// pair is a node that follows and the one that leads it, with states of their own.
func pair(t *testing.T, change ...func(*Config)) (follower, leader *bench, w *wire) {
	t.Helper()
	const leaderID = "node-2"
	leader = newBench(t, func(c *Config) { c.Node = leaderID })
	leader.leads(leaderID)
	peer := httptest.NewServer(leader.server.PeerHandler())
	t.Cleanup(peer.Close)
	w = &wire{to: peer.Listener.Addr().String()}
	follower = newBench(t, append(change, func(c *Config) { c.Forwarder = w })...)
	follower.leads(leaderID)
	follower.server.currency.is.Store(true) // nothing brings the leader's state here
	return follower, leader, w
}

func TestWritesGoToTheLeader(t *testing.T) {
	follower, leader, w := pair(t)
	id, err := follower.client.Submit(t.Context(), []byte(`{"id": "photos"}`), testNonce)
	if err != nil || id != "photos" || leader.job("photos") == nil || follower.index != 0 {
		t.Fatalf("%q, %v", id, err)
	}
	if string(leader.job("photos").Nonce) != string(testNonce) {
		t.Error("the nonce was lost on the way")
	}
	r := w.seen[0]
	if r.Header.Get(ForwardedHeader) != benchNode || r.Header.Get("Authorization") != "" {
		t.Errorf("forwarded with %v", r.Header)
	}
	if _, err = follower.client.Pause(t.Context(), "photos", ""); err != nil || leader.job("photos").State != fsm.Paused {
		t.Error(err)
	}
}

// TestWritesAreSeenHere has the follower apply a command only after the leader has answered.
func TestWritesAreSeenHere(t *testing.T) {
	follower, leader, w := pair(t)
	w.shared = true
	var applying sync.WaitGroup
	defer applying.Wait()
	leader.committed = func(index uint64, entry []byte) {
		applying.Go(func() {
			<-time.After(50 * time.Millisecond)
			follower.machine.Apply(index, entry)
		})
	}
	made, err := follower.client.AddToken(t.Context(), NewToken{Name: "ann", Role: fsm.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	follower.client.token, _ = parseToken(made.Token)
	if _, err := follower.client.Self(t.Context()); err != nil {
		t.Errorf("a token that was just made: %v", err)
	}
}

func TestReadsPreferTheLeader(t *testing.T) {
	follower, leader, w := pair(t)
	leader.bring(fsm.Running)
	d, err := follower.client.Job(t.Context(), "j")
	if err != nil || d.State != fsm.Running || d.Index != leader.index || d.Stale {
		t.Fatalf("%+v, %v", d, err)
	}
	w.broken = errors.New("cut")
	follower.bring(fsm.Paused)
	if d, err = follower.client.Job(t.Context(), "j"); err != nil || d.State != fsm.Paused {
		t.Errorf("without the leader: %+v, %v", d, err)
	}
}

// TestForwardedRequestsStop has two nodes that think of each other as leader.
func TestForwardedRequestsStop(t *testing.T) {
	t.Parallel()
	follower, leader, w := pair(t)
	leader.leads("node-3")
	start := time.Now()
	_, err := follower.client.Submit(t.Context(), []byte(`{"id": "photos"}`), testNonce)
	var p *Problem
	if took := time.Since(start); !errors.As(err, &p) || p.Code() != CodeNoLeader || took > 5*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	if len(w.seen) == 0 || leader.index+follower.index > 0 {
		t.Errorf("%d requests forwarded, %d commands committed", len(w.seen), leader.index+follower.index)
	}
}

func TestClientsCannotClaimToBeNodes(t *testing.T) {
	follower, _, w := pair(t)
	follower.request(http.MethodPost, "/v1/jobs", `{"id": "x"}`, map[string]string{ForwardedHeader: "node-9"})
	if len(w.seen) != 1 || w.seen[0].Header.Get(ForwardedHeader) != benchNode {
		t.Errorf("%d requests forwarded", len(w.seen))
	}
}

func TestPeersSayThatTheyForward(t *testing.T) {
	b := newBench(t)
	rec := httptest.NewRecorder()
	b.server.PeerHandler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/jobs", nil))
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), ForwardedHeader) {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}
