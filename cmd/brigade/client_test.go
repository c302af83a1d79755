package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/cluster"
)

// silentNode takes connections, and never says a word. It returns its address and a token file.
func silentNode(t *testing.T, b *bench) (address, token string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), b.tokenFile()
}

// tokenFile is a token that no node knows.
func (b *bench) tokenFile() string {
	b.t.Helper()
	file := filepath.Join(b.dir, "some.token")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// TestWrongAddresses: whatever is at an address, one line says which address was tried, where it came from, and what to do.
func TestWrongAddresses(t *testing.T) {
	b := newBench(t)
	token := b.tokenFile()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	mute := garbage(t)
	closed := closedPort(t)
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	b.env["BRIGADE_TOKEN_FILE"] = token
	for name, test := range map[string]struct {
		addr  string
		code  int
		wants []string
	}{
		"nobody":         {closed, 1, []string{"no node answers at http://" + closed, "(from --addr)", "connection refused", "is the node started"}},
		"not a node":     {host(other), 1, []string{host(other), "404", "not a Brigade node", "(from --addr)"}},
		"HTTP to TLS":    {"http://" + host(tls), 1, []string{"speaks TLS", "https://" + host(tls), "(from --addr)"}},
		"TLS to HTTP":    {"https://" + host(other), 1, []string{"does not speak TLS", "http://" + host(other)}},
		"not HTTP":       {mute, 1, []string{mute, "does not speak HTTP", "7460"}},
		"unknown name":   {"http://localhost.invalid:1", 2, []string{"localhost.invalid"}},
		"a path":         {"http://127.0.0.1:1/v1", 2, []string{"HOST:PORT"}},
		"secret in it":   {"http://user:word@127.0.0.1:1", 2, []string{"HOST:PORT"}},
		"without a port": {"127.0.0.1", 2, []string{"has no port", "7460"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := b.as(t).run(test.code, "ctl", "status", "--addr", test.addr)
			contains(t, "stderr", errs, test.wants...)
			if strings.Count(errs, "\n") != 1 {
				t.Errorf("more than one line: %s", errs)
			}
			if name == "secret in it" && strings.Contains(errs, "word") {
				t.Errorf("a password is shown: %s", errs)
			}
		})
	}
	b.env["BRIGADE_ADDR"] = closed
	_, errs := b.run(codeRefused, "ctl", "status")
	contains(t, "by variable", errs, "(from BRIGADE_ADDR)")
	delete(b.env, "BRIGADE_ADDR")
	data := filepath.Join(b.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "api.addr"), []byte(closed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = b.run(codeRefused, "ctl", "status", "--data", data)
	contains(t, "by data directory", errs, "(from "+filepath.Join(data, "api.addr")+")", "brigade node start")
}

// garbage answers every connection with something that is no HTTP.
func garbage(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// TestPeerPortIsNotTheAPI calls the other ports of a node.
func TestPeerPortIsNotTheAPI(t *testing.T) {
	key := filepath.Join(t.TempDir(), "cluster.key")
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--cluster-key-file", key, "--bind", "127.0.0.1", "--peer-port", "0", "--gossip-port", "0")
	peer := n.machines().Nodes[0].Address
	for _, addr := range []string{peer, n.gossip()} {
		_, errs := n.run(codeRefused, "ctl", "status", "--addr", addr)
		contains(t, addr, errs, addr, "does not speak HTTP", "7460")
	}
}
