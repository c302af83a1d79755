package scheduler

import (
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// Status is where a job stands: what is settled, plus what running tasks did and have not settled yet.
type Status struct {
	Job         *fsm.Job // as the state has it; not to be changed
	Counts      fsm.Counts
	ListingDone bool // Counts.Listed is the total; before, a lower bound
	Tasks       TaskNumbers
	Rate        Rate           // over the last 10 s
	Overall     Rate           // since the pass started
	ETA         *time.Duration // nil while it cannot be told
	Bandwidth   int64          // bytes a second that the job may take now, over all nodes; 0 for no limit
	Moved       int64          // bytes and pages of running tasks so far; it changes while something happens
	Nodes       []Standing     // of a job that is to be worked on, by node; nil where this node does not lead
}

// TaskNumbers count the tasks of a pass.
type TaskNumbers struct {
	Pending, Running, Failed, Done int64
}

// Rate is what is done per second: bytes that went to the destination, and objects settled.
type Rate struct {
	Bytes, Objects float64
}

// Status returns where a job stands, and false if there is no such job. On a node that does not lead it knows only what
// is settled.
func (l *Leader) Status(id string) (Status, bool) {
	l.mu.Lock()
	r := l.reign
	l.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	var st Status
	l.cfg.Machine.Read(func(state *fsm.State) {
		if st.Job = state.Job(id); st.Job == nil {
			return
		}
		st.Counts = st.Job.Counts
		if r != nil {
			st.Counts = st.Counts.Add(r.live(state, id))
			st.Nodes = r.standings(state, st.Job)
			st.Moved = r.moved(state, id)
		}
		counts := state.TaskCounts(id)
		st.Tasks = TaskNumbers{
			Pending: int64(counts.Pending + counts.PendingScans), Running: int64(counts.Leased + counts.LeasedScans),
			Failed: st.Job.TasksLost, Done: st.Job.TasksDone,
		}
	})
	if st.Job == nil {
		return Status{}, false
	}
	if limit := bandwidthAt(st.Job, l.cfg.Clock.Now()); limit != unlimited {
		st.Bandwidth = limit
	}
	st.ListingDone = st.Job.Pass > 0 && st.Job.Listing == 0
	l.addRates(r, &st)
	return st, true
}

// addRates derives rates and the ETA.
func (l *Leader) addRates(r *reign, st *Status) {
	if st.Job.Started == 0 {
		return
	}
	end := st.Job.Finished
	if end == 0 {
		end = l.cfg.Clock.Now().UnixNano()
	}
	overall := time.Duration(end - st.Job.Started)
	st.Overall = rateOf(fsm.Counts{}, st.Counts, overall)
	if st.Job.State != fsm.Running {
		return
	}
	st.Rate = st.Overall
	first, span := fsm.Counts{}, overall
	if r != nil {
		if w := r.windows[st.Job.ID]; w != nil && w.pass == st.Job.Pass && len(w.samples) > 0 && overall > rateSpan {
			first, span = w.samples[0].counts, l.cfg.Clock.Monotonic()-w.samples[0].at
			st.Rate = rateOf(first, st.Counts, span)
		}
	}
	if st.ListingDone {
		st.ETA = eta(first, st.Counts, span, overall)
	}
}

func rateOf(from, to fsm.Counts, span time.Duration) Rate {
	if span <= 0 {
		return Rate{}
	}
	s := span.Seconds()
	return Rate{
		Bytes:   max(0, float64(to.BytesMoved-from.BytesMoved)) / s,
		Objects: max(0, float64(to.Found()-from.Found())) / s,
	}
}

// eta is the longer of the times that the remaining objects and the remaining bytes take at the recent pace, and where
// that stands still, at the pace since the start. Bytes of large objects settle late, bytes that need no copying never
// move: the faster of both paces counts.
func eta(first, now fsm.Counts, span, overall time.Duration) *time.Duration {
	objects := now.Listed - now.Found()
	bytes := now.BytesListed - now.BytesFound
	longest := time.Duration(0)
	for _, part := range []struct{ left, recent, all int64 }{
		{objects, now.Found() - first.Found(), now.Found()},
		{bytes, max(now.BytesFound-first.BytesFound, now.BytesMoved-first.BytesMoved), max(now.BytesFound, now.BytesMoved)},
	} {
		if part.left <= 0 {
			continue
		}
		pace := perSecond(part.recent, span)
		if pace <= 0 {
			pace = perSecond(part.all, overall)
		}
		if pace <= 0 {
			return nil
		}
		seconds := min(float64(part.left)/pace, float64(365*24*3600))
		longest = max(longest, time.Duration(seconds*float64(time.Second)))
	}
	return &longest
}

func perSecond(n int64, span time.Duration) float64 {
	if span <= 0 {
		return 0
	}
	return float64(n) / span.Seconds()
}
