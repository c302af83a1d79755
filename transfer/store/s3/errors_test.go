package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

func TestRefusalsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   store.Class
		hint   string
	}{
		{403, "AccessDenied", store.Auth, "permission"},
		{403, "InvalidAccessKeyId", store.Auth, "access key"},
		{403, "SignatureDoesNotMatch", store.Auth, "secret key"},
		{400, "ExpiredToken", store.Auth, "expired"},
		{403, "RequestTimeTooSkewed", store.Misconfigured, "clock"},
		{404, "NoSuchBucket", store.Misconfigured, "bucket"},
		{404, "NoSuchKey", store.NotFound, ""},
		{404, "NoSuchUpload", store.NotFound, ""},
		{301, "PermanentRedirect", store.Misconfigured, "region"},
		{307, "TemporaryRedirect", store.Misconfigured, "region"},
		{503, "SlowDown", store.Throttled, ""},
		{503, "ServiceUnavailable", store.Throttled, ""},
		{429, "TooManyRequests", store.Throttled, ""},
		{400, "KeyTooLongError", store.Permanent, ""},
		{400, "KeyTooLong", store.Permanent, ""},
		{400, "InvalidArgument", store.Permanent, ""},
		{400, "EntityTooLarge", store.Permanent, ""},
		{409, "ObjectParentIsFile", store.Permanent, ""},
		{400, "DirectoryObjectContainsData", store.Permanent, ""},
		{400, "InvalidStorageClass", store.Permanent, ""},
		{403, "InvalidObjectState", store.Archived, "restore"},
		{403, "QuotaExceeded", store.Full, ""},
		{507, "InsufficientCapacity", store.Full, ""},
		{507, "XMinioStorageFull", store.Full, ""},
		{412, "PreconditionFailed", store.Precondition, ""},
		{409, "ConditionalRequestConflict", store.Transient, ""},
		{400, "BadDigest", store.Mismatch, ""},
		{400, "XAmzContentChecksumMismatch", store.Mismatch, ""},
		{400, "IncompleteBody", store.Transient, ""},
		{400, "RequestTimeout", store.Transient, ""},
		{500, "InternalError", store.Transient, ""},
		{501, "NotImplemented", store.Permanent, ""},
		// Codes nobody has heard of, and none at all: the status decides.
		{403, "SomethingNew", store.Auth, ""},
		{404, "SomethingNew", store.NotFound, ""},
		{400, "SomethingNew", store.Permanent, ""},
		{500, "SomethingNew", store.Transient, ""},
		{502, "", store.Transient, ""},
		{503, "", store.Throttled, ""},
		{504, "", store.Transient, ""},
		{507, "", store.Full, ""},
		{412, "", store.Precondition, ""},
		{407, "", store.Misconfigured, "proxy"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { refuse(w, c.status, c.code, "the message") })
			_, _, opened := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
			_, listed := s.ListParts(t.Context(), "k", "id")
			for way, err := range map[string]error{"signed here": opened, "by the SDK": listed} {
				var e *store.Error
				if !errors.As(err, &e) {
					t.Fatalf("%s: %v is no store.Error", way, err)
				}
				if e.Class != c.want {
					t.Errorf("%s: class %q, want %q (%v)", way, e.Class, c.want, err)
				}
				if !strings.Contains(e.Hint, c.hint) {
					t.Errorf("%s: hint %q, want %q in it", way, e.Hint, c.hint)
				}
				if c.code != "" && (e.Code != c.code || e.RequestID != "REQ-1") {
					t.Errorf("%s: code %q, request %q", way, e.Code, e.RequestID)
				}
				if strings.Contains(err.Error(), fakeSecret) {
					t.Errorf("%s: the error shows the secret", way)
				}
			}
		})
	}
}

func TestWrongRegionIsNamed(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-3")
			refuse(w, 301, "PermanentRedirect", "elsewhere")
		},
		"message": func(w http.ResponseWriter, r *http.Request) {
			refuse(w, 400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-3'")
		},
		"body": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openFake(t, "", h)
			_, err := s.Check(t.Context())
			var e *store.Error
			if !errors.As(err, &e) || e.Class != store.Misconfigured || !strings.Contains(e.Hint, "region=eu-west-3") {
				t.Errorf("error %v, want the right region", err)
			}
		})
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "nonsense": 0, "99999999": wire.LongestWait,
		now.Add(30 * time.Second).Format(http.TimeFormat): 30 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", text)
			refuse(w, 503, "SlowDown", "slowly")
		})
		s.now = func() time.Time { return now }
		_, err := s.Stat(t.Context(), "k")
		var e *store.Error
		if !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, want %v", text, e.RetryAfter, want)
		}
	}
}

func TestHTMLAnswerIsNoListing(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>welcome</html>") })
	_, err := s.Check(t.Context())
	if store.ClassOf(err) != store.Misconfigured {
		t.Errorf("check of a web server: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := openURL(t, "http://"+addr, "")
	if _, err := s.Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
		t.Errorf("check: %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.Transient {
		t.Errorf("stat: %v", err)
	}
	if _, err := s.List(store.ListOptions{}).Next(t.Context()); store.ClassOf(err) != store.Transient {
		t.Errorf("list: %v", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	s := openURL(t, server.URL, "")
	_, checked := s.Check(t.Context())
	_, listed := s.ListParts(t.Context(), "k", "id")
	for way, err := range map[string]error{"signed here": checked, "by the SDK": listed} {
		var e *store.Error
		if !errors.As(err, &e) || e.Class != store.Misconfigured || !strings.Contains(e.Hint, "SSL_CERT_FILE") {
			t.Errorf("%s: %v, want the hint at SSL_CERT_FILE", way, err)
		}
	}
}

func TestPlainServerSpokenToInTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	s := openURL(t, strings.Replace(server.URL, "http://", "https://", 1), "")
	_, err := s.Check(t.Context())
	var e *store.Error
	if !errors.As(err, &e) || e.Class != store.Misconfigured || !strings.Contains(e.Hint, "http://") {
		t.Errorf("error %v, want the hint at http://", err)
	}
}

func TestFailuresWithoutAnswer(t *testing.T) {
	for _, c := range []struct {
		err  error
		want store.Class
	}{
		{&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, store.Misconfigured},
		{&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}, store.Transient},
		{x509.HostnameError{Host: "x", Certificate: &x509.Certificate{}}, store.Misconfigured},
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, store.Transient},
		{io.ErrUnexpectedEOF, store.Transient},
		{wire.Stalled{After: time.Second}, store.Transient},
		{fmt.Errorf("%w: no provider", wire.ErrCredentials), store.Auth},
	} {
		s := &Store{now: time.Now}
		if got := store.ClassOf(s.wrap(context.Background(), "op", "", fmt.Errorf("around: %w", c.err))); got != c.want {
			t.Errorf("%v: class %q, want %q", c.err, got, c.want)
		}
	}
}

func TestErrorsAreOneBoundedLine(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, 400, strings.Repeat("C", 5000), strings.Repeat("long\nmessage ", 5000))
	})
	_, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
	if text := err.Error(); len(text) > 1000 || strings.Contains(text, "\n") {
		t.Errorf("%d bytes: %.100q", len(text), text)
	}
}
