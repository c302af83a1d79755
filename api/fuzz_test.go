package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// FuzzToken reads what somebody shows as a token, and finds in a token file. What is not a token is not repeated.
func FuzzToken(f *testing.F) {
	token := newToken("0123456789abcdef", [tokenBytes]byte{7})
	for _, text := range []string{
		token.line(), token.For([authoritySize]byte{9}).line(), token.bearer() + ".", "brigade1...", strings.Repeat("a", 43), strings.Repeat("\x00", 43), " ",
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, ok := parseToken(string(text))
		if again, _ := parseToken(parsed.line()); ok && again != parsed {
			t.Errorf("%q is another token when it was written and read", text)
		}
		if ok && strings.ContainsAny(parsed.line(), "\r\n\x00 ") {
			t.Errorf("%q does not fit into a header", text)
		}
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := ReadToken(path)
		if trimmed := bytes.TrimSpace(text); err == nil && (read.IsZero() || len(text) > maxSmall && len(trimmed) > maxSmall) {
			t.Errorf("%q is read as a token", text)
		}
		if err != nil && len(text) >= minSecret && strings.Contains(err.Error(), string(text)) {
			t.Errorf("the error repeats the file: %v", err)
		}
	})
}

// FuzzRequest sends every route whatever bodies, names and queries, as an admin. The answer is JSON, and nothing of it is an
// internal error.
func FuzzRequest(f *testing.F) {
	for i, body := range []string{
		`{"id":"photos"}`, `{"reason":"r"}`, `{"settings":{"max-worker-num":"3","log.level":null}}`, `{"name":"n","role":"viewer","expires_in_seconds":9}`,
		`{"name":"n","role":"viewer","expires_in_seconds":9223372036854775807}`, `null`, `[]`, `{}{}`, "\xff", `{"settings":{"task_stall":"1h"}}`, ``,
	} {
		f.Add(i, "j", "limit=3&after=x&offset=1", "0123456789abcdef0123456789abcdef", []byte(body))
		f.Add(2*i, "..", "limit=-1", "", []byte(body))
		f.Add(3*i+1, "node-2", "%zz&after=\x00", "x", []byte(body))
	}
	f.Fuzz(func(t *testing.T, n int, name, query, key string, body []byte) {
		b := newBench(t)
		b.bring(fsm.Paused)
		routes := b.server.routes()
		method, path, _ := strings.Cut(routes[max(n, -n, 0)%len(routes)].pattern, " ")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // for answers that have no end
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, method, "/", bytes.NewReader(body))
		path = strings.NewReplacer("{id}", name, "{name}", name).Replace(path)
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+b.token.bearer())
		r.Header.Set(KeyHeader, key)
		rec := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(rec, r)
		if rec.Code >= 300 && rec.Code < 400 {
			return // to the same path, written shorter
		}
		media := rec.Header().Get("Content-Type")
		if media == "text/event-stream" || rec.Code == http.StatusOK && path == metricsPath {
			return
		}
		if rec.Code == http.StatusInternalServerError || !json.Valid(rec.Body.Bytes()) || (media == problemMedia) != (rec.Code >= 400) {
			t.Errorf("%s %s?%s with %q: %d %s: %s", method, path, query, body, rec.Code, media, rec.Body)
		}
		if bytes.Contains(rec.Body.Bytes(), []byte(b.token.secret)) {
			t.Errorf("%s %s tells the token", method, path)
		}
	})
}

// FuzzPeerRequest sends what another node says of its caller.
func FuzzPeerRequest(f *testing.F) {
	f.Add(`{"name":"ann","role":"operator","from":"10.0.0.9","node":"node-2","request":"r"}`, []byte(`{"verb":"stop","target":"node-2"}`))
	f.Add(`{"name":"\u0000","role":"admin"}`, []byte(`{}`))
	f.Add(``, []byte(``))
	f.Fuzz(func(t *testing.T, caller string, body []byte) {
		b := newBench(t, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
		for _, path := range []string{"/v1/history", "/v1/jobs", "/v1/tokens"} {
			r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
			r.Header.Set(ForwardedHeader, "node-2")
			r.Header.Set(CallerHeader, caller)
			rec := httptest.NewRecorder()
			b.server.PeerHandler().ServeHTTP(rec, r)
			if rec.Code == http.StatusInternalServerError || !json.Valid(rec.Body.Bytes()) {
				t.Errorf("POST %s by %q with %q: %d: %s", path, caller, body, rec.Code, rec.Body)
			}
		}
	})
}
