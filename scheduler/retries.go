package scheduler

import (
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// DefaultRetries is how often a cluster retries a failed job by itself.
const DefaultRetries = 3

// listingClass is the class of ranges that were lost because listings of them disagree.
const listingClass = "listing"

// retryDelay is how long after the end of a pass its n-th retry begins, from 0: 1 min, 5 min, 15 min, and so on.
func retryDelay(n int) time.Duration {
	delays := []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}
	return delays[min(n, len(delays)-1)]
}

// retryAt is when a job whose pass ends now is retried without being asked, 0 for not at all: it was not retried often enough
// yet, and something of what failed may work later.
func (r *reign) retryAt(state *fsm.State, job *fsm.Job, now int64) int64 {
	if at := r.awaitAt(state, job, now); at != 0 {
		return at
	}
	if job.Retries >= r.cfg.Retries || !mayPass(job) {
		return 0
	}
	return now + int64(retryDelay(job.Retries))
}

// mayPass tells whether any class of what failed is one that time may help, or that new credentials have helped.
func mayPass(job *fsm.Job) bool {
	renewed := job.Renewed > max(job.Started, job.Retried)
	for class := range job.Classes {
		if passes(class) || renewed && store.Class(class) == store.Auth {
			return true
		}
	}
	for i := range job.LostRanges {
		if class := job.LostRanges[i].Class; passes(class) || renewed && store.Class(class) == store.Auth {
			return true
		}
	}
	return false
}

// passes tells whether a failure of a class may be none later. Credentials, permissions, names, missing buckets and full disks
// need somebody to do something.
func passes(class string) bool {
	switch store.Class(class) {
	case store.Transient, store.Throttled, store.Mismatch, store.Precondition, store.Changed, store.Canceled, listingClass:
		return true
	}
	return false
}

// retryDue tells whether it is time to retry a job. A time further ahead than any delay is from a leader whose clock was
// wrong.
func (r *reign) retryDue(state *fsm.State, job *fsm.Job) bool {
	left, most := time.Duration(job.RetryAt-r.cfg.Clock.Now().UnixNano()), retryDelay(job.Retries)
	if job.Awaited() > 0 {
		most = max(most, archivedDelay(r.archivedEvery(state), job.Retries))
	}
	return job.State == fsm.Failed && job.RetryAt != 0 && (left <= 0 || left > most)
}

// retryCommand retries a job, if that is due.
func (r *reign) retryCommand(state *fsm.State, job *fsm.Job) fsm.Command {
	if !r.retryDue(state, job) {
		return nil
	}
	return fsm.RetryJob{Job: job.ID, Nonce: job.Nonce, Auto: true, At: r.cfg.Clock.Now().UnixNano()}
}

// starts tells whether a command makes one more job run.
func starts(cmd fsm.Command) bool {
	switch cmd.(type) {
	case fsm.StartPass, fsm.RetryJob:
		return true
	}
	return false
}
