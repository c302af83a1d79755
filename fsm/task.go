package fsm

// TaskKind is what a task does.
type TaskKind string

// The kinds of tasks.
const (
	ScanTask   TaskKind = "scan"   // list and compare a range, settle what needs no work, cut tasks
	RangeTask  TaskKind = "range"  // copy or verify a key range
	ListTask   TaskKind = "list"   // copy or verify the keys of a segment
	RelistTask TaskKind = "relist" // list a range again whose count or digest did not agree with its cut
	PartsTask  TaskKind = "parts"  // send some parts of another task's upload
)

// Task is the unit of assignment. Values are never changed in place.
type Task struct {
	ID      uint64    `json:"id"` // ascending over the whole state
	Job     string    `json:"job"`
	Kind    TaskKind  `json:"kind"`
	From    []byte    `json:"from,omitempty"`     // lowest key bound not settled; nil means from the start
	To      []byte    `json:"to,omitempty"`       // nil means no end
	Segment *Segment  `json:"segment,omitempty"`  // of a ListTask
	Line    int64     `json:"line,omitempty"`     // of a ListTask: lines settled; of a PartsTask: its first part, from 0
	EndLine int64     `json:"end_line,omitempty"` // of a ListTask or PartsTask
	Cut     uint64    `json:"cut,omitempty"`      // the Cut that it belongs to; 0 for scans, lists and retries
	Retry   bool      `json:"retry,omitempty"`    // its keys were counted as failed before
	Uploads []*Upload `json:"uploads,omitempty"`  // multipart uploads planned or open, ordered by key
	Parts   *Parts    `json:"parts,omitempty"`    // of a PartsTask

	Objects int64  `json:"objects,omitempty"` // settled so far by this task's own listing
	Bytes   int64  `json:"bytes,omitempty"`
	Digest  []byte `json:"digest,omitempty"`

	Grants    int    `json:"grants,omitempty"`     // times it was assigned
	Attempt   int    `json:"attempt,omitempty"`    // attempts that failed
	NotBefore int64  `json:"not_before,omitempty"` // Unix nanoseconds; back-off, stamped by the leader
	Node      string `json:"node,omitempty"`       // "" while pending
	Epoch     uint64 `json:"epoch,omitempty"`      // raft index of the assignment; 0 while pending
}

// Upload is a multipart upload of one key of a task, committed before it is created at the store.
type Upload struct {
	Key     []byte   `json:"k"`
	Known   []string `json:"o,omitempty"`  // IDs open at the key when it was planned: foreign, never touched
	Planned int64    `json:"at"`           // Unix nanoseconds by the destination's clock
	ID      string   `json:"id,omitempty"` // "" until opened
	Version string   `json:"v,omitempty"`  // source version that its parts are of
	Part    int64    `json:"p,omitempty"`  // part size in bytes
	Shares  []Share  `json:"s,omitempty"`  // parts that other tasks send, in order
}

// Share is a range of parts of an upload that its owner handed out.
type Share struct {
	First  int64        `json:"f"`           // parts [First, End), counted from 0
	End    int64        `json:"e"`           //
	Task   uint64       `json:"t,omitempty"` // the PartsTask; 0 once it ended
	Result *PartsResult `json:"r,omitempty"` // once it ended
}

// Parts is what a PartsTask needs to know of the upload.
type Parts struct {
	Owner   uint64 `json:"o"` // task that opened the upload and completes it
	Key     []byte `json:"k"`
	ID      string `json:"id"`
	Version string `json:"v,omitempty"` // source version
	Part    int64  `json:"p"`           // part size in bytes
	Size    int64  `json:"z"`           // of the object in bytes
}

// PartsResult is what became of a range of parts: it was sent, or with Class set it was not.
type PartsResult struct {
	Tags   []byte `json:"g,omitempty"` // SHA-256 over the parts as the store acknowledged them
	CRC64  []byte `json:"c,omitempty"` // CRC64NVME of the range's content; nil where it was not computed
	CRC32C []byte `json:"d,omitempty"`
	// CRC64ECMA is what OSS and its relatives tell of an object that was made of parts.
	CRC64ECMA []byte `json:"m,omitempty"`
	Shown     string `json:"s,omitempty"` // the sum that showed that every part arrived; "" for none
	Class     string `json:"x,omitempty"`
	Reason    string `json:"r,omitempty"`
}

// byLine tells whether the task's bounds are numbers, of lines or parts.
func (t *Task) byLine() bool { return t.Kind == ListTask || t.Kind == PartsTask }

// Leased tells whether a node holds the task.
func (t *Task) Leased() bool { return t.Node != "" }
