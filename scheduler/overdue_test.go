package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

func TestExpectedTime(t *testing.T) {
	small := func(took time.Duration) finished { return finished{"n", work{100, 1000}, took} }
	usual := []finished{small(time.Second), small(time.Second), small(2 * time.Second), small(time.Second), small(time.Hour)}
	for name, test := range map[string]struct {
		done  []finished
		of    work
		want  time.Duration
		known bool
	}{
		"too few":                        {usual[:4], work{100, 1000}, 0, false},
		"as the usual one":               {usual, work{100, 1000}, time.Second, true},
		"twice the objects":              {usual, work{200, 1000}, 2 * time.Second, true},
		"one object of very many bytes":  {usual, work{1, 100_000}, 100 * time.Second, true},
		"objects without bytes":          {[]finished{{"n", work{10, 0}, time.Second}, {"n", work{10, 0}, time.Second}, {"n", work{10, 0}, time.Second}, {"n", work{10, 0}, time.Second}, {"n", work{10, 0}, time.Second}}, work{20, 500}, 2 * time.Second, true},
		"the last ones, not the slowest": {append(slices.Clone(usual), small(2*time.Second), small(2*time.Second)), work{100, 1000}, 2 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := paceOf(test.done)
			got := p.expected(test.of)
			if p.known != test.known || p.known && got.Round(time.Millisecond) != test.want {
				t.Errorf("%v, %v; want %v, %v", got, p.known, test.want, test.known)
			}
		})
	}
}

// lateRig has a slow node with one task in hand, and a fast one that did all others, a second each.
func lateRig(r *rig) (slow, fast *puppet, late *fsm.Task) {
	r.t.Helper()
	slow, fast = r.puppet("slow", 1), r.puppet("fast", 1)
	copying(r, slow, 8)
	late = r.task(slow.running[0].Task)
	for r.outstanding() > 1 {
		for _, a := range fast.poll().Assignments {
			after(time.Second)
			if err := fast.do(copied(&a.Task)); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return slow, fast, late
}

func (r *rig) outstanding() (n int) {
	r.log.machine.Read(func(s *fsm.State) { n = s.Outstanding() })
	return n
}

// until polls both until an answer to the slow one asks for its task, for as long as given.
func until(slow, fast *puppet, d time.Duration) (asked bool, took time.Duration) {
	defer fast.idle()()
	for begin := time.Now(); time.Since(begin) < d; {
		slow.touch()
		if resp := slow.poll(); len(resp.Yield) > 0 {
			return true, time.Since(begin)
		}
	}
	return false, d
}

// touch is progress, so that nothing stands still.
func (p *puppet) touch() {
	for i := range p.running {
		p.running[i].Moved++
	}
}

// TestOverdueTaskMovesOn: a task that takes far too long and cannot be split is asked for once a faster node has a slot
// free, is granted there, and never comes back.
func TestOverdueTaskMovesOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		slow, fast, late := lateRig(r)
		asked, took := until(slow, fast, 2*time.Minute)
		if !asked || took > overdueFloor+splitPatience+2*maxSyncWait {
			t.Fatalf("asked %v after %v", asked, took)
		}
		if r.task(late.ID).Node != "slow" {
			t.Fatal("the task was taken, not asked for")
		}
		if err := slow.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{holdingOf(late)}}); err != nil {
			t.Fatal(err)
		}
		if a := fast.work(); a[0].Task.ID != late.ID {
			t.Fatalf("granted %+v", a)
		}
		// The fast one turns out to be slow as well, but the other had its try, however fast it was at other tasks.
		r.knownFor("slow", time.Second)
		if asked, took := until(fast, slow, 3*time.Minute); asked || len(r.leased("slow")) > 0 {
			t.Errorf("asked for after %v, the slow one holds %v", took, r.leased("slow"))
		}
	})
}

// TestOverdueStaysWhereNobodyIsFaster: other nodes of no better speed, or without a free slot, are no reason.
func TestOverdueStaysWhereNobodyIsFaster(t *testing.T) {
	for name, change := range map[string]func(r *rig, slow, fast *puppet){
		"no slot free": func(_ *rig, _, fast *puppet) { fast.slots = 0 },
		"as slow":      func(r *rig, _, _ *puppet) { r.knownFor("fast", 1e7*time.Second) },
		"not five times as long": func(r *rig, _, _ *puppet) {
			r.knownFor("fast", 40*time.Second)
			for i, key := 0, (paceKey{"a", fsm.RangeTask}); i < len(r.leader.reign.paces[key]); i++ {
				r.leader.reign.paces[key][i].took = 40 * time.Second
			}
		},
		"hardly faster": func(r *rig, slow, _ *puppet) { slow.running[0].Moved = 30 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				slow, fast, _ := lateRig(r)
				change(r, slow, fast)
				if asked, took := until(slow, fast, time.Minute); asked {
					t.Errorf("asked for after %v", took)
				}
			})
		})
	}
}

// knownFor makes all that is known of a node's speed that it took so long for tasks. What others did stays.
func (r *rig) knownFor(node string, took time.Duration) {
	reign := r.leader.reign
	reign.mu.Lock()
	defer reign.mu.Unlock()
	key := paceKey{"a", fsm.RangeTask}
	known := reign.paces[key]
	for i := range known {
		known[i].node = "another"
	}
	for range fasterSamples {
		known = append(known, finished{node, work{1, 10}, took})
	}
	reign.paces[key] = known
}

// TestOverdueTaskIsAskedToSplit: even while no slot is free, for it will be; once for a holding that does not.
func TestOverdueTaskIsAskedToSplit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		slow, fast, late := lateRig(r)
		fast.slots = 1
		r.submit("b", 1)
		other := fast.work()[0].Task // holds its only slot from now on
		if other.Job != "b" {
			t.Fatalf("granted %+v", other)
		}
		slow.able()
		defer fast.idle()()
		var asks []time.Duration
		for begin := time.Now(); time.Since(begin) < 4*time.Minute; {
			slow.touch()
			if resp := slow.poll(); len(resp.Split) > 0 {
				asks = append(asks, time.Since(begin))
			}
			if len(r.leased("fast")) != 1 {
				t.Fatal("the fast node has a slot free")
			}
		}
		if len(asks) != 1 || asks[0] > overdueFloor+2*maxSyncWait {
			t.Errorf("asked to split at %v", asks)
		}
		if r.task(late.ID).Node != "slow" {
			t.Error("the task moved without a slot for it")
		}
	})
}

// TestSickNodeHoldsNobodyUp: workers, not puppets: a node a hundred times slower than the other gives its task back, and the
// job ends without waiting for it.
func TestSickNodeHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMill(map[string]load{"a": {100, 1, 10 * mib}})
		sick, well := r.node("sick", 2, m.on("sick", mib/100)), r.node("well", 2, m.on("well", 10*mib))
		r.submit("a", 0)
		begin := time.Now()
		r.eventuallyWithin(time.Hour, "the job ends", func() bool { return r.job("a").State == fsm.Succeeded })
		took := time.Since(begin)
		t.Logf("took %v; the sick node alone needs %v for one task", took, 1000*time.Second)
		if limit := 50*time.Second + overdueFloor + splitPatience + 10*time.Second; took > limit {
			t.Errorf("took %v, want at most %v", took, limit)
		}
		sick.end(t)
		well.end(t)
	})
}
