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
	ErrOutdated   = errors.New("made of a description that is not the job's any more")
	ErrInvalid    = errors.New("invalid command")

	ErrNoToken       = errors.New("no such token")
	ErrTokenExists   = errors.New("a token with this name exists")
	ErrTooManyTokens = errors.New("too many tokens")

	ErrKeyState    = errors.New("the cluster key is not the one meant")
	ErrKeyRetired  = errors.New("the cluster key was replaced")
	ErrKeyInUse    = errors.New("values are sealed with the cluster key")
	ErrSealChanged = errors.New("the sealed value was changed meanwhile")

	ErrDone    = errors.New("done before under this key")
	ErrKeyUsed = errors.New("the key was used for another request")
)

// What encoding and decoding refuse.
var (
	ErrTooLarge      = errors.New("encoded command too large")
	ErrUnknownFormat = errors.New("unknown format")
)
