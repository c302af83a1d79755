package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// TestVerbs tries each verb on a job in each state: allowed or refused with the states that allow it.
func TestVerbs(t *testing.T) {
	states := []fsm.JobState{fsm.Pending, fsm.Running, fsm.Paused, fsm.Succeeded, fsm.Failed, fsm.Canceled}
	for _, v := range append(verbs(), removal()) {
		for _, state := range states {
			t.Run(v.name+"/"+string(state), func(t *testing.T) {
				b := newBench(t)
				b.bring(state)
				var err error
				switch v.name {
				case "rm":
					var done *Removed
					if done, err = b.client.Remove(t.Context(), "j"); err == nil && !strings.Contains(done.Warning, "the store is away") {
						t.Errorf("removed with the warning %q", done.Warning)
					}
				default:
					_, err = b.client.act(t.Context(), "j", v.name, nil)
				}
				var p *Problem
				allowed := fmt.Sprint(v.allowed)
				if strings.Contains(allowed, string(state)) {
					if err != nil {
						t.Fatal(err)
					}
					if aborts := len(b.aborted) > 0; aborts != v.aborts {
						t.Errorf("uploads aborted: %v", b.aborted)
					}
					return
				}
				if !errors.As(err, &p) || p.Code() != CodeJobState || p.Status != http.StatusConflict || fmt.Sprint(p.Allowed) != allowed {
					t.Fatalf("got %#v", err)
				}
				for _, s := range append(v.allowed, state) {
					if !strings.Contains(p.Detail, string(s)) {
						t.Errorf("%q does not name %s", p.Detail, s)
					}
				}
			})
		}
	}
}

func TestVerbsLeadToStates(t *testing.T) {
	for _, test := range []struct {
		from fsm.JobState
		do   func(b *bench) (*Job, error)
		want fsm.JobState
	}{
		{fsm.Running, func(b *bench) (*Job, error) { return b.client.Pause(b.t.Context(), "j", "lunch") }, fsm.Paused},
		{fsm.Paused, func(b *bench) (*Job, error) { return b.client.Continue(b.t.Context(), "j") }, fsm.Running},
		{fsm.Succeeded, func(b *bench) (*Job, error) { return b.client.Redo(b.t.Context(), "j", false) }, fsm.Pending},
		{fsm.Failed, func(b *bench) (*Job, error) { return b.client.Retry(b.t.Context(), "j") }, fsm.Running},
	} {
		b := newBench(t)
		b.bring(test.from)
		d, err := test.do(b)
		if err != nil {
			t.Fatal(err)
		}
		if d.State != test.want || b.job("j").State != test.want || d.Index != b.index {
			t.Errorf("from %s: document says %s at %d, state %s at %d, want %s", test.from, d.State, d.Index, b.job("j").State, b.index, test.want)
		}
		if test.want == fsm.Paused && d.Reason != "lunch" {
			t.Errorf("reason %q", d.Reason)
		}
	}
}

func TestSubmit(t *testing.T) {
	b := newBench(t)
	id, err := b.client.Submit(t.Context(), []byte(`{"id": "a b"}`), testNonce)
	var p *Problem
	if !errors.As(err, &p) || p.Code() != CodeBadRequest {
		t.Errorf("an ID that the state refuses gave %q, %v", id, err)
	}
	for range 2 { // the second time is a repeat
		id, err = b.client.Submit(t.Context(), []byte(`{"id": "photos"}`), testNonce)
		if err != nil || id != "photos" {
			t.Fatal(id, err)
		}
	}
	_, err = b.client.Submit(t.Context(), []byte(`{"id": "photos"}`), []byte("another nonce .."))
	if !errors.As(err, &p) || p.Code() != CodeJobExists || !strings.Contains(p.Detail, `"photos"`) {
		t.Errorf("a taken ID gave %v", err)
	}
	_, err = b.client.Submit(t.Context(), []byte(`{}`), []byte("a third nonce ..."[:16]))
	if !errors.As(err, &p) || p.Code() != CodeInvalidJob || p.Status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong description gave %v", err)
	}
	resp, body := b.request(http.MethodPost, "/v1/jobs", `{"id": "without-nonce"}`, nil)
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != "/v1/jobs/without-nonce" {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

func TestJobDocument(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Failed)
	b.failed = []KeyError{NewKeyError("a", "auth", "no"), NewKeyError("b\xff", "other", "x")}
	_, body := b.request(http.MethodGet, "/v1/jobs/j", "", nil)
	const want = `{"id":"j","state":"failed","reason":"1 objects failed, 0 ranges were given up","pass":1,"listing_done":true,
"objects":{"listed":3,"found":3,"copied":2,"skipped":0,"filtered":0,"vanished":0,"changed":0,"failed":1,"recovered":0,"verified":0,"extra":0,"deleted":0,"lossy":0},
"bytes":{"listed":0,"found":0,"copied":0,"skipped":0,"moved":0},"rate":{"bytes_per_second":0,"objects_per_second":0},"eta_seconds":null,
"tasks":{"pending":0,"running":0,"failed":0,"done":0},"errors":[{"key":"a","class":"auth","reason":"no"},{"key":"b\ufffd","key_base64":"Yv8=","class":"other","reason":"x"}],
"started_at":"1970-01-01T00:00:00.000000002Z","finished_at":"1970-01-01T00:00:00.000000003Z","next_pass_at":null,"index":5}`
	var got, wanted any
	if err := errors.Join(json.Unmarshal([]byte(body), &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wanted, got); d != "" {
		t.Error(d)
	}
	b.broken = errors.New("segment is away")
	if d, err := b.client.Job(t.Context(), "j"); err != nil || d.Objects.Failed != 1 {
		t.Errorf("without the failed keys: %v", err)
	}
	if _, err := b.client.Errors(t.Context(), "j", "", 1); err == nil || strings.Contains(err.Error(), "away") {
		t.Errorf("the list of failed keys: %v", err)
	}
}

func TestErrorsArePaged(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Failed)
	for i := range 25 {
		b.failed = append(b.failed, NewKeyError(fmt.Sprint(i), "c", "r"))
	}
	var got []KeyError
	pages := 0
	for from := ""; ; pages++ {
		page, err := b.client.Errors(t.Context(), "j", from, 10)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Errors...)
		if from = page.Continue; from == "" {
			break
		}
	}
	if d := cmp.Diff(b.failed, got); d != "" || pages != 2 {
		t.Errorf("%d pages more: %s", pages, d)
	}
}

func TestJobsArePaged(t *testing.T) {
	b := newBench(t)
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("j%d", i))
		b.must(fsm.SubmitJob{ID: want[i], Nonce: testNonce, Kind: "copy", Spec: []byte(`{}`)})
	}
	var got []string
	for after := ""; ; {
		_, body := b.request(http.MethodGet, "/v1/jobs?limit=3&after="+after, "", nil)
		var page JobList
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Jobs {
			got = append(got, j.ID)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	list, err := b.client.Jobs(t.Context())
	if err != nil || len(list.Jobs) != 7 || list.Index != 7 || list.Stale {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAccess(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		path, authorization string
		want                int
	}{
		{"/v1/jobs", "Bearer " + b.token.secret, http.StatusOK},
		{"/v1/jobs", "bearer " + b.token.secret, http.StatusOK},
		{"/v1/jobs", "", http.StatusUnauthorized},
		{"/v1/jobs", "Bearer ", http.StatusUnauthorized},
		{"/v1/jobs", "Bearer wrong", http.StatusUnauthorized},
		{"/v1/jobs", "Bearer " + b.token.secret[1:], http.StatusUnauthorized},
		{"/v1/jobs", "Basic " + b.token.secret, http.StatusUnauthorized},
		{"/nothing", "", http.StatusUnauthorized},
		{"/healthz", "", http.StatusOK},
		{"/readyz", "", http.StatusOK},
	} {
		resp, body := b.request(http.MethodGet, test.path, "", map[string]string{"Authorization": test.authorization})
		if resp.StatusCode != test.want {
			t.Errorf("%s with %q: %s", test.path, strings.ReplaceAll(test.authorization, b.token.secret, "TOKEN"), resp.Status)
		}
		if test.want == http.StatusUnauthorized && (resp.Header.Get("Content-Type") != problemMedia || strings.Contains(body, b.token.secret)) {
			t.Errorf("%s: %s", test.path, body)
		}
	}
}

func TestBadRequests(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	for name, test := range map[string]struct {
		method, path, body string
		header             map[string]string
		status             int
		detail             string
	}{
		"unknown path":        {"GET", "/v1/nothing", "", nil, 404, "/v1/nothing"},
		"wrong method":        {"PATCH", "/v1/jobs", "", nil, 405, "GET or POST"},
		"unknown job":         {"GET", "/v1/jobs/nope", "", nil, 404, `"nope"`},
		"unknown job, verb":   {"POST", "/v1/jobs/nope/pause", "", nil, 404, `"nope"`},
		"unknown job, spec":   {"GET", "/v1/jobs/nope/spec", "", nil, 404, `"nope"`},
		"unknown job, keys":   {"GET", "/v1/jobs/nope/errors", "", nil, 404, `"nope"`},
		"unknown verb":        {"POST", "/v1/jobs/j/explode", "", nil, 404, "explode"},
		"body too large":      {"POST", "/v1/jobs", strings.Repeat("x", maxBody+1), nil, 413, "bytes"},
		"bad nonce":           {"POST", "/v1/jobs", `{"id":"x"}`, map[string]string{KeyHeader: "zz"}, 400, "32 hex digits"},
		"bad limit":           {"GET", "/v1/jobs?limit=0", "", nil, 400, "1 to 1000"},
		"bad token":           {"GET", "/v1/jobs/j/errors?continue=x", "", nil, 400, "continue"},
		"long token":          {"GET", "/v1/jobs/j/records?continue=" + strings.Repeat("1", 257), "", nil, 400, "continue"},
		"too many records":    {"GET", "/v1/jobs/j/records?limit=5001", "", nil, 400, "limit"},
		"no key":              {"GET", "/v1/jobs/j/why", "", nil, 400, "key_base64"},
		"two keys":            {"GET", "/v1/jobs/j/why?key=a&key_base64=YQ==", "", nil, 400, "do not go together"},
		"key not base64":      {"GET", "/v1/jobs/j/why?key_base64=%25", "", nil, 400, "base64"},
		"key too long":        {"GET", "/v1/jobs/j/why?key=" + strings.Repeat("k", 4097), "", nil, 400, "4096"},
		"why of no job":       {"GET", "/v1/jobs/none/why?key=a", "", nil, 404, "none"},
		"preview of nonsense": {"POST", "/v1/preview", "{}", nil, 422, "id"},
		"unknown field":       {"POST", "/v1/jobs/j/pause", `{"why":"x"}`, nil, 400, "why"},
		"two documents":       {"POST", "/v1/jobs/j/pause", `{} {}`, nil, 400, "more than one"},
		"reason too long":     {"POST", "/v1/jobs/j/pause", `{"reason":"` + strings.Repeat("x", 501) + `"}`, nil, 400, "500"},
		"no settings":         {"PUT", "/v1/settings", `{}`, nil, 400, "no settings"},
		"unknown setting":     {"PUT", "/v1/settings", `{"settings":{"max-workers":"1"}}`, nil, 400, "max-worker-num"},
		"setting out of it":   {"PUT", "/v1/settings", `{"settings":{"max-worker-num":"0"}}`, nil, 400, "1 to 1024"},
		"setting not number":  {"PUT", "/v1/settings", `{"settings":{"max-worker-num":"+4"}}`, nil, 400, "1 to 1024"},
		"drain of nobody":     {"POST", "/v1/machines/nobody/drain", "", nil, 404, `"nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := b.request(test.method, test.path, test.body, test.header)
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if resp.StatusCode != test.status || p.Status != test.status || resp.Header.Get("Content-Type") != problemMedia ||
				!strings.HasPrefix(p.Type, problemPrefix) || !strings.Contains(p.Detail, test.detail) {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
	if b.job("j").State != fsm.Running {
		t.Error("a bad request changed something")
	}
}

func TestWithoutLeader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.bring(fsm.Running)
	b.leads("")
	d, err := b.client.Job(t.Context(), "j")
	if err != nil || !d.Stale || d.State != fsm.Running {
		t.Errorf("read: %+v, %v", d, err)
	}
	resp, _ := b.request(http.MethodGet, "/v1/jobs", "", nil)
	if resp.Header.Get(StaleHeader) != "true" || resp.Header.Get(IndexHeader) != fmt.Sprint(b.index) {
		t.Errorf("headers %v", resp.Header)
	}
	if resp, _ := b.request(http.MethodGet, "/readyz", "", nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("ready: %s", resp.Status)
	}
	start := time.Now()
	_, err = b.client.Pause(t.Context(), "j", "")
	var p *Problem
	if took := time.Since(start); !errors.As(err, &p) || p.Code() != CodeNoLeader || took > 5*time.Second {
		t.Errorf("write: %v after %s", err, took)
	}
	if b.job("j").State != fsm.Running {
		t.Error("a write took effect")
	}
}

// TestWriteWaitsForALeader has leadership move while a write waits.
func TestWriteWaitsForALeader(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	b.fails(scheduler.ErrNotLeader)
	done := make(chan error, 1)
	go func() {
		_, err := b.client.Pause(t.Context(), "j", "")
		done <- err
	}()
	b.fails(nil)
	if err := <-done; err != nil || b.job("j").State != fsm.Paused {
		t.Errorf("%v, job is %s", err, b.job("j").State)
	}
}

func TestCommitThatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.bring(fsm.Running)
	b.fails(fmt.Errorf("outcome unknown: %w", context.DeadlineExceeded))
	start := time.Now()
	_, err := b.client.Pause(t.Context(), "j", "")
	var p *Problem
	if took := time.Since(start); !errors.As(err, &p) || p.Code() != CodeNoLeader || took > 5*time.Second {
		t.Errorf("write: %v after %s", err, took)
	}
}

func TestInternalErrorsStayInTheLog(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	b.fails(errors.New("disk /secret/place is full"))
	_, err := b.client.Pause(t.Context(), "j", "")
	var p *Problem
	if !errors.As(err, &p) || p.Code() != CodeInternal || strings.Contains(p.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestMachines(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	m, err := b.client.Drain(t.Context(), benchNode, true)
	if err != nil {
		t.Fatal(err)
	}
	want := &Machines{Leader: benchNode, Freshness: Freshness{Index: b.index}, Nodes: []Machine{
		{ID: benchNode, State: Draining, Role: "leader", Slots: 8, Busy: 1}, {ID: "node-2", State: Dead, Role: "voter"},
	}}
	if d := cmp.Diff(want, m); d != "" {
		t.Error(d)
	}
	held, err := b.client.MachineTasks(t.Context(), benchNode)
	if err != nil || held.ID != benchNode || len(held.Tasks) != 1 || held.Tasks[0].Job != "j" || held.Tasks[0].Kind != fsm.ScanTask {
		t.Errorf("%+v, %v", held, err)
	}
	if held, err := b.client.MachineTasks(t.Context(), "node-2"); err != nil || len(held.Tasks) != 0 {
		t.Errorf("%+v, %v", held, err)
	}
	var unknown *Problem
	if _, err := b.client.MachineTasks(t.Context(), "nobody"); !errors.As(err, &unknown) || unknown.Code() != CodeNotFound {
		t.Errorf("%v", err)
	}
	if m, err = b.client.Drain(t.Context(), benchNode, false); err != nil || m.Nodes[0].State != Alive {
		t.Errorf("%+v, %v", m, err)
	}
	if self, err := b.client.Self(t.Context()); err != nil || self.ID != benchNode {
		t.Errorf("%+v, %v", self, err)
	}
	if err := errors.Join(b.client.Stop(t.Context()), b.client.Leave(t.Context())); err != nil || b.stopped != 1 || b.left != 1 {
		t.Errorf("stopped %d, left %d: %v", b.stopped, b.left, err)
	}
}

func TestSettings(t *testing.T) {
	b := newBench(t)
	list, err := b.client.Set(t.Context(), map[string]string{MaxTasks: "16", LogLevel: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	origins := map[string]string{}
	for _, s := range list.Settings {
		if !strings.Contains(s.Name, "mail.") && !strings.Contains(s.Name, "notify.") { // TestSettingsKeepSecrets has these
			origins[s.Name] = s.Origin + " " + s.Value
		}
		if s.Meaning == "" {
			t.Errorf("%s has no meaning", s.Name)
		}
	}
	want := map[string]string{MaxTasks: "set 16", LogLevel: "set debug", MaxJobs: "default unlimited", Stall: "default 5m", Memory: "default each node's own", Archived: "default 5m"}
	if d := cmp.Diff(want, origins); d != "" {
		t.Error(d)
	}
	if _, err := b.client.Set(t.Context(), map[string]string{MaxTasks: ""}); err != nil {
		t.Fatal(err)
	}
	again, err := b.client.Settings(t.Context())
	i := slices.IndexFunc(again.Settings, func(s Setting) bool { return s.Name == MaxTasks })
	if err != nil || i < 0 || again.Settings[i].Origin != "default" {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestSpec(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	spec, err := b.client.Spec(t.Context(), "j")
	if err != nil || strings.TrimSpace(string(spec)) != `{"id":"j","secret_key":"***"}` {
		t.Errorf("%s, %v", spec, err)
	}
}
