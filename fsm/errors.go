package fsm

import "errors"

// What Apply answers to commands it refuses. A refusal changes nothing.
var (
	ErrNoJob      = errors.New("no such job")
	ErrJobExists  = errors.New("a job with this ID exists")
	ErrJobState   = errors.New("not allowed in the job's state")
	ErrNoTask     = errors.New("no such task")
	ErrStaleEpoch = errors.New("the task was assigned again: stale epoch")
	ErrStaleFrom  = errors.New("the lower bound does not match")
	ErrBadRange   = errors.New("bound outside the task's range")
	ErrNotPending = errors.New("the task is not pending")
	ErrUnfinished = errors.New("tasks are outstanding")
	ErrOtherID    = errors.New("the cluster has another ID")
	ErrInvalid    = errors.New("invalid command")

	ErrNoToken       = errors.New("no such token")
	ErrTokenExists   = errors.New("a token with this name exists")
	ErrTooManyTokens = errors.New("too many tokens")

	ErrDone    = errors.New("done before under this key")
	ErrKeyUsed = errors.New("the key was used for another request")
)

// What encoding and decoding refuse.
var (
	ErrTooLarge      = errors.New("encoded command too large")
	ErrUnknownFormat = errors.New("unknown format")
)
