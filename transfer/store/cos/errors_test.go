package cos

import (
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
	return fmt.Sprintf("<?xml version='1.0' encoding='utf-8' ?>\n<Error><Code>%s</Code><Message>%s</Message><Resource>/k</Resource><RequestId>R</RequestId><TraceId>T</TraceId></Error>", code, message)
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		class         store.Class
		hint          string
		asksFor       time.Duration
	}{
		{status: 403, code: "AccessDenied", message: "Access Denied.", class: store.Auth, hint: "permission"},
		{status: 403, code: "AccessDenied", message: "Request has expired", class: store.Misconfigured, hint: "clock"},
		{status: 403, code: "RequestTimeTooSkewed", class: store.Misconfigured, hint: "clock"},
		{status: 403, code: "InvalidAccessKeyId", class: store.Auth, hint: "access key"},
		{status: 403, code: "SignatureDoesNotMatch", class: store.Auth, hint: "secret key"},
		{status: 400, code: "ExpiredToken", class: store.Auth, hint: "expired"},
		{status: 402, code: "PaymentRequired", class: store.Auth, hint: "arrears"},
		{status: 402, code: "", class: store.Auth, hint: "arrears"},
		{status: 451, code: "UnavailableForLegalReasons", class: store.Auth, hint: "blocked"},
		{status: 403, code: "InvalidObjectState", class: store.Archived, hint: "restore"},
		{status: 404, code: "NoSuchKey", class: store.NotFound},
		{status: 404, code: "NoSuchUpload", class: store.NotFound},
		{status: 404, code: "NoSuchBucket", class: store.Misconfigured, hint: "APPID"},
		{status: 400, code: "BucketAccelerateNotEnabled", class: store.Misconfigured, hint: "acceleration"},
		{status: 409, code: "FileAlreadyExists", class: store.Precondition},
		{status: 412, code: "PreconditionFailed", class: store.Precondition},
		{status: 409, code: "ObjectLocked", class: store.Permanent, hint: "lock"},
		{status: 409, code: "PathConflict", class: store.Permanent, hint: "folder"},
		{status: 400, code: "OAZOperationNotSupportOnMAZBucket", class: store.Permanent, hint: "multi_az=true"},
		{status: 400, code: "KmsKeyDisabled", class: store.Permanent, hint: "key service"},
		{status: 400, code: "SSEContentNotSupported", class: store.Permanent, hint: "SSE-C"},
		{status: 400, code: "BadDigest", class: store.Mismatch},
		{status: 400, code: "InvalidArgument", class: store.Permanent},
		{status: 409, code: "UploadConflict", class: store.Transient, asksFor: 7 * time.Second},
		{status: 400, code: "UserNetworkTooSlow", class: store.Transient, asksFor: 7 * time.Second},
		{status: 503, code: "SlowDown", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "KmsFreqControl", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 500, code: "InternalError", class: store.Transient, asksFor: 7 * time.Second},
		{status: 502, code: "", class: store.Transient, asksFor: 7 * time.Second},
		{status: 301, code: "PermanentRedirect", class: store.Misconfigured, hint: "region"},
		{status: 302, code: "", class: store.Misconfigured, hint: "redirects"},
		{status: 403, code: "SomethingNew", class: store.Auth},
		{status: 418, code: "SomethingNew", class: store.Permanent},
	} {
		t.Run(fmt.Sprint(c.status, c.code, c.message), func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				body := document(c.code, c.message)
				if c.code == "" {
					body = "<html>busy</html>"
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(body))
			})
			_, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
			if bad := (storetest.Fault{Class: c.class, Code: c.code, Hint: c.hint, Wait: c.asksFor}).Differs(err); bad != "" || !strings.Contains(err.Error(), c.code) {
				t.Errorf("%#v: %s", err, bad)
			}
		})
	}
}

// TestAnswersToHeadHaveNoBody: the status is all, but for refusals that a read of one byte tells the reason of.
func TestAnswersToHeadHaveNoBody(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string // of the read
		class  store.Class
		reads  int
	}{
		{status: 404, code: "NoSuchKey", class: store.NotFound}, {status: 412, class: store.Precondition}, {status: 503, class: store.Throttled},
		{status: 500, class: store.Transient}, {status: 403, code: "SignatureDoesNotMatch", class: store.Auth, reads: 1},
		{status: 403, code: "RequestTimeTooSkewed", class: store.Misconfigured, reads: 1}, {status: 400, code: "ExpiredToken", class: store.Auth, reads: 1},
		{status: 400, class: store.Permanent, reads: 1},
	} {
		reads := 0
		s := answering(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			if r.Method == http.MethodGet {
				reads++
				if c.code != "" {
					_, _ = w.Write([]byte(document(c.code, "")))
				}
			}
		})
		_, err := s.Stat(t.Context(), "k")
		var e *store.Error
		if !errors.As(err, &e) || e.Class != c.class || e.Op != "stat" || reads != c.reads || c.reads > 0 && e.Code != c.code {
			t.Errorf("%d %s: %#v after %d reads, want class %q", c.status, c.code, err, reads, c.class)
		}
	}
}

// TestLookedAtButNotRead: an object that may be read though not looked at stays a refusal, whatever the read would give.
func TestLookedAtButNotRead(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.Auth {
		t.Errorf("%v", err)
	}
}

// TestErrorsAfterStatus200: COS may begin to answer before the work is done, and keeps the line busy with spaces.
func TestErrorsAfterStatus200(t *testing.T) {
	one := []store.Part{{Number: 1, ETag: "x"}}
	for name, c := range map[string]struct {
		body, want string
		class      store.Class
	}{
		"an error":             {strings.Repeat(" \n", 100) + document("InternalError", "Please try again."), "InternalError", store.Transient},
		"one that is no luck":  {document("AccessDenied", "Access Denied."), "AccessDenied", store.Auth},
		"another document":     {"<ListBucketResult/>", "", store.Transient},
		"a page of HTML":       {"<html><p>hello</html>", "", store.Transient},
		"nothing":              {"", "", store.Transient},
		"a result with no tag": {"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>", "", store.Transient},
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) })
		for what, try := range map[string]func() error{
			"complete": func() error {
				_, err := s.CompleteUpload(t.Context(), "k", "id", one, store.PutOptions{})
				return err
			},
			"copy": func() error {
				_, err := s.Copy(t.Context(), s, store.Object{Key: "a"}, "k", store.PutOptions{})
				return err
			},
			"copy part": func() error {
				_, err := s.CopyPart(t.Context(), s, store.Object{Key: "a"}, 0, 1, "k", "id", 1)
				return err
			},
		} {
			if err := try(); store.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s answered with %s: %v, want class %q", what, name, err, c.class)
			}
		}
	}
	spaces := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("  \n <?xml version='1.0' encoding='utf-8' ?><CompleteMultipartUploadResult><ETag>\"e-1\"</ETag><CRC64>5</CRC64></CompleteMultipartUploadResult>"))
	})
	if o, err := spaces.CompleteUpload(t.Context(), "k", "id", one, store.PutOptions{}); err != nil || o.ETag != "e-1" || o.Sums != crc64Of("5") {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := spaces.Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
		t.Errorf("check of a web server: %v", err)
	}
}

// TestRefusedAccounts tries requests that the server refuses for who sends them, or when.
func TestRefusedAccounts(t *testing.T) {
	server, at := newPlace(t)
	for name, c := range map[string]struct {
		change func(cfg *store.Config)
		clock  time.Duration
		class  store.Class
		code   string
		hint   string
	}{
		"wrong key":         {change: func(c *store.Config) { c.Credentials.AccessKey = "AKIDother" }, class: store.Auth, code: "InvalidAccessKeyId", hint: "access key"},
		"wrong secret":      {change: func(c *store.Config) { c.Credentials.SecretKey = "other" }, class: store.Auth, code: "SignatureDoesNotMatch", hint: "secret key"},
		"expired token":     {change: func(c *store.Config) { c.Credentials.SessionToken = "expired-token" }, class: store.Auth, code: "ExpiredToken", hint: "token"},
		"clock behind":      {clock: -20 * time.Minute, class: store.Misconfigured, code: "AccessDenied", hint: "clock"},
		"clock ahead":       {clock: 20 * time.Minute, class: store.Misconfigured, code: "RequestTimeTooSkewed", hint: "clock"},
		"clock a bit off":   {clock: 4 * time.Minute},
		"clock a bit late":  {clock: -14 * time.Minute},
		"no such bucket":    {change: func(c *store.Config) { c.Location.Bucket = "missing-1250000000" }, class: store.Misconfigured, code: "NoSuchBucket", hint: "APPID"},
		"another's bucket":  {change: func(c *store.Config) { c.Location.Bucket = "foreign-1250000000" }, class: store.Auth, code: "AccessDenied", hint: "permission"},
		"nothing is wrong":  {},
		"nobody is at home": {change: func(c *store.Config) { c.Location.Options.Set("endpoint", "http://127.0.0.1:1") }, class: store.Misconfigured, hint: "endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			server.NewBucketOf("foreign-1250000000", foreign)
			cfg := at.config("", store.RoleDestination)
			if c.change != nil {
				c.change(&cfg)
			}
			s := openWith(t, cfg)
			s.now = func() time.Time { return time.Now().Add(c.clock) }
			clock, err := s.Check(t.Context())
			if c.class == "" {
				if err != nil || clock.IsZero() {
					t.Errorf("%v at %v", err, clock)
				}
				return
			}
			var e *store.Error
			if !errors.As(err, &e) || e.Class != c.class || e.Code != c.code || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%#v, want class %q, code %s, hint %q", err, c.class, c.code, c.hint)
			}
			if err != nil && strings.Contains(err.Error(), cfg.Credentials.SecretKey) {
				t.Errorf("shows the secret: %v", err)
			}
		})
	}
}

// TestWrongRegion: the hosts of another region know nothing of the bucket.
func TestWrongRegion(t *testing.T) {
	_, at := newPlace(t)
	for region, want := range map[string]store.Class{"ap-guangzhou": "", "ap-beijing": store.Misconfigured} {
		s := openVirtual(t, at, region)
		_, err := s.Check(t.Context())
		if store.ClassOf(err) != want || err != nil && !strings.Contains(err.Error(), "region") {
			t.Errorf("%s: %v, want class %q", region, err, want)
		}
	}
}

// FuzzErrorAnswers: no answer makes the reader of errors fail, and no text of a server is shown at length.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(403, []byte(document("AccessDenied", "Request has expired")), "")
	f.Add(404, []byte{}, "id")
	s := &Store{now: time.Now}
	f.Fuzz(func(t *testing.T, status int, body []byte, id string) {
		h := http.Header{}
		h.Set("X-Cos-Request-Id", id)
		e := s.fault("op", "key", &wire.Refusal{Status: status, Header: h, Body: body})
		if text := e.Error(); len(text) > 1500 || e.Class == "" {
			t.Errorf("%d bytes of class %q", len(text), e.Class)
		}
	})
}
