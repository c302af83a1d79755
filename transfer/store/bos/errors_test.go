package bos

import (
	"encoding/json"
	"errors"
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
func answering(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	server, at := newPlace(t)
	storetest.Answers(server.OnRequest, h)
	return openWith(t, at.config("", store.RoleDestination))
}

func document(code, message string) string {
	text, err := json.Marshal(map[string]string{"code": code, "message": message, "requestId": "of the document"})
	if err != nil {
		panic(err) // strings always can be written
	}
	return string(text)
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		class         store.Class
		hint          string
		asksFor       time.Duration
	}{
		{status: 403, code: "AccessDenied", class: store.Auth, hint: "permission"},
		{status: 403, code: "AccessDenied", message: "Your request rate is too high.", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 403, code: "AccountOverdue", class: store.Auth, hint: "arrears"},
		{status: 403, code: "InvalidAccessKeyId", class: store.Auth, hint: "access key"},
		{status: 403, code: "SignatureDoesNotMatch", class: store.Auth, hint: "secret key"},
		{status: 400, code: "InvalidHTTPAuthHeader", class: store.Auth},
		{status: 403, code: "InvalidSessionToken", class: store.Auth, hint: "expired"},
		{status: 400, code: "RequestExpired", class: store.Misconfigured, hint: "clock"},
		{status: 404, code: "NoSuchKey", class: store.NotFound},
		{status: 404, code: "NoSuchBucket", class: store.Misconfigured, hint: "region"},
		{status: 404, code: "SymlinkTargetNotExist", class: store.NotFound, hint: "link"},
		{status: 412, code: "PreconditionFailed", class: store.Precondition},
		{status: 400, code: "BadDigest", class: store.Mismatch},
		{status: 403, code: "QuotaExceeded", class: store.Full},
		{status: 403, code: "InvalidObjectState", class: store.Archived, hint: "restore"},
		{status: 400, code: "InvalidStorageClass", class: store.Permanent, hint: "multi_az"},
		{status: 400, code: "InvalidEncryptionKmsMkid", class: store.Permanent, hint: "key"},
		{status: 400, code: "InvalidArgument", class: store.Permanent},
		{status: 503, code: "SlowDown", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "ServiceUnavailable", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 500, code: "InternalError", class: store.Transient, asksFor: 7 * time.Second},
		{status: 502, code: "", class: store.Transient, asksFor: 7 * time.Second},
		{status: 403, code: "SomethingNew", class: store.Auth},
		{status: 418, code: "SomethingNew", class: store.Permanent},
	} {
		t.Run(fmt.Sprint(c.status, c.code, c.message), func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				text := document(c.code, c.message)
				if c.code == "" {
					text = "<html>busy</html>"
				}
				_, _ = w.Write([]byte(text))
			})
			_, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
			if bad := (storetest.Fault{Class: c.class, Code: c.code, Hint: c.hint, Wait: c.asksFor}).Differs(err); bad != "" {
				t.Fatalf("%#v: %s", err, bad)
			}
			var e *store.Error
			if text := err.Error(); !errors.As(err, &e) || !strings.Contains(text, c.code) || !strings.Contains(text, e.RequestID) {
				t.Errorf("says %q", text)
			}
		})
	}
}

// TestErrorsOfHead: they have no document, so the status alone says what they mean.
func TestErrorsOfHead(t *testing.T) {
	for status, want := range map[int]store.Class{
		403: store.Auth, 404: store.NotFound, 412: store.Precondition, 400: store.Permanent, 429: store.Throttled, 500: store.Transient, 503: store.Throttled,
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := s.Stat(t.Context(), "k")
		if store.ClassOf(err) != want || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v, want class %s", status, err, want)
		}
	}
}

// TestErrorsAfterStatus200: BOS may begin to answer before the work is done.
func TestErrorsAfterStatus200(t *testing.T) {
	for name, text := range map[string]string{
		"an error": document("InternalError", "We encountered an internal error. Please try again."), "nothing": "{}", "a page": "<html/>", "half": `{"eTag":"x`,
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
		_, completed := s.CompleteUpload(t.Context(), "k", "id", []store.Part{{Number: 1, ETag: "x"}}, store.PutOptions{})
		_, copied := s.Copy(t.Context(), s, store.Object{Key: "a"}, "k", store.PutOptions{})
		_, part := s.CopyPart(t.Context(), s, store.Object{Key: "a"}, 0, 1, "k", "id", 1)
		for what, err := range map[string]error{"complete": completed, "copy": copied, "copy part": part} {
			if store.ClassOf(err) != store.Transient || name == "an error" && !strings.Contains(err.Error(), "InternalError") {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{}); err == nil {
			t.Errorf("%s: an upload was created", name)
		}
		if _, err := s.Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
			t.Errorf("%s: check: %v", name, err)
		}
		l := s.List(store.ListOptions{})
		if objects, err := l.Next(t.Context()); err == nil || err.Error() == "EOF" {
			t.Errorf("%s: a listing of %d objects, %v", name, len(objects), err)
		}
	}
}

// TestSuccessHasACode: an answer may say that all went well.
func TestSuccessHasACode(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"code":"success","eTag":"x"}`)) })
	if o, err := s.Copy(t.Context(), s, store.Object{Key: "a"}, "k", store.PutOptions{}); err != nil || o.ETag != "x" {
		t.Errorf("%+v, %v", o, err)
	}
}

// FuzzErrorAnswers: no answer makes the reader of errors fail, and no text of a server is shown at length.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(403, []byte(document("AccessDenied", "rate is too high")))
	f.Add(404, []byte{})
	f.Add(500, []byte(`{"code":{}}`))
	s := &Store{now: time.Now}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := s.fault("op", "key", &wire.Refusal{Status: status, Header: http.Header{}, Body: body})
		if text := e.Error(); len(text) > 1500 || e.Class == "" {
			t.Errorf("%d bytes of class %q", len(text), e.Class)
		}
	})
}

// TestBadAccounts: what is wrong with credentials, clock, token or bucket ends the first contact with what to do.
func TestBadAccounts(t *testing.T) {
	server, at := newPlace(t)
	server.NewBucketIn("far-away", "gz")
	for name, c := range map[string]struct {
		change func(cfg *store.Config)
		skew   time.Duration
		class  store.Class
		says   string
	}{
		"all is well":      {func(*store.Config) {}, 0, "", ""},
		"access key":       {func(cfg *store.Config) { cfg.Credentials.AccessKey = "wrong" }, 0, store.Auth, "access key"},
		"secret":           {func(cfg *store.Config) { cfg.Credentials.SecretKey = "wrong" }, 0, store.Auth, "secret key"},
		"expired token":    {func(cfg *store.Config) { cfg.Credentials.SessionToken = "expired-token" }, 0, store.Auth, "token"},
		"missing bucket":   {func(cfg *store.Config) { cfg.Location.Bucket = "missing" }, 0, store.Misconfigured, "bucket"},
		"another region":   {func(cfg *store.Config) { cfg.Location.Bucket = "far-away" }, 0, store.Misconfigured, "region"},
		"clock ahead":      {func(*store.Config) {}, 20 * time.Minute, store.Misconfigured, "clock"},
		"clock far behind": {func(*store.Config) {}, -31 * time.Minute, store.Misconfigured, "clock"},
		"no server":        {func(cfg *store.Config) { cfg.Location.Options.Set("endpoint", "http://127.0.0.1:1") }, 0, store.Misconfigured, "endpoint"},
		"no TLS at all": {func(cfg *store.Config) {
			cfg.Location.Options.Set("endpoint", strings.Replace(at.url, "http", "https", 1))
		}, 0, store.Misconfigured, "TLS"},
		"odd characters in": {func(cfg *store.Config) { cfg.Credentials.AccessKey = "a/b" }, 0, store.Auth, "odd characters"},
	} {
		cfg := at.config("", store.RoleSource)
		c.change(&cfg)
		s := openWith(t, cfg)
		s.now = func() time.Time { return time.Now().Add(c.skew) }
		clock, err := s.Check(t.Context())
		if c.class == "" {
			if err != nil || clock.IsZero() {
				t.Errorf("%s: %v, %v", name, clock, err)
			}
			continue
		}
		if store.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), at.account.SecretKey) {
			t.Errorf("%s: %v, want class %q and %q", name, err, c.class, c.says)
		}
	}
}
