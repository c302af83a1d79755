package scheduler

import (
	"sync"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// jobLimits hold the jobs that a worker runs tasks of to its shares of their bandwidth. A share ends with the last task:
// the next one waits until the leader tells a new one, which it does in the answer that brings the task.
type jobLimits struct {
	mu   sync.Mutex
	jobs map[JobKey]*jobLimit
}

type jobLimit struct {
	limiter *transfer.Limiter
	users   int
}

// acquire returns what holds a job to its share; release gives it back.
func (l *jobLimits) acquire(job *fsm.Job) *transfer.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := capKey(job)
	j := l.jobs[key]
	if j == nil {
		rate := int64(transfer.NoLimit)
		if len(job.Limits.Bandwidth) > 0 {
			rate = 0
		}
		j = &jobLimit{limiter: transfer.NewLimiter(rate)}
		l.jobs[key] = j
	}
	j.users++
	return j.limiter
}

func (l *jobLimits) release(job *fsm.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := capKey(job)
	if j := l.jobs[key]; j != nil {
		if j.users--; j.users == 0 {
			delete(l.jobs, key)
		}
	}
}

// set takes over what the leader tells.
func (l *jobLimits) set(shares []Share) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range shares {
		if j := l.jobs[s.Job]; j != nil {
			j.limiter.Set(s.Rate)
		}
	}
}

// uses is what a poll says of the shares.
func (l *jobLimits) uses() (uses []ShareUse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, j := range l.jobs {
		uses = append(uses, ShareUse{Share{key, j.limiter.Rate()}, j.limiter.Used()})
	}
	return uses
}
