package fsm

import (
	"bytes"
)

func (s *State) assignTasks(c AssignTasks) error {
	for _, g := range c.Grants {
		t := s.tasks[g.Task]
		if t == nil || t.Leased() || g.Node == "" || len(g.Node) > maxName || s.jobs[t.Job].State != Running {
			continue // the leader sees by the epochs which grants were taken
		}
		t = clone(t)
		t.Node, t.Epoch = g.Node, s.index
		t.Grants++
		s.putTask(t)
	}
	return nil
}

func (s *State) releaseTasks(c ReleaseTasks) error {
	for _, e := range c.Tasks {
		if t, err := s.held(e.Task, e.Epoch); err == nil {
			s.release(t)
		}
	}
	return nil
}

// release makes a leased task pending.
func (s *State) release(t *Task) {
	t = clone(t)
	t.Node, t.Epoch = "", 0
	s.putTask(t)
}

func (s *State) failTask(c FailTask) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	job := clone(s.jobs[t.Job])
	t = clone(t)
	t.Attempt++
	t.Node, t.Epoch, t.NotBefore = "", 0, c.NotBefore
	switch {
	case c.GiveUp && t.Kind == PartsTask: // no range is lost: the owner of the upload sends the parts itself
		s.endShare(t, &PartsResult{Class: short(c.Class), Reason: short(c.Reason)})
		s.endTask(job, s.tasks[t.ID])
	case c.GiveUp:
		s.endTask(job, s.tasks[t.ID])
		t.Uploads = withoutShares(t.Uploads)
		s.loseRange(job, t, c.Class, c.Reason)
	default:
		s.putTask(t)
	}
	if c.Pause && job.State == Running {
		s.pause(job, c.Reason, c.Class)
		s.tellPause(job, c.At)
	}
	s.jobs[job.ID] = job
	return nil
}

// loseRange records the rest of a task that was given up. Past MaxLostRanges only its number is kept, and its cut,
// which can no longer be proved, is dropped.
func (s *State) loseRange(job *Job, t *Task, class, reason string) {
	job.TasksLost++
	recorded := len(job.LostRanges) < MaxLostRanges
	if recorded {
		lost := LostRange{Task: *t, Class: short(class), Reason: short(reason)}
		job.LostRanges = append(job.LostRanges[:len(job.LostRanges):len(job.LostRanges)], lost)
	}
	cut := s.cuts[job.ID][t.Cut]
	switch {
	case cut == nil:
	case !recorded:
		s.dropCut(job.ID, t.Cut)
	default:
		cut = clone(cut)
		cut.Tasks--
		cut.Lost++
		s.putCut(job.ID, t.Cut, cut)
	}
}

func (s *State) splitTask(c SplitTask) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	head, tail := clone(t), &Task{
		Kind: t.Kind, From: t.From, To: t.To, Segment: t.Segment, Line: t.Line, EndLine: t.EndLine, Cut: t.Cut, Retry: t.Retry,
		Grants: t.Grants - 1, // this holder never worked past the cut; earlier ones may have
		Parts:  t.Parts,
	}
	switch t.Kind {
	case ListTask, PartsTask:
		if c.AtLine == t.EndLine {
			return nil
		}
		if c.AtLine <= t.Line || c.AtLine > t.EndLine {
			return ErrBadRange
		}
		if t.Kind == PartsTask && s.sharesFull(t) {
			return invalid("%d shares of one upload", maxShares)
		}
		head.EndLine, tail.Line = c.AtLine, c.AtLine
	case RangeTask, ScanTask:
		if len(c.At) > 0 && bytes.Equal(c.At, t.To) {
			return nil
		}
		if bytes.Compare(c.At, t.From) <= 0 || !before(c.At, t.To) || len(c.At) > maxKey {
			return ErrBadRange
		}
		head.To, tail.From = c.At, c.At
		head.Uploads, tail.Uploads = splitUploads(t.Uploads, c.At)
	default:
		return invalid("a task of kind %s does not split", t.Kind)
	}
	job := clone(s.jobs[t.Job])
	s.putTask(head)
	s.addTask(job, tail)
	s.jobs[job.ID] = job
	if t.Kind == PartsTask {
		s.splitShare(head, tail)
	}
	s.adoptShares(tail)
	if cut := s.cuts[job.ID][t.Cut]; cut != nil {
		cut = clone(cut)
		cut.Tasks++
		s.putCut(job.ID, t.Cut, cut)
	}
	return nil
}
