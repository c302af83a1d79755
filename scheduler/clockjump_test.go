package scheduler

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// jumpingClock is the bubble's time with a wall clock that somebody sets.
type jumpingClock struct {
	bubbleClock
	offset atomic.Int64
}

func (c *jumpingClock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// TestWallClockJumps: whichever way the leader's wall clock is set, no lease ends early or late, and no task rests for
// longer than its back-off.
func TestWallClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			clock := &jumpingClock{}
			bubble(t, func(t *testing.T, r *rig) {
				p := r.puppet("n", 1)
				copying(r, p, 1)
				held := p.running[0]
				clock.offset.Store(int64(jump))
				for range int(LeaseTTL/maxSyncWait) + 1 {
					p.poll()
				}
				if got := r.leased("n"); len(got) != 1 || r.task(held.Task).Epoch != held.Epoch {
					t.Fatalf("the jump took the task away: %v", got)
				}
				// The stamp of this back-off is of a clock that is then set right again.
				if err := p.do(fsm.FailTask{Task: held.Task, Epoch: held.Epoch, Class: "transient", Reason: "reset"}); err != nil {
					t.Fatal(err)
				}
				clock.offset.Store(0)
				start := time.Now()
				p.work()
				if d := time.Since(start); d > 2*maxBackoff {
					t.Errorf("the task rested for %v", d)
				}
			}, func(cfg *LeaderConfig) { cfg.Clock = clock })
		})
	}
}
