package scheduler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestPreflightFails: a job that no live node can do is paused with the reason; continued, it is looked at again.
func TestPreflightFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		q.poll()
		r.submit("a", 0)
		bad := Preflight{Job: keyOf(r.job("a"), 1), Class: "config", Reason: "no such bucket"}
		p.report(bad)
		synctest.Wait()
		if s := r.job("a").State; s != fsm.Pending {
			t.Fatalf("job is %s while a node has not answered", s)
		}
		q.report(bad)
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		if job := r.job("a"); job.Class != "config" || job.Reason != "no such bucket" {
			t.Errorf("job %+v", job)
		}
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		if s := r.job("a").State; s != fsm.Pending {
			t.Errorf("continued job is %s", s)
		}
		if as := p.work(); len(as) != 1 {
			t.Errorf("assigned %+v", as)
		}
	})
}

// TestUnreadyNode: a node gets no task of a job whose pre-flight failed there, is asked again after a while, and does
// not stop the job for the others.
func TestUnreadyNode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 2), r.puppet("m", 1)
		copying(r, q, 3)
		p.report(Preflight{Job: keyOf(r.job("a"), 1), Class: "config", Reason: "no mount"})
		start := time.Now()
		for {
			q.poll()
			resp, err := r.leader.Sync(t.Context(), p.request())
			if err != nil || len(resp.Assignments) > 0 {
				t.Fatalf("answer %+v, %v", resp, err)
			}
			if len(resp.Preflight) > 0 {
				break
			}
		}
		if d := time.Since(start); d < preflightRetry || d > preflightRetry+2*maxSyncWait {
			t.Errorf("asked again after %v", d)
		}
		if s := r.job("a").State; s != fsm.Running {
			t.Errorf("job is %s", s)
		}
	})
}

// TestRequestPass starts the next pass of a finished job.
func TestRequestPass(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		if _, err := r.leader.RequestPass(t.Context(), "a"); !errors.Is(err, fsm.ErrJobState) {
			t.Errorf("pass of a running job: %v", err)
		}
		if _, err := r.leader.RequestPass(t.Context(), "b"); !errors.Is(err, fsm.ErrNoJob) {
			t.Errorf("pass of no job: %v", err)
		}
		if err := p.do(cutsOf(scan, 0, 0, true)); err != nil {
			t.Fatal(err)
		}
		r.eventually("finished", func() bool { return r.job("a").State == fsm.Succeeded })
		var wg sync.WaitGroup
		wg.Go(func() {
			job, err := r.leader.RequestPass(t.Context(), "a")
			if err != nil || job.Pass != 2 || job.PrevStart == 0 {
				t.Errorf("job %+v, %v", job, err)
			}
		})
		synctest.Wait()
		if as := p.work(); as[0].Job.Pass != 2 {
			t.Errorf("assigned %+v", as)
		}
		wg.Wait()
	})
}

// TestRequestPassFails: nobody can do the pass, and the finished job stays as it is.
func TestRequestPassFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		if err := p.do(cutsOf(scanning(r, p), 0, 0, true)); err != nil {
			t.Fatal(err)
		}
		r.eventually("finished", func() bool { return r.job("a").State == fsm.Succeeded })
		for range 2 {
			var wg sync.WaitGroup
			wg.Go(func() {
				var failed *PreflightError
				_, err := r.leader.RequestPass(t.Context(), "a")
				if !errors.As(err, &failed) || failed.Class != "auth" || failed.Error() != "denied" {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
			resp, err := r.leader.Sync(t.Context(), p.request())
			if err != nil || len(resp.Preflight) != 1 {
				t.Fatalf("answer %+v, %v", resp, err)
			}
			p.report(Preflight{Job: resp.Preflight[0].Key, Class: "auth", Reason: "denied"})
			wg.Wait()
		}
		if s := r.job("a").State; s != fsm.Succeeded {
			t.Errorf("job is %s", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.leader.RequestPass(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("bounded by ctx: %v", err)
		}
	})
}

// TestClose: jobs that a worker opened are closed once their pass is over, and not before.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		p.opened = []JobKey{keyOf(r.job("a"), 1), {ID: "gone", Pass: 1}}
		if resp := p.poll(); len(resp.Close) != 1 || resp.Close[0].ID != "gone" {
			t.Errorf("close %+v", resp.Close)
		}
		if err := p.do(cutsOf(scan, 0, 0, true)); err != nil {
			t.Fatal(err)
		}
		r.eventually("finished", func() bool { return r.job("a").State == fsm.Succeeded })
		if resp := p.poll(); len(resp.Close) != 2 {
			t.Errorf("close %+v", resp.Close)
		}
	})
}
