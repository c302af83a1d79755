package notify

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// received is what a webhook's server got.
type received struct {
	query  url.Values
	header http.Header
	body   []byte
}

// hookServer answers everything alike, and keeps the last request.
func hookServer(t *testing.T, status int, answer string) (string, *received) {
	t.Helper()
	got := &received{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = received{r.URL.Query(), r.Header, body}
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "http://169.254.169.254/latest")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer) // the client may have gone
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// TestHookForms holds what is sent to each vendor against the form that its page gives, and signatures against those that
// OpenSSL makes of the same input:
//
//	printf '1700000000000\nSECtest123' | openssl dgst -sha256 -hmac SECtest123 -binary | openssl base64
//	printf '' | openssl dgst -sha256 -hmac "$(printf '1700000000\nSECtest123')" -binary | openssl base64
func TestHookForms(t *testing.T) {
	msg := render(t, "en", example(JobFailed, 9))
	for kind, c := range map[string]struct {
		answer string
		check  func(t *testing.T, got *received, body map[string]any)
	}{
		"json": {"", func(t *testing.T, got *received, body map[string]any) {
			if body["id"] != msg.ID || body["severity"] != "critical" || got.header.Get("X-Brigade-Id") != msg.ID {
				t.Errorf("body %v", body)
			}
			want := "t=1700000000,v1=" + hex.EncodeToString(sign("SECtest123", "1700000000."+string(got.body)))
			if s := got.header.Get("X-Brigade-Signature"); s != want {
				t.Errorf("signature %q, want %q", s, want)
			}
		}},
		"slack": {"ok", func(t *testing.T, got *received, body map[string]any) {
			if text, _ := body["text"].(string); !strings.Contains(text, "666 failed") || strings.Contains(text, "<script") {
				t.Errorf("text %q", text)
			}
		}},
		"dingtalk": {`{"errcode":0,"errmsg":"ok"}`, func(t *testing.T, got *received, body map[string]any) {
			if got.query.Get("sign") != "w3RMHXzixTMdzr8OHJUmVLS4IoPJVdu+Ut1LE48MePE=" || got.query.Get("timestamp") != "1700000000000" ||
				got.query.Get("access_token") != "tok" || body["msgtype"] != "markdown" {
				t.Errorf("query %v, body %v", got.query, body)
			}
		}},
		"feishu": {`{"code":0,"msg":"success"}`, func(t *testing.T, got *received, body map[string]any) {
			if body["sign"] != "eHRRCyLH7Z4IJQSJlfwertHZThRUYVu2hTUH02xPXYU=" || body["timestamp"] != "1700000000" || body["msg_type"] != "text" {
				t.Errorf("body %v", body)
			}
		}},
		"lark": {`{"code":0,"msg":"success"}`, func(t *testing.T, got *received, body map[string]any) {
			if body["sign"] != "eHRRCyLH7Z4IJQSJlfwertHZThRUYVu2hTUH02xPXYU=" {
				t.Errorf("body %v", body)
			}
		}},
		"wecom": {`{"errcode":0,"errmsg":"ok"}`, func(t *testing.T, got *received, body map[string]any) {
			markdown, _ := body["markdown"].(map[string]any)
			if content, _ := markdown["content"].(string); body["msgtype"] != "markdown" || len(content) > 4096 || !strings.Contains(content, "666") {
				t.Errorf("body %v", body)
			}
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			target, got := hookServer(t, http.StatusOK, c.answer)
			h := &Webhook{Name: "x", Kind: kind, URL: target + "/hook?access_token=tok", Secret: "SECtest123", Private: true, Now: at(time.Unix(1_700_000_000, 0))}
			if err := h.Send(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			var body map[string]any
			if err := json.Unmarshal(got.body, &body); err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			c.check(t, got, body)
		})
	}
	for _, kind := range WebhookKinds() {
		if h := (&Webhook{Name: "x", Kind: kind, URL: "https://example.com/secret"}); h.Validate() != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", h, h, h), "secret") {
			t.Errorf("%s: %v, or its URL shows", kind, h.Validate())
		}
	}
}

// TestHookFaults: what a server answers, whether to try again, and that no error shows the URL.
func TestHookFaults(t *testing.T) {
	msg := render(t, "en", example(Test, 1))
	for name, c := range map[string]struct {
		kind      string
		status    int
		answer    string
		temporary bool
		says      string
	}{
		"fails":                 {"json", 500, "oops", true, "500"},
		"too many":              {"slack", 429, "", true, "429"},
		"refused":               {"slack", 403, "invalid_token", false, "invalid_token"},
		"redirect":              {"json", 302, "", false, "redirects"},
		"refused with 200":      {"dingtalk", 200, `{"errcode":310000,"errmsg":"sign not match"}`, false, "sign not match"},
		"no JSON":               {"feishu", 200, "<html>", false, "no JSON"},
		"a code that is a text": {"wecom", 200, `{"errcode":"0"}`, false, "refused"},
		"endless":               {"json", 500, strings.Repeat("x", 1<<20), true, "500"},
	} {
		t.Run(name, func(t *testing.T) {
			target, _ := hookServer(t, c.status, c.answer)
			h := &Webhook{Name: "ops", Kind: c.kind, URL: target + "/token-of-the-hook", Private: true, Now: time.Now}
			err := h.Send(t.Context(), msg)
			var e *HookError
			if !errors.As(err, &e) || e.Temporary != c.temporary || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1000 {
				t.Errorf("%+v: %.300v", e, err)
			}
			if strings.Contains(fmt.Sprint(err), "token-of-the-hook") {
				t.Error("the URL shows")
			}
		})
	}
}

// TestHookHangs: a server that never answers ends with the context.
func TestHookHangs(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	ctx, cancel := contextWithin(t, 50*time.Millisecond)
	defer cancel()
	h := &Webhook{Name: "ops", Kind: "json", URL: s.URL, Private: true, Now: time.Now}
	var e *HookError
	if err := h.Send(ctx, render(t, "en", example(Test, 1))); !errors.As(err, &e) || !e.Temporary {
		t.Errorf("error %v", err)
	}
}

// TestHookAddresses: private addresses are for explicit choice, in the URL and behind a name.
func TestHookAddresses(t *testing.T) {
	for _, private := range []string{
		"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "224.0.0.1",
	} {
		if isPublic(netip.MustParseAddr(private)) {
			t.Errorf("%s is taken for public", private)
		}
	}
	for _, public := range []string{"1.1.1.1", "47.246.0.1", "2606:4700::1111"} {
		if !isPublic(netip.MustParseAddr(public)) {
			t.Errorf("%s is taken for private", public)
		}
	}
	target, got := hookServer(t, http.StatusOK, "")
	_, port, _ := strings.Cut(strings.TrimPrefix(target, "http://"), ":")
	msg := render(t, "en", example(Test, 1))
	for _, bad := range []string{target, "https://127.0.0.1:" + port, "http://example.com/", "ftp://example.com/", "https://u:p@example.com/", "https:///", "nonsense"} {
		h := &Webhook{Name: "x", Kind: "json", URL: bad, Now: time.Now}
		if err := h.Send(t.Context(), msg); err == nil {
			t.Errorf("sent to %s", bad)
		}
	}
	// A name that leads to a private address is found when it is dialled.
	h := &Webhook{Name: "x", Kind: "json", URL: "https://localhost:" + port + "/", Now: time.Now}
	var e *HookError
	if err := h.Send(t.Context(), msg); !errors.As(err, &e) || e.Temporary || !strings.Contains(err.Error(), "webhook.x.private") {
		t.Errorf("localhost: %v", err)
	}
	if got.body != nil {
		t.Error("a request arrived")
	}
}

func contextWithin(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
