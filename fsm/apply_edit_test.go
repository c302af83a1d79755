package fsm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// edit makes a change of job j as it is now.
func (b *bench) edit(scope EditScope) EditJob {
	base := b.job("j").SpecHash()
	return EditJob{Job: "j", Nonce: testNonce, Base: base[:], Spec: []byte(`{ "version": 1, "compare": "size" }`), Kind: "copy",
		Limits: JobLimits{MaxFailures: 2, Bandwidth: []RateSlot{{7, 8}}}, Scope: scope, At: 700, Priority: 4}
}

// TestEditJob tries each scope in each state.
func TestEditJob(t *testing.T) {
	redone := func(paused bool) func(t *testing.T) *bench {
		return func(t *testing.T) *bench {
			b := finished(t)
			b.must(RedoJob{Job: "j", Nonce: testNonce, Paused: paused, At: 900})
			return b
		}
	}
	pending := func(t *testing.T) *bench { b := newBench(t); b.must(submit("j")); return b }
	for name, test := range map[string]struct {
		from         func(t *testing.T) *bench
		rest, places bool // allowed
	}{
		"pending":        {pending, true, true},
		"paused early":   {func(t *testing.T) *bench { b := pending(t); b.must(PauseJob{Job: "j", Nonce: testNonce}); return b }, true, true},
		"running":        {func(t *testing.T) *bench { return cut(t) }, false, false},
		"paused":         {func(t *testing.T) *bench { return leading(t, PauseJob{Job: "j", Nonce: testNonce}) }, true, false},
		"canceled":       {func(t *testing.T) *bench { return leading(t, CancelJob{Job: "j", Nonce: testNonce}) }, true, false},
		"finished":       {finished, true, false},
		"redone":         {redone(false), true, true},
		"redone, paused": {redone(true), true, true},
	} {
		for scope, allowed := range map[EditScope]bool{EditLive: true, EditRest: test.rest, EditPlaces: test.places, "": false} {
			t.Run(name+" "+string(scope), func(t *testing.T) {
				b := test.from(t)
				c := b.edit(scope)
				if !allowed {
					b.refuses(c, ErrJobState)
					return
				}
				before := b.job("j")
				b.must(c)
				want := *before
				want.Spec, want.Limits, want.Priority, want.Revision = []byte(`{"version":1,"compare":"size"}`), c.Limits, 4, b.index
				if d := cmp.Diff(&want, b.job("j")); d != "" {
					t.Error(d)
				}
				if before.Revision != 0 {
					t.Error("the job was changed in place")
				}
				b.unchanged(c)
			})
		}
	}
}

func TestEditJobRefusals(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"))
	good := b.edit(EditPlaces)
	for name, test := range map[string]struct {
		change func(*EditJob)
		err    error
	}{
		"made of another":     {func(c *EditJob) { c.Base = digest(1) }, ErrOutdated},
		"another incarnation": {func(c *EditJob) { c.Nonce = []byte("of a removed job") }, ErrNoJob},
		"no such job":         {func(c *EditJob) { c.Job = "k" }, ErrNoJob},
		"broken":              {func(c *EditJob) { c.Spec = []byte("{") }, ErrInvalid},
		"negative limit":      {func(c *EditJob) { c.Limits.MaxFailures = -1 }, ErrInvalid},
		"no such type":        {func(c *EditJob) { c.Kind = "move" }, ErrInvalid},
		"type of a live job":  {func(c *EditJob) { c.Kind, c.Scope = "verify", EditLive }, ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			b.refuses(c, test.err)
		})
	}
	good.Kind = "verify"
	b.must(good)
	if got := b.job("j").Type; got != "verify" {
		t.Errorf("the type is %s", got)
	}
	late := good
	late.Spec = []byte(`{"version": 1, "compare": "mtime"}`)
	b.refuses(late, ErrOutdated)
}

// TestEditJobRenewsCredentials keeps the time of it for the pass, and forgets places with the sides that they were of.
func TestEditJobRenewsCredentials(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"), FixPlaces{Job: "j", Nonce: testNonce, Pass: 1, Source: []byte(`{"a":1}`)})
	c := b.edit(EditLive)
	c.Renews = true
	b.must(c)
	if j := b.job("j"); j.Renewed != 700 || j.Places == nil {
		t.Errorf("%+v", j)
	}
	c = b.edit(EditPlaces)
	c.Spec = []byte(`{"version": 1}`)
	b.must(c)
	if j := b.job("j"); j.Renewed != 700 || j.Places != nil {
		t.Errorf("%+v", j)
	}
	b.must(StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 800})
	if j := b.job("j"); j.Renewed != 0 || j.Revision != b.index-1 {
		t.Errorf("in the next pass %+v", j)
	}
}

// TestRedoJobPaused starts a job afresh that waits to be edited.
func TestRedoJobPaused(t *testing.T) {
	b := finished(t)
	b.must(RedoJob{Job: "j", Nonce: testNonce, Paused: true, At: 900})
	if j := b.job("j"); j.State != Paused || j.Pass != 0 || j.Incarnation != 1 {
		t.Errorf("%+v", j)
	}
	b.unchanged(RedoJob{Job: "j", Nonce: testNonce, Paused: true, At: 900})
	b.must(ContinueJob{Job: "j", Nonce: testNonce, At: 901})
	if j := b.job("j"); j.State != Pending {
		t.Errorf("%+v", j)
	}
}
