package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// checkSums compares the sums of jobs with what the engine had to copy.
func (r *rig) checkSums(keys int, jobs ...string) {
	r.t.Helper()
	for _, id := range jobs {
		want := fsm.Counts{
			Listed: int64(keys), Copied: int64(keys), BytesListed: int64(10 * keys), BytesFound: int64(10 * keys),
			BytesCopied: int64(10 * keys), BytesMoved: int64(10 * keys),
		}
		if got := r.job(id); got.Counts != want || got.State != fsm.Succeeded {
			r.t.Errorf("job %s is %s (%s): %+v, want %+v", id, got.State, got.Reason, got.Counts, want)
		}
	}
}

func TestWorkersRunJobs(t *testing.T) {
	for name, test := range map[string]struct{ nodes, slots, jobs, keys int }{
		"one node":            {1, 4, 1, 100},
		"one slot":            {1, 1, 1, 50},
		"one slot, ten jobs":  {1, 1, 10, 30},
		"three nodes":         {3, 2, 5, 60},
		"many slots, no keys": {1, 8, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				e := &engine{keys: test.keys, pause: 5 * time.Millisecond}
				jobs := jobNames(test.jobs)
				for _, id := range jobs {
					r.submit(id, 0)
				}
				var nodes []*node
				for i := range test.nodes {
					name := fmt.Sprintf("n%d", i)
					nodes = append(nodes, r.node(name, test.slots, e.on(name)))
				}
				r.eventually("all done", func() bool { return allDone(r) })
				r.checkSums(test.keys, jobs...)
				e.check(t, jobs...)
				for _, n := range nodes {
					r.eventually("stores closed", n.allClosed)
					n.end(t)
				}
			})
		})
	}
}

// TestStartsAtOnce: from submission to the first copy nothing waits for a tick or a poll to come round.
func TestStartsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 3, pause: time.Millisecond}
		n := r.node("n", 1, e.on("n"))
		after(500 * time.Millisecond) // the poll is waiting
		start := time.Now()
		r.submit("a", 0)
		if _, err := r.leader.Wait(t.Context(), "a", func(j *fsm.Job) bool { return j.State == fsm.Succeeded }); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 20*time.Millisecond {
			t.Errorf("took %v", d)
		}
		n.end(t)
	})
}

// TestJobAtRun: what tasks get of their job belongs to the pass.
func TestJobAtRun(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		got := make(chan *transfer.Job, 1)
		n := r.node("n", 1, runFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, _ transfer.Lease, l transfer.Ledger) error {
			got <- job
			_, err := l.Advance(ctx, transfer.Advance{Done: true})
			return err
		}))
		r.submit("a", 0)
		job := <-got
		state := r.job("a")
		if job.ID != "a" || job.Nonce != keyOf(state, 0).Nonce || job.Type != "copy" || job.Pass != 1 ||
			job.PassStart.UnixNano() != state.Started+int64(time.Minute) || job.Skew != -time.Minute {
			t.Errorf("job %s %s %s %d %v %v", job.ID, job.Nonce, job.Type, job.Pass, job.PassStart, job.Skew)
		}
		n.end(t)
	})
}

// blocked is a Runner whose tasks tell how they end.
type blocked struct {
	started chan transfer.Task
	ended   chan error
}

func newBlocked() *blocked {
	return &blocked{started: make(chan transfer.Task, 10), ended: make(chan error, 10)}
}

func (b *blocked) Run(ctx context.Context, _ *transfer.Job, task transfer.Task, lease transfer.Lease, _ transfer.Ledger) error {
	b.started <- task
	<-ctx.Done()
	if err := lease.Check(); err != nil && !errors.Is(err, transfer.ErrFenced) {
		return err
	}
	b.ended <- context.Cause(ctx)
	return context.Cause(ctx)
}

// TestFence: a worker cut off from the leader gives its tasks up 10 s after its last call, and the leader grants them to
// another only after that.
func TestFence(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		first, second := newBlocked(), newBlocked()
		n := r.node("n", 1, first)
		r.submit("a", 0)
		task := <-first.started
		n.wire.set(func(w *wire) { w.cut = true })
		cut := time.Now()
		m := r.node("m", 1, second)
		if err := <-first.ended; !errors.Is(err, transfer.ErrFenced) {
			t.Errorf("ended by %v", err)
		}
		fenced := time.Since(cut)
		again := <-second.started
		granted := time.Since(cut)
		if fenced < WorkerTTL-2*maxSyncWait || fenced > WorkerTTL+fenceTick {
			t.Errorf("fenced after %v", fenced)
		}
		if again.ID != task.ID || again.Epoch <= task.Epoch || !again.Takeover {
			t.Errorf("granted again %+v, was %+v", again, task)
		}
		if granted <= fenced || granted > LeaseTTL+dispatchTick {
			t.Errorf("granted again after %v, fenced after %v", granted, fenced)
		}
		n.wire.set(func(w *wire) { w.cut = false })
		n.end(t)
		m.end(t)
	})
}

// TestFenceFromSending: a lease counts from when a call was sent, not from when its answer came.
func TestFenceFromSending(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 1, b)
		var sent atomic.Int64
		n.wire.set(func(w *wire) { w.tap = func(*SyncRequest) { sent.Store(time.Now().UnixNano()) } })
		r.submit("a", 0)
		<-b.started
		n.wire.set(func(w *wire) {
			w.slow = 4 * time.Second
			w.answered = func(req SyncRequest) error { // one slow answer, then silence
				n.wire.set(func(w *wire) { w.cut = true })
				return nil
			}
		})
		<-b.ended
		if d := time.Since(time.Unix(0, sent.Load())); d < WorkerTTL || d > WorkerTTL+fenceTick {
			t.Errorf("fenced %v after the last call was sent", d)
		}
		n.end(t)
	})
}

// TestCheckIsSynchronous: the fence does not wait for a timer.
func TestCheckIsSynchronous(t *testing.T) {
	w := NewWorker(WorkerConfig{Clock: &manualClock{now: 100}})
	task := newTaskRun(w, &Assignment{}, func(error) {})
	w.renew(101)
	if err := task.Check(); err != nil {
		t.Errorf("before the deadline: %v", err)
	}
	w.renew(50)
	if err := task.Check(); err != nil {
		t.Errorf("an older call shortened the lease: %v", err)
	}
	w.cfg.Clock.(*manualClock).now = 101
	if err := task.Check(); !errors.Is(err, transfer.ErrFenced) {
		t.Errorf("at the deadline: %v", err)
	}
	w.renew(200)
	task.lose()
	if err := task.Check(); !errors.Is(err, transfer.ErrFenced) {
		t.Errorf("a dropped task: %v", err)
	}
}

type manualClock struct{ now time.Duration }

func (c *manualClock) Now() time.Time           { return time.Unix(0, int64(c.now)) }
func (c *manualClock) Monotonic() time.Duration { return c.now }

// TestOldTerm: an answer of a leader of an earlier term renews nothing.
func TestOldTerm(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 1, b)
		r.submit("a", 0)
		<-b.started
		n.term.Store(7)
		start := time.Now()
		<-b.ended
		if d := time.Since(start); d > WorkerTTL+fenceTick {
			t.Errorf("fenced after %v", d)
		}
		n.end(t)
	})
}

// TestLostAnswers: commands whose answers get lost are sent again and count once.
func TestLostAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 40, pause: time.Millisecond}
		r.submit("a", 0)
		n := r.node("n", 2, e.on("n"))
		var calls atomic.Int64
		n.wire.set(func(w *wire) {
			w.answered = func(req SyncRequest) error {
				if len(req.Commands) == 0 {
					return nil
				}
				if calls.Add(1)%2 == 1 {
					return errWire
				}
				return nil
			}
		})
		r.eventually("done", func() bool { return allDone(r) })
		r.checkSums(40, "a")
		e.check(t, "a")
		n.end(t)
	})
}

// TestDropped: a paused job's tasks are cancelled at once, and nothing more is sent for them.
func TestDropped(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 2, b)
		r.submit("a", 0)
		<-b.started
		after(time.Second)
		r.must(fsm.PauseJob{Job: "a", Nonce: nonceOf("a")})
		start := time.Now()
		if err := <-b.ended; !errors.Is(err, transfer.ErrFenced) {
			t.Errorf("ended by %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("after %v", d)
		}
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		<-b.started
		if d := time.Since(start); d > maxSyncWait {
			t.Errorf("continued after %v", d)
		}
		if a := r.task(1).Attempt; a != 0 {
			t.Errorf("%d failed attempts", a)
		}
		n.end(t)
	})
}

// TestStaleEpochAtLedger: the ledger turns a refusal of an old epoch into ErrFenced.
func TestStaleEpochAtLedger(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		errs := make(chan error, 1)
		n := r.node("n", 1, runFunc(func(ctx context.Context, _ *transfer.Job, task transfer.Task, _ transfer.Lease, l transfer.Ledger) error {
			if task.Takeover {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			r.log.apply(t, fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: task.ID, Epoch: task.Epoch}}})
			err := l.OpenUpload(context.WithoutCancel(ctx), transfer.Upload{Key: "k", ID: "i"})
			errs <- err
			return err
		}))
		r.submit("a", 0)
		if err := <-errs; !errors.Is(err, transfer.ErrFenced) {
			t.Errorf("got %v", err)
		}
		n.end(t)
	})
}

// TestUploads: planned, opened and closed uploads reach the state, and the next owner.
func TestUploads(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := make(chan transfer.Task, 1)
		n := r.node("n", 1, runFunc(func(ctx context.Context, _ *transfer.Job, task transfer.Task, _ transfer.Lease, l transfer.Ledger) error {
			if task.Kind == transfer.Scan {
				_, err := l.Advance(ctx, transfer.Advance{Done: true, Counts: transfer.Counts{Listed: 2},
					Cuts: []transfer.Cut{{From: "a", To: "c", Objects: 2}}})
				return err
			}
			if task.Takeover {
				next <- task
				<-ctx.Done()
				return context.Cause(ctx)
			}
			up := transfer.Upload{Key: "b", Known: []string{"foreign"}, Planned: time.Unix(0, 9)}
			err := l.PlanUpload(ctx, up)
			up.ID, up.Version, up.PartSize = "u1", "v1", 64
			err = errors.Join(err, l.OpenUpload(ctx, up))
			second := transfer.Upload{Key: "a", Planned: time.Unix(0, 9)}
			err = errors.Join(err, l.PlanUpload(ctx, second), l.CloseUpload(ctx, "a"))
			if err != nil {
				t.Error(err)
			}
			return errors.New("crash")
		}))
		r.submit("a", 0)
		task := <-next
		if len(task.Uploads) != 1 {
			t.Fatalf("uploads %+v", task.Uploads)
		}
		if u := task.Uploads[0]; u.Key != "b" || u.ID != "u1" || u.Version != "v1" || u.PartSize != 64 || u.Planned.UnixNano() != 9 ||
			len(u.Known) != 1 || u.Known[0] != "foreign" {
			t.Errorf("upload %+v", u)
		}
		n.end(t)
	})
}

// TestProgress: what a task did is seen before it is settled.
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 1, runFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, l transfer.Ledger) error {
			l.Progress(transfer.Counts{Listed: 7})
			return b.Run(ctx, job, task, lease, l)
		}))
		r.submit("a", 0)
		r.eventually("seen", func() bool {
			st, ok := r.leader.Status("a")
			return ok && st.Counts.Listed == 7 && st.Job.Counts.Listed == 0
		})
		n.end(t)
	})
}

// TestTaskErrors: what becomes of a task that ends in error.
func TestTaskErrors(t *testing.T) {
	full := &store.Error{Op: "put", Key: "k", Class: store.Full, Err: errors.New("no space left\non device")}
	for name, test := range map[string]struct {
		err    error
		job    fsm.JobState
		class  string
		reason string
	}{
		"an error, three times": {&store.Error{Op: "list", Class: store.Throttled, Err: errors.New("slow down")}, fsm.Failed, "throttled", "list: slow down"},
		"one without a class":   {errors.New("odd"), fsm.Failed, "transient", "odd"},
		"an error of the job":   {&transfer.JobError{Class: store.Full, Err: full}, fsm.Paused, "full", `put "k": no space left on device`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := r.node("n", 1, runFunc(func(context.Context, *transfer.Job, transfer.Task, transfer.Lease, transfer.Ledger) error {
					return test.err
				}))
				r.submit("a", 0)
				r.eventually(string(test.job), func() bool { return r.job("a").State == test.job })
				job := r.job("a")
				class, reason := job.Class, job.Reason
				if job.State == fsm.Failed {
					class, reason = job.LostRanges[0].Class, job.LostRanges[0].Reason
				}
				if class != test.class || reason != test.reason {
					t.Errorf("class %q, reason %q", class, reason)
				}
				n.end(t)
			})
		})
	}
}

// TestEndWithoutDone: a task that ends without an error and without Done is given back.
func TestEndWithoutDone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		runs := 0
		n := r.node("n", 1, runFunc(func(ctx context.Context, _ *transfer.Job, task transfer.Task, _ transfer.Lease, l transfer.Ledger) error {
			if runs++; runs < 3 {
				return nil
			}
			_, err := l.Advance(ctx, transfer.Advance{Done: true})
			return err
		}))
		r.submit("a", 0)
		r.eventually("done", func() bool { return allDone(r) })
		if runs != 3 {
			t.Errorf("%d runs", runs)
		}
		n.end(t)
	})
}

// TestOpenFails: a job that cannot be opened is paused with class and reason, before its first pass as within it, and
// goes on when it is continued.
func TestOpenFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 40, pause: 100 * time.Millisecond}
		n := r.node("n", 1, e.on("n"))
		refuse := func(err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.refuses = err
		}
		denied := &store.Error{Op: "list", Class: store.Auth, Err: errors.New("AccessDenied")}
		refuse(denied)
		r.submit("a", 0)
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		if job := r.job("a"); job.Class != "auth" || !strings.Contains(job.Reason, "AccessDenied") || job.Pass != 0 {
			t.Errorf("job %+v", job)
		}
		refuse(nil)
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		r.eventually("copying", func() bool { return r.job("a").Counts.Copied > 3 })
		refuse(denied)
		opened, _ := n.jobs.keys()
		n.jobs.retire(opened) // as if it had been closed
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		if job := r.job("a"); job.Class != "auth" || job.TasksLost != 0 {
			t.Errorf("job %+v", job)
		}
		refuse(nil)
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		r.eventually("done", func() bool { return allDone(r) })
		r.checkSums(40, "a")
		n.end(t)
	})
}
