package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// told is one event as a client reads it; a comment has no name.
type told struct{ name, id, data string }

// listener reads a stream of events.
type listener struct {
	t    *testing.T
	resp *http.Response
	got  chan told // closed at the end of the stream
}

// listen follows the events of a node with a token, from an ID on.
func (b *bench) listen(token Token, id string) *listener {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.http.URL+"/v1/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.bearer())
	if id != "" {
		r.Header.Set(resumeHeader, id)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	l := &listener{b.t, resp, make(chan told, 2*changesKept)}
	go l.read()
	return l
}

func (l *listener) read() {
	defer close(l.got)
	defer l.resp.Body.Close()
	var e told
	for lines := bufio.NewScanner(l.resp.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if value == "" && e != (told{}) || value != "" {
				l.got <- e
			}
			e = told{}
			if value != "" { // a comment, and the empty line after it
				lines.Scan()
			}
		}
	}
}

// next is the next event of a kind, as JSON; others are passed over.
func (l *listener) next(name string, into any) (id string) {
	l.t.Helper()
	over := time.After(20 * time.Second)
	for {
		select {
		case e, ok := <-l.got:
			switch {
			case !ok:
				l.t.Fatalf("the stream ends before %q", name)
			case e.name != name:
				continue
			case into != nil && json.Unmarshal([]byte(e.data), into) != nil:
				l.t.Fatalf("%q", e.data)
			}
			return e.id
		case <-over:
			l.t.Fatalf("waited in vain for an event %q", name)
		}
	}
}

// ends waits for the end of the stream.
func (l *listener) ends() {
	l.t.Helper()
	over := time.After(20 * time.Second)
	for {
		select {
		case _, ok := <-l.got:
			if !ok {
				return
			}
		case <-over:
			l.t.Fatal("the stream does not end")
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(fsm.SetNode{Node: "x"})
	l := b.listen(b.token, "")
	if got := l.resp.Header.Get("Content-Type"); got != eventMedia || l.resp.Header.Get(RequestHeader) == "" {
		t.Errorf("%v", l.resp.Header)
	}
	var reset Reset
	if id := l.next(EventReset, &reset); reset.Index != 1 || id != "1" {
		t.Errorf("%+v with ID %q", reset, id)
	}
	var lead LeaderChange
	if l.next(EventLeader, &lead); lead.ID != benchNode {
		t.Errorf("%+v", lead)
	}
	var node NodeChange
	if l.next(EventNode, &node); node != (NodeChange{ID: benchNode, State: Alive}) {
		t.Errorf("%+v", node)
	}
	b.bring(fsm.Running)
	var job JobChange
	last := ""
	for job.State != fsm.Running { // pending may have been seen before
		last = l.next(EventJob, &job)
	}
	if job.ID != "j" || job.Pass != 1 || last == "" {
		t.Errorf("%+v with ID %q", job, last)
	}
	b.must(fsm.PauseJob{Job: "j", Nonce: testNonce, Reason: "lunch"})
	if last = l.next(EventJob, &job); job.State != fsm.Paused || job.Reason != "lunch" {
		t.Errorf("%+v", job)
	}
	b.must(fsm.SetNode{Node: "node-2", Draining: true})
	for l.next(EventNode, &node); node.ID != "node-2" || !node.Draining; l.next(EventNode, &node) {
	}
	b.leads("")
	if l.next(EventLeader, &lead); lead.ID != "" {
		t.Errorf("%+v", lead)
	}
	l.resp.Body.Close()
	l.ends()

	b.must(fsm.RemoveJob{Job: "j", Nonce: testNonce}) // while nobody listens
	l = b.listen(b.token, last)
	job = JobChange{}
	if id := l.next(EventJob, &job); !job.Removed || job.ID != "j" || id != fmt.Sprint(b.index) {
		t.Errorf("resumed: %+v with ID %q", job, id)
	}
	for _, id := range []string{"0", "999999"} { // forgotten, and not come yet
		if got := b.listen(b.token, id).next(EventReset, &reset); got != fmt.Sprint(b.index) {
			t.Errorf("from %s on: reset at %s", id, got)
		}
	}
	if resp, body := b.request(http.MethodGet, "/v1/events", "", map[string]string{resumeHeader: "x"}); resp.StatusCode != 400 {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

// TestEventsEnd ends streams for each reason but the client's own.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Heartbeat = 20 * time.Millisecond })
	token := b.hold("ann", fsm.Viewer, 0)
	l := b.listen(token, "")
	l.next("", nil) // a heartbeat
	b.must(fsm.RemoveToken{ID: token.id})
	l.ends()
	l = b.listen(b.token, "")
	l.next(EventReset, nil)
	b.server.Close()
	l.ends()
}

// TestEventsAreBounded opens as many streams as one token may.
func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	token := b.hold("ann", fsm.Viewer, 0)
	var streams []*listener
	for range maxWaitingOne {
		l := b.listen(token, "")
		l.next(EventReset, nil)
		streams = append(streams, l)
	}
	if got := b.listen(token, "").resp; got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", got.Status)
	}
	resp, _ := b.request(http.MethodGet, "/v1/jobs?index=99", "", map[string]string{"Authorization": "Bearer " + token.bearer()})
	if resp.StatusCode != 429 {
		t.Errorf("a request that waits: %s", resp.Status)
	}
	b.listen(b.token, "").next(EventReset, nil) // another token
	streams[0].resp.Body.Close()
	streams[0].ends()
	b.eventually("there is room again", func() bool { return b.listen(token, "").resp.StatusCode == 200 })
}

// TestChanges follows many changes by index.
func TestChanges(t *testing.T) {
	b := newBench(t)
	c := newChanges()
	look := func() { c.look(b.machine, time.Unix(0, 0)) }
	look()
	for i := range changesKept + 50 {
		b.must(fsm.SubmitJob{ID: fmt.Sprintf("j%05d", i), Nonce: testNonce, Kind: "copy", Spec: []byte(`{}`)})
		if i%2 == 0 {
			look()
		}
	}
	look()
	if told, _, known := c.since(10); known || len(c.kept) != changesKept {
		t.Errorf("what is forgotten is told: %d of %d", len(told), len(c.kept))
	}
	told, next, known := c.since(b.index - 20)
	if !known || next != b.index || len(told) < 20 || len(told) > 22 || told[len(told)-1].ID != fmt.Sprintf("j%05d", changesKept+49) {
		t.Errorf("%d changes, then %d, %v", len(told), next, known)
	}
	if told, _, known := c.since(b.index); !known || len(told) != 0 {
		t.Errorf("nothing changed: %v, %v", told, known)
	}
	if c.changed("j00001", b.index) || !c.changed("j00001", 0) || !c.changed("nothing", b.index) || c.changed("", b.index) {
		t.Error("wrong about what changed")
	}
}

// TestRequestsWait waits for changes of a job, of any, and in vain.
func TestRequestsWait(t *testing.T) {
	t.Parallel()
	follower, leader, _ := pair(t)
	both := func(cmds ...fsm.Command) { // as raft brings them to all
		leader.must(cmds...)
		follower.must(cmds...)
	}
	leader.bring(fsm.Running)
	follower.bring(fsm.Running)
	seen, err := follower.client.Job(t.Context(), "j")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/jobs/j", "/v1/jobs"} {
		done := make(chan string, 1)
		go func() {
			_, body := follower.request(http.MethodGet, fmt.Sprintf("%s?index=%d&wait=20s", path, seen.Index), "", nil)
			done <- body
		}()
		follower.eventually("a request waits", func() bool {
			follower.server.waiting.mu.Lock()
			defer follower.server.waiting.mu.Unlock()
			return follower.server.waiting.all == 1
		})
		both(fsm.SetNode{Node: "x", Draining: path == "/v1/jobs"}) // something else
		select {
		case body := <-done:
			t.Fatalf("%s does not wait: %s", path, body)
		case <-time.After(3 * changesLook):
		}
		verb := fsm.Command(fsm.PauseJob{Job: "j", Nonce: testNonce, Reason: "lunch"})
		if leader.job("j").State == fsm.Paused {
			verb = fsm.ContinueJob{Job: "j", Nonce: testNonce}
		}
		want := fsm.Paused
		if leader.job("j").State == fsm.Paused {
			want = fsm.Running
		}
		both(verb)
		if body := <-done; !strings.Contains(body, `"state":"`+string(want)+`"`) {
			t.Errorf("%s: want %s, got %s", path, want, body)
		}
		seen.Index = leader.index
	}
	start := time.Now()
	resp, _ := follower.request(http.MethodGet, fmt.Sprintf("/v1/jobs/j?index=%d&wait=150ms", leader.index), "", nil)
	if took := time.Since(start); resp.StatusCode != 200 || took < 150*time.Millisecond {
		t.Errorf("in vain: %s after %s", resp.Status, took)
	}
	for _, query := range []string{"index=x", "index=-1", "index=1&wait=5", "index=1&wait=61s", "index=1&wait=-1s"} {
		if resp, _ := follower.request(http.MethodGet, "/v1/jobs?"+query, "", nil); resp.StatusCode != 400 {
			t.Errorf("%s: %s", query, resp.Status)
		}
	}
	if resp, _ := follower.request(http.MethodGet, "/v1/jobs/none?index=1&wait=20s", "", nil); resp.StatusCode != 404 {
		t.Errorf("a job that is not there: %s", resp.Status)
	}
}
