package kodo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// answering opens a store whose every request is answered by h.
func answering(t *testing.T, h http.HandlerFunc, options ...string) *Store {
	t.Helper()
	server, at := newPlace(t)
	storetest.Answers(server.OnRequest, h)
	return openWith(t, at.config("", store.RoleDestination, options...))
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status  int
		message string
		class   store.Class
		hint    string
		asksFor time.Duration
	}{
		{status: 400, message: "invalid argument", class: store.Permanent},
		{status: 400, message: "incorrect region, please use up-z2.qiniup.com", class: store.Misconfigured, hint: "region"},
		{status: 400, message: "incorrect zone", class: store.Misconfigured, hint: "region"},
		{status: 401, message: "bad token", class: store.Auth, hint: "secret key"},
		{status: 401, message: "token out of date", class: store.Misconfigured, hint: "clock"},
		{status: 401, message: "expired token", class: store.Misconfigured, hint: "clock"},
		{status: 403, message: "key doesn't match scope", class: store.Auth, hint: "permission"},
		{status: 404, message: "Document not found", class: store.NotFound},
		{status: 406, message: "crc32", class: store.Mismatch},
		{status: 413, message: "too large", class: store.Permanent},
		{status: 419, message: "disabled", class: store.Auth, hint: "arrears"},
		{status: 429, message: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 478, message: "httpGet failed", class: store.Transient, hint: "mirrors", asksFor: 7 * time.Second},
		{status: 500, message: "", class: store.Transient, asksFor: 7 * time.Second},
		{status: 503, message: "service unavailable", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 573, message: "too fast", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 579, message: "callback", class: store.Transient, asksFor: 7 * time.Second},
		{status: 599, message: "internal", class: store.Transient, asksFor: 7 * time.Second},
		{status: 608, message: "modified", class: store.Precondition},
		{status: 612, message: "no such file or directory", class: store.NotFound},
		{status: 614, message: "file exists", class: store.Precondition},
		{status: 630, message: "too many buckets", class: store.Full, hint: "buckets"},
		{status: 631, message: "no such bucket", class: store.Misconfigured, hint: "bucket"},
		{status: 640, message: "invalid list marker", class: store.Permanent, hint: "trusted"},
		{status: 701, message: "ctx expired", class: store.NotFound},
	} {
		t.Run(fmt.Sprint(c.status, c.message), func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				if c.message == "" {
					_, _ = w.Write([]byte("<html>busy</html>"))
					return
				}
				_, _ = fmt.Fprintf(w, `{"error":%q}`, c.message)
			})
			_, statErr := s.Stat(t.Context(), "k")
			_, putErr := s.Put(t.Context(), "k", store.Body{Reader: strings.NewReader("x"), Size: 1}, store.PutOptions{})
			_, _, openErr := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
			for what, err := range map[string]error{"stat": statErr, "put": putErr, "open": openErr} {
				want := storetest.Fault{Class: c.class, Code: fmt.Sprint(c.status), Hint: c.hint, Wait: c.asksFor}
				if bad := want.Differs(err); bad != "" || !strings.Contains(err.Error(), c.message) {
					t.Errorf("%s: %#v: %s", what, err, bad)
				}
			}
		})
	}
}

// TestBadInput: what is wrong with the configuration is said so.
func TestBadInput(t *testing.T) {
	server, at := newPlace(t)
	server.NewBucketIn("far-away", "z2")
	for name, c := range map[string]struct {
		change func(*store.Config)
		class  store.Class
		says   string
	}{
		"secret":         {func(c *store.Config) { c.Credentials.SecretKey = "x" }, store.Auth, "check the access key and the secret key"},
		"key":            {func(c *store.Config) { c.Credentials.AccessKey = "x" }, store.Auth, "check the access key and the secret key"},
		"missing bucket": {func(c *store.Config) { c.Location.Bucket = "missing" }, store.Misconfigured, "check the bucket name"},
		"region":         {func(c *store.Config) { c.Location.Bucket = "far-away" }, store.Misconfigured, "set region="},
		"endpoint":       {func(c *store.Config) { c.Location.Options.Set("endpoint", "http://127.0.0.1:1") }, store.Misconfigured, "check the endpoint"},
		"TLS": {func(c *store.Config) {
			c.Location.Options.Set("endpoint", strings.Replace(at.url, "http:", "https:", 1))
		}, store.Misconfigured, "http://"},
	} {
		cfg := at.config("", store.RoleSource)
		c.change(&cfg)
		_, err := openWith(t, cfg).Check(t.Context())
		if store.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), at.account.SecretKey) {
			t.Errorf("%s: %v, want class %s", name, err, c.class)
		}
	}
}

// TestClock: minutes do no harm, because tokens hold for a day; a clock that is off by more is said to be.
func TestClock(t *testing.T) {
	_, at := newPlace(t)
	for off, want := range map[time.Duration]store.Class{
		-20 * time.Minute: "", 20 * time.Minute: "", -48 * time.Hour: store.Misconfigured, 48 * time.Hour: "",
	} {
		s := openWith(t, at.config("", store.RoleDestination))
		s.now = func() time.Time { return time.Now().Add(off) }
		_, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
		if store.ClassOf(err) != want || want != "" && !strings.Contains(err.Error(), wire.HintClock) {
			t.Errorf("put, %v off: %v", off, err)
		}
		if _, err := s.Check(t.Context()); err != nil {
			t.Errorf("check, %v off: %v", off, err)
		}
		if _, _, err = s.Open(t.Context(), "k", store.OpenOptions{Length: 0}); store.ClassOf(err) == store.NotFound {
			t.Errorf("open, %v off: %v", off, err)
		}
		if _, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1}); store.ClassOf(err) != want {
			t.Errorf("open, %v off: %v, want %q", off, err, want)
		}
	}
}

// TestAnswersThatMakeNoSense are errors, whatever their status.
func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, body := range []string{"", "<html/>", "{}", "[]", `{"hash":"","key":"k"}`, `{"hash":"F","key":"other"}`} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		for what, do := range map[string]func() error{
			"put": func() error {
				_, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
				return err
			},
			"stat":   func() error { _, err := s.Stat(t.Context(), "k"); return err },
			"create": func() error { _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{}); return err },
			"part": func() error {
				_, err := s.UploadPart(t.Context(), "k", "id", 1, store.Body{Bytes: []byte("x"), Size: 1})
				return err
			},
			"complete": func() error {
				_, err := s.CompleteUpload(t.Context(), "k", "id", []store.Part{{Number: 1, ETag: "x"}}, store.PutOptions{})
				return err
			},
			"copy": func() error {
				_, err := s.Copy(t.Context(), s, store.Object{Key: "a"}, "k", store.PutOptions{})
				return err
			},
		} {
			if do() == nil {
				t.Errorf("%s: %q passed for an answer", what, body)
			}
		}
	}
}

// FuzzErrorAnswers: no answer makes the reader of errors fail, and no text of a server is shown at length.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(612, []byte(`{"error":"no such file or directory"}`))
	f.Add(401, []byte{})
	s := &Store{now: time.Now}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := s.fault("op", "key", &wire.Refusal{Status: status, Header: http.Header{}, Body: body})
		if text := e.Error(); len(text) > 1500 || e.Class == "" {
			t.Errorf("%d bytes of class %q", len(text), e.Class)
		}
	})
}
