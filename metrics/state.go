package metrics

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	// maxJobs is how many jobs have metrics of their own: those that are not finished, then those that failed, the newest
	// first. The others are added up.
	maxJobs       = 200
	maxJobClasses = 20 // of errors, for each job
	maxNodes      = 200
	maxKinds      = 40 // of notices
)

func states() []fsm.JobState {
	return []fsm.JobState{fsm.Pending, fsm.Running, fsm.Paused, fsm.Waiting, fsm.Succeeded, fsm.Failed, fsm.Canceled}
}

func taskKinds() []fsm.TaskKind {
	return []fsm.TaskKind{fsm.ScanTask, fsm.RangeTask, fsm.ListTask, fsm.RelistTask, fsm.PartsTask}
}

// replicated is what a scrape takes from the state. Jobs and notices are never changed in place.
type replicated struct {
	jobs    []*fsm.Job
	tasks   map[fsm.KindHeld]int
	leases  map[string]int
	notices []*fsm.Notice
	dropped uint64
}

// collectState collects what all nodes know. The lock of the state is held to take references only.
func (c *collector) collectState(out output, leads bool) {
	var r replicated
	c.State.Read(func(s *fsm.State) {
		r = replicated{s.Jobs(), s.TaskKinds(), s.LeaseCounts(), s.Notices(), s.NoticesDropped()}
	})
	c.collectJobs(out, r.jobs, leads)
	for _, kind := range taskKinds() {
		out.put(&tasks, float64(r.tasks[fsm.KindHeld{Kind: kind}]), string(kind), "pending")
		out.put(&tasks, float64(r.tasks[fsm.KindHeld{Kind: kind, Held: true}]), string(kind), "leased")
	}
	for i, node := range slices.Sorted(maps.Keys(r.leases)) {
		if i < maxNodes {
			out.put(&leases, float64(r.leases[node]), node)
		}
	}
	collectNotices(out, r.notices, r.dropped)
}

func collectNotices(out output, waiting []*fsm.Notice, dropped uint64) {
	counts := map[string]int{}
	for _, n := range waiting {
		kind := n.Kind
		if counts[kind] == 0 && len(counts) >= maxKinds {
			kind = otherName
		}
		counts[kind]++
	}
	for kind, n := range counts {
		out.put(&noticesWaiting, float64(n), kind)
	}
	if len(waiting) > 0 {
		out.time(&noticesOldest, waiting[0].At)
	}
	out.put(&noticesDropped, float64(dropped))
}

// collectJobs collects jobs, each by itself as far as there is room.
func (c *collector) collectJobs(out output, all []*fsm.Job, leads bool) {
	counts := map[fsm.JobState]int{}
	for _, job := range all {
		counts[job.State]++
	}
	for _, state := range states() {
		out.put(&jobs, float64(counts[state]), string(state))
	}
	shown, others := pick(all)
	for _, job := range shown {
		collectJob(out, job)
		if leads && job.State == fsm.Running {
			c.collectRates(out, job.ID)
		}
	}
	var sum fsm.Counts
	for _, job := range others {
		sum = sum.Add(job.Counts)
	}
	out.put(&otherJobs, float64(len(others)))
	for _, o := range outcomes(sum) {
		out.put(&otherObjects, float64(o.n), o.name)
	}
	out.put(&otherBytes, float64(sum.BytesCopied), "copied")
	out.put(&otherBytes, float64(sum.BytesSkipped), "skipped")
}

// pick divides jobs in those with metrics of their own and the others.
func pick(all []*fsm.Job) (shown, others []*fsm.Job) {
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b *fsm.Job) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)), cmp.Compare(b.Submitted, a.Submitted))
	})
	n := 0
	for n < min(len(ranked), maxJobs) && urgency(ranked[n]) < finished {
		n++
	}
	return ranked[:n], ranked[n:]
}

// finished is the urgency of jobs that nobody waits for.
const finished = 3

func urgency(j *fsm.Job) int {
	switch j.State {
	case fsm.Running:
		return 0
	case fsm.Pending, fsm.Paused, fsm.Waiting:
		return 1
	case fsm.Failed:
		return 2
	}
	return finished
}

func collectJob(out output, job *fsm.Job) {
	out.put(&jobState, 1, job.ID, string(job.State))
	out.time(&jobStarted, job.Started, job.ID)
	out.time(&jobFinished, job.Finished, job.ID)
	for _, o := range outcomes(job.Counts) {
		out.put(&jobObjects, float64(o.n), job.ID, o.name)
	}
	out.put(&jobListed, float64(job.Counts.Listed), job.ID)
	out.put(&jobVerified, float64(job.Counts.Verified), job.ID)
	out.put(&jobBytes, float64(job.Counts.BytesCopied), job.ID, "copied")
	out.put(&jobBytes, float64(job.Counts.BytesSkipped), job.ID, "skipped")
	out.put(&jobMoved, float64(job.Counts.BytesMoved), job.ID)
	out.put(&jobListedSize, float64(job.Counts.BytesListed), job.ID)
	rest := int64(0)
	for i, class := range slices.Sorted(maps.Keys(job.Classes)) {
		if i < maxJobClasses {
			out.put(&jobFailures, float64(job.Classes[class]), job.ID, labelOf(class))
		} else {
			rest += job.Classes[class]
		}
	}
	if rest > 0 {
		out.put(&jobFailures, float64(rest), job.ID, otherName)
	}
}

// collectRates collects how fast a running job is, which only the leader knows. Unlike what is settled it goes down as well.
func (c *collector) collectRates(out output, id string) {
	st, ok := c.Status(id)
	if !ok {
		return
	}
	out.put(&jobByteRate, st.Rate.Bytes, id)
	out.put(&jobObjectRate, st.Rate.Objects, id)
	if st.ETA != nil {
		out.put(&jobLeft, st.ETA.Seconds(), id)
	}
}

// outcome is a number of objects that ended in one way.
type outcome struct {
	name string
	n    int64
}

// outcomes add up to the objects settled.
func outcomes(c fsm.Counts) []outcome {
	return []outcome{
		{"copied", c.Copied}, {"skipped", c.Skipped}, {"filtered", c.Filtered}, {"vanished", c.Vanished}, {"changed", c.Changed},
		{"failed", c.Failed},
	}
}
