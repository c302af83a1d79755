package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// renewals notes what a node's jobs took over, and refuses to when told.
type renewals struct {
	mu     sync.Mutex
	taken  []string
	refuse error
}

func (n *renewals) renew(_ []byte, job *fsm.Job, opened *transfer.Job) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if opened == nil {
		return errors.New("nothing is open")
	}
	n.taken = append(n.taken, string(job.Spec))
	return n.refuse
}

func (n *renewals) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.taken)
}

// renewing starts a worker that takes changed descriptions over.
func (r *rig) renewing(name string, run Runner, taken *renewals) *node {
	n := &node{wire: &wire{to: func() Syncer { return r.leader }}, spool: r.spool, result: make(chan error, 1)}
	n.Worker = NewWorker(WorkerConfig{
		Node: name, Runner: run, Leader: n.wire, Open: n.open, Slots: 1, Clock: bubbleClock{}, Spool: n.spool, Renew: taken.renew,
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.kill = cancel
	go func() { n.result <- n.Run(ctx) }()
	return n
}

// edit changes job a's description.
func (r *rig) edit(spec string, scope fsm.EditScope) {
	r.t.Helper()
	base := r.job("a").SpecHash()
	r.must(fsm.EditJob{Job: "a", Nonce: nonceOf("a"), Base: base[:], Spec: []byte(spec), Kind: "copy", Scope: scope, Renews: true})
}

// TestRunningTaskTakesOver: a changed description reaches a task that runs, at once, and nothing is opened anew.
func TestRunningTaskTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		block, taken := newBlocked(), &renewals{}
		n := r.renewing("n", block, taken)
		r.submit("a", 0)
		<-block.started
		for i := range 3 {
			want := fmt.Sprintf(`{"version":%d}`, i+2)
			began := time.Now()
			r.edit(want, fsm.EditLive)
			r.eventually("taken over", func() bool { return len(taken.list()) == i+1 })
			if d := time.Since(began); d > 100*time.Millisecond {
				t.Errorf("it took %v", d)
			}
			if got := taken.list()[i]; got != want {
				t.Errorf("took over %s, want %s", got, want)
			}
		}
		after(10 * time.Second)
		if got := taken.list(); len(got) != 3 || n.opened.Load() != 1 || len(block.ended) != 0 {
			t.Errorf("took over %q, opened %d times, %d tasks ended", got, n.opened.Load(), len(block.ended))
		}
		n.end(t)
	})
}

// TestOlderDescriptionIsLetBe: what was sent before a change and arrives after it does not bring the old one back.
func TestOlderDescriptionIsLetBe(t *testing.T) {
	taken := &renewals{}
	jobs := newOpenJobs(func(context.Context, *fsm.Job) (*transfer.Job, Preflight, error) {
		return &transfer.Job{}, Preflight{}, nil
	}, taken.renew)
	at := func(revision uint64, spec string) *fsm.Job {
		return &fsm.Job{ID: "a", Revision: revision, Spec: []byte(spec)}
	}
	var key JobKey
	first, err := jobs.acquire(t.Context(), key, at(5, "five"))
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range []*fsm.Job{at(7, "seven"), at(5, "five"), at(0, "zero"), at(7, "seven")} {
		e, err := jobs.acquire(t.Context(), key, job)
		if err != nil || e != first {
			t.Fatalf("%v: opened anew, or %v", job, err)
		}
		jobs.release(e)
	}
	if outdated, _ := jobs.update(key, at(6, "six")); outdated {
		t.Error("a job of revision 7 is out of date for revision 6")
	}
	if got := taken.list(); !slices.Equal(got, []string{"seven"}) {
		t.Errorf("took over %q", got)
	}
	taken.refuse = errors.New("the filter changed")
	e, err := jobs.acquire(t.Context(), key, at(9, "nine"))
	if err != nil || e == first {
		t.Errorf("not opened anew: %v", err)
	}
}

// TestFailedPreflightIsOutdated: a node that could not open a job tries at once when its description changed.
func TestFailedPreflightIsOutdated(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		block, taken := newBlocked(), &renewals{}
		n := r.renewing("n", block, taken)
		r.submit("a", 0)
		<-block.started
		m := &node{wire: &wire{to: func() Syncer { return r.leader }}, spool: r.spool, result: make(chan error, 1)}
		m.refuses = &store.Error{Op: "list", Class: store.Auth, Err: errors.New("AccessDenied")}
		m.launch("m", 1, newBlocked())
		standing := func(ready bool) func() bool {
			return func() bool {
				st, _ := r.leader.Status("a")
				return slices.ContainsFunc(st.Nodes, func(s Standing) bool { return s.Node == "m" && s.Ready == ready && (ready || s.Class == "auth") })
			}
		}
		r.eventually("refused at m", standing(false))
		m.mu.Lock()
		m.refuses = nil
		m.mu.Unlock()
		began := time.Now()
		r.edit(`{"version":2}`, fsm.EditLive)
		r.eventually("m is ready", standing(true))
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
		n.end(t)
		m.end(t)
	})
}

// TestRefusedIsRetriedAfterRenewal: what failed for want of permission is retried once credentials were replaced in the pass.
func TestRefusedIsRetriedAfterRenewal(t *testing.T) {
	const now = int64(time.Hour)
	r := &reign{cfg: &LeaderConfig{Retries: DefaultRetries}}
	for name, test := range map[string]struct {
		job  fsm.Job
		want bool
	}{
		"not replaced":    {fsm.Job{Started: 5, Classes: map[string]int64{"auth": 1}}, false},
		"replaced":        {fsm.Job{Started: 5, Renewed: 6, Classes: map[string]int64{"auth": 1}}, true},
		"retried already": {fsm.Job{Started: 5, Renewed: 6, Retried: 7, Classes: map[string]int64{"auth": 1}}, false},
		"lost range":      {fsm.Job{Started: 5, Renewed: 6, LostRanges: []fsm.LostRange{{Class: "auth"}}}, true},
		"something else":  {fsm.Job{Started: 5, Renewed: 6, Classes: map[string]int64{"permanent": 1}}, false},
	} {
		if got := r.retryAt(nil, &test.job, now) != 0; got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
