package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
)

// SpecHash names a job's description as it is now.
func (j *Job) SpecHash() [sha256.Size]byte { return sha256.Sum256(j.Spec) }

// Allows tells whether a change of such a scope may be made now.
func (j *Job) Allows(scope EditScope) bool {
	switch scope {
	case EditLive:
		return true
	case EditRest:
		return j.State != Running
	case EditPlaces:
		return j.Pass == 0
	}
	return false
}

func (s *State) editJob(c EditJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	var spec bytes.Buffer
	if err := json.Compact(&spec, c.Spec); err != nil {
		return invalid("spec is not JSON")
	}
	if !validType(c.Kind) || c.Kind != old.Type && c.Scope != EditPlaces {
		return invalid("change to type %q", short(c.Kind))
	}
	if bytes.Equal(old.Spec, spec.Bytes()) {
		return nil
	}
	if err := s.checkSeals(spec.Bytes()); err != nil {
		return err
	}
	if base := old.SpecHash(); !bytes.Equal(c.Base, base[:]) {
		return ErrOutdated
	}
	if !old.Allows(c.Scope) {
		return ErrJobState
	}
	job := clone(old)
	job.Spec, job.Limits, job.Priority, job.Type, job.Revision = spec.Bytes(), c.Limits, c.Priority, c.Kind, s.index
	if c.Renews {
		job.Renewed = c.At
	}
	if c.Scope == EditPlaces {
		job.Places = nil // they are of the sides that it had
	}
	s.jobs[job.ID] = job
	return nil
}
