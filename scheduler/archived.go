package scheduler

import (
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// Archived objects that were asked to be restored are failures of their pass, and no task waits for them: the pass ends, and its
// failures are retried until none of them is such an object any more.
const (
	defaultArchivedEvery = 5 * time.Minute
	// archivedRarely is how rarely they are looked for in the end, unless every is longer: a look costs two requests each.
	archivedRarely = time.Hour
	// archivedLooks is how many looks come at one distance before the distance doubles.
	archivedLooks = 6
	// archivedLimit is how long a pass waits for them at most: the slowest vendors take two days.
	archivedLimit = 72 * time.Hour
)

// archivedDelay is how long after a look the next one comes, after n looks at a distance of every at first.
func archivedDelay(every time.Duration, n int) time.Duration {
	most := max(every, archivedRarely)
	for ; n >= archivedLooks && every < most; n -= archivedLooks {
		every *= 2
	}
	return min(every, most)
}

// archivedEvery is the first distance: as the cluster is set, else as this node is.
func (r *reign) archivedEvery(state *fsm.State) time.Duration {
	if d, err := time.ParseDuration(state.Settings()[fsm.SettingArchivedEvery]); err == nil && d > 0 {
		return d
	}
	return r.cfg.ArchivedEvery
}

// awaitAt is when a job whose pass ends now looks for archived objects again; 0 where it waits for none, or waited long enough.
func (r *reign) awaitAt(state *fsm.State, job *fsm.Job, now int64) int64 {
	if job.Awaited() == 0 || job.Awaiting != 0 && time.Duration(now-job.Awaiting) >= archivedLimit {
		return 0
	}
	return now + int64(archivedDelay(r.archivedEvery(state), job.Retries))
}
