package azblob

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// answering opens a store whose every request is answered by h.
func answering(t testing.TB, role store.Role, h http.HandlerFunc, options ...string) *Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	values := url.Values{"account": {"acc"}, "endpoint": {server.URL}}
	for i := 0; i+1 < len(options); i += 2 {
		values.Set(options[i], options[i+1])
	}
	return openWith(t, store.Config{
		Location:    store.Location{Scheme: "azblob", Bucket: "con", Path: "dir/", Options: values},
		Credentials: store.Credentials{SecretKey: "a2V5"}, Role: role, Concurrency: 2,
	})
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status     int
		code, more string
		class      store.Class
		hint       string
		asksFor    time.Duration
	}{
		{status: 403, code: "AuthenticationFailed", class: store.Auth, hint: "account's name and key"},
		{status: 403, code: "AuthenticationFailed", more: "<AuthenticationErrorDetail>The MAC signature found in the HTTP request is not the same</AuthenticationErrorDetail>",
			class: store.Auth, hint: "account's name and key"},
		{status: 403, code: "AuthenticationFailed", more: "<AuthenticationErrorDetail>Request date header too old: 'Sat, 21 Nov 2026 17:00:00 GMT'</AuthenticationErrorDetail>",
			class: store.Misconfigured, hint: "clock"},
		{status: 403, code: "AuthenticationFailed", more: "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start - Expiry</AuthenticationErrorDetail>",
			class: store.Auth, hint: "expired"},
		{status: 403, code: "AuthorizationFailure", class: store.Auth, hint: "network rules"},
		{status: 403, code: "AuthorizationPermissionMismatch", class: store.Auth, hint: "permission"},
		{status: 403, code: "AuthorizationSourceIPMismatch", class: store.Auth, hint: "not for this machine"},
		{status: 403, code: "KeyBasedAuthenticationNotPermitted", class: store.Auth, hint: "Entra"},
		{status: 409, code: "PublicAccessNotPermitted", class: store.Auth, hint: "credentials"},
		{status: 401, code: "NoAuthenticationInformation", class: store.Auth, hint: "credentials"},
		{status: 404, code: "BlobNotFound", class: store.NotFound},
		{status: 404, code: "ContainerNotFound", class: store.Misconfigured, hint: "container"},
		{status: 409, code: "ContainerBeingDeleted", class: store.Misconfigured, hint: "deleted"},
		{status: 409, code: "BlobAlreadyExists", class: store.Precondition},
		{status: 412, code: "ConditionNotMet", class: store.Precondition},
		{status: 412, code: "LeaseIdMissing", class: store.Permanent, hint: "lease"},
		{status: 409, code: "SnapshotsPresent", class: store.Permanent, hint: "snapshots"},
		{status: 409, code: "BlobImmutableDueToPolicy", class: store.Permanent, hint: "immutability"},
		{status: 409, code: "InvalidBlobType", class: store.Permanent, hint: "remove it"},
		{status: 409, code: "BlobArchived", class: store.Archived, hint: "restore"},
		{status: 409, code: "BlobBeingRehydrated", class: store.Archived, hint: "restore"},
		{status: 400, code: "InvalidBlobOrBlock", class: store.Permanent, hint: "unfinished upload"},
		{status: 400, code: "Md5Mismatch", class: store.Mismatch},
		{status: 400, code: "Crc64Mismatch", class: store.Mismatch},
		{status: 400, code: "InvalidHeaderValue", more: "<HeaderName>x-ms-version</HeaderName>", class: store.Misconfigured, hint: "api_version"},
		{status: 400, code: "InvalidHeaderValue", more: "<HeaderName>x-ms-meta-a</HeaderName>", class: store.Permanent},
		{status: 503, code: "ServerBusy", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 429, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 503, code: "", class: store.Throttled, asksFor: 7 * time.Second},
		{status: 500, code: "OperationTimedOut", class: store.Transient, asksFor: 7 * time.Second},
		{status: 500, code: "InternalError", class: store.Transient, asksFor: 7 * time.Second},
		{status: 502, code: "", class: store.Transient, asksFor: 7 * time.Second},
		{status: 307, code: "", class: store.Misconfigured, hint: "redirects"},
	} {
		s := answering(t, store.RoleDestination, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Ms-Request-Id", "request-1")
			w.Header().Set("Retry-After", "7")
			if c.code != "" {
				w.Header().Set("X-Ms-Error-Code", c.code)
			}
			w.WriteHeader(c.status)
			if r.Method != http.MethodHead {
				fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>what happened\nRequestId:request-1\nTime:now</Message>%s</Error>", c.code, c.more)
			}
		})
		_, _, got := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
		var e *store.Error
		if !errors.As(got, &e) || e.Class != c.class || e.Code != c.code || e.RequestID != "request-1" || e.RetryAfter != c.asksFor || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%d %s %s: %#v; want class %q, hint %q", c.status, c.code, c.more, e, c.class, c.hint)
			continue
		}
		if text := e.Error(); strings.Contains(text, "\n") || strings.Count(text, "request-1") != 1 || !strings.Contains(text, "what happened") {
			t.Errorf("%d %s: %q", c.status, c.code, text)
		}
		if c.more != "" {
			continue // answers to HEAD have the code alone
		}
		if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != c.class {
			t.Errorf("%d %s: stat gives class %q, want %q", c.status, c.code, store.ClassOf(err), c.class)
		}
	}
}

// Answers that are no answers of Azure: a proxy, a web server, a broken listing.
func TestAnswersThatMakeNoSense(t *testing.T) {
	for name, body := range map[string]string{
		"HTML": "<html><body>hello</body></html>", "nothing": "", "half": `<?xml version="1.0"?><EnumerationResults><Blobs><Blob>`, "text": "ok",
	} {
		s := answering(t, store.RoleSource, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		if _, err := s.Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
			t.Errorf("%s: check gives class %q, %v", name, store.ClassOf(err), err)
		}
		if _, err := s.List(store.ListOptions{}).Next(t.Context()); err == nil {
			t.Errorf("%s: is taken for a listing", name)
		}
		if _, err := s.ListUploads(t.Context(), "k"); err == nil {
			t.Errorf("%s: is taken for a list of blocks", name)
		}
	}
}
