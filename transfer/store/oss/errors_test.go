package oss

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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

func document(code, message, more string) string {
	return fmt.Sprintf(`<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message>%s<EC>0099-1</EC></Error>`, code, message, more)
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		more          string
		class         store.Class
		hint          string
		asksFor       time.Duration
	}{
		{status: 403, code: "AccessDenied", class: store.Auth, hint: "permission"},
		{status: 403, code: "AccessDenied", message: "The bucket you are attempting to access must be addressed using the specified endpoint.",
			more: "<Endpoint>oss-cn-shanghai.aliyuncs.com</Endpoint>", class: store.Misconfigured, hint: "endpoint=oss-cn-shanghai.aliyuncs.com"},
		{status: 403, code: "InvalidAccessKeyId", class: store.Auth, hint: "access key"},
		{status: 403, code: "SignatureDoesNotMatch", class: store.Auth, hint: "secret key"},
		{status: 403, code: "SecurityTokenExpired", class: store.Auth, hint: "expired"},
		{status: 403, code: "UserDisable", class: store.Auth, hint: "arrears"},
		{status: 403, code: "RequestTimeTooSkewed", class: store.Misconfigured, hint: "clock"},
		{status: 403, code: "InvalidObjectState", class: store.Archived, hint: "restore"},
		{status: 400, code: "InvalidArgument", message: "Invalid signing region in Authorization header.", class: store.Misconfigured, hint: "region"},
		{status: 400, code: "InvalidArgument", class: store.Permanent},
		{status: 404, code: "NoSuchKey", class: store.NotFound},
		{status: 404, code: "NoSuchBucket", class: store.Misconfigured, hint: "bucket"},
		{status: 404, code: "SymlinkTargetNotExist", class: store.NotFound, hint: "link"},
		{status: 409, code: "FileAlreadyExists", class: store.Precondition},
		{status: 409, code: "FileImmutable", class: store.Permanent, hint: "retention"},
		{status: 412, code: "PreconditionFailed", class: store.Precondition},
		{status: 400, code: "InvalidDigest", class: store.Mismatch},
		{status: 503, code: "DownloadTrafficRateLimitExceeded", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 500, code: "InternalError", class: store.Transient, asksFor: 7 * time.Second},
		{status: 502, code: "", class: store.Transient, asksFor: 7 * time.Second},
		{status: 403, code: "SomethingNew", class: store.Auth},
		{status: 418, code: "SomethingNew", class: store.Permanent},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			t.Run(fmt.Sprint(method, c.status, c.code), func(t *testing.T) {
				s := answering(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", "7")
					body := document(c.code, c.message, c.more)
					if c.code == "" {
						body = "<html>busy</html>"
					}
					if r.Method == http.MethodHead {
						w.Header().Set("X-Oss-Err", base64.StdEncoding.EncodeToString([]byte(body)))
					}
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(body))
				})
				var err error
				if method == http.MethodHead {
					_, err = s.Stat(t.Context(), "k")
				} else {
					_, _, err = s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
				}
				if bad := (storetest.Fault{Class: c.class, Code: c.code, Hint: c.hint, Wait: c.asksFor}).Differs(err); bad != "" {
					t.Fatalf("%#v: %s", err, bad)
				}
				if text := err.Error(); c.code != "" && !strings.Contains(text, "EC 0099-1") {
					t.Errorf("says %q", text)
				}
			})
		}
	}
}

// TestErrorsAfterStatus200: OSS may begin to answer before the work is done.
func TestErrorsAfterStatus200(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(document("InternalError", "Please try again.", "")))
	})
	_, err := s.CompleteUpload(t.Context(), "k", "id", []store.Part{{Number: 1, ETag: "x"}}, store.PutOptions{})
	if store.ClassOf(err) != store.Transient || !strings.Contains(err.Error(), "InternalError") {
		t.Errorf("complete: %v", err)
	}
	_, err = s.Copy(t.Context(), s, store.Object{Key: "a"}, "k", store.PutOptions{})
	if store.ClassOf(err) != store.Transient || !strings.Contains(err.Error(), "InternalError") {
		t.Errorf("copy: %v", err)
	}
	other := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html/>")) })
	if _, err := other.Copy(t.Context(), other, store.Object{Key: "a"}, "k", store.PutOptions{}); err == nil {
		t.Error("a page of HTML passed for a copy")
	}
	if _, err := other.Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
		t.Errorf("check of a web server: %v", err)
	}
}

// FuzzErrorAnswers: no answer makes the reader of errors fail, and no text of a server is shown at length.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(403, []byte(document("AccessDenied", "must be addressed using the specified endpoint", "<Endpoint>x</Endpoint>")), "")
	f.Add(404, []byte{}, base64.StdEncoding.EncodeToString([]byte(document("NoSuchKey", "", ""))))
	s := &Store{now: time.Now}
	f.Fuzz(func(t *testing.T, status int, body []byte, header string) {
		e := s.fault("op", "key", refusedWith(status, body, header))
		if text := e.Error(); len(text) > 1500 || e.Class == "" {
			t.Errorf("%d bytes of class %q", len(text), e.Class)
		}
	})
}
