package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
)

// calmly makes each look at the clock a minute later than the one before, so that failures are never too many.
func calmly(c *Config) {
	var looks atomic.Int64
	c.Now = func() time.Time { return time.Unix(0, 0).Add(time.Duration(looks.Add(1)) * time.Minute) }
}

// hold puts a token into the state, as if it had been made.
func (b *bench) hold(name string, role fsm.Role, lifetime int64) Token {
	b.t.Helper()
	seed := sha256.Sum256([]byte(b.t.Name() + name))
	token := newToken(idOfSecret(seed), seed)
	hash := sha256.Sum256([]byte(token.secret))
	b.must(fsm.PutToken{ID: token.id, Name: name, Role: role, Hash: hash[:], Lifetime: lifetime})
	return token
}

// wantedRoles is who may use what, written down once more: a change of the routes is a change here as well.
func wantedRoles() map[string]fsm.Role {
	const v, o, a = fsm.Viewer, fsm.Operator, fsm.Admin
	return map[string]fsm.Role{
		"GET /healthz": anyone, "GET /readyz": anyone, "GET /metrics": v, "GET /openapi.json": v, "GET /v1/events": v,
		"GET /v1/jobs": v, "GET /v1/jobs/{id}": v, "GET /v1/jobs/{id}/errors": v, "GET /v1/jobs/{id}/spec": v, "GET /v1/machines": v,
		"GET /v1/machines/{id}/tasks": v, "GET /v1/state": v,
		"GET /v1/jobs/{id}/records": v, "GET /v1/jobs/{id}/report": v, "GET /v1/jobs/{id}/why": v,
		"GET /v1/node": v, "GET /v1/settings": v, "GET /v1/rates": v, "GET /v1/jobs/{id}/rates": v,
		"POST /v1/preview": o,
		"POST /v1/jobs":    o, "PUT /v1/jobs/{id}/spec": o, "DELETE /v1/jobs/{id}": o, "POST /v1/jobs/{id}/pause": o, "POST /v1/jobs/{id}/continue": o,
		segmentsPattern:           o,
		"POST /v1/jobs/{id}/redo": o, "POST /v1/jobs/{id}/retry": o, "POST /v1/machines/{id}/drain": o, "POST /v1/machines/{id}/undrain": o,
		"GET /v1/history":    o,
		"PUT /v1/settings":   a,
		"POST /v1/node/stop": a, "POST /v1/node/leave": a, "GET /v1/tokens": a, "POST /v1/tokens": a, "DELETE /v1/tokens/{name}": a,
		"GET /v1/notices": v, "POST /v1/notices/test": a,
		"POST /v1/history": peers, "GET /v1/index": peers,
		"GET /v1/key": a, "POST /v1/key/switch": a, "POST /v1/key/back": a, "POST /v1/key/finish": a,
	}
}

// TestRoleMatrix tries every route with every role, with none, and with tokens that are worth nothing: at a node that leads, and
// at one that passes on what is asked.
func TestRoleMatrix(t *testing.T) {
	t.Run("leader", func(t *testing.T) {
		b := newBench(t, calmly)
		b.bring(fsm.Running)
		checkRoles(t, b, b)
	})
	t.Run("follower", func(t *testing.T) {
		follower, leader, _ := pair(t, calmly)
		leader.bring(fsm.Running)
		checkRoles(t, follower, leader)
	})
}

// holder is somebody with or without a token.
type holder struct {
	name   string
	header string // Authorization
	role   fsm.Role
	status int // of what it may not do
}

func (b *bench) holders() []holder {
	bearer := func(t Token) string { return "Bearer " + t.bearer() }
	removed := b.hold("removed", fsm.Admin, 0)
	b.must(fsm.RemoveToken{ID: removed.id})
	admin := b.hold("a", fsm.Admin, 0)
	return []holder{
		{"no token", "", "", 401},
		{"garbage", "Bearer brigade1.\xff/../%00." + strings.Repeat("\xfe", 60), "", 401},
		{"a token too long", bearer(admin) + strings.Repeat("x", 16<<10), "", 401},
		{"another scheme", "Basic " + admin.bearer(), "", 401},
		{"wrong secret", bearer(Token{id: b.hold("wrong", fsm.Admin, 0).id, secret: strings.Repeat("x", 43)}), "", 401},
		{"expired", bearer(b.hold("expired", fsm.Admin, 1)), "", 401},
		{"removed", bearer(removed), "", 401},
		{"viewer", bearer(b.hold("v", fsm.Viewer, 0)), fsm.Viewer, 403},
		{"operator", bearer(b.hold("o", fsm.Operator, 0)), fsm.Operator, 403},
		{"admin", bearer(admin), fsm.Admin, 403},
		{"local", bearer(b.token), fsm.Admin, 403},
	}
}

// checkRoles asks at a node for everything; what is allowed changes the state of the leader.
func checkRoles(t *testing.T, at, leader *bench) {
	t.Helper()
	want, holders := wantedRoles(), at.holders()
	effects := func() string { return at.effects() + leader.effects() }
	for _, r := range at.server.routes() {
		least, known := want[r.pattern]
		if !known {
			t.Errorf("%s: who may use it is not written down in this test", r.pattern)
			continue
		}
		delete(want, r.pattern)
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{id}", "nothing", "{name}", "nothing").Replace(path)
		for _, h := range holders {
			before := effects()
			resp, body := at.request(method, path, "{}", map[string]string{"Authorization": h.header})
			may := least == anyone || rank(h.role) > 0 && rank(least) > 0 && rank(h.role) >= rank(least)
			denied := resp.StatusCode == 401 || resp.StatusCode == 403 || resp.StatusCode == 429
			switch {
			case may && denied, !may && resp.StatusCode != h.status:
				t.Errorf("%s by %s: %s: %s", r.pattern, h.name, resp.Status, body)
			case !may && effects() != before:
				t.Errorf("%s by %s is denied and takes effect", r.pattern, h.name)
			case h.status == 403 && !may && rank(least) > 0 && !strings.Contains(body, `"needed_role":"`+string(least)+`"`):
				t.Errorf("%s by %s: the answer does not name the role %s: %s", r.pattern, h.name, least, body)
			}
			if resp.Header.Get(RequestHeader) == "" {
				t.Errorf("%s by %s: no request ID", r.pattern, h.name)
			}
		}
	}
	for pattern := range want {
		t.Errorf("%s is written down in this test, and is no route", pattern)
	}
}

// effects is what changes when something happens.
func (b *bench) effects() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.index, b.stopped, b.left, b.aborted)
}

// TestRoutesAreClosedByDefault serves a route that says nothing of roles.
func TestRoutesAreClosedByDefault(t *testing.T) {
	b := newBench(t)
	called := false
	h := b.server.handle(route{pattern: "GET /new", do: func(context.Context, *call) (*reply, error) {
		called = true
		return &reply{document: &Health{}}, nil
	}})
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/new", nil)
	h.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), callerKey{}, Caller{Name: "local", Role: fsm.Admin})))
	if rec.Code != http.StatusForbidden || called {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}

func TestWrongTokens(t *testing.T) {
	b := newBench(t, calmly)
	good, expired := b.hold("good", fsm.Viewer, 0), b.hold("expired", fsm.Viewer, 1)
	removed := b.hold("removed", fsm.Viewer, 0)
	b.must(fsm.RemoveToken{ID: removed.id})
	for name, test := range map[string]struct {
		bearer string
		status int
		code   string
		detail string
	}{
		"good":           {good.bearer(), 200, "", ""},
		"whole line":     {good.For([32]byte{1}).line(), 200, "", ""},
		"expired":        {expired.bearer(), 401, CodeTokenExpired, "the token expired expired at 1970-01-01T00:00:00Z"},
		"expired, wrong": {tokenVersion + "." + expired.id + "." + good.secret, 401, CodeUnauthorized, "not valid"},
		"removed":        {removed.bearer(), 401, CodeUnauthorized, "not valid"},
		"other's secret": {tokenVersion + "." + good.id + "." + removed.secret, 401, CodeUnauthorized, "not valid"},
		"as local":       {tokenVersion + ".local." + good.secret, 401, CodeUnauthorized, "not valid"},
		"secret alone":   {good.secret, 401, CodeUnauthorized, "not valid"},
		"cut short":      {good.bearer()[:len(good.bearer())-1], 401, CodeUnauthorized, "not valid"},
		"other version":  {"brigade2." + good.id + "." + good.secret, 401, CodeUnauthorized, "a token is wanted"},
		"no ID":          {"brigade1.." + good.secret, 401, CodeUnauthorized, "a token is wanted"},
		"bad authority":  {good.bearer() + ".xyz", 401, CodeUnauthorized, "a token is wanted"},
		"too many parts": {good.For([32]byte{1}).line() + ".x", 401, CodeUnauthorized, "a token is wanted"},
		"hash of secret": {tokenVersion + "." + good.id + "." + fmt.Sprintf("%x", sha256.Sum256([]byte(good.secret))), 401, CodeUnauthorized, "not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := b.request(http.MethodGet, "/v1/node", "", map[string]string{"Authorization": "Bearer " + test.bearer})
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || p.Code() != test.code || !strings.Contains(p.Detail, test.detail) {
				t.Errorf("%s: %s", resp.Status, body)
			}
			for _, secret := range []string{good.secret, removed.secret, expired.secret} {
				if strings.Contains(body, secret) {
					t.Error("the answer tells a secret")
				}
			}
		})
	}
}

// TestExpiry lets a token expire by the clock.
func TestExpiry(t *testing.T) {
	var now atomic.Int64
	b := newBench(t, func(c *Config) { c.Now = func() time.Time { return time.Unix(0, now.Load()) } })
	token := b.hold("short", fsm.Viewer, int64(time.Hour))
	created := int64(1) // when the bench committed it
	status := func() int {
		resp, _ := b.request(http.MethodGet, "/v1/node", "", map[string]string{"Authorization": "Bearer " + token.bearer()})
		return resp.StatusCode
	}
	now.Store(created + int64(time.Hour) - 1)
	if got := status(); got != 200 {
		t.Errorf("before the end: %d", got)
	}
	now.Add(1)
	if got := status(); got != 401 {
		t.Errorf("at the end: %d", got)
	}
	list, err := b.client.Tokens(t.Context())
	if err != nil || len(list.Tokens) != 1 || !list.Tokens[0].Expired {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestFailuresAreLimited sends wrong tokens from one address until it is told to wait. A valid one still works.
func TestFailuresAreLimited(t *testing.T) {
	var now atomic.Int64
	var log bytes.Buffer
	b := newBench(t, func(c *Config) {
		c.Now = func() time.Time { return time.Unix(0, now.Load()) }
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	const wrong = "Bearer brigade1.0123456789abcdef.ThisIsTheSecretThatNobodyShallSeeAnywhere0x"
	now.Store(int64(time.Hour))
	failed := func() *http.Response {
		resp, body := b.request(http.MethodGet, "/v1/node", "", map[string]string{"Authorization": wrong})
		if strings.Contains(body, "NobodyShallSee") {
			t.Error("the answer shows the token")
		}
		return resp
	}
	for i := range failuresAtOnce {
		if resp := failed(); resp.StatusCode != 401 {
			t.Fatalf("attempt %d: %s", i, resp.Status)
		}
	}
	for range 3 {
		if resp := failed(); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !resp.Close {
			t.Errorf("over the limit: %s, %v, connection kept: %v", resp.Status, resp.Header, !resp.Close)
		}
	}
	if resp, _ := b.request(http.MethodGet, "/v1/node", "", nil); resp.StatusCode != 200 {
		t.Errorf("a valid token is refused: %s", resp.Status)
	}
	now.Add(int64(failuresEvery))
	if resp := failed(); resp.StatusCode != 401 {
		t.Errorf("after a while: %s", resp.Status)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "NobodyShallSee") {
		t.Errorf("the log has %d lines:\n%s", n, log.String())
	}
}

func TestFailuresAreBounded(t *testing.T) {
	f := newAllowances(failuresAtOnce, failuresEvery)
	note := func(from string, now time.Time) (within, tell bool) { return f.note(networkOf(from).String(), now) }
	now := time.Unix(1e6, 0)
	for i := range 10 * allowancesKept {
		note(fmt.Sprintf("10.%d.%d.1", i/250, i%250), now)
	}
	if len(f.of) != allowancesKept {
		t.Errorf("%d addresses are kept", len(f.of))
	}
	if within, _ := note("192.0.2.1", now); within {
		t.Error("an address that nothing is kept of has an allowance of its own")
	}
	now = now.Add(time.Hour)
	if within, tell := note("192.0.2.1", now); !within || !tell || len(f.of) != 1 {
		t.Errorf("an hour later %v, %v, and %d addresses are kept", within, tell, len(f.of))
	}
	for range failuresAtOnce {
		note("2001:db8::1", now)
	}
	if within, _ := note("2001:db8::ffff", now); within {
		t.Error("one machine has as many allowances as IPv6 addresses")
	}
	if within, _ := note("2001:db8:0:1::1", now); !within {
		t.Error("two networks share an allowance")
	}
	if networkOf("::ffff:10.0.0.1") != networkOf("10.0.0.1") {
		t.Error("an IPv4 address in the form of IPv6 is another address")
	}
}

func TestTokensByAPI(t *testing.T) {
	authority := [32]byte{1, 2, 3}
	b := newBench(t, func(c *Config) {
		c.Authority, c.Now = func() [32]byte { return authority }, func() time.Time { return time.Unix(0, 0) }
	})
	made, err := b.client.AddToken(t.Context(), NewToken{Name: "ann", Role: fsm.Operator, ExpiresIn: 3600})
	if err != nil {
		t.Fatal(err)
	}
	token, ok := parseToken(made.Token)
	pin, pinned := token.pin()
	if !ok || !pinned || pin != authority || token.id != made.ID || made.ExpiresAt == nil || made.ExpiresAt.Sub(*made.CreatedAt) != time.Hour {
		t.Fatalf("%v, %v, %+v", ok, pinned, made.TokenInfo)
	}
	var snapshot bytes.Buffer
	if err := b.machine.Snapshot()(&snapshot); err != nil || bytes.Contains(snapshot.Bytes(), []byte(token.secret)) {
		t.Errorf("the state holds the secret, or %v", err)
	}
	c, err := NewClient(b.http.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Drain(t.Context(), benchNode, true); err != nil {
		t.Error(err)
	}
	var p *Problem
	if _, err := c.Tokens(t.Context()); !errors.As(err, &p) || p.Needed != fsm.Admin || !strings.Contains(p.Detail, "the token ann has the role operator") {
		t.Errorf("%v", err)
	}
	if _, err := b.client.AddToken(t.Context(), NewToken{Name: "ann", Role: fsm.Admin}); !errors.As(err, &p) || p.Code() != CodeTokenExists {
		t.Errorf("a name that is taken: %v", err)
	}
	for name, bad := range map[string]NewToken{
		"no name": {Role: fsm.Viewer}, "odd name": {Name: "a/b", Role: fsm.Viewer}, "dots": {Name: "..", Role: fsm.Viewer}, "local": {Name: "local", Role: fsm.Viewer},
		"no role": {Name: "x"}, "odd role": {Name: "x", Role: "root"}, "past": {Name: "x", Role: fsm.Viewer, ExpiresIn: -1},
		"too long": {Name: "x", Role: fsm.Viewer, ExpiresIn: 1 << 40},
	} {
		if _, err := b.client.AddToken(t.Context(), bad); !errors.As(err, &p) || p.Code() != CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := b.client.Tokens(t.Context())
	if err != nil || len(list.Tokens) != 1 || cmp.Diff(made.TokenInfo, list.Tokens[0]) != "" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.client.RemoveToken(t.Context(), "ann"); err != nil {
		t.Error(err)
	}
	if err := b.client.RemoveToken(t.Context(), "ann"); !errors.As(err, &p) || p.Code() != CodeNoToken {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := c.Self(t.Context()); !errors.As(err, &p) || p.Status != 401 {
		t.Errorf("a removed token: %v", err)
	}
}

// TestTokenIsMadeOnce loses the leader after it committed and before it answered: the request, tried again, makes the same.
func TestTokenIsMadeOnce(t *testing.T) {
	follower, leader, w := pair(t)
	w.twice = true
	made, err := follower.client.AddToken(t.Context(), NewToken{Name: "ann", Role: fsm.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.seen) != 2 {
		t.Fatalf("%d requests", len(w.seen))
	}
	token, _ := parseToken(made.Token)
	leader.machine.Read(func(s *fsm.State) {
		hash := sha256.Sum256([]byte(token.secret))
		if n := len(s.Tokens()); n != 1 || !bytes.Equal(s.Tokens()[0].Hash, hash[:]) {
			t.Errorf("%d tokens, or not the one that was told", n)
		}
		if n := len(s.History()); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// TestSubmittedOnce loses the leader in the same way. The client gave no Idempotency-Key, and sees its job added.
func TestSubmittedOnce(t *testing.T) {
	follower, leader, w := pair(t)
	w.twice = true
	resp, body := follower.request(http.MethodPost, "/v1/jobs", `{"id": "photos"}`, nil)
	if resp.StatusCode != http.StatusCreated || len(w.seen) != 2 || leader.job("photos") == nil {
		t.Errorf("%s after %d requests: %s", resp.Status, len(w.seen), body)
	}
}

// TestHistory has several holders do things at a node that does not lead.
func TestHistory(t *testing.T) {
	follower, leader, w := pair(t)
	leader.bring(fsm.Running)
	token := follower.hold("ann", fsm.Operator, 0)
	follower.client.token = token
	before := time.Unix(0, leader.at+1).UTC()
	if _, err := follower.client.Pause(t.Context(), "j", "lunch"); err != nil {
		t.Fatal(err)
	}
	var p *Problem
	if _, err := follower.client.Pause(t.Context(), "none", ""); !errors.As(err, &p) || p.Code() != CodeNoJob {
		t.Errorf("%v", err)
	}
	follower.client.token = follower.token
	if _, err := follower.client.Set(t.Context(), map[string]string{MaxTasks: "16", LogLevel: "debug"}); err != nil {
		t.Fatal(err)
	}
	if err := follower.client.Stop(t.Context()); err != nil || follower.stopped != 1 {
		t.Errorf("stopped %d times: %v", follower.stopped, err)
	}
	w.broken = errors.New("cut") // a node can be stopped all the same
	if err := follower.client.Stop(t.Context()); err != nil || follower.stopped != 2 {
		t.Errorf("stopped %d times without a leader: %v", follower.stopped, err)
	}
	w.broken = nil
	h, err := follower.client.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	local := Event{Actor: "local", Role: fsm.Admin, From: "127.0.0.1", Node: benchNode}
	want := []Event{{Actor: "ann", Token: token.id, Role: fsm.Operator, From: "127.0.0.1", Node: benchNode, Verb: "pause", Target: "j"}, local, local}
	want[1].Verb, want[1].Target = "set", "log.level max-worker-num"
	want[2].Verb, want[2].Target = "stop", benchNode
	for i := range h.Events {
		e := &h.Events[i]
		if e.Request == "" || e.At.Before(before) || e.Number != uint64(i+1) {
			t.Errorf("%+v", e)
		}
		e.Request, e.At, e.Number = "", time.Time{}, 0
	}
	if d := cmp.Diff(want, h.Events); d != "" {
		t.Error(d)
	}
}

func TestHistoryIsPaged(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		b.must(fsm.Recorded{Event: fsm.Event{Actor: "a", Role: fsm.Admin, Verb: "v", Target: fmt.Sprint(i)}})
	}
	var got []string
	for after := uint64(0); ; {
		_, body := b.request(http.MethodGet, fmt.Sprintf("/v1/history?limit=3&after=%d", after), "", nil)
		var page History
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			got = append(got, e.Target)
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	if fmt.Sprint(got) != "[0 1 2 3 4 5 6]" {
		t.Error(got)
	}
}

// TestForwardedRolesHold has a node pass on what its caller may not do: the leader looks once more.
func TestForwardedRolesHold(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	for name, test := range map[string]struct {
		caller string
		status int
	}{
		"operator":   {`{"name":"ann","role":"operator","from":"10.0.0.9","node":"node-2","request":"r"}`, 200},
		"viewer":     {`{"name":"bob","role":"viewer","from":"10.0.0.9","node":"node-2","request":"r"}`, 403},
		"no role":    {`{"name":"bob"}`, 400},
		"other role": {`{"name":"bob","role":"peers"}`, 400},
		"nobody":     {``, 400},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/jobs/j/pause", nil)
		r.Header.Set(ForwardedHeader, "node-2")
		r.Header.Set(CallerHeader, test.caller)
		rec := httptest.NewRecorder()
		b.server.PeerHandler().ServeHTTP(rec, r)
		if rec.Code != test.status {
			t.Errorf("%s: %d: %s", name, rec.Code, rec.Body)
		}
	}
}

// TestClientsCannotSayWhoTheyAre sends what only nodes may say.
func TestClientsCannotSayWhoTheyAre(t *testing.T) {
	follower, _, w := pair(t)
	viewer := follower.hold("bob", fsm.Viewer, 0)
	header := map[string]string{
		"Authorization": "Bearer " + viewer.bearer(), CallerHeader: `{"name":"local","role":"admin"}`, ForwardedHeader: "node-2",
		seedHeader: "x", RequestHeader: "mine",
	}
	if resp, body := follower.request(http.MethodPost, "/v1/tokens", `{"name":"x","role":"admin"}`, header); resp.StatusCode != 403 {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if resp, body := follower.request(http.MethodPost, "/v1/history", `{"verb":"x","target":"y"}`, header); resp.StatusCode != 403 {
		t.Errorf("%s: %s", resp.Status, body)
	}
	resp, _ := follower.request(http.MethodGet, "/v1/jobs", "", header)
	if len(w.seen) != 1 {
		t.Fatalf("%d requests forwarded", len(w.seen))
	}
	var c Caller
	sent := w.seen[0].Header
	if err := json.Unmarshal([]byte(sent.Get(CallerHeader)), &c); err != nil {
		t.Fatal(err)
	}
	want := Caller{Name: "bob", Token: viewer.id, Role: fsm.Viewer, From: "127.0.0.1", Node: benchNode, Request: resp.Header.Get(RequestHeader)}
	if d := cmp.Diff(want, c); d != "" || sent.Get(seedHeader) != "" || c.Request == "mine" {
		t.Error(d)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\x1b[2Jb\n": "a\uFFFD[2Jb\uFFFD", "\xff": "\uFFFD", strings.Repeat("é", 20): strings.Repeat("é", 8) + "…",
	} {
		if got := clean(text, 20); got != want || len(got) > 20 && len(want) <= 20 {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
