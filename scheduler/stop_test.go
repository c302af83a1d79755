package scheduler

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestStop: tasks are asked to end, settle what they did, and are free at once for whoever comes next.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 60, pause: 100 * time.Millisecond}
		r.submit("a", 0)
		n := r.node("n", 4, e.on("n"))
		r.eventually("copying", func() bool { return r.job("a").Counts.Copied > 3 })
		start := time.Now()
		n.Stop(t.Context())
		if err := <-n.result; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 200*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if got := r.leased("n"); len(got) > 0 {
			t.Errorf("still holds %v", got)
		}
		e.mu.Lock()
		written := len(e.writes)
		e.mu.Unlock()
		if c := r.job("a").Counts.Copied; c != int64(written) {
			t.Errorf("%d written, %d settled", written, c)
		}
		m := r.node("m", 4, e.on("m"))
		r.eventually("done", func() bool { return allDone(r) })
		r.checkSums(60, "a")
		e.check(t, "a")
		if len(e.writes) != 60 {
			t.Errorf("%d writes of 60 keys", len(e.writes))
		}
		m.end(t)
	})
}

// TestStopHard: a task that does not listen is cancelled when Stop's ctx ends.
func TestStopHard(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 1, b)
		r.submit("a", 0)
		<-b.started
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		n.Stop(ctx)
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("took %v: the lease must be kept up meanwhile", d)
		}
		if err := <-b.ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended by %v", err)
		}
		if err := <-n.result; err != nil {
			t.Error(err)
		}
	})
}

// TestStopIdle: without tasks, and before Run, Stop returns at once.
func TestStopIdle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		NewWorker(WorkerConfig{}).Stop(t.Context())
		n := r.node("n", 1, newBlocked())
		after(time.Second)
		start := time.Now()
		n.Stop(t.Context())
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		<-n.result
	})
}

// TestKilled: a process killed in the middle of everything is followed by one that goes on at once.
func TestKilled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 60, pause: 20 * time.Millisecond}
		r.submit("a", 0)
		n := r.node("n", 4, e.on("n"))
		r.eventually("copying", func() bool { return r.job("a").Counts.Copied > 10 })
		n.end(t)
		r.stop()
		start := time.Now()
		r.start()
		n = r.node("n", 4, e.on("n"))
		r.eventually("done", func() bool { return allDone(r) })
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %v", d)
		}
		r.checkSums(60, "a")
		e.check(t, "a")
		n.end(t)
	})
}

// TestSupersededWorker: the older of two processes of one node ends.
func TestSupersededWorker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := newBlocked()
		n := r.node("n", 1, b)
		r.submit("a", 0)
		<-b.started
		m := r.node("n", 1, b)
		if err := <-n.result; !errors.Is(err, ErrSuperseded) {
			t.Errorf("the older one: %v", err)
		}
		<-b.ended
		<-b.started
		n.kill()
		m.end(t)
	})
}
