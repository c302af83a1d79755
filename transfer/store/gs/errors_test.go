package gs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// answering opens a store at a server that does what a test wants.
func answering(t *testing.T, handler http.HandlerFunc) *Parallel {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return openAt(t, srv.URL, "bucket", "", store.RoleDestination, "multipart", "true").(*Parallel)
}

func jsonRefusal(status int, reason, message string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"errors":[{"message":%q,"domain":"global","reason":%q}]}}`, status, message, message, reason)
}

func xmlRefusal(code, message string) string {
	return "<?xml version='1.0' encoding='UTF-8'?><Error><Code>" + code + "</Code><Message>" + message + "</Message><Details>d</Details></Error>"
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		class  store.Class
		text   string
	}{
		{400, jsonRefusal(400, "invalid", "Provided MD5 hash \"x\" doesn't match calculated MD5 hash \"y\"."), store.Mismatch, "match calculated"},
		{400, jsonRefusal(400, "invalid", "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled."), store.Permanent, "copy without access"},
		{400, jsonRefusal(400, "userProjectMissing", "Bucket is a requester pays bucket but no user project provided."), store.Misconfigured, "user_project"},
		{400, jsonRefusal(400, "invalid", "Invalid argument."), store.Permanent, "Invalid argument"},
		{400, xmlRefusal("BadDigest", "differs"), store.Mismatch, "BadDigest"},
		{401, jsonRefusal(401, "required", "Anonymous caller does not have storage.objects.get access"), store.Auth, "not public"},
		{401, xmlRefusal("AuthenticationRequired", "Authentication required."), store.Auth, "Authentication required"},
		{403, jsonRefusal(403, "forbidden", "x@y does not have storage.objects.create access"), store.Auth, "lack the permission"},
		{403, jsonRefusal(403, "insufficientPermissions", "Request had insufficient authentication scopes."), store.Auth, "insufficient"},
		{403, jsonRefusal(403, "userRateLimitExceeded", "slow"), store.Throttled, ""},
		{403, jsonRefusal(403, "rateLimitExceeded", "slow"), store.Throttled, ""},
		{403, jsonRefusal(403, "quotaExceeded", "quota"), store.Throttled, "quota is used up"},
		{403, jsonRefusal(403, "accountDisabled", "billing"), store.Auth, "billing"},
		{403, jsonRefusal(403, "retentionPolicyNotMet", "held"), store.Permanent, "retention policy"},
		{403, xmlRefusal("AccessDenied", "denied"), store.Auth, "lack the permission"},
		{404, jsonRefusal(404, "notFound", "The specified bucket does not exist."), store.Misconfigured, "bucket name"},
		{404, jsonRefusal(404, "notFound", "No such object: bucket/k"), store.NotFound, "No such object"},
		{404, xmlRefusal("NoSuchBucket", "none"), store.Misconfigured, "bucket name"},
		{404, xmlRefusal("NoSuchKey", "none"), store.NotFound, "NoSuchKey"},
		{404, "Not Found", store.NotFound, "404"},
		{408, "", store.Transient, "408"},
		{412, jsonRefusal(412, "conditionNotMet", "no"), store.Precondition, ""},
		{413, jsonRefusal(413, "uploadTooLarge", "large"), store.Permanent, "large"},
		{307, "", store.Misconfigured, "redirects"},
		{308, "", store.Misconfigured, "redirects"},
		{429, jsonRefusal(429, "rateLimitExceeded", "The object exceeded the rate limit for object mutation operations"), store.Throttled, "rate limit"},
		{429, xmlRefusal("SlowDown", "slow"), store.Throttled, ""},
		{500, jsonRefusal(500, "internalError", "We encountered an internal error."), store.Transient, ""},
		{502, "<html>proxy</html>", store.Transient, "502"},
		{503, jsonRefusal(503, "backendError", "Backend error"), store.Transient, ""},
		{503, "", store.Throttled, "503"},
		{504, "", store.Transient, ""},
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Guploader-Uploadid", "ABC-123")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := s.Stat(t.Context(), "k")
		var e *store.Error
		if !errors.As(err, &e) || e.Class != c.class || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%d %s: %v of class %q, want %q with %q", c.status, c.body, err, store.ClassOf(err), c.class, c.text)
			continue
		}
		if e.RequestID != "ABC-123" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d: %v: no request ID, or more than a line", c.status, err)
		}
		waits := c.class == store.Throttled || c.class == store.Transient
		if (e.RetryAfter == 7*time.Second) != waits {
			t.Errorf("%d %s: to wait %v", c.status, c.class, e.RetryAfter)
		}
	}
}

// TestBucketIsMissing: a write finds nothing only where there is no bucket.
func TestBucketIsMissing(t *testing.T) {
	front, _ := newFront(t)
	s := openFront(t, front, "no-such-bucket", "", store.RoleDestination).(*Parallel)
	_, errCheck := s.Check(t.Context())
	_, errPut := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
	_, errUpload := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	for what, err := range map[string]error{"check": errCheck, "put": errPut, "create upload": errUpload} {
		if store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "bucket name") {
			t.Errorf("%s: %v of class %q", what, err, store.ClassOf(err))
		}
	}
}

// TestStrangers: whoever answers at the endpoint, it ends in one line that names the cause.
func TestStrangers(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Welcome</html>") }
	s := answering(t, page)
	if _, err := s.Check(t.Context()); store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "check the endpoint") {
		t.Errorf("a web page: %v", err)
	}
	if _, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1}); store.ClassOf(err) != store.Permanent {
		t.Errorf("open of a web page: %v", err)
	}
	if _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{}); err == nil {
		t.Error("a web page gave an upload")
	}
	nobody := openAt(t, "http://127.0.0.1:1", "bucket", "", store.RoleSource)
	if _, err := nobody.Check(t.Context()); store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "nothing answers") {
		t.Errorf("nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Stat(ctx, "k"); store.ClassOf(err) != store.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// lists opens a store at a server whose listing is a list of pages by page token.
func lists(t *testing.T, pages map[string]string, more ...func(q url.Values)) store.Source {
	t.Helper()
	return answering(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for _, look := range more {
			look(q)
		}
		page, ok := pages[q.Get("pageToken")]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, page)
	})
}

func listedPage(token string, names ...string) string {
	var items []string
	for _, n := range names {
		items = append(items, fmt.Sprintf(`{"name":%q,"size":"1","generation":"5","updated":"2026-01-02T03:04:05.678Z","crc32c":"mnG7TA=="}`, n))
	}
	return fmt.Sprintf(`{"nextPageToken":%q,"items":[%s]}`, token, strings.Join(items, ","))
}

func readAll(t *testing.T, l store.Lister) (keys []string, err error) {
	t.Helper()
	defer l.Close()
	for range 50 {
		page, err := l.Next(t.Context())
		if err == io.EOF {
			return keys, nil
		}
		if err != nil {
			return keys, err
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
	}
	return keys, errors.New("no end")
}

// TestListingsThatLie end in an error, never in fewer keys.
func TestListingsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		pages map[string]string
		from  string
	}{
		"out of order":         {map[string]string{"": listedPage("", "b", "a")}, ""},
		"repeated key":         {map[string]string{"": listedPage("t", "a"), "t": listedPage("", "a", "b")}, ""},
		"repeated token":       {map[string]string{"": listedPage("t", "a"), "t": listedPage("t", "b")}, ""},
		"a circle":             {map[string]string{"": listedPage("t", "a"), "t": listedPage("u", "b"), "u": listedPage("t", "c")}, ""},
		"startOffset ignored":  {map[string]string{"": listedPage("", "a", "b", "c", "d")}, "c"},
		"no such token":        {map[string]string{"": listedPage("gone", "a")}, ""},
		"size":                 {map[string]string{"": `{"items":[{"name":"a","size":"-1","generation":"1"}]}`}, ""},
		"generation":           {map[string]string{"": `{"items":[{"name":"a","size":"1"}]}`}, ""},
		"no JSON":              {map[string]string{"": `{"items":[`}, ""},
		"empty pages for ever": {map[string]string{"": listedPage("t"), "t": listedPage("u"), "u": listedPage("t")}, ""},
	} {
		opts := store.ListOptions{}
		if c.from != "" {
			opts.From = store.Next(c.from)
		}
		if keys, err := readAll(t, lists(t, c.pages).List(opts)); err == nil {
			t.Errorf("%s: taken, as %q", name, keys)
		}
	}
}

// TestListingStartsBehind: the server starts at a name, so that name is left out, and one key more is asked for in its place.
func TestListingStartsBehind(t *testing.T) {
	var asked []string
	look := func(q url.Values) {
		asked = append(asked, q.Get("startOffset")+" "+q.Get("maxResults")+" "+q.Get("pageToken"))
	}
	s := lists(t, map[string]string{"": listedPage("t", "c", "d", "e"), "t": listedPage("", "f")}, look)
	keys, err := readAll(t, s.List(store.ListOptions{From: store.Next("c"), Page: 2}))
	if err != nil || strings.Join(keys, "") != "def" {
		t.Errorf("%q, %v", keys, err)
	}
	if got := strings.Join(asked, ","); got != "c 3 , 2 t" {
		t.Errorf("asked for %q", got)
	}
}

// TestReadsThatLie: an answer that is not what was asked for is refused.
func TestReadsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		header map[string]string
		opts   store.OpenOptions
		class  store.Class
	}{
		"another generation":     {map[string]string{"X-Goog-Generation": "6"}, store.OpenOptions{Length: -1, IfMatch: "5"}, store.Precondition},
		"no generation":          {nil, store.OpenOptions{Length: -1}, store.Permanent},
		"unpacked on the way":    {map[string]string{"X-Goog-Generation": "5", "X-Goog-Stored-Content-Length": "3"}, store.OpenOptions{Length: -1}, store.Permanent},
		"the range is passed by": {map[string]string{"X-Goog-Generation": "5"}, store.OpenOptions{Offset: 2, Length: 2}, store.Permanent},
	} {
		s := answering(t, func(w http.ResponseWriter, r *http.Request) {
			for k, v := range c.header {
				w.Header().Set(k, v)
			}
			_, _ = io.WriteString(w, "content")
		})
		if _, _, err := s.Open(t.Context(), "k", c.opts); store.ClassOf(err) != c.class {
			t.Errorf("%s: %v of class %q, want %q", name, err, store.ClassOf(err), c.class)
		}
	}
}
