package s3

import (
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// signedBy answers every request with a refusal and notes which access key and session token it came with.
type signedBy struct {
	mu   sync.Mutex
	seen []string
}

func (s *signedBy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := ""
	if m := regexp.MustCompile(`Credential=([^/]+)/`).FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		key = m[1]
	}
	s.mu.Lock()
	s.seen = append(s.seen, key+" "+r.Header.Get("X-Amz-Security-Token"))
	s.mu.Unlock()
	refuse(w, http.StatusNotFound, "NoSuchUpload", "nothing is here")
}

// take returns what was seen since the last call.
func (s *signedBy) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// TestRenew replaces credentials between requests, those that the SDK sends included.
func TestRenew(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "CHAIN")
	}
	seen := &signedBy{}
	s := openFake(t, "", seen.ServeHTTP)
	ask := func() []string {
		_, err := s.Stat(t.Context(), "k")
		if store.ClassOf(err) != store.NotFound {
			t.Fatal(err)
		}
		if _, err := s.ListParts(t.Context(), "k", "upload"); store.ClassOf(err) != store.NotFound {
			t.Fatal(err)
		}
		return seen.take()
	}
	twice := func(s string) []string { return []string{s, s} }
	first := s.creds.given().AccessKey
	if d := cmp.Diff(twice(first+" "), ask()); d != "" {
		t.Error(d)
	}
	for _, step := range []struct {
		c    store.Credentials
		want string
	}{
		{store.Credentials{AccessKey: "NEW", SecretKey: "s", SessionToken: "token"}, "NEW token"},
		{store.Credentials{AccessKey: "NEW", SecretKey: "s", SessionToken: "later"}, "NEW later"},
		{store.Credentials{}, "CHAIN CHAIN"},
		{store.Credentials{AccessKey: "LAST", SecretKey: "s"}, "LAST "},
	} {
		if err := s.Renew(t.Context(), step.c); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(twice(step.want), ask()); d != "" {
			t.Errorf("%s: %s", step.want, d)
		}
	}
}

// TestRenewedSidesCopyThemselves: a server copies by itself only where both sides have the same credentials, now.
func TestRenewedSidesCopyThemselves(t *testing.T) {
	a, b := openURL(t, "http://127.0.0.1:1", "a/"), openURL(t, "http://127.0.0.1:1", "b/")
	fresh := store.Credentials{AccessKey: "NEW", SecretKey: "s"}
	for i, want := range []bool{true, false, true} {
		if got := a.CanCopyFrom(b); got != want {
			t.Errorf("step %d: %v", i, got)
		}
		if err := []*Store{a, b, b}[i].Renew(t.Context(), fresh); err != nil {
			t.Fatal(fmt.Errorf("step %d: %w", i, err))
		}
	}
}
