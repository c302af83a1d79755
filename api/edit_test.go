package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
)

// editing brings job j to a state and reads its description.
func editing(t *testing.T, state fsm.JobState) (b *bench, revision string) {
	t.Helper()
	b = newBench(t)
	b.bring(state)
	_, revision, err := b.client.Description(t.Context(), "j")
	if err != nil || revision == "" {
		t.Fatalf("revision %q, %v", revision, err)
	}
	return b, revision
}

func problemIn(t *testing.T, err error) *Problem {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	return p
}

// TestEdit changes a job from what was read, and not from what was read before somebody else's change.
func TestEdit(t *testing.T) {
	b, revision := editing(t, fsm.Running)
	got, err := b.client.Edit(t.Context(), "j", revision, []byte(`{"live": "1"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, now, err := b.client.Description(t.Context(), "j")
	if err != nil || now == revision {
		t.Fatalf("revision %s after %s, %v", now, revision, err)
	}
	want := &Edited{ID: "j", State: fsm.Running, Pass: 1, Changed: []string{"live"}, Revision: now, Freshness: Freshness{Index: b.index}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if spec := string(b.job("j").Spec); spec != `{"live":"1"}` {
		t.Errorf("the job has %s", spec)
	}
	_, err = b.client.Edit(t.Context(), "j", revision, []byte(`{"live": "2"}`))
	if p := problemIn(t, err); p.Status != http.StatusPreconditionFailed || p.Code() != CodeOutdated {
		t.Errorf("%+v", p)
	}
	again, err := b.client.Edit(t.Context(), "j", revision, []byte(`{"live": "1"}`))
	if err != nil || len(again.Changed) > 0 || again.Revision != now {
		t.Errorf("sent again: %+v, %v", again, err)
	}
	if _, err = b.client.Edit(t.Context(), "j", "*", []byte(`{"live": "2"}`)); err != nil {
		t.Error(err)
	}
	var events []string
	b.machine.Read(func(s *fsm.State) {
		for _, e := range s.History() {
			events = append(events, e.Verb+" "+e.Target)
		}
	})
	if !slices.Equal(events, []string{"edit j", "edit j"}) {
		t.Errorf("the history has %q", events)
	}
}

func TestEditRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		state  fsm.JobState
		body   string
		status int
		code   string
		detail string
	}{
		"rest while running":     {fsm.Running, `{"rest": "1"}`, 409, CodeJobState, `rest cannot be changed while job "j" is running; pause it first`},
		"live with it":           {fsm.Running, `{"rest": "1", "live": "1"}`, 409, CodeJobState, `rest cannot be changed while`},
		"sides while running":    {fsm.Running, `{"places": "1"}`, 409, CodeJobState, `places cannot be changed: job "j" is running and in pass 1; add another job, or pause it and start it afresh`},
		"sides with progress":    {fsm.Paused, `{"places": "1", "rest": "2"}`, 409, CodeJobState, `places cannot be changed: job "j" is paused`},
		"rest while paused":      {fsm.Paused, `{"rest": "1"}`, 200, "", ""},
		"rest when succeeded":    {fsm.Succeeded, `{"rest": "1"}`, 200, "", ""},
		"sides before the start": {fsm.Pending, `{"places": "1"}`, 200, "", ""},
		"broken":                 {fsm.Pending, `[]`, 422, CodeInvalidJob, "not a mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			b, revision := editing(t, test.state)
			before := b.effects()
			_, err := b.client.Edit(t.Context(), "j", revision, []byte(test.body))
			if test.status == 200 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			p := problemIn(t, err)
			if p.Status != test.status || p.Code() != test.code || !strings.Contains(p.Detail, test.detail) {
				t.Errorf("%+v", p)
			}
			if p.Code() == CodeJobState && len(p.Keys) == 0 {
				t.Errorf("no keys are named: %+v", p)
			}
			if b.effects() != before {
				t.Error("it is refused and takes effect")
			}
		})
	}
}

// TestEditWantsARevision: without one, a change could undo another's.
func TestEditWantsARevision(t *testing.T) {
	b, _ := editing(t, fsm.Pending)
	resp, body := b.request(http.MethodPut, "/v1/jobs/j/spec", `{"live": "1"}`, nil)
	if resp.StatusCode != http.StatusPreconditionRequired || !strings.Contains(body, CodeNoRevision) || !strings.Contains(body, "GET /v1/jobs/j/spec") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if _, err := b.client.Edit(t.Context(), "k", "*", []byte(`{}`)); problemIn(t, err).Code() != CodeNoJob {
		t.Error(err)
	}
}

// TestRedoPaused starts a job afresh that then waits to be edited.
func TestRedoPaused(t *testing.T) {
	b, revision := editing(t, fsm.Succeeded)
	if job, err := b.client.Redo(t.Context(), "j", true); err != nil || job.State != fsm.Paused || job.Pass != 0 {
		t.Fatalf("%+v, %v", job, err)
	}
	if _, err := b.client.Edit(t.Context(), "j", revision, []byte(`{"places": "1"}`)); err != nil {
		t.Error(err)
	}
}
