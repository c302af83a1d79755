package scheduler

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// openJobs keeps the stores of jobs open between tasks.
type openJobs struct {
	open  Open
	renew Renew // nil: what changed is opened anew

	mu      sync.Mutex
	entries map[JobKey]*openJob
	failed  error // of closing
}

// openJob is one pass of a job, opened or being opened.
type openJob struct {
	ready     chan struct{} // closed when the fields below are set
	job       *transfer.Job
	preflight Preflight
	err       error
	stamp     sync.Once

	// Guarded by openJobs.mu.
	spec     []byte // that it was opened by, or took over since
	revision uint64 // of spec
	users    int
	retired  bool // out of the map: closed by its last user
}

// forPass returns the job that all tasks of its pass share. It may have been opened before the pass began.
func (e *openJob) forPass(job *fsm.Job) *transfer.Job {
	e.stamp.Do(func() { stampPass(e.job, job) })
	return e.job
}

func newOpenJobs(open Open, renew Renew) *openJobs {
	return &openJobs{open: open, renew: renew, entries: map[JobKey]*openJob{}}
}

// acquire returns the opened job and opens it if nobody did; release gives it back. A job whose description changed takes
// that over, or is opened anew.
func (o *openJobs) acquire(ctx context.Context, key JobKey, job *fsm.Job) (*openJob, error) {
	o.mu.Lock()
	e := o.entries[key]
	if e != nil && !o.current(e, job) {
		o.drop(key, e)
		e = nil
	}
	if e != nil {
		e.users++
		o.mu.Unlock()
		return o.await(ctx, e)
	}
	e = &openJob{spec: job.Spec, revision: job.Revision, ready: make(chan struct{}), users: 1}
	o.entries[key] = e
	o.mu.Unlock()

	e.job, e.preflight, e.err = o.open(ctx, job)
	close(e.ready)
	if e.err != nil {
		o.mu.Lock()
		if o.entries[key] == e {
			o.drop(key, e)
		}
		o.mu.Unlock()
	}
	return o.await(ctx, e)
}

// current brings an opened job up to its description, in place so that tasks under way have it as well, and tells whether
// that worked. A description older than the one that it has comes from a call that was overtaken, and is let be. The caller
// holds mu.
func (o *openJobs) current(e *openJob, job *fsm.Job) bool {
	if job.Revision < e.revision || bytes.Equal(e.spec, job.Spec) {
		return true
	}
	select {
	case <-e.ready:
	default:
		return false // it is being opened by the old one, and may fail for that
	}
	if o.renew == nil || e.err != nil || o.renew(e.spec, job, e.job) != nil {
		return false
	}
	e.spec, e.revision = job.Spec, job.Revision
	return true
}

// update brings a job that is open up to its description, or lets the next user open it anew. It tells whether it was out
// of date, and whether tasks under way have the new one.
func (o *openJobs) update(key JobKey, job *fsm.Job) (outdated, taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.entries[key]
	if e == nil || job.Revision <= e.revision {
		return false, false
	}
	if taken = o.current(e, job); !taken {
		o.drop(key, e)
	}
	return true, taken
}

// await waits until an entry is opened. On error the caller's use of it has ended.
func (o *openJobs) await(ctx context.Context, e *openJob) (*openJob, error) {
	err := error(nil)
	select {
	case <-e.ready:
		err = e.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		o.release(e)
		return nil, err // it says which side and what
	}
	return e, nil
}

// release ends one use.
func (o *openJobs) release(e *openJob) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.users--
	o.closeUnused(e)
}

// retire closes jobs as soon as nobody uses them.
func (o *openJobs) retire(keys []JobKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		if e := o.entries[key]; e != nil {
			o.drop(key, e)
		}
	}
}

// drop takes an entry out of the map. The caller holds mu.
func (o *openJobs) drop(key JobKey, e *openJob) {
	delete(o.entries, key)
	e.retired = true
	o.closeUnused(e)
}

// closeUnused closes a retired entry without users. The caller holds mu.
func (o *openJobs) closeUnused(e *openJob) {
	if !e.retired || e.users > 0 || e.job == nil {
		return
	}
	o.failed = errors.Join(o.failed, closeJob(e.job))
	e.job = nil
}

func closeJob(job *transfer.Job) error {
	var err error
	if job.Source != nil {
		err = job.Source.Close()
	}
	if job.Destination != nil {
		err = errors.Join(err, job.Destination.Close())
	}
	if job.List != nil {
		err = errors.Join(err, job.List.Text.Close())
	}
	return err
}

// keys lists the passes that are open, and the revisions of the descriptions that they go by.
func (o *openJobs) keys() (keys []JobKey, revisions []uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, e := range o.entries {
		keys, revisions = append(keys, key), append(revisions, e.revision)
	}
	return keys, revisions
}

// closeAll closes everything; nobody uses it any more. It returns every error of closing that there was.
func (o *openJobs) closeAll() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, e := range o.entries {
		o.drop(key, e)
	}
	return o.failed
}
