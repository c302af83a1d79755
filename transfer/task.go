package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Kind is what a task does.
type Kind string

// The kinds of tasks.
const (
	Scan   Kind = "scan"
	Range  Kind = "range"
	List   Kind = "list"
	Relist Kind = "relist"
	Parts  Kind = "parts"
)

// Job is one job as a node works on it: stores opened, options parsed.
type Job struct {
	ID          string
	Nonce       string // hex
	Type        string // copy, verify, list
	Source      store.Source
	Destination store.Destination // nil for type list
	// SourceEndpoint and DestinationEndpoint are what a Watcher hears of both sides.
	SourceEndpoint, DestinationEndpoint string

	SingleKey *string  // the source is this one object
	List      *KeyList // names what to copy; nil: all that the source lists
	Filter    *Filter
	Compare   string // default, always, missing, size, mtime, etag, checksum
	Verify    string // none, size, checksum
	Metadata  bool   // keep metadata
	Keep      Keep
	Archived  string // what becomes of objects that must be restored: "" for failed, skip, restore
	// RestoreDays is how long restored objects can be read for, RestoreSpeed the source's word for how fast they come; "" for
	// its default.
	RestoreDays  int
	RestoreSpeed string

	CutObjects int64
	CutBytes   int64
	Pass       uint64
	PassStart  time.Time     // of this pass, by the source's clock
	PrevStart  time.Time     // of the previous completed pass, by the source's clock; zero on the first
	Skew       time.Duration // destination's clock minus source's
	Traffic    *Traffic      // counts what the job moves here; nil: nobody wants to know

	writes  writes
	parked  parked
	classes classes
}

// Task is one assignment. Bounds are "" or made by store.Next.
type Task struct {
	ID       uint64
	Epoch    uint64
	Kind     Kind
	From     string
	To       string // "" means no end
	Segment  Segment
	Line     int64 // of a List: first line not settled; of Parts: the first part, counted from 0
	EndLine  int64
	Retry    bool // its keys were counted as failed before
	Takeover bool // it was assigned before: what stands at the destination may be ours
	Uploads  []Upload
	Parts    *PartsOf // of Parts
}

// Segment names a blob in the spool.
type Segment struct {
	Name  [32]byte // SHA-256 of the content
	Lines int64
}

// Upload is a committed multipart upload of a key.
type Upload struct {
	Key      string
	Known    []string  // foreign uploads open when it was planned
	Planned  time.Time // by the destination's clock
	ID       string    // "" while only planned
	Version  string    // source version its parts are of
	PartSize int64
	Shares   []Share // parts that others send
}

// PartsOf is the upload that a task sends parts of.
type PartsOf struct {
	Key      string
	UploadID string
	Version  string // of the source
	PartSize int64
	Size     int64 // of the object
}

// Share is a range of parts of an upload, [First, End) counted from 0, that others were given to send.
type Share struct {
	First, End int
	Waits      bool         // nobody sends them at the moment
	Result     *PartsResult // once that ended
}

// PartsResult is what became of a range of parts: it was sent, or with Class set it was not.
type PartsResult struct {
	Tags   []byte // SHA-256 over the parts as the store acknowledged them
	CRC64  []byte // CRC64NVME of the content of the range; empty where it was not computed
	CRC32C []byte
	// CRC64ECMA is what OSS and its relatives tell of an object that was made of parts.
	CRC64ECMA []byte
	Shown     string // the sum that showed that every part arrived; "" for none
	Class     string
	Reason    string
}

// Advance is what a task settled in [From, To), or lines [FromLine, ToLine).
type Advance struct {
	From, To         string
	FromLine, ToLine int64
	Done             bool // the task ends with this
	Counts           Counts
	Objects, Bytes   int64  // entries of the task's own source listing in the range
	Digest           Digest // their digest
	Classes          map[string]int64
	Failed, Audit    *Segment
	Cuts             []Cut
	Parts            *PartsResult // of a task that sends parts; Counts then has BytesMoved only
}

// Counts are differences in objects and bytes, by outcome.
type Counts struct {
	Listed, Copied, Skipped, Filtered, Vanished, Changed, Failed, Recovered, Verified, Extra, Deleted, Lossy int64
	BytesListed, BytesFound, BytesCopied, BytesSkipped, BytesMoved                                           int64
}

// Cut is one piece of work found by a scan: a range, or with Segment set a list.
type Cut struct {
	From, To string
	Segment  *Segment
	Objects  int64
	Bytes    int64
	Digest   Digest
}

// Ledger commits what a task did. An error that wraps ErrFenced means that the task is someone else's now.
type Ledger interface {
	// Advance commits; yield asks the task to end here and give its slot back.
	Advance(ctx context.Context, a Advance) (yield bool, err error)
	PlanUpload(ctx context.Context, u Upload) error
	OpenUpload(ctx context.Context, u Upload) error
	CloseUpload(ctx context.Context, key string) error
	// Split hands [at, To) of a range or scan, or lines (or parts) [atLine, EndLine), to others; the task ends there from
	// then on. An error that wraps ErrSplitRefused means that nothing changed; after any other it is not known.
	Split(ctx context.Context, at string, atLine int64) error
	// Progress tells what the task did since its last Advance and has not settled: absolute, replaced by the next call
	// and by an Advance. It is cheap and never blocks; call it as often as there is news.
	Progress(c Counts)
}

// SharingLedger is a Ledger that can hand out parts of an open upload to other nodes.
type SharingLedger interface {
	Ledger
	// ShareParts hands out parts [first, end), counted from 0, of the upload that is open for an object of size bytes. An
	// error that wraps ErrSplitRefused means that nothing changed; after any other it is not known, and may be asked again.
	ShareParts(ctx context.Context, key string, size int64, first, end int) error
	// ReclaimParts takes exactly these parts back that nobody sends. An error that wraps ErrSplitRefused means that
	// somebody does, or that they were divided.
	ReclaimParts(ctx context.Context, key string, size int64, first, end int) error
	// Shares returns what was last heard of the parts of an upload that others send, and a channel that is closed when more
	// is heard.
	Shares(key, uploadID string) ([]Share, <-chan struct{})
}

// Lease tells whether a task still is this node's.
type Lease interface {
	// Check returns an error that wraps ErrFenced once the deadline passed. It is cheap: called in every Read of a body.
	Check() error
	// Stopping is closed when the task shall settle what is in flight, advance and return ErrStopped.
	Stopping() <-chan struct{}
}

// SplitLease is a Lease that asks its task to make work for others. A task that asks for the channel can be split; one
// that never does cannot.
type SplitLease interface {
	Lease
	// SplitRequests brings one value for each part that is wanted. The task may find less to hand out.
	SplitRequests() <-chan struct{}
}

// LeftLease is a SplitLease that is told what may be had of its task.
type LeftLease interface {
	SplitLease
	// Left tells about how many requests the rest of a listing takes. It is cheap, and may be called for each page.
	Left(requests int64)
	// Declined tells that no more comes of the requests taken so far.
	Declined()
}

// MovedLease is a Lease that is told of every sign of life: bytes that a side took or gave, pages listed.
type MovedLease interface {
	Lease
	// Moved adds n, above 0. It is cheap.
	Moved(n int64)
}

// LimitedLease is a Lease of a task whose job may be held to a rate.
type LimitedLease interface {
	Lease
	// Limiter returns what holds the job to its rate on this node, nil for nothing.
	Limiter() *Limiter
}

// Spool keeps immutable segments.
type Spool interface {
	// Put stores data (at most 4 MiB, already compressed) durably and returns its name, the SHA-256 of it.
	Put(ctx context.Context, data []byte) ([32]byte, error)
	// Get returns a segment and checks it against its name.
	Get(ctx context.Context, name [32]byte) ([]byte, error)
}

// What ends a task besides success and errors of the stores.
var (
	ErrFenced  = errors.New("the lease is lost")
	ErrStopped = errors.New("stopped on request")
	// ErrSplitRefused is a Ledger's answer to a Split that was refused for certain.
	ErrSplitRefused = errors.New("split refused")
)

// JobError ends a task because no task of its job can go on: the destination is full or refuses every write.
type JobError struct {
	Class store.Class
	Err   error
}

// Error gives the cause.
func (e *JobError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *JobError) Unwrap() error { return e.Err }
