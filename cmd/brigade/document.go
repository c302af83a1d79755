package main

import (
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/fsm"
)

// document is a job's state in JSON, as `import --json` ends with. Its fields are what scripts rely on.
type document struct {
	ID          string       `json:"id"`
	State       fsm.JobState `json:"state"`
	Reason      string       `json:"reason,omitempty"` // why paused or failed
	Pass        uint64       `json:"pass"`
	ListingDone bool         `json:"listing_done"`
	Objects     objectCounts `json:"objects"`
	Bytes       byteCounts   `json:"bytes"`
	Rate        rates        `json:"rate"`
	ETASeconds  *int64       `json:"eta_seconds"`
	Tasks       taskCounts   `json:"tasks"`
	Errors      []keyError   `json:"errors"`
	StartedAt   *time.Time   `json:"started_at"`
	FinishedAt  *time.Time   `json:"finished_at"`
	NextPassAt  *time.Time   `json:"next_pass_at"`
}

type objectCounts struct {
	Listed    int64 `json:"listed"`
	Found     int64 `json:"found"`
	Copied    int64 `json:"copied"`
	Skipped   int64 `json:"skipped"`
	Filtered  int64 `json:"filtered"`
	Vanished  int64 `json:"vanished"`
	Changed   int64 `json:"changed"`
	Failed    int64 `json:"failed"`
	Recovered int64 `json:"recovered"`
	Verified  int64 `json:"verified"`
	Extra     int64 `json:"extra"`
	Deleted   int64 `json:"deleted"`
}

type byteCounts struct {
	Listed  int64 `json:"listed"`
	Found   int64 `json:"found"`
	Copied  int64 `json:"copied"`
	Skipped int64 `json:"skipped"`
	Moved   int64 `json:"moved"`
}

type rates struct {
	BytesPerSecond   float64 `json:"bytes_per_second"`
	ObjectsPerSecond float64 `json:"objects_per_second"`
}

type taskCounts struct {
	Pending int64 `json:"pending"`
	Running int64 `json:"running"`
	Failed  int64 `json:"failed"`
	Done    int64 `json:"done"`
}

// keyError is one failed key, or a range of keys that was given up (then Key is its start).
type keyError struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"` // the exact bytes where Key is not valid UTF-8
	Class     string `json:"class"`
	Reason    string `json:"reason"`
}

func newKeyError(key, class, reason string) keyError {
	e := keyError{Key: key, Class: class, Reason: reason}
	if !utf8.ValidString(key) {
		e.KeyBase64 = []byte(key)
	}
	return e
}

// documentOf describes a job that stands still.
func documentOf(job *fsm.Job, run runStats, errors []keyError) document {
	c := job.Counts
	d := document{
		ID: job.ID, State: job.State, Reason: job.Reason, Pass: job.Pass,
		ListingDone: job.Pass > 0 && job.Listing == 0,
		Objects: objectCounts{
			Listed: c.Listed, Found: c.Found(), Copied: c.Copied, Skipped: c.Skipped, Filtered: c.Filtered, Vanished: c.Vanished,
			Changed: c.Changed, Failed: c.Failed, Recovered: c.Recovered, Verified: c.Verified, Extra: c.Extra, Deleted: c.Deleted,
		},
		Bytes: byteCounts{Listed: c.BytesListed, Found: c.BytesFound, Copied: c.BytesCopied, Skipped: c.BytesSkipped, Moved: c.BytesMoved},
		Rate:  rates{run.bytesPerSecond(), run.objectsPerSecond()},
		Tasks: taskCounts{Pending: run.pending, Running: run.running, Failed: job.TasksLost, Done: job.TasksDone},

		Errors:    errors,
		StartedAt: timeOf(job.Started), FinishedAt: timeOf(job.Finished),
	}
	if d.Errors == nil {
		d.Errors = []keyError{}
	}
	return d
}

func timeOf(unixNano int64) *time.Time {
	if unixNano == 0 {
		return nil
	}
	t := time.Unix(0, unixNano).UTC()
	return &t
}

// runStats are what one run did, of a pass that may have taken several.
type runStats struct {
	elapsed          time.Duration
	bytes            int64 // sent to the destination
	objects          int64 // settled
	pending, running int64 // tasks
}

func (r runStats) bytesPerSecond() float64   { return perSecond(r.bytes, r.elapsed) }
func (r runStats) objectsPerSecond() float64 { return perSecond(r.objects, r.elapsed) }

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 || n <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
