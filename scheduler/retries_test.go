package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// failedSegment names records of failed keys.
func failedSegment() *fsm.Segment { return &fsm.Segment{Name: make([]byte, 32), Lines: 1} }

// failure is an advance that ends a task with one failed key of a class; a retry fails in the same way.
func failure(t *fsm.Task, class string) fsm.AdvanceTask {
	a := fsm.AdvanceTask{Task: t.ID, Epoch: t.Epoch, From: t.From, To: t.To, FromLine: t.Line, ToLine: t.EndLine, Done: true,
		Failed: failedSegment()}
	if t.Kind == fsm.ScanTask {
		a.Counts = fsm.Counts{Listed: 1, Failed: 1}
		a.Classes = map[string]int64{class: 1}
	}
	return a
}

// fails lets the job's next task fail, and returns when the pass ended.
func (r *rig) fails(p *puppet, class string) time.Time {
	r.t.Helper()
	a := p.work()[0]
	if err := p.do(failure(&a.Task, class)); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("the pass failed", func() bool { return r.job("a").State == fsm.Failed })
	return time.Now()
}

// stays polls for an hour and wants the job to stay failed.
func (r *rig) stays(p *puppet) {
	r.t.Helper()
	for begin := time.Now(); time.Since(begin) < time.Hour; {
		p.poll()
		if job := r.job("a"); job.State != fsm.Failed || job.RetryAt != 0 {
			r.t.Fatalf("after %v: %+v", time.Since(begin), job)
		}
	}
}

func retrying(c *LeaderConfig) { c.Retries = DefaultRetries }

// TestFailedJobIsRetried: after 1, 5 and 15 min, whoever leads then, and no more; a retry that somebody asks for starts the
// count again.
func TestFailedJobIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		r.submit("a", 0)
		for n, delay := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
			ended := r.fails(p, "transient")
			job := r.job("a")
			if job.RetryAt != job.Finished+int64(delay) || job.Retries != n || !strings.Contains(job.Reason, "to be retried at") {
				t.Fatalf("after failure %d: %+v", n+1, job)
			}
			if n == 1 { // the plan is in the state
				r.stop()
				r.start(retrying)
			}
			for r.job("a").State == fsm.Failed {
				if time.Since(ended) > delay+5*time.Second {
					t.Fatalf("not retried after %v", time.Since(ended))
				}
				p.poll()
			}
			if waited := time.Since(ended); waited < delay {
				t.Errorf("retried after %v, want %v", waited, delay)
			}
		}
		r.fails(p, "transient")
		r.stays(p)
		r.must(fsm.RetryJob{Job: "a", Nonce: nonceOf("a")})
		r.fails(p, "transient")
		if job := r.job("a"); job.Retries != 0 || job.RetryAt == 0 {
			t.Errorf("after a retry that was asked for: %+v", job)
		}
	}, retrying)
}

// TestNotRetried: failures that no time heals, and clusters that are not to retry.
func TestNotRetried(t *testing.T) {
	for name, test := range map[string]struct {
		class   string
		retries int
	}{"permission": {"auth", 3}, "a name that the store refuses": {"permanent", 3}, "never": {"transient", 0}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.puppet("n", 1)
				r.submit("a", 0)
				r.fails(p, test.class)
				r.stays(p)
			}, func(c *LeaderConfig) { c.Retries = test.retries })
		})
	}
}

// TestLostRangesAreRetried: a task that was given up is a reason too.
func TestLostRangesAreRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		r.submit("a", 0)
		for r.job("a").State != fsm.Failed {
			for _, a := range p.poll().Assignments {
				if err := p.do(fsm.FailTask{Task: a.Task.ID, Epoch: a.Task.Epoch, Class: "throttled", Reason: "slow down"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if job := r.job("a"); job.RetryAt == 0 || len(job.LostRanges) != 1 {
			t.Fatalf("%+v", job)
		}
		for r.job("a").State == fsm.Failed {
			p.poll()
		}
		a := p.work()[0]
		if err := p.do(fsm.AdvanceTask{Task: a.Task.ID, Epoch: a.Task.Epoch, Done: true}); err != nil {
			t.Fatal(err)
		}
		r.eventually("the job is done", func() bool { return r.job("a").State == fsm.Succeeded })
	}, retrying)
}

// TestRetryWaitsForRoom: a retry is one more job that runs, and waits where only so many may.
func TestRetryWaitsForRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.must(set(fsm.SettingMaxJobs, "1"))
		p := r.puppet("n", 1)
		r.submit("a", 0)
		r.fails(p, "transient")
		r.submit("b", 0)
		b := p.work()[0].Task
		for begin := time.Now(); time.Since(begin) < 3*time.Minute; {
			p.poll()
			if state := r.job("a").State; state != fsm.Failed {
				t.Fatalf("a is %s while b runs", state)
			}
		}
		if err := p.do(fsm.AdvanceTask{Task: b.ID, Epoch: b.Epoch, Done: true}); err != nil {
			t.Fatal(err)
		}
		if next := p.work()[0].Task; next.Job != "a" {
			t.Errorf("next is %+v", next)
		}
	}, retrying)
}
