// Package fsm is the replicated state: jobs, tasks and their accounting, and the commands that change it. It is pure:
// no clock, no randomness, no I/O, no goroutine; the leader stamps times into commands, epochs are raft indexes.
//
// The state holds decisions, never data: its size depends on the work in flight, not on the objects a job has.
package fsm
