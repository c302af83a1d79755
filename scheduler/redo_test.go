package scheduler

import (
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestRedoWaitsForLateWriters: a job that was started afresh begins when those who worked on it before have stopped, or when
// their lease is over.
func TestRedoWaitsForLateWriters(t *testing.T) {
	for name, returns := range map[string]bool{"the node stops the task": true, "the node falls silent": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				late, other := r.puppet("late", 1), r.puppet("other", 0)
				r.submit("a", 0)
				task := late.work()[0].Task
				r.must(fsm.PauseJob{Job: "a", Nonce: nonceOf("a")})
				r.must(fsm.RedoJob{Job: "a", Nonce: nonceOf("a")})
				other.slots = 1
				silent := time.Now()
				for time.Since(silent) < LeaseTTL/2 {
					other.poll()
					if returns {
						late.poll() // it still runs the task, for its write takes long to end
					}
				}
				if job := r.job("a"); job.Pass != 0 {
					t.Fatalf("the job began, and a write of the time before is under way: %+v", job)
				}
				if err := late.doLater(task); err == nil {
					t.Error("a late result was taken")
				}
				silent = time.Now()
				if returns {
					late.forget(task.ID)
					late.poll()
				}
				r.eventually("the job begins", func() bool { other.poll(); return r.job("a").Pass == 1 })
				if d := time.Since(silent); d > LeaseTTL+5*time.Second {
					t.Errorf("it began after %v", d)
				}
				if c := r.job("a").Counts; c != (fsm.Counts{}) {
					t.Errorf("it has %+v of the time before", c)
				}
			})
		})
	}
}

// doLater sends the end of a task that is gone.
func (p *puppet) doLater(task fsm.Task) error {
	return p.send(fsm.AdvanceTask{Task: task.ID, Epoch: task.Epoch, Done: true, Counts: fsm.Counts{Listed: 1, Copied: 1}}).Results[0].Err()
}
