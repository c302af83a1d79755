package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// submitAwaiting submits a job that has archived objects restored.
func (r *rig) submitAwaiting(id string) {
	r.t.Helper()
	r.must(fsm.SubmitJob{ID: id, Nonce: nonceOf(id), Kind: "copy", Spec: []byte(`{"version":1}`), Limits: fsm.JobLimits{AwaitArchived: true}})
}

// TestArchivedObjectsAreAwaited: a pass whose archived objects are being restored is retried, ever more rarely, until they came
// or three days passed; nothing is held meanwhile.
func TestArchivedObjectsAreAwaited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		r.submitAwaiting("a")
		began := r.fails(p, fsm.ArchivedClass)
		looks, last := 0, time.Duration(0)
		for {
			job := r.job("a")
			if job.RetryAt == 0 {
				break
			}
			if !strings.HasPrefix(job.Reason, "waiting for 1 archived objects") || job.Unfinished > 0 {
				t.Fatalf("look %d: %+v", looks, job)
			}
			delay := time.Duration(job.RetryAt - job.Finished)
			if delay < last || delay > time.Hour || looks == 0 && delay != 5*time.Minute {
				t.Fatalf("look %d comes %v after the last", looks, delay)
			}
			last = delay
			looks++
			after(delay) // nobody polls
			for r.job("a").State == fsm.Failed {
				p.poll()
			}
			r.fails(p, fsm.ArchivedClass)
		}
		if waited := time.Since(began); waited < archivedLimit || waited > archivedLimit+2*time.Hour || looks < 70 || looks > 120 {
			t.Errorf("gave up after %v and %d looks", waited, looks)
		}
	})
}

// TestRestoredObjectsEndTheJob, and the setting says how often they are looked for.
func TestRestoredObjectsEndTheJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.must(set(fsm.SettingArchivedEvery, "2m"))
		p := r.puppet("n", 1)
		r.submitAwaiting("a")
		r.fails(p, fsm.ArchivedClass)
		if job := r.job("a"); time.Duration(job.RetryAt-job.Finished) != 2*time.Minute {
			t.Fatalf("%+v", job)
		}
		after(2 * time.Minute)
		task := p.work()[0].Task
		a := failure(&task, fsm.ArchivedClass)
		a.Failed, a.Counts, a.Classes = nil, fsm.Counts{Copied: 1, Failed: -1}, map[string]int64{fsm.ArchivedClass: -1}
		if err := p.do(a); err != nil {
			t.Fatal(err)
		}
		r.eventually("the job is done", func() bool { return r.job("a").State == fsm.Succeeded })
	})
}

// TestArchivedFailuresAreNotAwaited where the job does not ask for them.
func TestArchivedFailuresAreNotAwaited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		r.submit("a", 0)
		r.fails(p, fsm.ArchivedClass)
		r.stays(p)
	}, retrying)
}
