package storetest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Config opens a location; options are pairs of names and values, of which the last of a name counts.
func Config(at store.Location, role store.Role, c store.Credentials, options ...string) store.Config {
	at.Options = url.Values{}
	for i := 0; i+1 < len(options); i += 2 {
		at.Options.Set(options[i], options[i+1])
	}
	return store.Config{Location: at, Role: role, Credentials: c, Nonce: "00112233445566778899aabbccddeeff", Concurrency: 16}
}

// Open opens a store until the test ends.
func Open[S io.Closer](t testing.TB, open func(store.Config) (S, error), cfg store.Config) S {
	t.Helper()
	s, err := open(cfg)
	if err != nil {
		t.Fatalf("open %s: %v", cfg.Location, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// Answers has a test server give every request to h alone.
func Answers(onRequest func(func(w http.ResponseWriter, r *http.Request) bool), h http.HandlerFunc) {
	onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		h(w, r)
		return true
	})
}

// Fault is what an error says of a refusal.
type Fault struct {
	Class store.Class
	Code  string
	Hint  string // that it has in it
	Wait  time.Duration
}

// Differs tells how an error is not that of a refusal, "" where it is: one line, with the ID of the request.
func (f Fault) Differs(err error) string {
	var e *store.Error
	switch {
	case !errors.As(err, &e):
		return "no error of a store"
	case e.Class != f.Class:
		return "want class " + string(f.Class)
	case e.Code != f.Code:
		return "want code " + f.Code
	case !strings.Contains(e.Hint, f.Hint):
		return "want a hint with " + f.Hint
	case e.RequestID == "":
		return "no request ID"
	case e.RetryAfter != f.Wait:
		return "want to wait " + f.Wait.String()
	case strings.Contains(err.Error(), "\n"):
		return "more than one line"
	}
	return ""
}

// CannotBe tries keys that are no names in a store: nothing is written there, and nothing found.
func CannotBe(t *testing.T, s store.Destination, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := s.Put(t.Context(), key, inMemory([]byte("x")), store.PutOptions{}); store.ClassOf(err) != store.Permanent {
			t.Errorf("put %q: %v", key, err)
		}
		if m, ok := s.(store.Multiparter); ok {
			if _, err := m.CreateUpload(t.Context(), key, store.PutOptions{}); store.ClassOf(err) != store.Permanent {
				t.Errorf("create upload %q: %v", key, err)
			}
		}
		if _, err := s.Stat(t.Context(), key); store.ClassOf(err) != store.NotFound {
			t.Errorf("stat %q: %v", key, err)
		}
		if _, _, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1}); store.ClassOf(err) != store.NotFound {
			t.Errorf("open %q: %v", key, err)
		}
	}
}

// Renewable is a store whose credentials can be replaced.
type Renewable interface {
	store.Source
	store.Renewer
}

// Renew replaces the credentials of a store between two requests. It keeps those it has where there are no others: the environment
// must have none.
func Renew(t *testing.T, s Renewable, good store.Credentials) {
	t.Helper()
	for _, step := range []struct {
		to   store.Credentials
		want store.Class // of a request afterwards
	}{{good, store.NotFound}, {store.Credentials{AccessKey: good.AccessKey, SecretKey: "another"}, store.Auth}, {good, store.NotFound}} {
		if err := s.Renew(t.Context(), step.to); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), "none"); store.ClassOf(err) != step.want {
			t.Errorf("%v, want class %s", err, step.want)
		}
	}
	if err := s.Renew(t.Context(), store.Credentials{}); err == nil {
		t.Error("it takes no credentials for an answer")
	}
	if _, err := s.Stat(t.Context(), "none"); store.ClassOf(err) != store.NotFound {
		t.Errorf("after that: %v", err)
	}
}

// NoSecret has a test server look for a secret in what it is sent.
func NoSecret(t *testing.T, onRequest func(func(w http.ResponseWriter, r *http.Request) bool), secret string, s store.Source) {
	t.Helper()
	asked := 0
	onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		asked++
		var all strings.Builder
		if err := r.Header.Write(&all); err != nil || strings.Contains(all.String()+r.URL.String(), secret) {
			t.Errorf("sent %s %v", all.String(), err)
		}
		return false
	})
	if _, err := s.Check(t.Context()); err != nil || asked != 1 {
		t.Errorf("%d requests, %v", asked, err)
	}
}

// drawn is a test, or one of the many that a property is tried with.
type drawn interface {
	Context() context.Context
	Fatalf(format string, args ...any)
}

// Signs sends a request of each kind about a key, which is there afterwards. A server that checks signatures agrees with all.
func Signs(t drawn, s interface {
	store.Destination
	store.Multiparter
}, key string, meta store.Metadata,
) {
	if _, err := s.Put(t.Context(), key, inMemory([]byte("x")), store.PutOptions{Meta: meta}); err != nil {
		t.Fatalf("put: %v", err)
	}
	if _, err := s.List(store.ListOptions{From: store.Next(key), Page: 1}).Next(t.Context()); err != nil && err != io.EOF {
		t.Fatalf("list: %v", err)
	}
	if _, err := s.ListUploads(t.Context(), key); err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	if _, err := s.ListParts(t.Context(), key, "no such/upload+"); store.ClassOf(err) != store.NotFound {
		t.Fatalf("list parts: %v", err)
	}
}
