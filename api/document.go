package api

import (
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// Job is where a job stands, as `import --json` ends with and GET /v1/jobs/ID answers. Its fields are what scripts rely on.
type Job struct {
	ID          string       `json:"id"`
	State       fsm.JobState `json:"state"`
	Reason      string       `json:"reason,omitempty"` // why paused, failed or canceled
	Pass        uint64       `json:"pass"`
	ListingDone bool         `json:"listing_done"` // Objects.Listed is the total; before, a lower bound
	Objects     Objects      `json:"objects"`
	Bytes       Bytes        `json:"bytes"`
	Rate        Rate         `json:"rate"`
	Limits      *Limits      `json:"limits,omitempty"` // what holds now; absent where nothing is limited
	ETASeconds  *int64       `json:"eta_seconds"`
	Tasks       Tasks        `json:"tasks"`
	Nodes       []Node       `json:"nodes,omitempty"` // of one job that is to be worked on, by ID; empty where no leader answers
	Errors      []KeyError   `json:"errors"`
	StartedAt   *time.Time   `json:"started_at"`
	FinishedAt  *time.Time   `json:"finished_at"`
	NextPassAt  *time.Time   `json:"next_pass_at"`
	Retries     int          `json:"retries,omitempty"`       // of this pass, that the cluster made by itself
	NextRetryAt *time.Time   `json:"next_retry_at,omitempty"` // when it makes the next one
	Freshness
}

// Freshness says of which state an answer of a cluster is. Both fields are empty where there is no cluster to ask.
type Freshness struct {
	Index uint64 `json:"index,omitempty"` // of the log; every change raises it
	Stale bool   `json:"stale,omitempty"` // the node sees no leader: the state may be older than the cluster's
}

// Objects are numbers of objects by outcome.
type Objects struct {
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
	Lossy     int64 `json:"lossy"` // of Copied: they lost some of what they had besides their bytes
}

// Bytes are sums of sizes; Moved is what went to the destination, failed attempts included.
type Bytes struct {
	Listed  int64 `json:"listed"`
	Found   int64 `json:"found"`
	Copied  int64 `json:"copied"`
	Skipped int64 `json:"skipped"`
	Moved   int64 `json:"moved"`
}

// Rate is the recent pace of a running job, and the mean of one that is done.
type Rate struct {
	BytesPerSecond   float64 `json:"bytes_per_second"`
	ObjectsPerSecond float64 `json:"objects_per_second"`
}

// Limits are what a job may take now, all nodes together.
type Limits struct {
	Bandwidth int64 `json:"bandwidth"` // bytes a second
}

// Tasks are numbers of tasks of the pass.
type Tasks struct {
	Pending int64 `json:"pending"`
	Running int64 `json:"running"`
	Failed  int64 `json:"failed"`
	Done    int64 `json:"done"`
}

// Node tells whether a node can work on a job, and if not, why it gets no task of it.
type Node struct {
	ID     string `json:"id"`
	Ready  bool   `json:"ready"`
	Side   string `json:"side,omitempty"`   // source or destination
	Class  string `json:"class,omitempty"`  // of errors; "" where nothing failed
	Reason string `json:"reason,omitempty"` // where it is not ready
}

// KeyError is one failed key, or a range of keys that was given up (then Key is its start).
type KeyError struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"` // the exact bytes where Key is not valid UTF-8
	Class     string `json:"class"`
	Reason    string `json:"reason"`
	GivenUp   bool   `json:"given_up,omitempty"` // it is a range
}

// NewKeyError describes a failed key.
func NewKeyError(key, class, reason string) KeyError {
	e := KeyError{Key: key, Class: class, Reason: reason}
	if !utf8.ValidString(key) {
		e.KeyBase64 = []byte(key)
	}
	return e
}

// NewJob describes a job by its settled sums; rate, ETA and outstanding tasks are the caller's to add.
func NewJob(job *fsm.Job) Job {
	return Job{
		ID: job.ID, State: job.State, Reason: job.Reason, Pass: job.Pass,
		ListingDone: job.Pass > 0 && job.Listing == 0,
		Objects:     objectsOf(job.Counts), Bytes: bytesOf(job.Counts),
		Tasks:     Tasks{Failed: job.TasksLost, Done: job.TasksDone},
		Errors:    []KeyError{},
		StartedAt: timeOf(job.Started), FinishedAt: timeOf(job.Finished),
		Retries: job.Retries, NextRetryAt: timeOf(job.RetryAt),
	}
}

// jobOf describes a job with what its running tasks did.
func jobOf(st scheduler.Status) Job {
	d := NewJob(st.Job)
	d.ListingDone = st.ListingDone
	d.Objects, d.Bytes = objectsOf(st.Counts), bytesOf(st.Counts)
	d.Tasks = Tasks{Pending: st.Tasks.Pending, Running: st.Tasks.Running, Failed: st.Tasks.Failed, Done: st.Tasks.Done}
	rate := st.Rate
	if st.Job.State != fsm.Running {
		rate = st.Overall
	}
	d.Rate = Rate{BytesPerSecond: rate.Bytes, ObjectsPerSecond: rate.Objects}
	if st.Bandwidth > 0 {
		d.Limits = &Limits{Bandwidth: st.Bandwidth}
	}
	if st.ETA != nil {
		seconds := int64(st.ETA.Round(time.Second) / time.Second)
		d.ETASeconds = &seconds
	}
	return d
}

// nodesOf tells which nodes can work on a job.
func nodesOf(st scheduler.Status) (nodes []Node) {
	for _, n := range st.Nodes {
		nodes = append(nodes, Node{ID: n.Node, Ready: n.Ready, Side: n.Side, Class: n.Class, Reason: n.Reason})
	}
	return nodes
}

func objectsOf(c fsm.Counts) Objects {
	return Objects{
		Listed: c.Listed, Found: c.Found(), Copied: c.Copied, Skipped: c.Skipped, Filtered: c.Filtered, Vanished: c.Vanished,
		Changed: c.Changed, Failed: c.Failed, Recovered: c.Recovered, Verified: c.Verified, Extra: c.Extra, Deleted: c.Deleted,
		Lossy: c.Lossy,
	}
}

func bytesOf(c fsm.Counts) Bytes {
	return Bytes{Listed: c.BytesListed, Found: c.BytesFound, Copied: c.BytesCopied, Skipped: c.BytesSkipped, Moved: c.BytesMoved}
}

func timeOf(unixNano int64) *time.Time {
	if unixNano == 0 {
		return nil
	}
	t := time.Unix(0, unixNano).UTC()
	return &t
}

// JobList is what GET /v1/jobs answers: jobs ordered by ID, without their errors and nodes.
type JobList struct {
	Jobs []Job  `json:"jobs"`
	Next string `json:"next,omitempty"` // the value of `after` that brings the rest; "" at the end
	Freshness
}

// ErrorList is a page of a job's failed keys.
type ErrorList struct {
	Errors   []KeyError `json:"errors"`
	Continue string     `json:"continue,omitempty"` // the value of `continue` that brings the rest; "" at the end
	Missing  *Missing   `json:"missing,omitempty"`  // from this page
	Freshness
}

// Machines are the nodes of the cluster, as GET /v1/machines answers.
type Machines struct {
	Leader string    `json:"leader"` // node ID; "" where none is known
	Nodes  []Machine `json:"nodes"`
	Freshness
}

// The states of a machine.
const (
	Alive    = "alive"
	Suspect  = "suspect"
	Dead     = "dead"
	Left     = "left"
	Draining = "draining"
)

// DiskLow is the Disk of a machine whose data directory has too little room left.
const DiskLow = "low"

// Machine is one node.
type Machine struct {
	ID             string  `json:"id"`
	Address        string  `json:"address"`
	State          string  `json:"state"` // alive, suspect, dead, left, draining
	Role           string  `json:"role"`  // leader, voter, nonvoter
	Slots          int     `json:"slots"` // tasks at once
	Busy           int     `json:"busy"`  // tasks held
	BytesPerSecond float64 `json:"bytes_per_second"`
	Version        string  `json:"version"`
	Disk           string  `json:"disk,omitempty"` // low: nearly full, so that the node works and leads no more; else empty
}

// Removed is what a removal answers.
type Removed struct {
	ID      string `json:"id"`
	Warning string `json:"warning,omitempty"` // what is left behind
}

// Created is what a submission answers.
type Created struct {
	ID string `json:"id"`
}
