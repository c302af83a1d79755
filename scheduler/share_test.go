package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestOneSlotYield: with one slot, the answer to the scan's first cuts asks for the slot back, copies run, and the scan
// goes on when none is left.
func TestOneSlotYield(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		resp := p.send(cutsOf(scan, 0, 2, false))
		if !slices.Equal(resp.Yield, []uint64{scan.ID}) {
			t.Fatalf("answer to the cuts: %+v", resp)
		}
		if err := p.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: scan.ID, Epoch: scan.Epoch}}}); err != nil {
			t.Fatal(err)
		}
		var kinds []fsm.TaskKind
		for range 3 {
			a := p.work()[0]
			kinds = append(kinds, a.Task.Kind)
			if a.Task.Kind == fsm.RangeTask {
				if err := p.do(copied(&a.Task)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want := []fsm.TaskKind{fsm.RangeTask, fsm.RangeTask, fsm.ScanTask}; !slices.Equal(kinds, want) {
			t.Errorf("granted %v, want %v", kinds, want)
		}
		if resp := p.send(cutsOf(r.task(scan.ID), 2, 0, true)); len(resp.Yield) > 0 {
			t.Errorf("a scan without cuts is asked to yield: %+v", resp)
		}
	})
}

// TestYieldByPoll: a scan that has long pages to go learns by the poll that its slot is wanted, once.
func TestYieldByPoll(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scan := scanning(r, p)
		// Another job's copy becomes pending by another node's scan, which is gone then.
		q := r.puppet("m", 1)
		r.submit("b", 0)
		other := q.work()[0].Task
		if resp := q.send(cutsOf(&other, 0, 4, true)); resp.Results[0].Err() != nil {
			t.Fatal(resp.Results[0].Err())
		}
		q.slots = 0
		q.running = nil
		q.poll()
		p.poll() // passes the pre-flight of b
		start := time.Now()
		resp := p.poll()
		if !slices.Equal(resp.Yield, []uint64{scan.ID}) || time.Since(start) > time.Second {
			t.Errorf("after %v: %+v", time.Since(start), resp)
		}
		start = time.Now()
		if resp := p.poll(); len(resp.Yield) != 1 || time.Since(start) != maxSyncWait {
			t.Errorf("told again after %v: %+v", time.Since(start), resp)
		}
	})
}

// TestScansHoldHalf: while copies wait, scans of many jobs hold half of the slots.
func TestScansHoldHalf(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 4)
		for i := range 6 {
			r.submit(fmt.Sprintf("job-%d", i), 0)
		}
		for len(p.running) < 4 {
			p.poll()
		}
		first := r.task(p.running[0].Task)
		resp := p.send(cutsOf(first, 0, 10, false))
		if len(resp.Yield) != 2 {
			t.Errorf("%d of 4 scans yield, want 2", len(resp.Yield))
		}
	})
}

// TestBackPressure: a job with too many copies outstanding stops scanning until half of them are done.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 2)
		scan := scanning(r, p)
		if resp := p.send(cutsOf(scan, 0, 8, false)); len(resp.Yield) != 0 {
			t.Fatalf("at the limit: %+v", resp)
		}
		resp := p.send(cutsOf(r.task(scan.ID), 8, 1, false))
		if !slices.Equal(resp.Yield, []uint64{scan.ID}) {
			t.Fatalf("beyond the limit: %+v", resp)
		}
		if err := p.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: scan.ID, Epoch: scan.Epoch}}}); err != nil {
			t.Fatal(err)
		}
		copies := 9
		for {
			p.poll()
			i := slices.IndexFunc(p.running, func(h Holding) bool { return h.Task == scan.ID })
			if i >= 0 {
				break
			}
			if err := p.do(copied(r.task(p.running[0].Task))); err != nil {
				t.Fatal(err)
			}
			copies--
		}
		if copies != 4 {
			t.Errorf("the scan goes on with %d copies left, want 4", copies)
		}
	}, func(c *LeaderConfig) { c.OutstandingLimit = 8 })
}

// TestNoDeadlock: ten jobs with more work than the limit get through one slot, whatever the limit.
func TestNoDeadlock(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.puppet("n", 1)
				for i := range 10 {
					r.submit(fmt.Sprintf("job-%d", i), i%3)
				}
				const cuts = 6
				for n := 0; !allDone(r); n++ {
					if n > 3000 {
						t.Fatalf("not done: %+v", r.log.machine)
					}
					p.poll()
					for _, h := range slices.Clone(p.running) {
						task := r.task(h.Task)
						if task.Kind != fsm.ScanTask {
							if err := p.do(copied(task)); err != nil {
								t.Fatal(err)
							}
							continue
						}
						from := 0
						if len(task.From) > 0 {
							fmt.Sscanf(string(task.From), "%d", &from)
						}
						resp := p.send(cutsOf(task, from, 2, from+2 == cuts))
						if err := resp.Results[0].Err(); err != nil {
							t.Fatal(err)
						}
						if from+2 == cuts {
							p.forget(task.ID)
						} else if slices.Contains(resp.Yield, task.ID) {
							if err := p.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: task.ID, Epoch: task.Epoch}}}); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				for i := range 10 {
					if job := r.job(fmt.Sprintf("job-%d", i)); job.Counts.Copied != cuts || job.Counts.Listed != cuts {
						t.Errorf("job %d: %+v", i, job.Counts)
					}
				}
			}, func(c *LeaderConfig) { c.OutstandingLimit = limit })
		})
	}
}

func allDone(r *rig) bool {
	done := true
	r.log.machine.Read(func(s *fsm.State) {
		for _, j := range s.Jobs() {
			done = done && j.State == fsm.Succeeded
		}
	})
	return done
}
