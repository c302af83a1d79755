package fsm

import "encoding/json"

// Type tells commands apart in the log. Numbers are append-only: they are on disk.
type Type byte

// The commands.
const (
	TypeBatch        Type = 1
	TypeSubmitJob    Type = 2
	TypeStartPass    Type = 3
	TypeFinishPass   Type = 4
	TypePauseJob     Type = 5
	TypeContinueJob  Type = 6
	TypeCancelJob    Type = 7
	TypeRetryJob     Type = 8
	TypeAssignTasks  Type = 9
	TypeReleaseTasks Type = 10
	TypeAdvanceTask  Type = 11
	TypeFailTask     Type = 12
	TypeSplitTask    Type = 13
	TypePlanUpload   Type = 14
	TypeOpenUpload   Type = 15
	TypeCloseUpload  Type = 16
	TypeFoldSegments Type = 17
	TypeRemoveJob    Type = 18
	TypeRedoJob      Type = 19
	TypeSetSettings  Type = 20
	TypeSetNode      Type = 21
	TypeSetClusterID Type = 22
	TypeEditJob      Type = 23
	TypeFixPlaces    Type = 25
	TypeShareParts   Type = 26
	TypeSetJobLimits Type = 27
	TypePutToken     Type = 28
	TypeRemoveToken  Type = 29
	TypeRecorded     Type = 30
	TypeOnce         Type = 32
	TypeSwitchKey    Type = 34
	TypeResealJob    Type = 35
	TypeRetireKey    Type = 36
	TypePostNotice   Type = 40
	TypeAckNotices   Type = 41

	TypeResealSetting Type = 42
)

// Command is one change of the state. On the log it is a byte of format (FormatVersion), a byte of Type and JSON.
type Command interface{ Type() Type }

// FormatVersion is the first byte of every encoded command and snapshot.
const FormatVersion = 1

// MaxEntry bounds one encoded log entry in bytes; MaxAdvance one AdvanceTask, MaxScanAdvance a scan's.
const (
	MaxEntry       = 64 << 10
	MaxAdvance     = 4 << 10
	MaxScanAdvance = 32 << 10
)

// Batch applies commands in order; its result is []Result, one each.
type Batch struct{ Commands []Command }

// SubmitJob creates a job. Submitting the same ID with the same nonce again is no error (the first may have succeeded).
type SubmitJob struct {
	ID       string    `json:"id"`
	Nonce    []byte    `json:"nonce"`
	Kind     string    `json:"type"` // copy, verify, list
	Spec     []byte    `json:"spec"` // JSON of a Spec
	Limits   JobLimits `json:"limits"`
	Priority int       `json:"priority,omitempty"`
	At       int64     `json:"at"`
}

// StartPass begins the next pass of a job that is pending, waiting, succeeded or failed: sums start at zero and one scan
// over everything is made. Pass must be the job's pass plus one.
type StartPass struct {
	Job       string `json:"job"`
	Nonce     []byte `json:"nonce"`
	Pass      uint64 `json:"pass"`
	At        int64  `json:"at"`
	Clock     int64  `json:"clock"` // the source's clock
	SkewNanos int64  `json:"skew_nanos,omitempty"`
}

// FinishPass ends a pass that has no task outstanding: succeeded, or failed where objects or ranges failed. RetryAt is when
// the leader means to retry what failed; 0 for not at all.
type FinishPass struct {
	Job     string `json:"job"`
	Nonce   []byte `json:"nonce"`
	Pass    uint64 `json:"pass"`
	RetryAt int64  `json:"retry_at,omitempty"`
	At      int64  `json:"at"`
}

// PauseJob stops a running job, or keeps a pending one from starting; tasks are released with what they settled.
type PauseJob struct {
	Job    string `json:"job"`
	Nonce  []byte `json:"nonce"`
	Reason string `json:"reason,omitempty"`
	Class  string `json:"class,omitempty"`
	At     int64  `json:"at"`
}

// ContinueJob lets a paused job run again, or be pending again if no pass of it had started.
type ContinueJob struct {
	Job   string `json:"job"`
	Nonce []byte `json:"nonce"`
	At    int64  `json:"at"`
}

// CancelJob ends a job for good; its tasks are dropped.
type CancelJob struct {
	Job    string `json:"job"`
	Nonce  []byte `json:"nonce"`
	Reason string `json:"reason,omitempty"`
	At     int64  `json:"at"`
}

// RemoveJob forgets a job that is not running.
type RemoveJob struct {
	Job   string `json:"job"`
	Nonce []byte `json:"nonce"`
}

// RetryJob makes tasks of the failed keys and lost ranges of a failed job and lets it run on in the same pass. At tells a
// repeat from the next retry. Auto is the leader's own retry, which must be planned; any other starts their count again.
type RetryJob struct {
	Job   string `json:"job"`
	Nonce []byte `json:"nonce"`
	Auto  bool   `json:"auto,omitempty"`
	At    int64  `json:"at"`
}

// RedoJob starts a job afresh that is finished, paused or canceled: a new incarnation under the same ID and nonce, with
// no pass, no sums and no task. With Paused it begins when it is continued. At tells a repeat from the next redo.
type RedoJob struct {
	Job    string `json:"job"`
	Nonce  []byte `json:"nonce"`
	Paused bool   `json:"paused,omitempty"`
	At     int64  `json:"at"`
}

// EditScope is how much of a job a change of its description touches, and so when it is allowed.
type EditScope string

// The scopes. Each one includes those before it.
const (
	EditLive   EditScope = "live"   // what a running job takes over: limits, credentials
	EditRest   EditScope = "rest"   // what holds for all that is not settled yet: not while the job runs
	EditPlaces EditScope = "places" // which job it is, its sides and type: only before its first pass
)

// EditJob changes a job's description. It must have been made of the one that the job has: ErrOutdated. Sent again, when
// the job has the new one, it is no error.
type EditJob struct {
	Job    string    `json:"job"`
	Nonce  []byte    `json:"nonce"`
	Base   []byte    `json:"base"` // SHA-256 of the description that was changed
	Spec   []byte    `json:"spec"` // JSON of a Spec
	Kind   string    `json:"type"` // copy, verify, list
	Limits JobLimits `json:"limits"`
	Scope  EditScope `json:"scope"`
	Renews bool      `json:"renews,omitempty"` // it brings other credentials
	At     int64     `json:"at"`

	Priority int `json:"priority,omitempty"`
}

// FixPlaces records what both sides of a job are in a pass that is to start or runs, as JSON of the scheduler's, which is
// opaque here. A pass that runs keeps what was recorded for it.
type FixPlaces struct {
	Job         string          `json:"job"`
	Nonce       []byte          `json:"nonce"`
	Pass        uint64          `json:"pass"`
	Source      json.RawMessage `json:"source,omitempty"`
	Destination json.RawMessage `json:"destination,omitempty"`
}

// SetSettings changes settings of the cluster. An empty value takes a setting back to its default.
type SetSettings struct {
	Settings map[string]string `json:"settings"`
}

// SetNode says whether a node is to be given work.
type SetNode struct {
	Node     string `json:"node"`
	Draining bool   `json:"draining,omitempty"`
}

// SetClusterID names the cluster, once and for all.
type SetClusterID struct {
	ID string `json:"id"` // 32 hex digits
}

// PutToken makes an API token, of which the state keeps the hash of the secret. Making the same one again is no error.
type PutToken struct {
	ID       string `json:"id"` // 16 hex digits
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Hash     []byte `json:"hash"`               // SHA-256 of the secret
	Lifetime int64  `json:"lifetime,omitempty"` // nanoseconds from At; 0: for ever
	At       int64  `json:"at"`
}

// RemoveToken forgets an API token: from then on it opens nothing.
type RemoveToken struct {
	ID string `json:"id"`
}

// Recorded applies a command and, unless it is refused, puts the event into the history in the same step. On the log it is
// a byte of format, a byte of Type, the length of the event, the event as JSON, and the command. The command may be nil:
// then the event alone is kept. The event's number is given by the state. The same request, verb and target sent again do
// nothing.
type Recorded struct {
	Event   Event
	Command Command
}

// Once is Recorded, and is applied once under its key within OnceAge by the times of the events: ErrDone for the same
// request again, ErrKeyUsed for another. On the log it is a byte of format, a byte of Type, the length of its fields, these
// as JSON, and the Recorded.
type Once struct {
	Key      []byte   `json:"key"`              // SHA-256
	Request  []byte   `json:"request"`          // likewise of what was asked for
	Answer   []byte   `json:"answer,omitempty"` // sealed, at most MaxAnswer bytes
	Recorded Recorded `json:"-"`
}

// AssignTasks grants tasks to nodes. The epoch of each is the raft index of this command.
type AssignTasks struct {
	Grants []Grant `json:"grants"`
}

// Grant gives one task to one node.
type Grant struct {
	Task uint64 `json:"t"`
	Node string `json:"n"`
}

// ReleaseTasks takes tasks back to pending: lease expired, node stopped, task given back.
type ReleaseTasks struct {
	Tasks []TaskEpoch `json:"tasks"`
}

// TaskEpoch names one holding of a task.
type TaskEpoch struct {
	Task  uint64 `json:"t"`
	Epoch uint64 `json:"e"`
}

// AdvanceTask is the only command that changes counters: it settles the keys in [From, To) (or lines), once. Only scans
// count Listed, re-listings count nothing, and only retries have differences below zero. Sent again it is recognised and
// succeeds, but with Done: then the task is gone.
type AdvanceTask struct {
	Task     uint64           `json:"t"`
	Epoch    uint64           `json:"e"`
	From     []byte           `json:"f,omitempty"`
	To       []byte           `json:"o,omitempty"` // with Done the task's own end, which may be nil
	FromLine int64            `json:"fl,omitempty"`
	ToLine   int64            `json:"tl,omitempty"`
	Done     bool             `json:"d,omitempty"` // the task ends
	Counts   Counts           `json:"c"`
	Objects  int64            `json:"n,omitempty"` // source entries that the task's own listing returned in [From, To)
	Bytes    int64            `json:"b,omitempty"`
	Digest   []byte           `json:"g,omitempty"` // their digest
	Classes  map[string]int64 `json:"k,omitempty"` // failed by class; negative where a retry took them back
	Failed   *Segment         `json:"x,omitempty"`
	Audit    *Segment         `json:"a,omitempty"`
	Cuts     []NewCut         `json:"u,omitempty"` // made by a scan in [From, To)
	Parts    *PartsResult     `json:"p,omitempty"` // of a parts task
	At       int64            `json:"at,omitempty"`
}

// NewCut is one piece of work that a scan found. Exactly one of Segment and a range is meant.
type NewCut struct {
	From    []byte   `json:"f,omitempty"`
	To      []byte   `json:"t,omitempty"` // nil: no end
	Segment *Segment `json:"s,omitempty"`
	Objects int64    `json:"o"`
	Bytes   int64    `json:"b"`
	Digest  []byte   `json:"d,omitempty"` // of a range
}

// FailTask reports an attempt that ended in error. The task is pending again from NotBefore on, or, with GiveUp, gone:
// its rest becomes a lost range. With Pause the job stops as well (disk full, destination not writable).
type FailTask struct {
	Task      uint64 `json:"t"`
	Epoch     uint64 `json:"e"`
	Class     string `json:"c"`
	Reason    string `json:"r"`
	NotBefore int64  `json:"nb,omitempty"`
	GiveUp    bool   `json:"g,omitempty"`
	Pause     bool   `json:"p,omitempty"`
	At        int64  `json:"at"`
}

// SplitTask cuts [At, To) off a range or scan task (lines from AtLine of a list task, parts of a parts task) as a new
// task. An equal cut repeated is success.
type SplitTask struct {
	Task   uint64 `json:"t"`
	Epoch  uint64 `json:"e"`
	At     []byte `json:"at,omitempty"`
	AtLine int64  `json:"al,omitempty"`
}

// PlanUpload records, before an upload is created, which uploads are open at its key. A key has one plan at a time: the
// upload of the one before is closed first.
type PlanUpload struct {
	Task    uint64   `json:"t"`
	Epoch   uint64   `json:"e"`
	Key     []byte   `json:"k"`
	Known   []string `json:"o,omitempty"`
	Planned int64    `json:"at"`
}

// OpenUpload records the upload's ID before its first part.
type OpenUpload struct {
	Task    uint64 `json:"t"`
	Epoch   uint64 `json:"e"`
	Key     []byte `json:"k"`
	ID      string `json:"id"`
	Version string `json:"v,omitempty"`
	Part    int64  `json:"p"`
}

// CloseUpload forgets an upload that was completed or aborted.
type CloseUpload struct {
	Task  uint64 `json:"t"`
	Epoch uint64 `json:"e"`
	Key   []byte `json:"k"`
}

// ShareParts makes a task of parts [First, End) of an open upload, counted from 0. With Back it takes exactly these parts
// back, unless a node holds their task: ErrNotPending. Either one repeated is success.
type ShareParts struct {
	Task  uint64 `json:"t"`
	Epoch uint64 `json:"e"`
	Key   []byte `json:"k"`
	First int64  `json:"f"`
	End   int64  `json:"n"`
	Size  int64  `json:"z"` // of the object in bytes
	Back  bool   `json:"b,omitempty"`
}

// FoldSegments puts a manifest in the place of the first segments of a job's audit or failed list.
type FoldSegments struct {
	Job      string  `json:"job"`
	Nonce    []byte  `json:"nonce"`
	Failed   bool    `json:"failed,omitempty"` // the list of failed keys instead of audit records
	First    []byte  `json:"first"`            // name of the first segment folded, to recognise a repeat
	Count    int     `json:"count"`
	Manifest Segment `json:"manifest"`
}

// SetJobLimits gives a job other limits, in whatever state it is. Spec is the job's description with them.
type SetJobLimits struct {
	Job    string    `json:"job"`
	Nonce  []byte    `json:"nonce"`
	Spec   []byte    `json:"spec"`
	Limits JobLimits `json:"limits"`
}

// Result is what Apply answers for one command.
type Result struct {
	Err   error  // one of the sentinels, deterministic
	Index uint64 // raft index it was applied at; the epoch of an AssignTasks
}
