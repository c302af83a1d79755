package api

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
)

// testAuthority is an authority and a certificate that it signed for a name.
func testAuthority(t *testing.T, name string) *cluster.APIIdentity {
	t.Helper()
	key, err := cluster.NewKeyFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := cluster.NewAPIIdentity([]string{name}, time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// overTLS serves a bench with a certificate.
func (b *bench) overTLS(cert tls.Certificate) *httptest.Server {
	s := httptest.NewUnstartedServer(b.server.Handler())
	s.TLS, s.Config.ErrorLog = ServerTLS(func() (*tls.Certificate, error) { return &cert, nil }), slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	b.t.Cleanup(s.Close)
	return s
}

func TestTLS(t *testing.T) {
	ours, other := testAuthority(t, ServerName), testAuthority(t, ServerName)
	sameNameOnly := ours.Certificate // signed by another, and shown with our authority
	sameNameOnly.Certificate = [][]byte{other.Certificate.Certificate[0], ours.Certificate.Certificate[1]}
	sameNameOnly.PrivateKey = other.Certificate.PrivateKey
	key, err := cluster.NewKeyFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	api, err := cluster.NewAPIIdentity([]string{ServerName}, time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	node, err := cluster.NewAPIIdentity([]string{"a node's name"}, time.Now(), key)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	for name, test := range map[string]struct {
		cert      tls.Certificate
		authority [32]byte
		wants     string
	}{
		"ours":                  {ours.Certificate, ours.Authority, ""},
		"another cluster":       {other.Certificate, ours.Authority, "another authority"},
		"another's certificate": {sameNameOnly, ours.Authority, "another authority"},
		"another name":          {node.Certificate, api.Authority, "another authority"},
		"no authority known":    {ours.Certificate, [32]byte{}, "does not name an authority"},
	} {
		t.Run(name, func(t *testing.T) {
			s := b.overTLS(test.cert)
			c, err := NewClient(s.URL, b.token.For(test.authority))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			self, err := c.Self(t.Context())
			if test.wants == "" && (err != nil || self.ID != benchNode) {
				t.Errorf("%+v, %v", self, err)
			}
			if test.wants != "" && (err == nil || !strings.Contains(err.Error(), test.wants) || errors.Is(err, ErrUnreachable)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestTokenOutlivesAChangeOfKeys follows a token through a change of the cluster key, and another one that is used again
// only when it is over.
func TestTokenOutlivesAChangeOfKeys(t *testing.T) {
	dir := t.TempDir()
	before, err := cluster.NewKeyFile(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := cluster.NewKeyFile(filepath.Join(dir, "after"))
	if err != nil {
		t.Fatal(err)
	}
	identity := func(keys ...cluster.Key) *cluster.APIIdentity {
		id, err := cluster.NewAPIIdentity([]string{ServerName}, time.Now(), keys...)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	b := newBench(t)
	token := b.token.For(identity(before).Authority)
	late := token
	for _, step := range []struct {
		name    string
		keys    []cluster.Key
		renewed bool
	}{
		{"one key", []cluster.Key{before}, false},
		{"two keys", []cluster.Key{before, after}, false},
		{"switched", []cluster.Key{after, before}, true},
		{"switched, renewed", []cluster.Key{after, before}, false},
		{"taken back", []cluster.Key{before, after}, true},
		{"switched again", []cluster.Key{after, before}, true},
		{"over", []cluster.Key{after}, false},
	} {
		id := identity(step.keys...)
		c, err := NewClient(b.overTLS(id.Certificate).URL, token)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, ok := c.Renewed(); ok {
			t.Errorf("%s: renewed before anybody answered", step.name)
		}
		if _, err := c.Self(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		renewed, ok := c.Renewed()
		if ok != step.renewed || ok && renewed != token.For(id.Authority) {
			t.Errorf("%s: renewed %v", step.name, ok)
		}
		if ok {
			token = renewed
		}
	}
	c, err := NewClient(b.overTLS(identity(after).Certificate).URL, late)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Self(t.Context()); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), "take a new token file") {
		t.Errorf("the old authority after the change: %v", err)
	}
}

// TestClientOutlivesAChangeOfKeys has one client, such as status --watch, call a node before, amid and after a change.
func TestClientOutlivesAChangeOfKeys(t *testing.T) {
	dir := t.TempDir()
	before, err := cluster.NewKeyFile(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := cluster.NewKeyFile(filepath.Join(dir, "after"))
	if err != nil {
		t.Fatal(err)
	}
	var shown atomic.Pointer[cluster.APIIdentity]
	show := func(keys ...cluster.Key) {
		t.Helper()
		id, err := cluster.NewAPIIdentity([]string{ServerName}, time.Now(), keys...)
		if err != nil {
			t.Fatal(err)
		}
		shown.Store(id)
	}
	show(before)
	b := newBench(t)
	s := httptest.NewUnstartedServer(b.server.Handler())
	s.TLS = ServerTLS(func() (*tls.Certificate, error) { return &shown.Load().Certificate, nil })
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL, b.token.For(shown.Load().Authority))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, keys := range [][]cluster.Key{{before}, {before, after}, {after, before}, {after}} {
		show(keys...)
		c.Close() // so that the next call shakes hands again
		if _, err := c.Self(t.Context()); err != nil {
			t.Errorf("%d keys: %v", len(keys), err)
		}
	}
	if renewed, ok := c.Renewed(); !ok || renewed != b.token.For(shown.Load().Authority) {
		t.Errorf("renewed %v", ok)
	}
	show(before)
	c.Close()
	if _, err := c.Self(t.Context()); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("the old authority after the change: %v", err)
	}
}

// TestVouchersAreNotTakenOnTheirWord shows an authority that names the known one as its voucher, and is not vouched for.
func TestVouchersAreNotTakenOnTheirWord(t *testing.T) {
	ours, other := testAuthority(t, ServerName), testAuthority(t, ServerName)
	b := newBench(t)
	cert := other.Certificate
	cert.Certificate = append(append([][]byte{}, cert.Certificate...), ours.Certificate.Certificate[1:]...)
	c, err := NewClient(b.overTLS(cert).URL, b.token.For(ours.Authority))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Self(t.Context()); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("%v", err)
	}
	if _, ok := c.Renewed(); ok {
		t.Error("the token names the stranger now")
	}
}

// TestWrongScheme speaks HTTP to a port with TLS, and TLS to one without. The token is not shown to the latter.
func TestWrongScheme(t *testing.T) {
	id := testAuthority(t, ServerName)
	b := newBench(t)
	secure := b.overTLS(id.Certificate)
	for name, test := range map[string]struct{ addr, wants string }{
		"HTTP to TLS": {strings.Replace(secure.URL, "https", "http", 1), "this port speaks TLS; use " + secure.URL},
		"bare to TLS": {strings.TrimPrefix(secure.URL, "https://"), "this port speaks TLS; use " + secure.URL},
		"TLS to HTTP": {strings.Replace(b.http.URL, "http", "https", 1), "does not speak TLS; use " + b.http.URL},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewClient(test.addr, b.token.For(id.Authority))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Self(t.Context()); err == nil || !strings.Contains(err.Error(), test.wants) || strings.Contains(err.Error(), b.token.secret) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestOtherClientsKnowTheAuthority uses the certificate as curl would.
func TestOtherClientsKnowTheAuthority(t *testing.T) {
	id := testAuthority(t, ServerName)
	s := newBench(t).overTLS(id.Certificate)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(id.PEM)
	for name, want := range map[string]bool{ServerName: true, "127.0.0.1": false} {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
		resp, err := c.Get(s.URL + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("as %s: %v", name, err)
		}
		c.CloseIdleConnections()
	}
}

// TestAuthority fetches that certificate from a node.
func TestAuthority(t *testing.T) {
	id := testAuthority(t, ServerName)
	b := newBench(t)
	secure := b.overTLS(id.Certificate)
	for name, test := range map[string]struct {
		addr      string
		authority [32]byte
		wants     error
	}{
		"ours":            {secure.URL, id.Authority, nil},
		"another cluster": {secure.URL, [32]byte{1}, ErrOtherCluster},
		"no TLS":          {b.http.URL, id.Authority, ErrNoAuthority},
		"token of none":   {secure.URL, [32]byte{}, ErrNoAuthority},
	} {
		c, err := NewClient(test.addr, b.token.For(test.authority))
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Authority(t.Context())
		c.Close()
		if !errors.Is(err, test.wants) || (test.wants == nil) != bytes.Equal(text, id.PEM) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	bare, pinned := Token{id: "i", secret: "s"}, Token{id: "i", secret: "s"}.For([32]byte{1})
	for _, test := range []struct {
		addr  string
		token Token
		want  string // or what the error says
	}{
		{"127.0.0.1:7460", bare, "http://127.0.0.1:7460"},
		{"127.0.0.1:7460", pinned, "http://127.0.0.1:7460"},
		{"localhost:7460", pinned, "http://localhost:7460"},
		{"[::1]:7460", pinned, "http://[::1]:7460"},
		{"https://127.0.0.1:7460", pinned, "https://127.0.0.1:7460"},
		{"10.0.0.1:7460", pinned, "https://10.0.0.1:7460"},
		{"node:7460", pinned, "https://node:7460"},
		{"10.0.0.1:7460", bare, "does not say which cluster"},
		{"https://node", bare, "https://node"},
		{"http://10.0.0.1:7460", pinned, "in clear"},
		{"http://localhost.example.com:7460", pinned, "in clear"},
		{"https://node:1?x=y", pinned, "is not HOST:PORT"},
	} {
		u, err := endpoint(test.addr, test.token)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = u.String()
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s, pinned %v: %s, want %s", test.addr, test.token.authority != "", got, test.want)
		}
	}
}

func TestTokenLines(t *testing.T) {
	token := newToken("0123456789abcdef", [32]byte{7})
	for _, tk := range []Token{token, token.For([32]byte{9})} {
		got, ok := parseToken(tk.line())
		if !ok || got != tk {
			t.Errorf("%s is read as another", tk.line())
		}
	}
	if old, ok := parseToken(strings.Repeat("a", 43)); !ok || old.id != localID {
		t.Error("a secret alone is no local token")
	}
	for _, foreign := range []string{strings.Repeat("\x00", 43), strings.Repeat("a", 43) + "\n" + strings.Repeat("a", 43), token.line() + "é"} {
		if _, ok := parseToken(foreign); ok {
			t.Errorf("%q is a token", foreign)
		}
	}
	if token.For([32]byte{9}).For([32]byte{}) != token {
		t.Error("the authority cannot be taken away")
	}
}
