package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	nonceBytes   = 16
	maxPage      = 1000
	errorsPage   = 100 // failed keys by default, and those in a job's document
	reasonLength = 500 // bytes
)

// submit creates a job. Sent again with the same Idempotency-Key it creates nothing.
func (s *Server) submit(ctx context.Context, in *call) (*reply, error) {
	cmd, err := s.cfg.Jobs.Submission(ctx, in.body, nonceOf(in))
	if err != nil {
		return nil, err
	}
	if err := s.propose(ctx, in, "add", cmd.ID, cmd); errors.Is(err, fsm.ErrJobExists) {
		return nil, problemf(http.StatusConflict, CodeJobExists, "a job with this ID exists",
			"a job with the ID %q exists; give another ID, or remove that job first", cmd.ID)
	} else if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("job submitted", "job", cmd.ID, "by", in.caller)
	return &reply{status: http.StatusCreated, location: "/v1/jobs/" + url.PathEscape(cmd.ID), document: &Created{ID: cmd.ID}}, nil
}

func (s *Server) listJobs(_ context.Context, in *call) (*reply, error) {
	limit, err := number(in, "limit", maxPage, 1, maxPage)
	if err != nil {
		return nil, err
	}
	var ids []string
	s.cfg.State.Read(func(state *fsm.State) {
		for _, job := range state.Jobs() {
			ids = append(ids, job.ID)
		}
	})
	start, found := slices.BinarySearch(ids, in.URL.Query().Get("after"))
	if found {
		start++
	}
	list := &JobList{Jobs: []Job{}}
	for _, id := range ids[start:] {
		if len(list.Jobs) == int(limit) {
			list.Next = list.Jobs[len(list.Jobs)-1].ID
			break
		}
		if st, ok := s.cfg.Leader.Status(id); ok {
			list.Jobs = append(list.Jobs, jobOf(st))
		}
	}
	return &reply{document: list}, nil
}

func (s *Server) showJob(ctx context.Context, in *call) (*reply, error) {
	return s.describe(ctx, in.PathValue("id"))
}

func (s *Server) describe(ctx context.Context, id string) (*reply, error) {
	st, ok := s.cfg.Leader.Status(id)
	if !ok {
		_, err := s.job(id)
		return nil, errors.Join(err, fsm.ErrNoJob)
	}
	d := jobOf(st)
	d.Nodes = nodesOf(st)
	found, err := s.cfg.Jobs.Errors(ctx, st.Job, "", errorsPage)
	if err != nil {
		// The rest of the document is what matters; the list of errors has an endpoint of its own, which then fails.
		s.cfg.Logger.Warn("failed keys of a job not read", "job", id, "error", err)
	} else if len(found.Errors) > 0 {
		d.Errors = found.Errors
	}
	return &reply{document: &d}, nil
}

// number reads a whole number from the query.
func number(in *call, name string, initial, least, most int64) (int64, error) {
	text := in.URL.Query().Get(name)
	if text == "" {
		return initial, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "%s=%q is not a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func (s *Server) showSpec(_ context.Context, in *call) (*reply, error) {
	job, err := s.job(in.PathValue("id"))
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Jobs.Description(job)
	if err != nil {
		return nil, err
	}
	return &reply{document: d, etag: revisionOf(job)}, nil
}

// verb is what an operator can ask of a job, and when.
type verb struct {
	name    string
	allowed []fsm.JobState
	aborts  bool // the state forgets the uploads of the job's tasks
	command func(job *fsm.Job, given Reason) fsm.Command
}

func verbs() []verb {
	return []verb{
		{"pause", []fsm.JobState{fsm.Pending, fsm.Running, fsm.Paused}, false, func(j *fsm.Job, given Reason) fsm.Command {
			return fsm.PauseJob{Job: j.ID, Nonce: j.Nonce, Reason: given.Reason, Class: fsm.OperatorClass}
		}},
		{"continue", []fsm.JobState{fsm.Paused}, false, func(j *fsm.Job, _ Reason) fsm.Command {
			return fsm.ContinueJob{Job: j.ID, Nonce: j.Nonce}
		}},
		{"redo", []fsm.JobState{fsm.Paused, fsm.Waiting, fsm.Succeeded, fsm.Failed, fsm.Canceled}, true, func(j *fsm.Job, given Reason) fsm.Command {
			return fsm.RedoJob{Job: j.ID, Nonce: j.Nonce, Paused: given.Paused}
		}},
		{"retry", []fsm.JobState{fsm.Failed}, false, func(j *fsm.Job, _ Reason) fsm.Command {
			return fsm.RetryJob{Job: j.ID, Nonce: j.Nonce}
		}},
	}
}

func removal() verb {
	return verb{"rm", []fsm.JobState{fsm.Pending, fsm.Paused, fsm.Waiting, fsm.Succeeded, fsm.Failed, fsm.Canceled}, true,
		func(j *fsm.Job, _ Reason) fsm.Command { return fsm.RemoveJob{Job: j.ID, Nonce: j.Nonce} }}
}

// Reason is the optional body of POST /v1/jobs/ID/pause and of redo.
type Reason struct {
	Reason string `json:"reason,omitempty"` // of a pause, as status shows it
	Paused bool   `json:"paused,omitempty"` // of a redo: begin only when continued
}

func (s *Server) verb(v verb) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, in *call) (*reply, error) {
		if _, err := s.act(ctx, in, v); err != nil {
			return nil, err
		}
		return s.describe(ctx, in.PathValue("id"))
	}
}

func (s *Server) removeJob(ctx context.Context, in *call) (*reply, error) {
	left, err := s.act(ctx, in, removal())
	if err != nil {
		return nil, err
	}
	return &reply{document: &Removed{ID: in.PathValue("id"), Warning: warningOf(left)}}, nil
}

// act does what a verb asks of the job that the path names. left is why uploads that the job recorded are not aborted.
func (s *Server) act(ctx context.Context, in *call, v verb) (left, err error) {
	reason := Reason{Reason: "paused by an operator"}
	if len(bytes.TrimSpace(in.body)) > 0 {
		if err := decode(in.body, &reason); err != nil {
			return nil, err
		}
	}
	if len(reason.Reason) > reasonLength {
		return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the reason has more than %d bytes", reasonLength)
	}
	if in.done != nil {
		return nil, nil
	}
	job, err := s.job(in.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(v.allowed, job.State) {
		return nil, notAllowed(v, job)
	}
	if v.aborts {
		left = s.abortUploads(ctx, job)
	}
	err = s.propose(ctx, in, v.name, job.ID, v.command(job, reason))
	if errors.Is(err, fsm.ErrJobState) {
		if now, gone := s.job(job.ID); gone == nil {
			job = now // it changed between the look and the command
		}
		return nil, notAllowed(v, job)
	}
	if err == nil {
		s.cfg.Logger.Info("job changed", "job", job.ID, "verb", v.name, "by", in.caller)
	}
	return left, err
}

// abortUploads leaves nothing half-written behind where it can. What it cannot abort does not keep the job from going.
func (s *Server) abortUploads(ctx context.Context, job *fsm.Job) error {
	ctx, cancel := context.WithTimeout(ctx, abortPatience)
	defer cancel()
	err := s.cfg.Jobs.AbortUploads(ctx, job)
	if err != nil {
		s.cfg.Logger.Warn("uploads that the job recorded are not aborted", "job", job.ID, "error", err)
	}
	return err
}

// warningOf tells what an operator has to look after when uploads are left.
func warningOf(left error) string {
	if left == nil {
		return ""
	}
	return clean("unfinished uploads may be left at the destination, to be aborted there: "+strings.ReplaceAll(left.Error(), "\n", "; "), reasonLength)
}

// notAllowed names the states that allow a verb.
func notAllowed(v verb, job *fsm.Job) error {
	names := make([]string, len(v.allowed))
	for i, state := range v.allowed {
		names[i] = string(state)
	}
	p := problemf(http.StatusConflict, CodeJobState, "not allowed in the job's state",
		"%s is not allowed for job %q, which is %s; it is allowed for jobs that are %s", v.name, job.ID, job.State, either(names))
	p.Allowed = v.allowed
	return p
}

func either(words []string) string { return list(words, "or") }

// list joins words, the last one by a conjunction.
func list(words []string, conjunction string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return fmt.Sprintf("%s %s %s", strings.Join(words[:last], ", "), conjunction, words[last])
}
