package fsm

import (
	"bytes"
	"slices"
)

func (s *State) planUpload(c PlanUpload) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	if err := checkKey(c.Key); err != nil {
		return err
	}
	switch t.Kind {
	case ListTask:
	case RangeTask:
		if bytes.Compare(c.Key, t.From) < 0 || !before(c.Key, t.To) {
			return ErrBadRange
		}
	default:
		return invalid("a task of kind %s uploads nothing", t.Kind)
	}
	i, found := findUpload(t.Uploads, c.Key)
	if found {
		if u := t.Uploads[i]; u.Planned == c.Planned && slices.Equal(u.Known, c.Known) {
			return nil
		}
		return invalid("an upload of the key is planned already")
	}
	if len(t.Uploads) >= maxUploads {
		return invalid("%d uploads in one task", len(t.Uploads))
	}
	u := &Upload{Key: c.Key, Known: c.Known, Planned: c.Planned}
	s.putUploads(t, slices.Insert(slices.Clone(t.Uploads), i, u))
	return nil
}

func (s *State) openUpload(c OpenUpload) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	if c.ID == "" || len(c.ID) > maxUploadID || c.Part <= 0 {
		return invalid("upload with an ID of %d bytes and parts of %d", len(c.ID), c.Part)
	}
	i, found := findUpload(t.Uploads, c.Key)
	if !found {
		return invalid("no upload of the key is planned")
	}
	old := t.Uploads[i]
	if old.ID != "" {
		if old.ID == c.ID && old.Version == c.Version && old.Part == c.Part {
			return nil
		}
		return invalid("another upload of the key is open")
	}
	opened := clone(old)
	opened.ID, opened.Version, opened.Part = c.ID, c.Version, c.Part
	uploads := slices.Clone(t.Uploads)
	uploads[i] = opened
	s.putUploads(t, uploads)
	return nil
}

func (s *State) closeUpload(c CloseUpload) error {
	t, err := s.held(c.Task, c.Epoch)
	if err != nil {
		return err
	}
	i, found := findUpload(t.Uploads, c.Key)
	if !found {
		return nil
	}
	job := clone(s.jobs[t.Job])
	s.dropShares(job, t.Uploads[i:i+1])
	s.jobs[job.ID] = job
	s.putUploads(t, slices.Delete(slices.Clone(t.Uploads), i, i+1))
	return nil
}

func (s *State) putUploads(t *Task, uploads []*Upload) {
	t = clone(t)
	t.Uploads = uploads
	if len(uploads) == 0 {
		t.Uploads = nil
	}
	s.putTask(t)
}

func findUpload(uploads []*Upload, key []byte) (int, bool) {
	return slices.BinarySearchFunc(uploads, key, func(u *Upload, key []byte) int { return bytes.Compare(u.Key, key) })
}

// splitUploads parts uploads at a key. An empty part is nil, as it comes back from a snapshot.
func splitUploads(uploads []*Upload, at []byte) (below, rest []*Upload) {
	i, _ := findUpload(uploads, at)
	if i > 0 {
		below = slices.Clip(uploads[:i])
	}
	if i < len(uploads) {
		rest = uploads[i:]
	}
	return below, rest
}
