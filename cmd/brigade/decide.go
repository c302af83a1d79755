package main

import (
	"fmt"
	"strings"

	"github.com/bucketbrigade/brigade/fsm"
)

// action is how a run goes on from the state it finds.
type action int

const (
	submit    action = iota // there is no such job yet
	resubmit                // it is finished, and its options changed: forget it and submit it anew
	resume                  // it is unfinished
	unpause                 // it was paused
	startPass               // it is finished: the next pass
	startOver               // it belongs to other places: only after a yes, or --restart
)

// decide compares what is wanted with the job that the state holds, nil if it holds none. Differences come back with
// startOver, and as the error where an unfinished job was given other options.
func decide(job *fsm.Job, want fsm.Spec) (action, []difference, error) {
	if job == nil {
		return submit, nil, nil
	}
	before, err := decodeSpec(job)
	if err != nil {
		return 0, nil, err
	}
	diffs := compareSpecs(before, want)
	for _, d := range diffs {
		if d.place {
			return startOver, diffs, nil
		}
	}
	finished := job.State == fsm.Succeeded || job.State == fsm.Failed || job.State == fsm.Waiting || job.State == fsm.Canceled
	switch {
	case finished && (len(diffs) > 0 || job.State == fsm.Canceled):
		return resubmit, diffs, nil
	case finished:
		return startPass, nil, nil
	case job.Pass == 0:
		return resubmit, diffs, nil // neither side was ready when it was submitted: nothing happened yet
	case len(diffs) > 0:
		return startOver, diffs, nil
	case job.State == fsm.Paused:
		return unpause, nil, nil
	}
	return resume, nil, nil
}

// clauses joins differences for a message.
func clauses(diffs []difference) string {
	text := make([]string, len(diffs))
	for i, d := range diffs {
		text[i] = d.String()
	}
	return strings.Join(text, "; ")
}

// exitOf gives the exit code of a job that stands still.
func exitOf(job *fsm.Job) int {
	switch {
	case job.State == fsm.Paused || job.State == fsm.Canceled:
		return codeRefused
	case job.Type == "verify" && differencesOf(job) > 0:
		return codeDiffers
	case job.State == fsm.Failed || job.Counts.Failed > 0 || job.TasksLost > 0:
		return codeFailed
	case job.State == fsm.Succeeded:
		return codeDone
	}
	return codeRefused
}

// The classes of failed keys that are findings of a verify job rather than errors.
const (
	classMissing = "missing"
	classDiffers = "differs"
)

// differencesOf counts what a verify job found: missing, differing and extra keys.
func differencesOf(job *fsm.Job) int64 {
	return job.Classes[classMissing] + job.Classes[classDiffers] + job.Counts.Extra
}

// startOverError names the difference and the way on.
func startOverError(id string, diffs []difference) error {
	return misuse(fmt.Errorf("job %s exists with another description: %s; give another --id, or --restart to start over",
		id, clauses(diffs)))
}
