package scheduler

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestFirstPass: a pending job is looked at by a node, starts with the clocks measured there, and its scan is granted.
func TestFirstPass(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.submit("a", 0)
		p := r.puppet("n", 2)
		resp, err := r.leader.Sync(t.Context(), p.request())
		if err != nil || len(resp.Preflight) != 1 || len(resp.Assignments) != 0 {
			t.Fatalf("first poll: %+v, %v", resp, err)
		}
		f := resp.Preflight[0]
		if d := cmp.Diff(keyOf(r.job("a"), 1), f.Key); d != "" || f.Job.ID != "a" || len(f.Job.Spec) == 0 {
			t.Errorf("asked for %+v", f)
		}
		p.report(Preflight{Job: f.Key, OK: true, SourceClockOffset: time.Hour, DestinationClockOffset: time.Hour + time.Second})
		as := p.work()
		job := r.job("a")
		if job.State != fsm.Running || job.Pass != 1 {
			t.Fatalf("job %+v", job)
		}
		if job.PassClock != job.Started+int64(time.Hour) || job.SkewNanos != int64(time.Second) {
			t.Errorf("clock %d, skew %d, started %d", job.PassClock, job.SkewNanos, job.Started)
		}
		if len(as) != 1 || as[0].Task.Kind != fsm.ScanTask || as[0].Task.Epoch == 0 || as[0].Task.Node != "n" || as[0].Job.Pass != 1 {
			t.Errorf("assignments %+v", as)
		}
	})
}

// scanning starts one job whose scan the puppet holds.
func scanning(r *rig, p *puppet) *fsm.Task {
	r.t.Helper()
	r.submit("a", 0)
	return r.task(p.work()[0].Task.ID)
}

// copying lets the scan end after cutting n ranges, and the puppet take as many as it has slots.
func copying(r *rig, p *puppet, n int) {
	r.t.Helper()
	scan := scanning(r, p)
	if err := p.do(cutsOf(scan, 0, n, true)); err != nil {
		r.t.Fatal(err)
	}
	for len(p.running) < min(n, p.slots) {
		p.work()
	}
}

// TestWholeJob runs a job to its end with two nodes and checks the sums.
func TestWholeJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 2), r.puppet("m", 2)
		copying(r, p, 9)
		q.work()
		for r.job("a").Unfinished > 0 {
			for _, w := range []*puppet{p, q} {
				for _, h := range slices.Clone(w.running) {
					if err := w.do(copied(r.task(h.Task))); err != nil {
						t.Fatal(err)
					}
				}
				w.poll()
			}
		}
		job, err := r.leader.Wait(t.Context(), "a", func(j *fsm.Job) bool { return j.State == fsm.Succeeded })
		if err != nil {
			t.Fatal(err)
		}
		if job.Counts.Copied != 9 || job.Counts.Listed != 9 || job.TasksDone != 10 {
			t.Errorf("job %+v", job)
		}
		if _, err := r.leader.Wait(t.Context(), "none", func(*fsm.Job) bool { return true }); !errors.Is(err, fsm.ErrNoJob) {
			t.Errorf("wait for a job that is not there: %v", err)
		}
	})
}

// TestPollReturns: an idle poll comes back after 2 s, one with commands at once.
func TestPollReturns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		start := time.Now()
		if resp := p.poll(); len(resp.Assignments)+len(resp.Drop)+len(resp.Preflight) > 0 || resp.Term != 1 {
			t.Errorf("answer %+v", resp)
		}
		if d := time.Since(start); d != maxSyncWait {
			t.Errorf("an idle poll took %v", d)
		}
		start = time.Now()
		req := p.request()
		req.Commands = encode(t, fsm.ReleaseTasks{})
		if _, err := r.leader.Sync(t.Context(), req); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("a poll with a command took %v", d)
		}
	})
}

// TestLeaseExpires: a silent node loses its tasks 15 s after its last call, not before, and its old epoch is refused.
func TestLeaseExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		old := scanning(r, p)
		p.poll() // returns after 2 s; it renewed the lease when it was sent
		q := r.puppet("m", 1)
		q.poll()
		after(LeaseTTL - 2*maxSyncWait - time.Second)
		synctest.Wait()
		if got := r.leased("n"); len(got) != 1 {
			t.Fatalf("lease lost early: %v", got)
		}
		as := q.work()
		if as[0].Task.ID != old.ID || as[0].Task.Epoch <= old.Epoch {
			t.Errorf("assigned %+v, was %+v", as[0].Task, old)
		}
		if err := p.send(cutsOf(old, 0, 1, true)).Results[0].Err(); !errors.Is(err, fsm.ErrStaleEpoch) {
			t.Errorf("the old holder's result: %v", err)
		}
		if resp := p.poll(); len(resp.Drop) != 1 || resp.Drop[0] != (fsm.TaskEpoch{Task: old.ID, Epoch: old.Epoch}) {
			t.Errorf("the old holder is told %+v", resp)
		}
	})
}

// TestDropIsTold: a drop is answered at once, once; a worker that takes long to stop does not poll without pause.
func TestDropIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scanning(r, p)
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			if resp := p.poll(); len(resp.Drop) != 1 {
				t.Errorf("answer %+v", resp)
			}
			if d := time.Since(start); d != time.Second {
				t.Errorf("told after %v, want at once", d)
			}
		})
		after(time.Second)
		r.must(fsm.PauseJob{Job: "a", Nonce: nonceOf("a")})
		wg.Wait()
		start := time.Now()
		if resp := p.poll(); len(resp.Drop) != 1 {
			t.Errorf("second answer %+v", resp)
		}
		if d := time.Since(start); d != maxSyncWait {
			t.Errorf("told again after %v", d)
		}
	})
}

// TestLingering: a task taken from a live node is not granted again while that node still runs it.
func TestLingering(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		scan := scanning(r, p)
		q.poll() // asked for its pre-flight
		p.poll() // says that it runs the scan
		r.must(fsm.PauseJob{Job: "a", Nonce: nonceOf("a")})
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		for range 3 {
			for _, w := range []*puppet{p, q} {
				if resp := w.poll(); len(resp.Assignments) > 0 {
					t.Fatalf("granted to %s while the old holding runs: %+v", w.node, resp.Assignments)
				}
			}
		}
		p.forget(scan.ID)
		p.slots = 0
		p.poll()
		if as := q.work(); as[0].Task.ID != scan.ID {
			t.Errorf("assigned %+v", as)
		}
	})
}

// TestRestart: another process of the same node gets its tasks back at once, not after the lease.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		old := scanning(r, p)
		again := r.puppet("n", 1)
		again.instance = "n-2"
		start := time.Now()
		as := again.work()
		if as[0].Task.ID != old.ID || as[0].Task.Epoch <= old.Epoch || as[0].Task.Grants != 2 {
			t.Errorf("assigned %+v", as[0].Task)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v", d)
		}
		if _, err := r.leader.Sync(t.Context(), p.request()); !errors.Is(err, ErrSuperseded) {
			t.Errorf("the old process: %v", err)
		}
	})
}

// TestRestartOfAll: leader and worker die together, as an import killed does, and resume at once.
func TestRestartOfAll(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		old := scanning(r, p)
		r.stop()
		r.start()
		again := r.puppet("n", 1)
		again.instance = "n-2"
		start := time.Now()
		if as := again.work(); as[0].Task.ID != old.ID || as[0].Task.Epoch <= old.Epoch {
			t.Errorf("assigned %+v", as[0].Task)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// TestNewLeader: a holder keeps its task under the next leader and has a full TTL to call.
func TestNewLeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		r.log.leaders <- false
		synctest.Wait()
		if _, err := r.leader.Sync(t.Context(), p.request()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("call to a node that does not lead: %v", err)
		}
		r.log.set(func(l *fakeLog) { l.term = 2 })
		r.log.leaders <- true
		if err := r.leader.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(LeaseTTL - time.Second)
		resp := p.poll()
		if got := r.task(scan.ID); got.Epoch != scan.Epoch || len(resp.Drop) > 0 || resp.Term != 2 {
			t.Errorf("task %+v, answer %+v", got, resp)
		}
		req := p.request()
		req.Term = 3
		if _, err := r.leader.Sync(t.Context(), req); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a worker that saw a later term: %v", err)
		}
	})
}

// TestSilentUnderNewLeader: a holder that never calls the new leader is expired by it.
func TestSilentUnderNewLeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		scanning(r, r.puppet("n", 1))
		r.stop()
		r.start()
		after(LeaseTTL - time.Millisecond)
		synctest.Wait()
		if len(r.leased("n")) != 1 {
			t.Fatal("lease lost early")
		}
		after(dispatchTick)
		synctest.Wait()
		if got := r.leased("n"); len(got) != 0 {
			t.Errorf("still leased: %v", got)
		}
	})
}

// TestBarrierFails: a leader that cannot establish itself tries again, and calls wait for it.
func TestBarrierFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.log.leaders <- false
		synctest.Wait()
		r.log.set(func(l *fakeLog) { l.barriers = []error{errWire} })
		r.log.leaders <- true
		synctest.Wait()
		start := time.Now()
		r.submit("a", 0)
		if d := time.Since(start); d != establishRetry {
			t.Errorf("proposed after %v", d)
		}
	})
}

// TestLostAnswer: a grant whose answer never arrived is taken back at the node's next poll.
func TestLostAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		p.running = nil // as if the answer had been lost
		as := p.work()
		if as[0].Task.ID != scan.ID || as[0].Task.Epoch <= scan.Epoch {
			t.Errorf("assigned %+v, was %+v", as[0].Task, scan)
		}
	})
}

// TestNoGrantWithoutPoll: a node that does not wait for work is given none, and a grant made while no poll carries it
// is delivered by the next.
func TestNoGrantWithoutPoll(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.submit("a", 0)
		p := r.puppet("n", 4)
		p.poll() // pre-flight
		after(time.Second)
		synctest.Wait()
		if r.job("a").State != fsm.Running || len(r.leased("n")) != 0 {
			t.Errorf("job %s, leased %v", r.job("a").State, r.leased("n"))
		}
		r.log.apply(t, fsm.AssignTasks{Grants: []fsm.Grant{{Task: 1, Node: "n"}}})
		if resp := p.poll(); len(resp.Assignments) != 1 {
			t.Errorf("answer %+v", resp)
		}
	})
}

// TestFarewell: what is granted to a process that stopped in order is free at once, told to it or not.
func TestFarewell(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		if err := p.do(cutsOf(scan, 0, 2, true)); err != nil {
			t.Fatal(err)
		}
		r.log.apply(t, fsm.AssignTasks{Grants: []fsm.Grant{{Task: 2, Node: "n"}}})
		req := p.request()
		req.Stopping, req.Wait, req.Running = true, 0, nil
		resp, err := r.leader.Sync(t.Context(), req)
		if err != nil || len(resp.Assignments) > 0 {
			t.Errorf("answer %+v, %v", resp, err)
		}
		// A grant whose commit was under way comes too late.
		r.log.apply(t, fsm.AssignTasks{Grants: []fsm.Grant{{Task: 3, Node: "n"}}})
		synctest.Wait()
		if got := r.leased("n"); len(got) > 0 {
			t.Errorf("still granted: %v", got)
		}
	})
}

// TestHeldTwice: a task given back and granted again is not lost because its older holding has not quite ended.
func TestHeldTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		old := scanning(r, p)
		before := p.running[0]
		if err := p.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: old.ID, Epoch: old.Epoch}}}); err != nil {
			t.Fatal(err)
		}
		now := p.work()[0].Task
		p.running = append(p.running, before)
		p.poll()
		if got := r.task(old.ID); got.Epoch != now.Epoch {
			t.Errorf("granted under epoch %d, now %d", now.Epoch, got.Epoch)
		}
	})
}

// TestRefusedCommands: workers speak for their own tasks only.
func TestRefusedCommands(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		scan := scanning(r, p)
		for _, cmd := range []fsm.Command{
			fsm.SubmitJob{}, fsm.StartPass{}, fsm.FinishPass{}, fsm.PauseJob{}, fsm.ContinueJob{}, fsm.CancelJob{}, fsm.RemoveJob{},
			fsm.RetryJob{}, fsm.AssignTasks{}, fsm.FoldSegments{}, fsm.Batch{},
		} {
			if err := p.do(cmd); !errors.Is(err, ErrRefused) {
				t.Errorf("%T: %v", cmd, err)
			}
		}
		resp, err := r.leader.Sync(t.Context(), SyncRequest{Node: "n", Instance: "n-1",
			Commands: [][]byte{nil, []byte("\x01\x0b{"), make([]byte, fsm.MaxScanAdvance+1)}})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []error{ErrRefused, ErrRefused, fsm.ErrTooLarge} {
			if err := resp.Results[i].Err(); !errors.Is(err, want) {
				t.Errorf("garbage %d: %v, want %v", i, err, want)
			}
		}
		if err := q.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: scan.ID, Epoch: scan.Epoch}}}); !errors.Is(err, ErrRefused) {
			t.Errorf("another node's task: %v", err)
		}
		if len(r.leased("n")) != 1 {
			t.Error("the task was taken away")
		}
		// Several commands in one call: every result in its place.
		resp = p.send(fsm.RemoveJob{}, cutsOf(scan, 0, 1, false), fsm.CloseUpload{Task: 99, Epoch: 1, Key: []byte("k")})
		for i, want := range []error{ErrRefused, nil, fsm.ErrNoTask} {
			if err := resp.Results[i].Err(); !errors.Is(err, want) {
				t.Errorf("command %d: %v, want %v", i, err, want)
			}
		}
	})
}

// TestUnknownOutcome: when a commit's outcome is not known, the call fails, and sending the same again is harmless.
func TestUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		r.log.set(func(l *fakeLog) { l.lose = errWire })
		req := SyncRequest{Node: "n", Instance: "n-1", Commands: encode(t, cutsOf(scan, 0, 1, false))}
		if _, err := r.leader.Sync(t.Context(), req); !errors.Is(err, errWire) {
			t.Errorf("first call: %v", err)
		}
		r.log.set(func(l *fakeLog) { l.lose = nil })
		resp, err := r.leader.Sync(t.Context(), req)
		if err != nil || resp.Results[0].Err() != nil {
			t.Errorf("second call: %+v, %v", resp, err)
		}
		if n := r.job("a").Counts.Listed; n != 1 {
			t.Errorf("%d listed, want 1", n)
		}
	})
}

// TestNoQuorum: a leader without a quorum renews no lease.
func TestNoQuorum(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.log.set(func(l *fakeLog) { l.noQuorum = errWire })
		if _, err := r.leader.Sync(t.Context(), r.puppet("n", 1).request()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("answer without a quorum: %v", err)
		}
	})
}

// TestFailures: a task rests longer after each failed attempt and is given up after the third that settled nothing.
func TestFailures(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		id := p.running[0].Task
		fail := func() {
			t.Helper()
			if err := p.do(fsm.FailTask{Task: id, Epoch: r.task(id).Epoch, Class: "transient", Reason: "reset"}); err != nil {
				t.Fatal(err)
			}
		}
		for i, rest := range []time.Duration{time.Second, 8 * time.Second, time.Second, 8 * time.Second} {
			if i == 2 { // something is settled: the count starts again
				task := r.task(id)
				adv := fsm.AdvanceTask{Task: id, Epoch: task.Epoch, From: task.From, To: append(key(0), '/')}
				if err := p.do(adv); err != nil {
					t.Fatal(err)
				}
			}
			fail()
			start := time.Now()
			if as := p.work(); as[0].Task.ID != id {
				t.Fatalf("assigned %+v", as)
			}
			if d := time.Since(start); d < rest || d > rest+dispatchTick {
				t.Errorf("attempt %d: rested %v, want %v", i+1, d, rest)
			}
		}
		fail()
		r.eventually("finished", func() bool { return r.job("a").State == fsm.Failed })
		job := r.job("a")
		if job.TasksLost != 1 || len(job.LostRanges) != 1 || job.LostRanges[0].Reason != "reset" || job.LostRanges[0].Task.Attempt != 5 {
			t.Errorf("job %+v", job)
		}
	})
}

// TestPauseByWorker: a worker's pause is kept and does not give the task up, however often it failed.
func TestPauseByWorker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		for range 4 {
			h := p.running[0]
			if err := p.do(fsm.FailTask{Task: h.Task, Epoch: h.Epoch, Class: "full", Reason: "no space", Pause: true}); err != nil {
				t.Fatal(err)
			}
			if job := r.job("a"); job.State != fsm.Paused || job.Class != "full" || job.Reason != "no space" || job.TasksLost != 0 {
				t.Fatalf("job %+v", job)
			}
			r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
			p.work()
		}
	})
}

// TestRefusedTaskPausesItsJob: what is refused for want of permission is tried as often as anything else, and then the job
// waits for somebody to give it, with no range given up.
func TestRefusedTaskPausesItsJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		fail := func() {
			t.Helper()
			h := p.running[0]
			if err := p.do(fsm.FailTask{Task: h.Task, Epoch: h.Epoch, Class: "auth", Reason: "source: list: ExpiredToken"}); err != nil {
				t.Fatal(err)
			}
		}
		for range maxAttempts - 1 {
			fail()
			if job := r.job("a"); job.State != fsm.Running {
				t.Fatalf("job %+v", job)
			}
			p.work()
		}
		fail()
		if job := r.job("a"); job.State != fsm.Paused || job.Class != "auth" || !strings.Contains(job.Reason, "ExpiredToken") || job.TasksLost != 0 {
			t.Fatalf("job %+v", job)
		}
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		if as := p.work(); len(as) != 1 {
			t.Errorf("%d tasks granted", len(as))
		}
	})
}
