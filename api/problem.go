package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// Problem is an error answer (RFC 9457, application/problem+json).
type Problem struct {
	Type    string         `json:"type"` // "urn:brigade:problem:" and one of the codes below
	Title   string         `json:"title"`
	Status  int            `json:"status"` // of HTTP
	Detail  string         `json:"detail,omitempty"`
	Allowed []fsm.JobState `json:"allowed_states,omitempty"` // the job states that allow what was asked
	Needed  fsm.Role       `json:"needed_role,omitempty"`    // that allows what was asked
	Keys    []string       `json:"keys,omitempty"`           // of a job's description, that cannot be changed now
	Field   string         `json:"field,omitempty"`          // of the body that is wrong
	Request string         `json:"request_id,omitempty"`     // that log and history know the request by
	// Where client and node are of different versions, and that may be why.
	NodeVersion   string `json:"node_version,omitempty"`
	ClientVersion string `json:"client_version,omitempty"`

	methods []string // that the path takes
}

// Error gives the detail, and where only the log of the node can say more, what to look for there.
func (p *Problem) Error() string {
	if p.Code() == CodeInternal && p.Request != "" {
		return p.Title + " (request " + p.Request + ")"
	}
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// Code is the last part of the type.
func (p *Problem) Code() string { return strings.TrimPrefix(p.Type, problemPrefix) }

const (
	problemPrefix = "urn:brigade:problem:"
	problemMedia  = "application/problem+json"
)

// The codes of problems. They are append-only.
const (
	CodeBadRequest   = "bad-request"
	CodeInvalidJob   = "invalid-job"
	CodeUnauthorized = "unauthorized"
	CodeNotFound     = "not-found"
	CodeNoMethod     = "method-not-allowed"
	CodeNoJob        = "no-such-job"
	CodeJobExists    = "job-exists"
	CodeJobState     = "job-state"
	CodeConflict     = "conflict"
	CodeTooLarge     = "too-large"
	CodeNoLeader     = "no-leader"
	CodeInternal     = "internal"
	CodeTokenExpired = "token-expired"
	CodeForbidden    = "forbidden"
	CodeTooMany      = "too-many-requests"
	CodeNoToken      = "no-such-token"
	CodeTokenExists  = "token-exists"
	CodeKeyState     = "key-state"
	CodeOutdated     = "outdated"         // a change was made of what is not there any more
	CodeNoRevision   = "revision-missing" // a change does not say what it was made of
	CodeMalformed    = "malformed-body"
	CodeUnknownField = "unknown-field"
	CodeWrongType    = "wrong-type"
	CodeMediaType    = "unsupported-media-type"
	CodeBadKey       = "bad-idempotency-key"
	CodeKeyReused    = "idempotency-key-reused"
	CodeNotReady     = "not-ready"
)

// codes are all of them.
func codes() []string {
	return []string{
		CodeBadRequest, CodeInvalidJob, CodeUnauthorized, CodeNotFound, CodeNoMethod, CodeNoJob, CodeJobExists, CodeJobState, CodeConflict,
		CodeTooLarge, CodeNoLeader, CodeInternal, CodeTokenExpired, CodeForbidden, CodeTooMany, CodeNoToken, CodeTokenExists, CodeMalformed,
		CodeUnknownField, CodeWrongType, CodeMediaType, CodeBadKey, CodeKeyReused, CodeNotReady, CodeKeyState, CodeOutdated, CodeNoRevision,
	}
}

// ErrNoLeader means that no leader is known, or that none answered in time.
var ErrNoLeader = errors.New("no leader")

func problem(status int, code, title string) *Problem {
	return &Problem{Type: problemPrefix + code, Title: title, Status: status}
}

// problemf describes a problem with a detail of its own.
func problemf(status int, code, title, format string, args ...any) *Problem {
	p := problem(status, code, title)
	p.Detail = fmt.Sprintf(format, args...)
	return p
}

// InvalidJob says that a job's description is wrong.
func InvalidJob(err error) error {
	return problemf(http.StatusUnprocessableEntity, CodeInvalidJob, "the job's description is wrong", "%s", err)
}

// problemOf finds the problem that an error stands for. What is not known is the node's own fault, and its text stays in
// the log.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range []struct {
		err    error
		status int
		code   string
		title  string
	}{
		{fsm.ErrNoJob, http.StatusNotFound, CodeNoJob, "no such job"},
		{fsm.ErrJobExists, http.StatusConflict, CodeJobExists, "a job with this ID exists"},
		{fsm.ErrJobState, http.StatusConflict, CodeJobState, "not allowed in the job's state"},
		{fsm.ErrNoToken, http.StatusNotFound, CodeNoToken, "no such token"},
		{fsm.ErrTokenExists, http.StatusConflict, CodeTokenExists, "a token with this name exists"},
		{fsm.ErrTooManyTokens, http.StatusConflict, CodeConflict, "there are as many tokens as there may be; remove one first"},
		{fsm.ErrKeyState, http.StatusConflict, CodeKeyState, "the cluster key was changed meanwhile; brigade ctl key rotate shows where that stands"},
		{fsm.ErrKeyInUse, http.StatusConflict, CodeKeyState, "secrets of a job or of a setting are still sealed with the old key; try again in a moment"},
		{fsm.ErrKeyRetired, http.StatusConflict, CodeKeyState, "the cluster key was replaced meanwhile; try again"},
		{fsm.ErrTooLarge, http.StatusRequestEntityTooLarge, CodeTooLarge, "the job's description is too large"},
		{fsm.ErrInvalid, http.StatusBadRequest, CodeBadRequest, "refused by the state machine"},
		{fsm.ErrKeyUsed, http.StatusUnprocessableEntity, CodeKeyReused, "idempotency key used before"},
		{ErrNoLeader, http.StatusServiceUnavailable, CodeNoLeader, "no leader"},
		{scheduler.ErrNotLeader, http.StatusServiceUnavailable, CodeNoLeader, "no leader"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, CodeNoLeader, "no leader answered in time; what was asked may still happen"},
	} {
		if errors.Is(err, k.err) {
			return problemf(k.status, k.code, k.title, "%s", k.title)
		}
	}
	return problem(http.StatusInternalServerError, CodeInternal, "internal error; the node's log says more")
}
