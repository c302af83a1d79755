package fsm

import (
	"slices"
)

// shareParts hands parts of an open upload to others, as a task of its own, or takes parts back that nobody works on.
func (s *State) shareParts(c ShareParts) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	i, found := findUpload(t.Uploads, c.Key)
	if !found || t.Uploads[i].ID == "" {
		return invalid("no upload of the key is open")
	}
	u := t.Uploads[i]
	if err := checkParts(u, &c); err != nil {
		return err
	}
	if c.Back {
		return s.takeBack(t, i, &c)
	}
	at, overlaps := overlap(u.Shares, c.First, c.End)
	switch {
	case overlaps && covers(u.Shares, c.First, c.End):
		return nil
	case overlaps:
		return ErrBadRange
	case len(u.Shares) >= maxShares:
		return invalid("%d shares of one upload", len(u.Shares))
	}
	job := clone(s.jobs[t.Job])
	part := &Task{
		Kind: PartsTask, Line: c.First, EndLine: c.End,
		Parts: &Parts{Owner: t.ID, Key: u.Key, ID: u.ID, Version: u.Version, Part: u.Part, Size: c.Size},
	}
	s.addTask(job, part)
	s.jobs[job.ID] = job
	s.putShares(t, i, slices.Insert(slices.Clone(u.Shares), at, Share{First: c.First, End: c.End, Task: part.ID}))
	return nil
}

// checkParts wants a range of parts that the object has.
func checkParts(u *Upload, c *ShareParts) error {
	switch {
	case c.Size <= 0 || c.Size > maxCount || c.First < 0 || c.End <= c.First:
		return invalid("parts %d to %d of %d bytes", c.First, c.End, c.Size)
	case c.End > maxParts || (c.End-1) > (c.Size-1)/u.Part:
		return ErrBadRange
	}
	return nil
}

// takeBack drops the share of exactly these parts, unless a node holds its task. Where nothing of them is shared, that
// was done before.
func (s *State) takeBack(t *Task, i int, c *ShareParts) error {
	shares := t.Uploads[i].Shares
	at, overlaps := overlap(shares, c.First, c.End)
	if !overlaps {
		return nil
	}
	sh := shares[at]
	if sh.First != c.First || sh.End != c.End {
		return ErrBadRange
	}
	if part := s.tasks[sh.Task]; part != nil {
		if part.Leased() {
			return ErrNotPending
		}
		job := clone(s.jobs[t.Job])
		s.endTask(job, part)
		s.jobs[job.ID] = job
	}
	s.putShares(t, i, slices.Delete(slices.Clone(shares), at, at+1))
	return nil
}

// overlap returns the first share that has parts of a range, and whether there is one; else where its share belongs.
func overlap(shares []Share, first, end int64) (at int, overlaps bool) {
	at = slices.IndexFunc(shares, func(sh Share) bool { return sh.End > first })
	if at < 0 {
		return len(shares), false
	}
	return at, shares[at].First < end
}

// covers tells whether shares tile a range exactly: it was shared before, and perhaps split since.
func covers(shares []Share, first, end int64) bool {
	at, _ := overlap(shares, first, end)
	for ; at < len(shares) && shares[at].First == first; at++ {
		if first = shares[at].End; first >= end {
			return first == end
		}
	}
	return false
}

// putShares replaces the shares of one upload.
func (s *State) putShares(t *Task, i int, shares []Share) {
	u := clone(t.Uploads[i])
	u.Shares = shares
	if len(shares) == 0 {
		u.Shares = nil
	}
	uploads := slices.Clone(t.Uploads)
	uploads[i] = u
	s.putUploads(t, uploads)
}

// changeShare lets change replace the share that a parts task stands for.
func (s *State) changeShare(part *Task, change func(Share) []Share) {
	owner := s.tasks[part.Parts.Owner]
	if owner == nil {
		return
	}
	i, found := findUpload(owner.Uploads, part.Parts.Key)
	if !found {
		return
	}
	shares := owner.Uploads[i].Shares
	at := slices.IndexFunc(shares, func(sh Share) bool { return sh.Task == part.ID })
	if at < 0 {
		return
	}
	s.putShares(owner, i, slices.Replace(slices.Clone(shares), at, at+1, change(shares[at])...))
}

// sharesFull tells whether the upload that a parts task works for has as many shares as it may.
func (s *State) sharesFull(part *Task) bool {
	owner := s.tasks[part.Parts.Owner]
	if owner == nil {
		return true
	}
	i, found := findUpload(owner.Uploads, part.Parts.Key)
	return !found || len(owner.Uploads[i].Shares) >= maxShares
}

// endShare keeps for the owner what became of shared parts.
func (s *State) endShare(part *Task, r *PartsResult) {
	s.changeShare(part, func(sh Share) []Share {
		sh.Task, sh.Result = 0, r
		return []Share{sh}
	})
}

// splitShare names the task that the upper parts went to.
func (s *State) splitShare(head, tail *Task) {
	s.changeShare(head, func(sh Share) []Share {
		return []Share{{First: sh.First, End: tail.Line, Task: head.ID}, {First: tail.Line, End: sh.End, Task: tail.ID}}
	})
}

// dropShares ends what others still do for uploads that are not a task's any more.
func (s *State) dropShares(job *Job, uploads []*Upload) {
	for _, u := range uploads {
		for _, sh := range u.Shares {
			if part := s.tasks[sh.Task]; part != nil {
				s.endTask(job, part)
			}
		}
	}
}

// adoptShares tells the tasks that send parts for a task's uploads whose they are now.
func (s *State) adoptShares(t *Task) {
	for _, u := range t.Uploads {
		for _, sh := range u.Shares {
			if part := s.tasks[sh.Task]; part != nil {
				part = clone(part)
				part.Parts = clone(part.Parts)
				part.Parts.Owner = t.ID
				s.putTask(part)
			}
		}
	}
}

// withoutShares returns uploads as a later owner shall find them once nobody sends parts of them any more.
func withoutShares(uploads []*Upload) []*Upload {
	out := slices.Clone(uploads)
	for i, u := range out {
		if u.Shares != nil {
			out[i] = clone(u)
			out[i].Shares = nil
		}
	}
	return out
}

// checkPartsAdvance wants of a parts task its one and only report: that it ended, what it moved, and with what result.
func checkPartsAdvance(t *Task, c *AdvanceTask) error {
	if t.Kind != PartsTask {
		if c.Parts != nil {
			return invalid("a result of parts of a %s task", t.Kind)
		}
		return nil
	}
	switch r := c.Parts; {
	case r == nil || !c.Done:
		return invalid("a parts task reports once, when it ends")
	case c.Counts != Counts{BytesMoved: c.Counts.BytesMoved} || c.Objects != 0 || c.Bytes != 0 || len(c.Digest) != 0 ||
		len(c.Classes) != 0 || c.Failed != nil || c.Audit != nil:
		return invalid("a parts task counts nothing but bytes moved")
	case r.Class == "" && len(r.Tags) != nameSize, len(r.Tags) > nameSize, len(r.CRC64) > sumSize, len(r.CRC32C) > sumSize, len(r.CRC64ECMA) > sumSize,
		len(r.Shown) > maxName, len(r.Class) > maxName, len(r.Reason) > maxReason:
		return invalid("result of parts out of bounds")
	}
	return nil
}
