package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func makeKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKeyFile(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// port is a peer port of its own.
type port struct {
	mux   *mux
	calls *calls
	id    *identities
	log   *logBuffer
}

func openPort(t *testing.T, nodeID string, keys ...Key) *port {
	t.Helper()
	id, err := newIdentities(keys, nodeID)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{id: id, log: &logBuffer{}}
	p.mux = newMux(l, id, nodeID, slog.New(slog.NewTextHandler(p.log, nil)))
	p.calls = newCalls(p.mux.calls, &dialer{})
	p.calls.routes.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, Caller(r.Context())) })
	t.Cleanup(func() {
		if err := p.calls.close(); err != nil {
			t.Error(err)
		}
		p.mux.close()
	})
	return p
}

// to returns calls of a node that takes every node for the one at this port.
func (p *port) to(t *testing.T, from string, keys ...Key) *calls {
	t.Helper()
	id, err := newIdentities(keys, from)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialer{id: id, dial: new(net.Dialer).DialContext, conns: map[net.Conn]string{}}
	d.address = func(string) (string, bool) { return p.mux.listener.Addr().String(), true }
	t.Cleanup(d.close)
	return &calls{dialer: d, clients: map[string]*http.Client{}}
}

func TestPeersProveWhoTheyAre(t *testing.T) {
	key, other := makeKey(t), makeKey(t)
	p := openPort(t, "server", key)
	got, err := p.to(t, "client", key).call(deadline(t), "server", http.MethodGet, "/who", nil)
	if err != nil || string(got) != "client" {
		t.Errorf("the server takes the client for %q, %v", got, err)
	}
	if _, err := p.to(t, "client", key).call(deadline(t), "another", http.MethodGet, "/who", nil); err == nil || errors.Is(err, ErrNoKey) {
		t.Errorf("the server passes for another node: %v", err)
	}
	_, err = p.to(t, "client", other).call(deadline(t), "server", http.MethodGet, "/who", nil)
	if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "peer 127.0.0.1:") {
		t.Errorf("another key: %v", err)
	}
	eventually(t, "a line about the other key", func() bool { return strings.Contains(p.log.String(), "does not have this cluster's key") })
}

// TestTwoKeys is the time of a change of keys: some nodes have the new one first, others the old one.
func TestTwoKeys(t *testing.T) {
	before, after := makeKey(t), makeKey(t)
	p := openPort(t, "server", before, after)
	for _, keys := range [][]Key{{before, after}, {after, before}} {
		if _, err := p.to(t, "client", keys...).call(deadline(t), "server", http.MethodGet, "/who", nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := newIdentity(nil, "x"); err == nil {
		t.Error("an identity without a key")
	}
}

func TestAuthorityIsOnePerKey(t *testing.T) {
	key := makeKey(t)
	first, _, err := key.authority()
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := key.authority()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Raw, second.Raw) {
		t.Error("two nodes derive two authorities")
	}
	if other, _, err := makeKey(t).authority(); err != nil || bytes.Equal(other.Raw, first.Raw) {
		t.Errorf("two keys have one authority, %v", err)
	}
	secrets, err := gossipKeys([]Key{key, makeKey(t)})
	if err != nil || len(secrets) != 2 || len(secrets[0]) != gossipKeySize || bytes.Equal(secrets[0], secrets[1]) {
		t.Errorf("gossip keys: %d, %v", len(secrets), err)
	}
}

// TestPortClosesWhatItDoesNotKnow sends what no node sends.
func TestPortClosesWhatItDoesNotKnow(t *testing.T) {
	key := makeKey(t)
	p := openPort(t, "server", key)
	id, err := newIdentity([]Key{key}, "client")
	if err != nil {
		t.Fatal(err)
	}
	address := p.mux.listener.Addr().String()
	closed := func(what string, c net.Conn) {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, err := io.Copy(io.Discard, c)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: still open", what)
		}
		c.Close()
	}
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	closed("plain text", plain)
	unknown, err := tls.Dial("tcp", address, id.client("server"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unknown.Write([]byte{99}); err != nil {
		t.Fatal(err)
	}
	closed("unknown kind", unknown)
	anonymous := id.client("server")
	anonymous.Certificates = nil
	if c, err := tls.Dial("tcp", address, anonymous); err == nil { // it hears of its refusal with the first read
		closed("no certificate", c)
	}
	eventually(t, "all are forgotten", func() bool {
		p.mux.mu.Lock()
		defer p.mux.mu.Unlock()
		return len(p.mux.conns) == 0
	})
}

// TestPortEndsStalledConnections closes a port while a peer says nothing.
func TestPortEndsStalledConnections(t *testing.T) {
	p := openPort(t, "server", makeKey(t))
	silent, err := net.Dial("tcp", p.mux.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	eventually(t, "the connection is known", func() bool {
		p.mux.mu.Lock()
		defer p.mux.mu.Unlock()
		return len(p.mux.conns) == 1
	})
	done := make(chan struct{})
	go func() { defer close(done); p.mux.close() }()
	select {
	case <-done:
	case <-deadline(t).Done():
		t.Fatal("the port waits for a peer that says nothing")
	}
}

func TestPeerErrors(t *testing.T) {
	key := makeKey(t)
	p := openPort(t, "server", key)
	type number struct{ N int }
	ignore := func(error) {}
	p.calls.routes.Handle("POST /half", handleJSON(ignore, func(_ context.Context, in number) (number, error) {
		switch {
		case in.N < 0:
			return number{}, &PeerError{Status: http.StatusConflict, Code: "negative", Message: "no"}
		case in.N%2 == 1:
			return number{}, errors.New("odd")
		}
		return number{in.N / 2}, nil
	}))
	p.calls.routes.HandleFunc("POST /large", func(w http.ResponseWriter, r *http.Request) {
		for range maxCallBody/1024 + 1 {
			w.Write(make([]byte, 1024))
		}
	})
	c := p.to(t, "client", key)
	var out number
	if err := c.callJSON(deadline(t), "server", "/half", number{8}, &out); err != nil || out.N != 4 {
		t.Errorf("%v, %v", out, err)
	}
	for in, want := range map[int]PeerError{
		-1: {http.StatusConflict, "negative", "no"},
		3:  {http.StatusInternalServerError, "internal", "odd"},
	} {
		var got *PeerError
		if err := c.callJSON(deadline(t), "server", "/half", number{in}, &out); !errors.As(err, &got) {
			t.Errorf("%d: %v", in, err)
		} else if d := cmp.Diff(want, *got); d != "" {
			t.Error(d)
		}
	}
	var got *PeerError
	if err := c.callJSON(deadline(t), "server", "/half", "text", &out); !errors.As(err, &got) || got.Code != "bad_request" {
		t.Errorf("text: %v", err)
	}
	if err := c.callJSON(deadline(t), "server", "/none", number{}, &out); !errors.As(err, &got) || got.Status != http.StatusNotFound {
		t.Errorf("no such path: %v", err)
	}
	if err := c.callJSON(deadline(t), "server", "/large", number{}, &out); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large answer: %v", err)
	}
	if err := c.callJSON(deadline(t), "server", "/half", strings.Repeat("x", maxCallBody+1), &out); err == nil {
		t.Error("a large request passes")
	}
}

// TestCallsDialAfresh breaks the connections kept to a node, as its restart does.
func TestCallsDialAfresh(t *testing.T) {
	key := makeKey(t)
	p := openPort(t, "server", key)
	var posts atomic.Int32
	p.calls.routes.HandleFunc("POST /count", func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		panic(http.ErrAbortHandler) // the connection breaks after the call has been made
	})
	c := p.to(t, "client", key)
	for i := range 4 {
		if _, err := c.call(deadline(t), "server", http.MethodGet, "/who", nil); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			break
		}
		p.mux.mu.Lock()
		for conn := range p.mux.conns {
			conn.Close()
		}
		p.mux.mu.Unlock()
	}
	if err := c.callJSON(deadline(t), "server", "/count", 1, nil); err == nil {
		t.Error("a broken call succeeds")
	}
	if got := posts.Load(); got != 1 {
		t.Errorf("a call that may not be repeated was made %d times", got)
	}
}

func TestUnknownNode(t *testing.T) {
	c := &calls{dialer: &dialer{address: func(string) (string, bool) { return "", false }}, clients: map[string]*http.Client{}}
	if _, err := c.call(deadline(t), "x", http.MethodGet, "/", nil); !errors.Is(err, ErrNoAddress) {
		t.Errorf("got %v", err)
	}
}

func TestMetaFitsGossip(t *testing.T) {
	m := meta{
		Peer: strings.Repeat("p", 80), API: strings.Repeat("a", 80), Version: strings.Repeat("v", 40), Cluster: newClusterID(),
		Expect: MaxServers, HasState: true, WorkerOnly: true, Draining: true, Leaving: true, Term: 1 << 63,
	}
	text, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > maxMeta {
		t.Errorf("%d bytes", len(text))
	}
	got, err := readMember(gossipName("id", 7), "1.2.3.4:5", text)
	want := Member{
		ID: "id", Start: 7, Gossip: "1.2.3.4:5", Peer: m.Peer, API: m.API, Version: m.Version, Cluster: m.Cluster, Expect: m.Expect,
		HasState: true, WorkerOnly: true, Draining: true, Leaving: true, Term: m.Term,
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Error(err, d)
	}
	m.Peer = strings.Repeat("p", maxMeta)
	if _, err := m.encode(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	for name, text := range map[string]string{"id": "{}", "id.x": "{}", ".1": "{}", "id.1": "{}", "id.2": "nonsense"} {
		if m, err := readMember(name, "", []byte(text)); err == nil {
			t.Errorf("%s %s: %v", name, text, m)
		}
	}
}

func FuzzReadMember(f *testing.F) {
	text, err := json.Marshal(meta{Peer: "a:1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("id.1", text)
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if m, err := readMember(name, "", text); err == nil && (m.ID == "" || m.Peer == "") {
			t.Errorf("%q %q: %+v", name, text, m)
		}
	})
}
