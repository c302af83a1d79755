package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
)

func (s *State) advanceTask(c AdvanceTask) error {
	old, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	repeat, err := checkBounds(old, &c)
	if repeat || err != nil {
		return err
	}
	job := clone(s.jobs[old.Job])
	if err := checkAdvance(job, old, &c); err != nil {
		return err
	}
	t := settle(job, old, &c)
	for i := range c.Cuts {
		s.addCut(job, &c.Cuts[i])
	}
	if c.Done {
		if c.Parts != nil {
			s.endShare(old, c.Parts)
		}
		s.endTask(job, old)
		s.finishTask(job, t)
	} else {
		s.putTask(t)
	}
	if c.Counts.Failed > 0 && tooManyFailures(job) {
		s.pause(job, fmt.Sprintf("%d objects failed", job.Counts.Failed), failuresClass)
		s.tellPause(job, c.At)
	}
	s.jobs[job.ID] = job
	return nil
}

// checkBounds compares the range of an AdvanceTask with the task's. A repeat was applied before and counts no more.
func checkBounds(t *Task, c *AdvanceTask) (repeat bool, err error) {
	if t.byLine() {
		return checkLines(t, c)
	}
	if !bytes.Equal(c.From, t.From) {
		if !c.Done && bytes.Equal(c.To, t.From) && bytes.Compare(c.From, c.To) < 0 {
			return true, nil
		}
		return false, ErrStaleFrom
	}
	if c.Done {
		if !bytes.Equal(c.To, t.To) {
			return false, ErrBadRange
		}
		return false, nil
	}
	if bytes.Compare(c.To, c.From) <= 0 || len(t.To) > 0 && bytes.Compare(c.To, t.To) > 0 || len(c.To) > maxKey {
		return false, ErrBadRange
	}
	return false, nil
}

func checkLines(t *Task, c *AdvanceTask) (repeat bool, err error) {
	if c.FromLine != t.Line {
		if !c.Done && c.ToLine == t.Line && c.FromLine < c.ToLine {
			return true, nil
		}
		return false, ErrStaleFrom
	}
	if c.Done && c.ToLine != t.EndLine || !c.Done && (c.ToLine <= c.FromLine || c.ToLine > t.EndLine) {
		return false, ErrBadRange
	}
	return false, nil
}

// checkAdvance refuses counts and names that would make no sense in the sums.
func checkAdvance(job *Job, t *Task, c *AdvanceTask) error {
	low := int64(0)
	if t.Retry {
		low = -maxCount
	}
	sum := job.Counts.Add(c.Counts)
	switch {
	case !c.Counts.within(low, maxCount) || !sum.within(0, math.MaxInt64):
		return invalid("counts %+v of a %s task", c.Counts, t.Kind)
	case t.Kind == RelistTask && c.Counts != (Counts{}):
		return invalid("a re-listing counts nothing")
	case t.Kind != ScanTask && (c.Counts.Listed != 0 || c.Counts.BytesListed != 0 && t.Kind != ListTask):
		// A list need not tell sizes: whoever works through it adds what the scan could not know.
		return invalid("listed by a %s task", t.Kind)
	case c.Objects < 0 || c.Objects > maxCount || c.Bytes < 0 || c.Bytes > maxCount:
		return invalid("%d objects of %d bytes", c.Objects, c.Bytes)
	}
	if err := checkDigest(c.Digest); err != nil {
		return err
	}
	for class, n := range c.Classes {
		if class == "" || len(class) > maxName || n < low || n > maxCount {
			return invalid("%d failures of class %q", n, class)
		}
	}
	for _, seg := range []*Segment{c.Failed, c.Audit} {
		if seg == nil {
			continue
		}
		if err := checkSegment(seg); err != nil {
			return err
		}
	}
	if err := checkPartsAdvance(t, c); err != nil {
		return err
	}
	return checkCuts(t, c)
}

// settle returns the task with its lower bound moved, and adds what it counted to its job.
func settle(job *Job, old *Task, c *AdvanceTask) *Task {
	t := clone(old)
	if t.byLine() {
		t.Line = c.ToLine
	} else {
		t.From = c.To
	}
	t.Objects += c.Objects
	t.Bytes += c.Bytes
	t.Digest = addDigests(t.Digest, c.Digest)

	job.Counts = job.Counts.Add(c.Counts)
	job.Classes = addClasses(job.Classes, c.Classes)
	if c.Failed != nil {
		job.Failed = append(slices.Clip(job.Failed), *c.Failed)
	}
	if c.Audit != nil {
		job.Audit = append(slices.Clip(job.Audit), *c.Audit)
	}
	return t
}

// addClasses returns the sums by class. Beyond maxClasses new ones are counted together.
func addClasses(sums, more map[string]int64) map[string]int64 {
	if len(more) == 0 {
		return sums
	}
	sums = maps.Clone(sums)
	if sums == nil {
		sums = map[string]int64{}
	}
	for _, class := range slices.Sorted(maps.Keys(more)) {
		n := more[class]
		if _, known := sums[class]; !known && len(sums) >= maxClasses {
			class = otherClasses
		}
		if sums[class] += n; sums[class] <= 0 {
			delete(sums, class)
		}
	}
	if len(sums) == 0 {
		return nil
	}
	return sums
}

// tooManyFailures tells whether both limits are exceeded, the number and the share of what was found.
func tooManyFailures(j *Job) bool {
	limit, percent := j.Limits.MaxFailures, j.Limits.MaxFailuresPercent
	if limit == 0 {
		limit = 10000
	}
	if percent == 0 {
		percent = 1
	}
	failed := j.Counts.Failed - j.Awaited() - j.Tolerated
	return failed > limit && float64(failed) > float64(j.Counts.Found())*percent/100
}
