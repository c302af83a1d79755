package scheduler

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// Bounds of one Sync.
const (
	maxSyncWait     = 2 * time.Second
	maxSyncCommands = 1000
	maxSyncRunning  = 4096
	maxSlots        = 1024
	maxInstance     = 64 // bytes
	maxNodeName     = 64 // bytes
)

// Syncer is the leader as a worker sees it.
type Syncer interface {
	// Sync is the one call from worker to leader. It is safe for concurrent use. Calling it again with the same
	// commands, when the outcome of the first call is unknown, is harmless.
	Sync(ctx context.Context, req SyncRequest) (SyncResponse, error)
}

// SyncRequest is heartbeat, lease renewal, progress, results and request for work in one.
//
// A poll (Seq above 0) describes the whole worker and may be answered with work; a worker has one poll in flight at a
// time. A Sync with Seq 0 only brings Commands and Preflights, is answered at once, and any number may be in flight.
// Both renew the leases.
type SyncRequest struct {
	Node     string `json:"node"`
	Instance string `json:"instance"` // random per process
	Term     uint64 `json:"term"`     // highest seen
	Seq      uint64 `json:"seq,omitempty"`
	// Stopping: give this process no more tasks. A poll that says so and runs nothing is its last call.
	Stopping bool `json:"stopping,omitempty"`

	Slots   int       `json:"slots,omitempty"` // tasks this worker runs at once
	Busy    int       `json:"busy,omitempty"`
	Running []Holding `json:"running,omitempty"`
	Opened  []JobKey  `json:"opened,omitempty"` // jobs whose stores are open
	// Revisions are those of the descriptions that the jobs of Opened go by, in the same order.
	Revisions []uint64      `json:"revisions,omitempty"`
	Shares    []ShareUse    `json:"shares,omitempty"` // of the jobs that tasks run of; without one a job moves nothing here
	Want      int           `json:"want,omitempty"`   // tasks it may hold in all
	Wait      time.Duration `json:"wait,omitempty"`   // how long to wait for news, at most 2 s

	Commands   [][]byte    `json:"commands,omitempty"` // encoded, independent of each other
	Preflights []Preflight `json:"preflights,omitempty"`
	// News are tasks of which a poll would tell too late that they can be split, have more left or declined. Of a call with
	// Seq 0 only.
	News []Holding `json:"news,omitempty"`
}

// Holding is one task that a worker runs.
type Holding struct {
	Task     uint64     `json:"t"`
	Epoch    uint64     `json:"e"`
	From     []byte     `json:"f,omitempty"` // lower bound that Progress counts from
	Line     int64      `json:"l,omitempty"` // of a list task
	Progress fsm.Counts `json:"p"`           // done and not settled
	Moved    int64      `json:"m,omitempty"` // bytes either side took or gave, and pages listed, so far
	Splits   bool       `json:"s,omitempty"` // it can be asked to split
	Left     int64      `json:"r,omitempty"` // requests that the rest of a listing takes, about; 0 while that is not known
	Declined bool       `json:"d,omitempty"` // no more comes of what it was asked to split; only in News
	Lost     bool       `json:"x,omitempty"` // dropped or fenced: it begins nothing any more, but has not ended
}

// JobKey names one pass of one job; a job removed and submitted again under its ID has another nonce, a job started
// afresh another incarnation.
type JobKey struct {
	ID          string `json:"id"`
	Nonce       string `json:"nonce"` // hex
	Incarnation uint64 `json:"incarnation,omitempty"`
	Pass        uint64 `json:"pass"`
}

// String gives ID, nonce, incarnation and pass.
func (k JobKey) String() string {
	return k.ID + "/" + k.Nonce + "/" + strconv.FormatUint(k.Incarnation, 10) + "/" + strconv.FormatUint(k.Pass, 10)
}

// keyOf names a pass of a job.
func keyOf(job *fsm.Job, pass uint64) JobKey {
	return JobKey{ID: job.ID, Nonce: hex.EncodeToString(job.Nonce), Incarnation: job.Incarnation, Pass: pass}
}

// Preflight is what one node found when it opened both sides of a job.
type Preflight struct {
	Job      JobKey `json:"job"`
	Revision uint64 `json:"revision,omitempty"` // of the description that it was opened by
	OK       bool   `json:"ok"`
	Class    string `json:"class,omitempty"` // of package transfer/store, where not OK
	Reason   string `json:"reason,omitempty"`
	Side     string `json:"side,omitempty"` // that is not OK; "" where that is not known
	// What the sides are on this node, where that can differ between machines.
	Source      *store.Identity `json:"source,omitempty"`
	Destination *store.Identity `json:"destination,omitempty"`
	// What to add to the node's clock to get the store's.
	SourceClockOffset      time.Duration `json:"source_clock_offset,omitempty"`
	DestinationClockOffset time.Duration `json:"destination_clock_offset,omitempty"`
}

// SyncResponse is the leader's answer.
type SyncResponse struct {
	Term        uint64          `json:"term"`
	Results     []CommandResult `json:"results,omitempty"` // one for each command, in order
	Assignments []Assignment    `json:"assignments,omitempty"`
	Drop        []fsm.TaskEpoch `json:"drop,omitempty"`      // running there, but no longer granted: stop at once
	Yield       []uint64        `json:"yield,omitempty"`     // to be given back: scans after their next Advance, others as soon as what is in flight is settled
	Split       []fsm.TaskEpoch `json:"split,omitempty"`     // to make work of, for others; one for each part wanted
	Shared      []SharedUpload  `json:"shared,omitempty"`    // uploads of running tasks that others send parts of
	Preflight   []PreflightTask `json:"preflight,omitempty"` // jobs to open and report on
	Close       []JobKey        `json:"close,omitempty"`     // opened jobs that need no more work
	Renew       []fsm.Job       `json:"renew,omitempty"`     // opened jobs whose descriptions changed
	Shares      []Share         `json:"shares,omitempty"`    // of bandwidth, those that change
}

// CommandResult is the outcome of one command.
type CommandResult struct {
	Index   uint64 `json:"index,omitempty"` // raft index
	Code    string `json:"code,omitempty"`  // "" for success
	Message string `json:"message,omitempty"`
}

// Assignment grants one task.
type Assignment struct {
	Task fsm.Task `json:"task"`
	Job  fsm.Job  `json:"job"` // without lists of segments and lost ranges
}

// PreflightTask asks a node to open a job for a pass.
type PreflightTask struct {
	Job fsm.Job `json:"job"`
	Key JobKey  `json:"key"`
}

// validate bounds what came over the network.
func (r *SyncRequest) validate() error {
	switch {
	case r.Node == "" || len(r.Node) > maxNodeName:
		return fmt.Errorf("%w: bad node name", ErrRefused)
	case r.Instance == "" || len(r.Instance) > maxInstance:
		return fmt.Errorf("%w: bad instance", ErrRefused)
	case r.Slots < 0 || r.Slots > maxSlots || r.Want < 0 || r.Want > maxSlots:
		return fmt.Errorf("%w: slots out of bounds", ErrRefused)
	case len(r.Running) > maxSyncRunning || len(r.Opened) > maxSyncRunning || len(r.Preflights) > maxSyncRunning,
		len(r.Shares) > maxSyncRunning, len(r.News) > maxSyncRunning:
		return fmt.Errorf("%w: too many tasks or jobs in one call", ErrRefused)
	case len(r.Commands) > maxSyncCommands:
		return fmt.Errorf("%w: more than %d commands in one call", ErrRefused, maxSyncCommands)
	case r.Wait < 0 || r.Wait > maxSyncWait:
		return fmt.Errorf("%w: wait out of bounds", ErrRefused)
	}
	return nil
}

// jobInfo is what a worker needs of a job.
func jobInfo(j *fsm.Job) fsm.Job {
	info := *j
	info.Failed, info.Audit, info.LostRanges, info.Classes = nil, nil, nil, nil
	return info
}
