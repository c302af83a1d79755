package api

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	changesKept = 1024                   // changes of jobs that can be told later
	changesLook = 100 * time.Millisecond // between two looks at all jobs
)

// JobChange is an event: a job was added, is in another state, or was removed.
type JobChange struct {
	Index   uint64       `json:"index"` // of the log, at which the job was so
	ID      string       `json:"id"`
	State   fsm.JobState `json:"state"` // that it is in now; of a job that was removed, that it was in
	Pass    uint64       `json:"pass"`
	Reason  string       `json:"reason,omitempty"`
	Removed bool         `json:"removed,omitempty"`
}

// changes knows what became of jobs, from the first look on. Whoever waits for a change looks; nothing runs in between.
type changes struct {
	mu     sync.Mutex
	began  bool
	looked time.Time
	index  uint64 // of the state at the last look
	forgot uint64 // changes up to here cannot be told
	jobs   map[string]*seenJob
	last   uint64      // index at which any job changed last, or was removed
	kept   []JobChange // the oldest first
}

// seenJob is a job at the last look, and the index at which it was first seen so.
type seenJob struct {
	job   *fsm.Job
	index uint64
}

func newChanges() *changes { return &changes{jobs: map[string]*seenJob{}} }

// look compares the jobs with those of the last look. A job that changed twice in between changed once.
func (c *changes) look(state State, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = now
	var jobs []*fsm.Job
	index, same := c.index, false
	state.Read(func(s *fsm.State) {
		if index = s.Index(); c.began && index == c.index {
			same = true
			return
		}
		jobs = s.Jobs()
	})
	if same {
		return
	}
	was := c.jobs
	c.jobs = make(map[string]*seenJob, len(jobs))
	for _, job := range jobs {
		c.see(was[job.ID], job, index)
		delete(was, job.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		old := was[id].job
		c.tell(JobChange{Index: index, ID: id, State: old.State, Pass: old.Pass, Removed: true})
	}
	if !c.began {
		c.began, c.kept, c.forgot, c.last = true, nil, index, index
	}
	c.index = index
}

// see notes a job as it is now.
func (c *changes) see(old *seenJob, job *fsm.Job, index uint64) {
	if old != nil && old.job == job {
		c.jobs[job.ID] = old
		return
	}
	c.jobs[job.ID] = &seenJob{job, index}
	c.last = index
	if old == nil || old.job.State != job.State || old.job.Pass != job.Pass || old.job.Reason != job.Reason ||
		!bytes.Equal(old.job.Nonce, job.Nonce) {
		c.tell(JobChange{Index: index, ID: job.ID, State: job.State, Pass: job.Pass, Reason: job.Reason})
	}
}

func (c *changes) tell(change JobChange) {
	c.last = change.Index
	c.kept = append(c.kept, change)
	if over := len(c.kept) - changesKept; over > 0 {
		c.forgot = c.kept[over-1].Index
		c.kept = c.kept[over:]
	}
}

// since returns what changed after an index, and the index to go on from. It is not known where the node has forgotten
// some of it, or is not as far itself.
func (c *changes) since(index uint64) (told []JobChange, next uint64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if index < c.forgot || index > c.index {
		return nil, c.index, false
	}
	first, _ := slices.BinarySearchFunc(c.kept, index+1, func(e JobChange, i uint64) int { return cmp.Compare(e.Index, i) })
	return slices.Clone(c.kept[first:]), c.index, true
}

// changed tells whether a job, or with "" any, changed after an index. One that is not there has.
func (c *changes) changed(id string, index uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == "" {
		return c.last > index
	}
	seen := c.jobs[id]
	return seen == nil || seen.index > index
}

// rest is how long to wait before another look is worth it.
func (c *changes) rest(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, changesLook-now.Sub(c.looked))
}
