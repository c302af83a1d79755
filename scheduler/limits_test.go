package scheduler

import (
	"testing"
	"testing/synctest"

	"github.com/bucketbrigade/brigade/fsm"
)

func set(name, value string) fsm.SetSettings {
	return fsm.SetSettings{Settings: map[string]string{name: value}}
}

// TestMaxTasks: a node holds as many tasks as the cluster is set to, below and above its own number of slots, and none
// once it wants none.
func TestMaxTasks(t *testing.T) {
	for name, test := range map[string]struct {
		limit string
		slots int
		want  int
	}{
		"default": {"", 3, 3}, "below": {"2", 3, 2}, "above": {"5", 3, 5}, "none wanted": {"5", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.must(set("log.level", "info"))
				if test.limit != "" {
					r.must(set(fsm.SettingMaxTasks, test.limit))
				}
				q := r.puppet("q", 1)
				copying(r, q, 20)
				p := r.puppet("n", test.slots)
				for range 4 {
					p.poll()
				}
				synctest.Wait()
				if got := len(r.leased("n")); got != test.want {
					t.Errorf("the node holds %d tasks, want %d", got, test.want)
				}
			})
		})
	}
}

// TestMaxJobs: only so many jobs run at once, the highest priority first and then the oldest; the others follow.
func TestMaxJobs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.must(set(fsm.SettingMaxJobs, "2"))
		r.submit("old", 0)
		after(1)
		r.submit("a-young", 0)
		r.submit("urgent", 5)
		p := r.puppet("n", 4)
		running := func() (ids []string) {
			r.log.machine.Read(func(s *fsm.State) {
				for _, job := range s.Jobs() {
					if job.State == fsm.Running {
						ids = append(ids, job.ID)
					}
				}
			})
			return ids
		}
		for range 5 {
			p.poll()
		}
		if got := running(); len(got) != 2 || got[0] != "old" || got[1] != "urgent" {
			t.Fatalf("running: %v", got)
		}
		r.must(fsm.PauseJob{Job: "old", Nonce: nonceOf("old")})
		r.eventually("the third runs", func() bool { p.poll(); return r.job("a-young").State == fsm.Running })
		r.must(set(fsm.SettingMaxJobs, ""))
		r.must(fsm.ContinueJob{Job: "old", Nonce: nonceOf("old")})
		if got := running(); len(got) != 3 {
			t.Errorf("running: %v", got)
		}
	})
}

// TestDrainingNode: a node that drains keeps what it runs and gets nothing new, until it drains no more.
func TestDrainingNode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		q := r.puppet("q", 1)
		copying(r, q, 20)
		p := r.puppet("n", 2)
		p.work()
		held := r.leased("n")
		r.must(fsm.SetNode{Node: "n", Draining: true})
		for len(p.running) > 0 {
			if err := p.do(copied(r.task(p.running[0].Task))); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			p.poll()
		}
		if got := r.leased("n"); len(held) == 0 || len(got) != 0 {
			t.Errorf("held %v, then, draining, %v", held, got)
		}
		r.must(fsm.SetNode{Node: "n"})
		if got := p.work(); len(got) != 2 {
			t.Errorf("given %d tasks, want 2", len(got))
		}
	})
}

// TestLeadersNodeTakesHalf: the leader's own node is given half of its slots while another node takes work, and all of
// them otherwise.
func TestLeadersNodeTakesHalf(t *testing.T) {
	for name, test := range map[string]struct {
		slots, others int
		draining      bool
		want          int
	}{
		"alone":               {slots: 4, want: 4},
		"with another":        {slots: 4, others: 1, want: 2},
		"at least one":        {slots: 1, others: 1, want: 1},
		"another that drains": {slots: 4, others: 1, draining: true, want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				q := r.puppet("q", 1)
				copying(r, q, 20)
				if test.draining {
					r.must(fsm.SetNode{Node: "q", Draining: true})
				}
				q.slots = test.others
				if test.others == 0 {
					if err := q.do(copied(r.task(q.running[0].Task))); err != nil {
						t.Fatal(err)
					}
				}
				q.poll()
				p := r.puppet("own", test.slots)
				for range 4 {
					p.poll()
				}
				synctest.Wait()
				if got := len(r.leased("own")); got != test.want {
					t.Errorf("the leader's node holds %d tasks, want %d", got, test.want)
				}
			}, func(c *LeaderConfig) { c.Node = "own" })
		})
	}
}
