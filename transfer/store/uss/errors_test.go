package uss

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// answering opens a store whose every request is answered by h.
func answering(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	server, at := newPlace(t)
	storetest.Answers(server.OnRequest, h)
	return openWith(t, at.config("", store.RoleDestination))
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status  int
		code    int
		message string
		class   store.Class
		hint    string
		asksFor time.Duration
	}{
		{status: 401, code: 40100001, class: store.Misconfigured, hint: "proxy"},
		{status: 401, code: 40100002, message: "date offset error", class: store.Misconfigured, hint: "clock"},
		{status: 401, code: 40100005, message: "signature error", class: store.Auth, hint: "password"},
		{status: 401, code: 40100006, class: store.Auth, hint: "authorized for this service"},
		{status: 401, code: 40100007, class: store.Auth, hint: "blocked"},
		{status: 401, code: 40100012, message: "bucket not exist", class: store.Misconfigured, hint: "service name"},
		{status: 401, code: 40100014, class: store.Misconfigured, hint: "removed"},
		{status: 401, code: 40100015, class: store.Full, hint: "read-only"},
		{status: 401, code: 40100017, message: "user need permission", class: store.Auth, hint: "right"},
		{status: 400, code: 40000006, message: "content md5 not match", class: store.Mismatch},
		{status: 400, code: 40011059, message: "file md5 not match", class: store.Mismatch},
		{status: 403, code: 40300007, message: "content md5 not match", class: store.Mismatch},
		{status: 406, code: 40600001, message: "content md5 not match", class: store.Mismatch},
		{status: 406, code: 40600001, message: "dir not acceptable", class: store.Permanent, hint: "no name is both"},
		{status: 406, code: 0, class: store.Permanent, hint: "no name is both"},
		{status: 400, code: 40011058, class: store.NotFound},
		{status: 403, code: 40300001, class: store.Permanent},
		{status: 403, code: 40300003, class: store.Permanent},
		{status: 403, code: 40300004, class: store.Full, hint: "no room"},
		{status: 403, code: 40300005, class: store.Permanent, hint: "not empty"},
		{status: 403, code: 40300009, class: store.Permanent},
		{status: 403, code: 40300011, class: store.Auth, hint: "right"},
		{status: 403, code: 40399999, class: store.Auth},
		{status: 404, code: 40400001, class: store.NotFound},
		{status: 415, code: 41500001, class: store.Permanent},
		{status: 429, code: 42900001, message: "too many requests", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: 42900002, class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: 0, class: store.Throttled, asksFor: 7 * time.Second},
		{status: 408, code: 40800001, class: store.Transient, asksFor: 7 * time.Second},
		{status: 503, code: 50300023, class: store.Transient, asksFor: 7 * time.Second},
		{status: 503, code: 0, class: store.Throttled, asksFor: 7 * time.Second},
		{status: 500, code: 0, class: store.Transient, asksFor: 7 * time.Second},
		{status: 418, code: 41800001, class: store.Permanent},
	} {
		t.Run(fmt.Sprint(c.status, "-", c.code, c.message), func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				body := "<html>busy</html>"
				if c.code != 0 {
					body = fmt.Sprintf(`{"msg":%q,"code":%d,"id":"11e4a729d24943409933a5e8314cd32e"}`, c.message, c.code)
				}
				_, _ = w.Write([]byte(body))
			})
			_, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
			want := storetest.Fault{Class: c.class, Hint: c.hint, Wait: c.asksFor}
			if c.code != 0 {
				want.Code = fmt.Sprint(c.code)
			}
			if bad := want.Differs(err); bad != "" || c.code != 0 && !strings.Contains(err.Error(), "11e4a729d24943409933a5e8314cd32e") {
				t.Errorf("%#v: %s", err, bad)
			}
		})
	}
}

// TestRefusedPlaces: what users get wrong, as Check tells it, and never with the password.
func TestRefusedPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*uss.Server, *place, *store.Config)
		now    time.Duration
		class  store.Class
		hint   string
	}{
		"operator": {change: func(_ *uss.Server, _ *place, c *store.Config) { c.Credentials.AccessKey = "another" }, class: store.Auth, hint: "operator's name"},
		"password": {change: func(_ *uss.Server, _ *place, c *store.Config) { c.Credentials.SecretKey = "wrong-password" }, class: store.Auth, hint: "password"},
		"missing":  {change: func(_ *uss.Server, _ *place, c *store.Config) { c.Location.Bucket = "missing" }, class: store.Misconfigured, hint: "service name"},
		"foreign": {
			change: func(s *uss.Server, _ *place, c *store.Config) {
				s.NewForeignBucket("foreign")
				c.Location.Bucket = "foreign"
			},
			class: store.Auth, hint: "authorized",
		},
		"rights":     {change: func(s *uss.Server, p *place, _ *store.Config) { s.Deny(p.bucket, "GET") }, class: store.Auth, hint: "right"},
		"slow clock": {now: -40 * time.Minute, class: store.Misconfigured, hint: "clock"},
		"fast clock": {now: 40 * time.Minute, class: store.Misconfigured, hint: "clock"},
		"nobody there": {change: func(_ *uss.Server, _ *place, c *store.Config) {
			c.Location.Options.Set("endpoint", "http://127.0.0.1:1")
		}, class: store.Misconfigured, hint: "endpoint"},
		"no folder": {change: func(_ *uss.Server, _ *place, c *store.Config) { c.Location.Path = "no/such/" }, class: store.Misconfigured, hint: "no folder no/such/"},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			cfg := at.config("", store.RoleSource)
			if c.change != nil {
				c.change(server, &at, &cfg)
			}
			s := openWith(t, cfg)
			s.now = func() time.Time { return time.Now().Add(c.now) }
			_, err := s.Check(t.Context())
			var e *store.Error
			if !errors.As(err, &e) || e.Class != c.class || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("error %v, want class %q, hint %q", err, c.class, c.hint)
			}
			if err != nil && strings.Contains(err.Error(), cfg.Credentials.SecretKey) {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// TestClocks: 20 minutes are within what signatures allow, and the server's own clock is told.
func TestClocks(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	s.now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	clock, err := s.Check(t.Context())
	if off := time.Since(clock); err != nil || off > time.Minute || off < -time.Minute {
		t.Errorf("clock %v, %v", clock, err)
	}
}

func TestCredentials(t *testing.T) {
	for _, name := range []string{"UPYUN_OPERATOR", "UPYUN_USERNAME", "UPYUN_PASSWORD"} {
		t.Setenv(name, "")
	}
	_, at := newPlace(t)
	cfg := at.config("", store.RoleSource)
	given := cfg.Credentials
	for name, c := range map[string]struct {
		creds store.Credentials
		env   map[string]string
		class store.Class
	}{
		"none":          {class: store.Auth},
		"no password":   {creds: store.Credentials{AccessKey: "a"}, class: store.Auth},
		"token":         {creds: store.Credentials{AccessKey: "a", SecretKey: "b", SessionToken: "c"}, class: store.Misconfigured},
		"environment":   {env: map[string]string{"UPYUN_OPERATOR": given.AccessKey, "UPYUN_PASSWORD": given.SecretKey}},
		"SDKs' names":   {env: map[string]string{"UPYUN_USERNAME": given.AccessKey, "UPYUN_PASSWORD": given.SecretKey}},
		"only half":     {env: map[string]string{"UPYUN_OPERATOR": given.AccessKey}, class: store.Auth},
		"of the job":    {creds: given, env: map[string]string{"UPYUN_OPERATOR": "other", "UPYUN_PASSWORD": "other"}},
		"half of a job": {creds: store.Credentials{AccessKey: "a"}, env: map[string]string{"UPYUN_PASSWORD": "other"}, class: store.Auth},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			cfg.Credentials = c.creds
			s, err := open(cfg)
			if store.ClassOf(err) != c.class {
				t.Fatalf("error %v, want class %q", err, c.class)
			}
			if err == nil {
				if _, err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestRenew replaces the operator between two requests, and keeps the one it has where there is no other.
func TestRenew(t *testing.T) {
	for _, name := range []string{"UPYUN_OPERATOR", "UPYUN_USERNAME", "UPYUN_PASSWORD"} {
		t.Setenv(name, "")
	}
	_, at := newPlace(t)
	cfg := at.config("", store.RoleSource)
	storetest.Renew(t, openWith(t, cfg), cfg.Credentials)
}
