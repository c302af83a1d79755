package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

func (s *State) submitJob(c SubmitJob) error {
	if !validJobID(c.ID) || len(c.Nonce) != nonceSize || !validType(c.Kind) {
		return invalid("job %q of type %q with a nonce of %d bytes", c.ID, c.Kind, len(c.Nonce))
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	// Compact, as it comes back from a snapshot.
	var spec bytes.Buffer
	if err := json.Compact(&spec, c.Spec); err != nil {
		return invalid("spec is not JSON")
	}
	if old := s.jobs[c.ID]; old != nil {
		if bytes.Equal(old.Nonce, c.Nonce) {
			return nil
		}
		return ErrJobExists
	}
	if err := s.checkSeals(spec.Bytes()); err != nil {
		return err
	}
	s.jobs[c.ID] = &Job{
		ID: c.ID, Nonce: c.Nonce, Spec: spec.Bytes(), Limits: c.Limits, Type: c.Kind, Priority: c.Priority,
		State: Pending, Submitted: c.At,
	}
	return nil
}

func (s *State) startPass(c StartPass) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if old.Pass == c.Pass && old.Started == c.At && old.State == Running {
		return nil
	}
	switch old.State {
	case Pending, Waiting, Succeeded, Failed:
	default:
		return ErrJobState
	}
	if c.Pass != old.Pass+1 {
		return invalid("pass %d after pass %d", c.Pass, old.Pass)
	}
	job := &Job{
		ID: old.ID, Nonce: old.Nonce, Spec: old.Spec, Limits: old.Limits, Type: old.Type, Priority: old.Priority,
		Revision: old.Revision, Submitted: old.Submitted, State: Running, Pass: c.Pass, Started: c.At, PassClock: c.Clock, SkewNanos: c.SkewNanos,
		PrevStart: old.PrevStart, Places: old.Places, Incarnation: old.Incarnation, Redone: old.Redone,
	}
	if old.State != Pending {
		job.PrevStart = old.PassClock
	}
	delete(s.cuts, job.ID)
	s.addTask(job, &Task{Kind: ScanTask})
	s.jobs[job.ID] = job
	return nil
}

func (s *State) finishPass(c FinishPass) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	switch {
	case old.Pass == c.Pass && (old.State == Succeeded || old.State == Failed):
		return nil
	case old.State != Running || old.Pass != c.Pass:
		return ErrJobState
	case old.Unfinished > 0:
		return ErrUnfinished
	}
	job := clone(old)
	job.Finished = c.At
	job.State, job.Reason, job.Class = Succeeded, "", ""
	if job.Counts.Failed > 0 || job.TasksLost > 0 {
		job.State, job.RetryAt = Failed, max(c.RetryAt, 0)
		if job.Awaited() > 0 && job.Awaiting == 0 {
			job.Awaiting = c.At
		}
		job.Reason = failedReason(job)
	}
	s.jobs[job.ID] = job
	s.tellEnd(job)
	return nil
}

func failedReason(j *Job) string {
	if n := j.Awaited(); n > 0 && j.RetryAt != 0 {
		reason := fmt.Sprintf("waiting for %d archived objects to be restored, looked for again at %s", n, time.Unix(0, j.RetryAt).UTC().Format(time.RFC3339))
		if more := j.Counts.Failed - n; more > 0 {
			reason += fmt.Sprintf("; %d other objects failed", more)
		}
		return reason
	}
	reason := fmt.Sprintf("%d objects failed, %d ranges were given up", j.Counts.Failed, j.TasksLost)
	if more := j.TasksLost - int64(len(j.LostRanges)); more > 0 {
		reason += fmt.Sprintf(", %d of these are not recorded and need another pass", more)
	}
	if j.RetryAt != 0 {
		reason += ", to be retried at " + time.Unix(0, j.RetryAt).UTC().Format(time.RFC3339)
	}
	return reason
}

func (s *State) pauseJob(c PauseJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	switch old.State {
	case Paused:
		return nil
	case Running, Pending:
	default:
		return ErrJobState
	}
	job := clone(old)
	s.pause(job, c.Reason, c.Class)
	s.jobs[job.ID] = job
	s.tellPause(job, c.At)
	return nil
}

// pause stops a job and takes its tasks back; they keep what they settled.
func (s *State) pause(job *Job, reason, class string) {
	job.State, job.Reason, job.Class = Paused, short(reason), short(class)
	if of := s.byJob[job.ID]; of != nil {
		for _, id := range append(of.leasedScans.list(), of.leased.list()...) {
			s.release(s.tasks[id])
		}
	}
}

func (s *State) continueJob(c ContinueJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if old.State == Running || old.State == Pending {
		return nil
	}
	if old.State != Paused {
		return ErrJobState
	}
	job := clone(old)
	job.State, job.Reason, job.Class = Running, "", ""
	if job.Pass == 0 {
		job.State = Pending
	}
	job.Tolerated = job.Counts.Failed - job.Awaited()
	s.jobs[job.ID] = job
	return nil
}

func (s *State) cancelJob(c CancelJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	switch old.State {
	case Canceled:
		return nil
	case Succeeded, Failed:
		return ErrJobState
	}
	job := clone(old)
	job.State, job.Reason, job.Class, job.Finished = Canceled, short(c.Reason), "", c.At
	job.Listing, job.Unfinished = 0, 0
	s.dropTasks(job.ID)
	s.jobs[job.ID] = job
	return nil
}

func (s *State) removeJob(c RemoveJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if old.State == Running {
		return ErrJobState
	}
	s.dropTasks(old.ID)
	delete(s.jobs, old.ID)
	return nil
}

func (s *State) redoJob(c RedoJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if old.Redone == c.At && old.Redone != 0 {
		return nil
	}
	if old.State == Running || old.State == Pending {
		return ErrJobState
	}
	s.dropTasks(old.ID)
	job := &Job{
		ID: old.ID, Nonce: old.Nonce, Spec: old.Spec, Limits: old.Limits, Type: old.Type, Priority: old.Priority, Revision: old.Revision,
		State: Pending, Submitted: old.Submitted, Incarnation: old.Incarnation + 1, Redone: c.At,
	}
	if c.Paused {
		job.State, job.Reason, job.Class = Paused, "started afresh, to begin when it is continued", OperatorClass
	}
	s.jobs[old.ID] = job
	return nil
}

// dropTasks forgets a job's tasks and cuts.
func (s *State) dropTasks(job string) {
	var drop []*Task
	for t := range s.TasksOf(job) {
		drop = append(drop, t)
	}
	for _, t := range drop {
		s.dropTask(t)
	}
	delete(s.cuts, job)
}

func (s *State) retryJob(c RetryJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if old.Retried == c.At && old.Retried != 0 {
		return nil
	}
	if old.State != Failed || c.Auto && old.RetryAt == 0 {
		return ErrJobState
	}
	job := clone(old)
	job.State, job.Reason, job.Class, job.Finished, job.Retried = Running, "", "", 0, c.At
	job.Retries, job.RetryAt = 0, 0
	if c.Auto {
		job.Retries = old.Retries + 1
	} else {
		job.Awaiting = 0
	}
	job.Tolerated = job.Counts.Failed - job.Awaited()
	for _, seg := range job.Failed {
		s.addTask(job, &Task{Kind: ListTask, Segment: &seg, EndLine: seg.Lines, Retry: true})
	}
	for _, lost := range job.LostRanges {
		s.retryRange(job, lost.Task)
	}
	job.TasksLost -= int64(len(job.LostRanges))
	job.Failed, job.LostRanges = nil, nil
	s.jobs[job.ID] = job
	return nil
}

// retryRange makes a task that was given up a task again, from where it stood.
func (s *State) retryRange(job *Job, lost Task) {
	lost.Attempt, lost.NotBefore, lost.Grants = 0, 0, max(lost.Grants, 1)
	s.addTask(job, &lost)
	if cut := s.cuts[job.ID][lost.Cut]; cut != nil {
		cut = clone(cut)
		cut.Lost--
		cut.Tasks++
		s.putCut(job.ID, lost.Cut, cut)
	}
}

func (s *State) foldSegments(c FoldSegments) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if err := checkSegment(&c.Manifest); err != nil {
		return err
	}
	if !c.Manifest.Manifest || c.Count < 1 {
		return invalid("fold of %d segments", c.Count)
	}
	job := clone(old)
	list := &job.Audit
	if c.Failed {
		list = &job.Failed
	}
	if len(*list) > 0 && bytes.Equal((*list)[0].Name, c.Manifest.Name) {
		return nil
	}
	if len(*list) < c.Count || !bytes.Equal((*list)[0].Name, c.First) {
		return ErrStaleFrom
	}
	*list = append([]Segment{c.Manifest}, (*list)[c.Count:]...)
	s.jobs[job.ID] = job
	return nil
}

// addTask gives a new task its ID and counts it in its job, which the caller puts back.
func (s *State) addTask(job *Job, t *Task) {
	s.lastTask++
	t.ID, t.Job = s.lastTask, job.ID
	job.Unfinished++
	if t.Kind == ScanTask {
		job.Listing++
	}
	s.putTask(t)
}

// endTask takes a task out of the state and out of its job's count, which the caller puts back.
func (s *State) endTask(job *Job, t *Task) {
	job.Unfinished--
	if t.Kind == ScanTask {
		job.Listing--
	}
	s.dropTask(t)
	s.dropShares(job, t.Uploads)
}
