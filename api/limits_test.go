package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestCallsAreLimited sends as much as one token may, and more. Another token is not made to wait.
func TestCallsAreLimited(t *testing.T) {
	var now atomic.Int64
	b := newBench(t, func(c *Config) { c.Now = func() time.Time { return time.Unix(0, now.Load()) } })
	b.server.calls = newAllowances(5, time.Second)
	b.server.probes = newAllowances(5, time.Second)
	ann, bob := b.hold("ann", fsm.Viewer, 0), b.hold("bob", fsm.Viewer, 0)
	ask := func(path string, token Token) (*http.Response, string) {
		return b.request(http.MethodGet, path, "", map[string]string{"Authorization": "Bearer " + token.bearer()})
	}
	for _, path := range []string{"/v1/node", healthPath} {
		for i := range 5 {
			if resp, _ := ask(path, ann); resp.StatusCode != 200 {
				t.Fatalf("%s, request %d: %s", path, i, resp.Status)
			}
		}
		if resp, body := ask(path, ann); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || resp.Close {
			t.Errorf("%s, one more: %s, %v: %s", path, resp.Status, resp.Header, body)
		}
	}
	if resp, _ := ask("/v1/node", bob); resp.StatusCode != 200 {
		t.Errorf("another token: %s", resp.Status)
	}
	now.Add(int64(time.Second))
	if resp, _ := ask("/v1/node", ann); resp.StatusCode != 200 {
		t.Errorf("a second later: %s", resp.Status)
	}
}

// serve serves a bench as a node does, with shorter times where a test needs them.
func (b *bench) serve(change func(*http.Server), l net.Listener) {
	b.t.Helper()
	server := HTTPServer(b.server.Handler(), slog.New(slog.DiscardHandler))
	change(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			b.t.Error(err)
		}
		<-served
	})
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConnectionsAreLimited opens more than may be open.
func TestConnectionsAreLimited(t *testing.T) {
	b := newBench(t)
	l := LimitConnections(listenLocal(t)).(*limitedListener)
	if l.most != 1024 || l.mostOfOne != 256 {
		t.Errorf("%d, %d of one", l.most, l.mostOfOne)
	}
	l.mostOfOne = 3
	b.serve(func(*http.Server) {}, l)
	answers := func(c net.Conn) error {
		if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	var open []net.Conn
	for range 3 {
		c := dial(t, l)
		if err := answers(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if err := answers(dial(t, l)); err == nil {
		t.Error("one more connection is served")
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("there is room again", func() bool { return answers(dial(t, l)) == nil })

	all := &limitedListener{most: 2, mostOfOne: 2, of: map[netip.Prefix]int{}}
	for i, want := range []bool{true, true, false} {
		if got := all.enter(networkOf(fmt.Sprintf("10.0.0.%d", i))); got != want {
			t.Errorf("connection %d of another address: %v", i, got)
		}
	}
	all.leave(networkOf("10.0.0.0"))
	if !all.enter(networkOf("10.0.0.9")) {
		t.Error("a place that was left is not given away")
	}
}

// TestSlowClients keep a connection open and send nothing, half a header, half a body, or nothing after an answer.
func TestSlowClients(t *testing.T) {
	b := newBench(t)
	whole := HTTPServer(nil, slog.New(slog.DiscardHandler))
	if whole.ReadHeaderTimeout != 5*time.Second || whole.ReadTimeout != 30*time.Second || whole.WriteTimeout != 60*time.Second ||
		whole.IdleTimeout != 2*time.Minute || whole.MaxHeaderBytes != maxHeader {
		t.Errorf("%+v", whole)
	}
	l := listenLocal(t)
	b.serve(func(s *http.Server) {
		s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	}, l)
	authorized := "Host: x\r\nAuthorization: Bearer " + b.token.bearer() + "\r\n"
	for name, sent := range map[string]string{
		"nothing":     "",
		"half header": "GET /healthz HTTP/1.1\r\nHos",
		"half body":   "POST /v1/jobs HTTP/1.1\r\n" + authorized + "Content-Length: 100\r\n\r\n{",
		"idle":        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := dial(t, l)
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c) // until the server closes it
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "half body" && !strings.Contains(string(answer), "did not arrive in full") {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

// TestEventsOutliveTimeouts follows events for longer than any other request may take.
func TestEventsOutliveTimeouts(t *testing.T) {
	b := newBench(t)
	l := listenLocal(t)
	b.serve(func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond }, l)
	b.http.URL = "http://" + l.Addr().String()
	stream := b.listen(b.token, "")
	stream.next(EventReset, nil)
	over := time.After(300 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case _, ok := <-stream.got:
			if !ok {
				t.Fatal("the stream ends")
			}
		case <-over:
			waiting = false
		}
	}
	b.bring(fsm.Running)
	stream.next(EventJob, nil)
}

func TestHeadersAreLimited(t *testing.T) {
	b := newBench(t)
	l := listenLocal(t)
	b.serve(func(*http.Server) {}, l)
	b.http.URL = "http://" + l.Addr().String()
	if resp, _ := b.request(http.MethodGet, "/v1/node", "", map[string]string{"X-Large": strings.Repeat("x", 2*maxHeader)}); resp.StatusCode != 431 {
		t.Error(resp.Status)
	}
}

// TestPaths sends what a mux would answer by itself.
func TestPaths(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "//v1/jobs", 404, ""}, {"GET", "/v1/../v1/jobs", 404, ""}, {"GET", "/v1/jobs/", 404, ""}, {"GET", "/", 404, ""},
		{"GET", "/v1/jobs/..%2fsettings", 404, ""},
		{"DELETE", "/v1/settings", 405, "GET, PUT"}, {"OPTIONS", "/v1/jobs", 405, "GET, POST"}, {"BREW", "/v1/jobs", 405, "GET, POST"},
		{"POST", "/openapi.json", 405, "GET"}, {"POST", "/healthz", 405, "GET"},
	} {
		resp, body := b.request(test.method, test.path, "", nil)
		if resp.StatusCode != test.status || resp.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %s, %q: %s", test.method, test.path, resp.Status, resp.Header.Get("Allow"), body)
		}
	}
	if resp, _ := b.request(http.MethodHead, "/v1/jobs", "", nil); resp.StatusCode != 200 {
		t.Errorf("HEAD: %s", resp.Status)
	}
}

// TestBodies sends bodies that are wrong in every way.
func TestBodies(t *testing.T) {
	b := newBench(t)
	for name, test := range map[string]struct {
		path, media, body string
		status            int
		code, field       string
	}{
		"form":            {"/v1/tokens", "application/x-www-form-urlencoded", `{"name":"x"}`, 415, CodeMediaType, ""},
		"not a kind":      {"/v1/tokens", ";;", `{"name":"x"}`, 415, CodeMediaType, ""},
		"YAML":            {"/v1/tokens", "application/yaml", `name: x`, 415, CodeMediaType, ""},
		"nothing":         {"/v1/tokens", "", "", 400, CodeMalformed, ""},
		"half":            {"/v1/tokens", jsonMedia, `{"name":"x"`, 400, CodeMalformed, ""},
		"no JSON":         {"/v1/tokens", jsonMedia, `name`, 400, CodeMalformed, ""},
		"unknown field":   {"/v1/tokens", jsonMedia, `{"name":"x","sudo":true}`, 400, CodeUnknownField, "sudo"},
		"wrong type":      {"/v1/tokens", jsonMedia, `{"name":7}`, 400, CodeWrongType, "name"},
		"list":            {"/v1/tokens", jsonMedia, `[]`, 400, CodeWrongType, ""},
		"wrong inside":    {"/v1/settings", jsonMedia, `{"settings":{"a":{}}}`, 400, CodeWrongType, "settings"},
		"with parameters": {"/v1/tokens", "application/json; charset=utf-8", `{"name":"x","role":"root"}`, 400, CodeBadRequest, ""},
		"job in YAML":     {"/v1/jobs", "application/yaml", `{"id":"y"}`, 201, "", ""},
		"job as a form":   {"/v1/jobs", "multipart/form-data; boundary=x", `{"id":"y"}`, 415, CodeMediaType, ""},
	} {
		method := http.MethodPost
		if test.path == "/v1/settings" {
			method = http.MethodPut
		}
		resp, body := b.request(method, test.path, test.body, map[string]string{"Content-Type": test.media})
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != test.status || p.Code() != test.code || p.Field != test.field {
			t.Errorf("%s: %s: %s", name, resp.Status, body)
		}
	}
}

// TestVersions has clients of other versions ask for what this node does not know.
func TestVersions(t *testing.T) {
	follower, _, _ := pair(t)
	for name, test := range map[string]struct {
		method, path, body, version string
		named                       bool
	}{
		"field, at the leader": {"POST", "/v1/tokens", `{"name":"x","colour":"red"}`, "0.1.0", true},
		"route that is gone":   {"GET", "/v1/gone", "", "0.1.0", true},
		"method":               {"PATCH", "/v1/jobs", "", "0.1.0", true},
		"same version":         {"GET", "/v1/gone", "", "2.0.0", false},
		"no version":           {"GET", "/v1/gone", "", "", false},
		"something else":       {"GET", "/v1/jobs/none", "", "0.1.0", false},
		"not printable":        {"GET", "/v1/gone", "", strings.Repeat("x", 200), true},
	} {
		resp, body := follower.request(test.method, test.path, test.body, map[string]string{VersionHeader: test.version})
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(p.Detail, "this node is brigade 2.0.0, the client ") && p.NodeVersion == "2.0.0"
		if said != test.named || len(p.ClientVersion) > fsmName || resp.Header.Get(VersionHeader) != "2.0.0" {
			t.Errorf("%s: %s: %s", name, resp.Status, body)
		}
	}
	if resp, body := follower.request("GET", "/v1/gone", "", map[string]string{VersionHeader: "0.1.0", "Authorization": ""}); resp.Header.Get(VersionHeader) != "" || strings.Contains(body, "2.0.0") {
		t.Errorf("strangers are told the version: %v %s", resp.Header, body)
	}
	follower.client.Version = "1.9.9"
	err := follower.client.call(t.Context(), http.MethodGet, "/v1/gone", nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "the client 1.9.9") {
		t.Error(err)
	}
}

// narrow takes connections with buffers that are soon full.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4 << 10)
}

// TestSlowListenersAreDropped follows events and does not read them.
func TestSlowListenersAreDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Patience = 100 * time.Millisecond })
	l := listenLocal(t)
	b.serve(func(*http.Server) {}, narrow{l})
	c := dial(t, l)
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", b.token.bearer()); err != nil {
		t.Fatal(err)
	}
	following := func() int {
		b.server.waiting.mu.Lock()
		defer b.server.waiting.mu.Unlock()
		return b.server.waiting.all
	}
	b.eventually("the stream has begun", func() bool { return following() == 1 })
	jobs := 0
	b.eventually("the stream is given up", func() bool {
		for range 100 {
			b.must(fsm.SubmitJob{ID: fmt.Sprintf("a-job-with-a-long-name-to-fill-the-buffers-%d", jobs), Nonce: testNonce, Kind: "copy", Spec: []byte(`{}`)})
			jobs++
		}
		return following() == 0
	})
	t.Logf("given up after %d jobs", jobs)
}
