package azblob

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// identity is a service that hands out tokens, and one of blobs that takes the latest of them.
type identity struct {
	*httptest.Server
	issued atomic.Int64
	ends   time.Duration // how long tokens last
	refuse atomic.Bool
	forms  chan string // what the latest request for a token said
}

func newIdentity(t *testing.T, ends time.Duration) *identity {
	t.Helper()
	i := &identity{ends: ends, forms: make(chan string, 1)}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/oauth2/") {
			if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", i.issued.Load()) {
				w.Header().Set("X-Ms-Error-Code", "InvalidAuthenticationInfo")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, pageXML(""))
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		select {
		case <-i.forms:
		default:
		}
		i.forms <- r.Method + " " + r.URL.Path + " " + r.Form.Encode() + " " + r.Header.Get("Metadata")
		if i.refuse.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":"%d"}`, i.issued.Add(1), int(i.ends.Seconds()))
	}))
	t.Cleanup(i.Close)
	return i
}

// open opens a store of the service by the identity that variables name.
func (i *identity) open(t *testing.T, env environment, options ...string) *Store {
	t.Helper()
	cfg := configAt(t, i.URL, options...)
	s, err := open(cfg, env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	s.client.Transport.TLSClientConfig.RootCAs = roots
	return s
}

func configAt(t *testing.T, endpoint string, options ...string) store.Config {
	t.Helper()
	l, err := store.Parse("azblob://con/?account=acc&endpoint=" + endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(options); i += 2 {
		l.Options.Set(options[i], options[i+1])
	}
	return store.Config{Location: l, Role: store.RoleSource, Concurrency: 2}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "federated")
	if err := os.WriteFile(file, []byte("assertion\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env     func(i *identity) environment
		options []string
		want    []string
	}{
		"client secret": {
			env: func(i *identity) environment {
				return variables("AZURE_AUTHORITY_HOST", i.URL+"/", "AZURE_TENANT_ID", "tenant", "AZURE_CLIENT_ID", "app", "AZURE_CLIENT_SECRET", "word")
			},
			want: []string{"POST /tenant/oauth2/v2.0/token", "grant_type=client_credentials", "client_secret=word", "scope=https%3A%2F%2Fstorage.azure.com%2F.default"},
		},
		"workload identity": {
			env: func(i *identity) environment {
				return variables("AZURE_AUTHORITY_HOST", i.URL, "AZURE_TENANT_ID", "tenant", "AZURE_CLIENT_ID", "app", "AZURE_FEDERATED_TOKEN_FILE", file)
			},
			want: []string{"POST /tenant/", "client_assertion=assertion", "jwt-bearer", "client_id=app"},
		},
		"managed identity": {
			env: func(i *identity) environment {
				return variables("AZURE_POD_IDENTITY_AUTHORITY_HOST", i.URL, "AZURE_CLIENT_ID", "own")
			},
			options: []string{"managed_identity", "true"},
			want:    []string{"GET /metadata/identity/oauth2/token", "resource=https%3A%2F%2Fstorage.azure.com%2F", "client_id=own", "true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIdentity(t, time.Hour)
			s := i.open(t, c.env(i), c.options...)
			now := time.Now()
			s.now = func() time.Time { return now }
			for range 3 {
				if _, err := s.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := i.issued.Load(); n != 1 {
				t.Errorf("%d tokens for three requests", n)
			}
			form := <-i.forms
			for _, want := range c.want {
				if !strings.Contains(form, want) {
					t.Errorf("asked by %q, want %q in it", form, want)
				}
			}
			now = now.Add(56 * time.Minute) // it ends in four
			if _, err := s.Check(t.Context()); err != nil || i.issued.Load() != 2 {
				t.Errorf("%d tokens after an hour, %v", i.issued.Load(), err)
			}
			i.refuse.Store(true)
			now = now.Add(time.Hour)
			_, err := s.Check(t.Context())
			if store.ClassOf(err) != store.Auth || !strings.Contains(err.Error(), "Invalid client secret") || !strings.Contains(err.Error(), "AZURE_CLIENT_ID") {
				t.Errorf("refused: class %q, %v", store.ClassOf(err), err)
			}
			if strings.Contains(err.Error(), "word") || strings.Contains(err.Error(), "Trace") || strings.Contains(err.Error(), "assertion") {
				t.Errorf("the error shows too much: %v", err)
			}
		})
	}
}

func TestTokensThatCannotBeHad(t *testing.T) {
	transport, err := wire.NewTransport(2)
	if err != nil {
		t.Fatal(err)
	}
	client := wire.NewClient(transport)
	for name, tok := range map[string]*tokens{
		"no file":  {authority: "https://127.0.0.1:1", tenant: "t", client: "c", file: filepath.Join(t.TempDir(), "missing")},
		"in clear": {authority: "http://127.0.0.1:1", tenant: "t", client: "c", secret: "word"},
		"no URL":   {authority: "https://%zz", tenant: "t", client: "c", secret: "word"},
	} {
		_, err := tok.get(t.Context(), client, time.Now())
		if store.ClassOf(err) != store.Auth || strings.Contains(err.Error(), "word") {
			t.Errorf("%s: class %q, %v", name, store.ClassOf(err), err)
		}
	}
	for _, answer := range []string{"", "{}", "not json", `{"access_token":5}`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		_, err := (&tokens{metadata: s.URL}).get(t.Context(), client, time.Now())
		s.Close()
		if store.ClassOf(err) != store.Auth {
			t.Errorf("%q is taken for a token: %v", answer, err)
		}
	}
}
