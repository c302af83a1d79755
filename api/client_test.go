package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestNamesThatAreNoPath asks for what a path cannot name, and shall not reach another place by it.
func TestNamesThatAreNoPath(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Paused)
	for _, id := range []string{"", ".", "..", "../tokens", "j/", "j?x", "%2e%2e"} {
		var p *Problem
		if _, err := b.client.Continue(t.Context(), id); !errors.As(err, &p) || p.Status != http.StatusNotFound {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := b.client.Job(t.Context(), id); !errors.As(err, &p) || p.Status != http.StatusNotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestNewClient(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:7460": true, "http://[::1]:7460": true, "https://node:7460/": true, "https://node": true,
		"": false, "node": false, "ftp://node:1": false, "http://node:1/v1": false, "http://me:secret@node:1": false, "http://": false,
	} {
		if _, err := NewClient(addr, Token{}); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestClientWithoutNode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(addr, Token{secret: "a token that is long"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Jobs(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "a token") {
		t.Errorf("%v", err)
	}
}

// TestClientAtAnotherServer calls something that is no node.
func TestClientAtAnotherServer(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("redirected with %v", r.Header.Get("Authorization") != "")
	}))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/settings") {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		http.Error(w, "<html>", http.StatusBadGateway)
	}))
	defer s.Close()
	c, err := NewClient(s.URL, Token{secret: "a token that is long"})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []func() error{
		func() error { _, err := c.Jobs(t.Context()); return err },
		func() error { _, err := c.Settings(t.Context()); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "not a Brigade node") {
			t.Errorf("%v", err)
		}
	}
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	token, err := LocalToken(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LocalToken(dir)
	if err != nil || again != token || len(token.secret) < 40 {
		t.Fatalf("the token changed: %v", err)
	}
	info, err := os.Stat(LocalTokenFile(dir))
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := token.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v %s %q %x", token, token, token, token, token), string(text), token.LogValue().String()} {
		if strings.Contains(s, token.secret) || strings.Contains(s, fmt.Sprintf("%x", token.secret)) {
			t.Error("a way of printing shows the token")
		}
	}
	if (Token{}).matches("") || !token.matches(token.secret) || token.matches("") {
		t.Error("the wrong tokens match")
	}
	for name, content := range map[string]string{"empty": "", "short": "abc", "two words": "long enough but two words"} {
		file := filepath.Join(dir, "other")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadToken(file); err == nil || content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddr(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadAddr(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	if err := WriteAddr(dir, "127.0.0.1:7460"); err != nil {
		t.Fatal(err)
	}
	if addr, err := ReadAddr(dir); err != nil || addr != "127.0.0.1:7460" {
		t.Errorf("%q, %v", addr, err)
	}
	if err := errors.Join(RemoveAddr(dir), RemoveAddr(dir)); err != nil {
		t.Error(err)
	}
}
