package transfer

import (
	"sync"
	"time"
)

// parkedFor is how long a listing waits for its scan to go on.
const parkedFor = 24 * time.Hour

// parked keeps the listings of a scan that gave its slot back. Where a listing cannot start at a key it costs a walk through
// everything before the first page: a scan that yields again and again, as copying lags behind, would read all of a folder of
// millions of files each time, or all pages of a bucket that is sorted here. Nothing has to give it back: what is parked at the end
// of a job goes with it.
type parked struct {
	mu    sync.Mutex
	j     *joiner // nil: nothing is parked
	task  uint64
	from  string // lower bound of what the task has left
	since time.Time
}

// put takes the listings of a task that stands at a bound.
func (p *parked) put(t *taskRun, from string, j *joiner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.j != nil {
		p.j.close()
	}
	p.j, p.task, p.from, p.since = j, t.task.ID, from, t.n.Now()
}

// take gives listings back to the task that goes on where it left, and drops those of any other.
func (p *parked) take(t *taskRun) *joiner {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.j
	p.j = nil
	switch {
	case j == nil:
	case p.task != t.task.ID || p.from != t.task.From || t.n.Now().Sub(p.since) > parkedFor:
		j.close()
		j = nil
	default:
		j.src.lease = t.lease
		if j.dst != nil {
			j.dst.lease = t.lease
		}
	}
	return j
}

// costly tells whether a side of the job cannot be listed from a key on.
func (job *Job) costly() bool {
	return !job.Source.Abilities().ListsByKeys || job.Destination != nil && !job.Destination.Abilities().ListsByKeys
}
