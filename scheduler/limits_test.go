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
