package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/fsm"
)

// Change is what an edit comes to.
type Change struct {
	Command fsm.EditJob // without Base and Scope; meant only if Fields has any
	Fields  []string    // dotted keys of the description that change, sorted
	Rest    []string    // those of them that a running job does not take
	Places  []string    // those of Rest that make another job of it: only before the first pass
}

// Edited is what an edit answers.
type Edited struct {
	ID       string       `json:"id"`
	State    fsm.JobState `json:"state"`
	Pass     uint64       `json:"pass"`
	Changed  []string     `json:"changed"`  // dotted keys, empty if nothing changed
	Revision string       `json:"revision"` // of the description now, as ETag of GET /v1/jobs/ID/spec
	Freshness
}

// revisionOf names a job's description as it is now: an entity tag (RFC 9110, 8.8.3).
func revisionOf(job *fsm.Job) string {
	sum := job.SpecHash()
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// editJob replaces a job's description. If-Match names the one that the change was made of, so that nobody's change is lost.
func (s *Server) editJob(ctx context.Context, in *call) (*reply, error) {
	match := in.Header.Get("If-Match")
	if match == "" {
		return nil, problemf(http.StatusPreconditionRequired, CodeNoRevision, "the revision is missing",
			"the header If-Match is missing: the ETag that GET %s answered, or * for whatever is there", in.URL.Path)
	}
	job, err := s.job(in.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if in.done != nil {
		return edited(job, nil), nil
	}
	change, err := s.cfg.Jobs.Edit(ctx, job, in.body)
	if err != nil {
		return nil, err
	}
	if len(change.Fields) == 0 {
		return edited(job, nil), nil // also of a request that comes again, for its answer got lost
	}
	if match != "*" && match != revisionOf(job) {
		return nil, outdated(job.ID)
	}
	scope := change.scope()
	if !job.Allows(scope) {
		return nil, change.refuse(job)
	}
	base := job.SpecHash()
	change.Command.Base, change.Command.Scope = base[:], scope
	err = s.propose(ctx, in, "edit", job.ID, change.Command)
	now, gone := s.job(job.ID)
	switch {
	case errors.Is(err, fsm.ErrOutdated):
		return nil, outdated(job.ID)
	case errors.Is(err, fsm.ErrJobState) && gone == nil:
		return nil, change.refuse(now) // it began between the look and the command
	case err != nil:
		return nil, err
	case gone != nil:
		return nil, gone
	}
	s.cfg.Logger.Info("job changed", "job", job.ID, "verb", "edit", "keys", change.Fields, "by", in.caller)
	return edited(now, change.Fields), nil
}

func edited(job *fsm.Job, fields []string) *reply {
	d := &Edited{ID: job.ID, State: job.State, Pass: job.Pass, Changed: append([]string{}, fields...), Revision: revisionOf(job)}
	return &reply{document: d, etag: d.Revision}
}

func outdated(id string) error {
	return problemf(http.StatusPreconditionFailed, CodeOutdated, "the job was changed meanwhile",
		"job %q was changed since its description was read; read it again", id)
}

// scope is how much a change touches.
func (c *Change) scope() fsm.EditScope {
	switch {
	case len(c.Places) > 0:
		return fsm.EditPlaces
	case len(c.Rest) > 0:
		return fsm.EditRest
	}
	return fsm.EditLive
}

// refuse says which fields cannot be changed now, and what to do.
func (c *Change) refuse(job *fsm.Job) error {
	var text []string
	rest := slices.DeleteFunc(slices.Clone(c.Rest), func(f string) bool { return slices.Contains(c.Places, f) })
	if len(c.Places) > 0 {
		first := ""
		if job.State == fsm.Running {
			first = "pause it and "
		}
		text = append(text, fmt.Sprintf("%s cannot be changed: job %q is %s and in pass %d; add another job, or %sstart it afresh without beginning "+
			"(ctl redo --paused), then edit it", list(c.Places, "and"), job.ID, job.State, job.Pass, first))
	}
	if len(rest) > 0 && job.State == fsm.Running {
		text = append(text, fmt.Sprintf("%s cannot be changed while job %q is running; pause it first (ctl pause), then edit and continue it",
			list(rest, "and"), job.ID))
	}
	p := problemf(http.StatusConflict, CodeJobState, "not allowed in the job's state", "%s", strings.Join(text, "; "))
	p.Keys = c.Rest
	if len(c.Places) == 0 {
		p.Allowed = []fsm.JobState{fsm.Pending, fsm.Paused, fsm.Waiting, fsm.Succeeded, fsm.Failed, fsm.Canceled}
	}
	return p
}

// Description returns a job's description as JSON, secrets masked, and the revision that Edit wants.
func (c *Client) Description(ctx context.Context, id string) (description json.RawMessage, revision string, err error) {
	header, err := c.exchange(ctx, http.MethodGet, jobPath(id)+"/spec", nil, nil, &description)
	return description, header.Get("Etag"), err
}

// Edit replaces a job's description, provided that it is of that revision still. What the new one leaves masked stays.
func (c *Client) Edit(ctx context.Context, id, revision string, description []byte) (*Edited, error) {
	var d Edited
	header := http.Header{"If-Match": {revision}, "Content-Type": {"application/json"}}
	return &d, c.call(ctx, http.MethodPut, jobPath(id)+"/spec", header, description, &d)
}
