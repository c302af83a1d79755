package scheduler

import (
	"context"
	"errors"
	"fmt"

	"github.com/bucketbrigade/brigade/fsm"
)

// What a leader answers besides the sentinels of package fsm.
var (
	// ErrNotLeader means that this node does not lead, or stopped leading before the outcome was known.
	ErrNotLeader = errors.New("not the leader")
	// ErrSuperseded means that a newer process speaks for the node.
	ErrSuperseded = errors.New("another process speaks for this node")
	// ErrRefused means a command that a worker may not send, or a malformed call.
	ErrRefused = errors.New("refused by the leader")
	// ErrUnknown means a refusal that this version has no name for.
	ErrUnknown = errors.New("unknown refusal")
)

// PreflightError tells why no node can work on a job.
type PreflightError struct {
	Class  string // of package transfer/store
	Reason string
}

// Error gives the reason.
func (e *PreflightError) Error() string { return e.Reason }

// errorCode pairs a sentinel with its code on the wire.
type errorCode struct {
	code string
	err  error
}

// errorCodes is the one place where codes and sentinels meet. Codes are append-only.
func errorCodes() []errorCode {
	return []errorCode{
		{"no_job", fsm.ErrNoJob},
		{"job_exists", fsm.ErrJobExists},
		{"job_state", fsm.ErrJobState},
		{"no_task", fsm.ErrNoTask},
		{"stale_epoch", fsm.ErrStaleEpoch},
		{"stale_from", fsm.ErrStaleFrom},
		{"bad_range", fsm.ErrBadRange},
		{"not_pending", fsm.ErrNotPending},
		{"unfinished", fsm.ErrUnfinished},
		{"invalid", fsm.ErrInvalid},
		{"not_leader", ErrNotLeader},
		{"superseded", ErrSuperseded},
		{"refused", ErrRefused},
		{"too_large", fsm.ErrTooLarge},
		{"unknown_format", fsm.ErrUnknownFormat},
		{"canceled", context.Canceled},
		{"deadline", context.DeadlineExceeded},
	}
}

// Refusal is the wire form of an error that a call of a leader ended with; its Err has the same sentinel.
func Refusal(err error) CommandResult { return resultOf(0, err) }

// resultOf makes the wire form of an outcome.
func resultOf(index uint64, err error) CommandResult {
	if err == nil {
		return CommandResult{Index: index}
	}
	for _, c := range errorCodes() {
		if errors.Is(err, c.err) {
			return CommandResult{Index: index, Code: c.code, Message: err.Error()}
		}
	}
	return CommandResult{Index: index, Code: "unknown", Message: err.Error()}
}

// Err returns nil or an error that wraps the sentinel the leader meant.
func (r CommandResult) Err() error {
	if r.Code == "" {
		return nil
	}
	for _, c := range errorCodes() {
		if c.code != r.Code {
			continue
		}
		if r.Message == "" || r.Message == c.err.Error() {
			return c.err
		}
		return fmt.Errorf("%w (%s)", c.err, r.Message)
	}
	return fmt.Errorf("%w: %s: %s", ErrUnknown, r.Code, r.Message)
}
