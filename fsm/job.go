package fsm

import "encoding/json"

// JobState is where a job stands.
type JobState string

// The states of a job. Paused, waiting, succeeded, failed and canceled jobs have no leased task.
const (
	Pending   JobState = "pending"
	Running   JobState = "running"
	Paused    JobState = "paused"
	Waiting   JobState = "waiting" // between passes
	Succeeded JobState = "succeeded"
	Failed    JobState = "failed" // finished, some objects or ranges failed
	Canceled  JobState = "canceled"
)

// Job is one job and the sums of what is settled in its current pass. Values are never changed in place: Apply
// replaces the whole, so that a snapshot may share them.
type Job struct {
	ID       string          `json:"id"`
	Nonce    []byte          `json:"nonce"` // 16 bytes, made by whoever proposed the job, kept over redo
	Spec     json.RawMessage `json:"spec"`  // a Spec; opaque to Apply but for Limits
	Limits   JobLimits       `json:"limits"`
	Type     string          `json:"type"` // copy, verify, list
	Priority int             `json:"priority,omitempty"`
	Revision uint64          `json:"revision,omitempty"` // raft index of the last change of Spec; 0 while it is as submitted
	Renewed  int64           `json:"renewed,omitempty"`  // when credentials were last replaced in this pass
	State    JobState        `json:"state"`
	Reason   string          `json:"reason,omitempty"` // why paused, failed or canceled
	Class    string          `json:"class,omitempty"`  // error class that goes with Reason

	Pass       uint64 `json:"pass"`                   // 1 for the first
	Submitted  int64  `json:"submitted"`              // Unix nanoseconds, stamped by the leader, as are all times here
	Started    int64  `json:"started,omitempty"`      // start of this pass
	Finished   int64  `json:"finished,omitempty"`     // end of this pass
	PrevStart  int64  `json:"prev_start,omitempty"`   // start of the previous completed pass, by the source's clock; 0 on the first
	PassClock  int64  `json:"pass_clock,omitempty"`   // start of this pass by the source's clock
	SkewNanos  int64  `json:"skew_nanos,omitempty"`   // destination's clock minus source's, measured at the start of the pass
	Listing    int    `json:"listing,omitempty"`      // scan tasks outstanding
	Unfinished int    `json:"unfinished,omitempty"`   // tasks outstanding, scans included
	TasksDone  int64  `json:"tasks_done,omitempty"`   // finished tasks of this pass
	TasksLost  int64  `json:"tasks_failed,omitempty"` // tasks given up in this pass; their ranges stand in LostRanges

	Counts     Counts           `json:"counts"`
	Classes    map[string]int64 `json:"classes,omitempty"`     // failed objects by error class
	Failed     []Segment        `json:"failed,omitempty"`      // segments of failed keys
	Audit      []Segment        `json:"audit,omitempty"`       // segments of audit records; at most MaxSegments, then a manifest takes their place
	LostRanges []LostRange      `json:"lost_ranges,omitempty"` // at most MaxLostRanges; TasksLost goes on counting

	Tolerated int64 `json:"tolerated,omitempty"` // failed objects that ContinueJob accepted: the limits start counting from here
	Retried   int64 `json:"retried,omitempty"`   // time of the last RetryJob, to recognise a repeat
	Retries   int   `json:"retries,omitempty"`   // retries in this pass that the leader made by itself, since anybody else did
	RetryAt   int64 `json:"retry_at,omitempty"`  // when the leader retries a failed job by itself; 0 for not at all

	Awaiting int64 `json:"awaiting,omitempty"` // since when the pass has been waiting for archived objects alone; 0 for not at all

	Places *Places `json:"places,omitempty"` // what both sides are, kept over passes; nil where nothing can be said

	Incarnation uint64 `json:"incarnation,omitempty"` // times the job was started afresh
	Redone      int64  `json:"redone,omitempty"`      // time of the last RedoJob, to recognise a repeat
}

// Places are what both sides of a job are, for sides that may be another place on another machine or at another time.
type Places struct {
	Pass        uint64          `json:"pass"` // for which this was recorded
	Source      json.RawMessage `json:"source,omitempty"`
	Destination json.RawMessage `json:"destination,omitempty"`
}

// JobLimits are the parts of a job's description that Apply and the leader need.
type JobLimits struct {
	MaxFailures        int64      `json:"max_failures,omitempty"`         // failed objects that pause the job; 0 means 10,000
	MaxFailuresPercent float64    `json:"max_failures_percent,omitempty"` // share of found that must be exceeded too; 0 means 1
	Bandwidth          []RateSlot `json:"bandwidth,omitempty"`            // timetable of the week, ascending; none is no limit
	AwaitArchived      bool       `json:"await_archived,omitempty"`       // objects of class ArchivedClass are being restored: they are waited for
}

// ArchivedClass is the class of failures of objects that must be restored before they can be read.
const ArchivedClass = "archived"

// Awaited is how many failed objects of a job are being restored, and will be tried again.
func (j *Job) Awaited() int64 {
	if !j.Limits.AwaitArchived {
		return 0
	}
	return j.Classes[ArchivedClass]
}

// MaxSegments bounds Job.Audit and Job.Failed: past it the leader writes a manifest segment and proposes FoldSegments.
const MaxSegments = 256

// MaxLostRanges bounds Job.LostRanges.
const MaxLostRanges = 1000

// Counts are objects and bytes by final outcome. In a command they are differences, in a job sums.
// Found = Copied + Skipped + Filtered + Vanished + Changed + Failed; the others are no summands.
type Counts struct {
	Listed    int64 `json:"l,omitempty"` // source objects passed by scans, corrected by re-listings
	Copied    int64 `json:"c,omitempty"`
	Skipped   int64 `json:"s,omitempty"`
	Filtered  int64 `json:"f,omitempty"`
	Vanished  int64 `json:"v,omitempty"`
	Changed   int64 `json:"ch,omitempty"`
	Failed    int64 `json:"x,omitempty"`
	Recovered int64 `json:"r,omitempty"`
	Verified  int64 `json:"ve,omitempty"`
	Extra     int64 `json:"e,omitempty"`
	Deleted   int64 `json:"d,omitempty"`
	Lossy     int64 `json:"lo,omitempty"` // copied objects that lost some of what they had besides their bytes

	BytesListed  int64 `json:"bl,omitempty"`
	BytesFound   int64 `json:"bf,omitempty"`
	BytesCopied  int64 `json:"bc,omitempty"`
	BytesSkipped int64 `json:"bs,omitempty"`
	BytesMoved   int64 `json:"bm,omitempty"` // bytes that went over the wire to the destination, attempts included
}

// Found is the number of objects settled.
func (c Counts) Found() int64 {
	return c.Copied + c.Skipped + c.Filtered + c.Vanished + c.Changed + c.Failed
}

// Add returns the sum of both.
func (c Counts) Add(d Counts) Counts {
	return Counts{
		c.Listed + d.Listed, c.Copied + d.Copied, c.Skipped + d.Skipped, c.Filtered + d.Filtered, c.Vanished + d.Vanished,
		c.Changed + d.Changed, c.Failed + d.Failed, c.Recovered + d.Recovered, c.Verified + d.Verified, c.Extra + d.Extra,
		c.Deleted + d.Deleted, c.Lossy + d.Lossy, c.BytesListed + d.BytesListed, c.BytesFound + d.BytesFound, c.BytesCopied + d.BytesCopied,
		c.BytesSkipped + d.BytesSkipped, c.BytesMoved + d.BytesMoved,
	}
}

// Segment names an immutable blob in the spool.
type Segment struct {
	Name     []byte `json:"n"`           // SHA-256 of its content, 32 bytes
	Lines    int64  `json:"l,omitempty"` // lines in it
	Manifest bool   `json:"m,omitempty"` // its lines name other segments, as "hex TAB lines"
}

// LostRange is a key range whose task was given up, kept for the report and for retry.
type LostRange struct {
	Task   Task   `json:"task"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
}

// Cut is what a scan saw in a range that it handed out: what copying that range must account for. The state keeps it
// beside its job, under the ID of the first task made of it, while tasks or lost ranges of it are outstanding. Cuts
// made as lists have none: their task works through given lines and lists nothing.
type Cut struct {
	Objects int64  `json:"o"`
	Bytes   int64  `json:"b"`
	Digest  []byte `json:"d,omitempty"` // 16 bytes, sum mod 2^128; nil for zero
	From    []byte `json:"f,omitempty"`
	To      []byte `json:"t,omitempty"` // nil: no end

	Tasks          int    `json:"n"`            // tasks outstanding
	Lost           int    `json:"x,omitempty"`  // tasks given up that stand in Job.LostRanges
	SettledObjects int64  `json:"so,omitempty"` // of the listings of the tasks that ended
	SettledBytes   int64  `json:"sb,omitempty"`
	SettledDigest  []byte `json:"sd,omitempty"`
	Relisted       bool   `json:"r,omitempty"` // the one re-listing was made
}
