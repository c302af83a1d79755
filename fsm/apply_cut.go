package fsm

import (
	"bytes"
	"fmt"
)

// checkCuts wants ranges in ascending order inside [From, To), and lists with lines; only scans cut.
func checkCuts(t *Task, c *AdvanceTask) error {
	if len(c.Cuts) > 0 && t.Kind != ScanTask {
		return invalid("a %s task cuts no tasks", t.Kind)
	}
	lowest, ended := c.From, false
	for i := range c.Cuts {
		n := &c.Cuts[i]
		if n.Objects < 0 || n.Objects > maxCount || n.Bytes < 0 || n.Bytes > maxCount {
			return invalid("cut %d of %d objects, %d bytes", i, n.Objects, n.Bytes)
		}
		if n.Segment != nil {
			if err := checkListCut(n); err != nil {
				return err
			}
			continue
		}
		if err := checkDigest(n.Digest); err != nil {
			return err
		}
		if ended || bytes.Compare(n.From, lowest) < 0 || !endsInside(n, c.To) {
			return fmt.Errorf("%w: cut %d", ErrBadRange, i)
		}
		lowest, ended = n.To, len(n.To) == 0
	}
	return nil
}

func checkListCut(n *NewCut) error {
	if len(n.From) > 0 || len(n.To) > 0 || len(n.Digest) > 0 || n.Segment.Manifest {
		return invalid("a list cut is a plain segment and nothing else")
	}
	return checkSegment(n.Segment)
}

// endsInside tells whether a range is not empty and ends at the bound or below; empty means no end.
func endsInside(n *NewCut, end []byte) bool {
	switch {
	case len(n.To) == 0:
		return len(end) == 0
	case bytes.Compare(n.From, n.To) >= 0:
		return false
	default:
		return len(end) == 0 || bytes.Compare(n.To, end) <= 0
	}
}

// addCut makes the task of a cut, and for a range the record of what it must account for.
func (s *State) addCut(job *Job, n *NewCut) {
	if n.Segment != nil {
		s.addTask(job, &Task{Kind: ListTask, Segment: n.Segment, EndLine: n.Segment.Lines})
		return
	}
	id := s.lastTask + 1
	s.putCut(job.ID, id, &Cut{
		Objects: n.Objects, Bytes: n.Bytes, Digest: addDigests(nil, n.Digest), From: n.From, To: n.To, Tasks: 1,
	})
	s.addTask(job, &Task{Kind: RangeTask, From: n.From, To: n.To, Cut: id})
}

// finishTask folds a task that reached its end, already out of the state, into its job and its cut.
func (s *State) finishTask(job *Job, t *Task) {
	cut := s.cuts[job.ID][t.Cut]
	if t.Kind == RelistTask {
		s.finishRelist(job, t, cut)
		return
	}
	job.TasksDone++
	if cut == nil {
		return
	}
	cut = clone(cut)
	cut.Tasks--
	cut.SettledObjects += t.Objects
	cut.SettledBytes += t.Bytes
	cut.SettledDigest = addDigests(cut.SettledDigest, t.Digest)
	if cut.Tasks > 0 || cut.Lost > 0 {
		s.putCut(job.ID, t.Cut, cut)
		return
	}
	if sameListing(cut, cut.Objects, cut.Bytes, cut.Digest) {
		s.dropCut(job.ID, t.Cut)
		return
	}
	cut.Relisted, cut.Tasks = true, 1
	s.putCut(job.ID, t.Cut, cut)
	s.addTask(job, &Task{Kind: RelistTask, From: cut.From, To: cut.To, Cut: t.Cut})
}

// finishRelist decides about a cut that was listed once more. The same listing as the one that was worked through means
// that the source moved after the scan, and the scan's count is corrected. Another one means that the listing cannot be
// relied on, and the range is lost.
func (s *State) finishRelist(job *Job, t *Task, cut *Cut) {
	if cut == nil {
		job.TasksDone++
		return
	}
	if sameListing(cut, t.Objects, t.Bytes, t.Digest) {
		job.TasksDone++
		// A scan that cut more than it said it had listed must not bring the sums below zero.
		job.Counts.Listed = max(0, job.Counts.Listed+cut.SettledObjects-cut.Objects)
		job.Counts.BytesListed = max(0, job.Counts.BytesListed+cut.SettledBytes-cut.Bytes)
		s.dropCut(job.ID, t.Cut)
		return
	}
	reason := fmt.Sprintf("listings disagree: %d objects of %d bytes in the scan, %d of %d when worked through, %d of %d in a third",
		cut.Objects, cut.Bytes, cut.SettledObjects, cut.SettledBytes, t.Objects, t.Bytes)
	s.loseRange(job, &Task{ID: t.ID, Job: t.Job, Kind: RelistTask, From: cut.From, To: cut.To, Cut: t.Cut}, listingClass, reason)
}

// sameListing compares what the tasks of a cut listed with another listing of it.
func sameListing(cut *Cut, objects, bytesTotal int64, digest []byte) bool {
	return cut.SettledObjects == objects && cut.SettledBytes == bytesTotal && bytes.Equal(cut.SettledDigest, digest)
}
