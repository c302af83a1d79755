package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	maxRecords  = 5000    // of one page
	maxKey      = 4 << 10 // bytes of a key
	maxContinue = 256     // bytes of a token that brings the rest
)

// ObjectKey is the name of an object.
type ObjectKey struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"` // the exact bytes where Key is not valid UTF-8
}

// NewKey names an object.
func NewKey(key string) ObjectKey {
	k := ObjectKey{Key: key}
	if !utf8.ValidString(key) {
		k.KeyBase64 = []byte(key)
	}
	return k
}

// Exact is the key's exact bytes.
func (k ObjectKey) Exact() string {
	if k.KeyBase64 != nil {
		return string(k.KeyBase64)
	}
	return k.Key
}

// Exact is the exact bytes of the key, or of the start of the range.
func (e *KeyError) Exact() string { return ObjectKey{e.Key, e.KeyBase64}.Exact() }

// Missing tells of records that cannot be read now: every segment is on two nodes, and both are away or have lost it.
type Missing struct {
	Records int64    `json:"records"`
	Nodes   []string `json:"nodes,omitempty"` // members that do not answer now, and may have them; none: they are lost
}

// RecordList is a page of the records of a job's objects. An object has one: what became of it last.
type RecordList struct {
	Records  []json.RawMessage `json:"records"`
	Continue string            `json:"continue,omitempty"` // the value of `continue` that brings the rest; "" at the end
	Missing  *Missing          `json:"missing,omitempty"`  // from this page
	Freshness
}

// Totals are the sums of a job, and what a part of its records shows.
type Totals struct {
	Job          Job              `json:"job"`                     // by what is settled, and has records
	Type         string           `json:"type"`                    // copy, verify, list
	Classes      map[string]int64 `json:"classes,omitempty"`       // failed objects by class
	HashedBefore bool             `json:"hashed_before,omitempty"` // sums were taken before the write, and nothing was read back
	Evidence     Evidence         `json:"evidence"`                // of this page; those of all pages add up
	Continue     string           `json:"continue,omitempty"`      // as in RecordList
	Missing      *Missing         `json:"missing,omitempty"`
	Freshness
}

// Evidence is what records show of the objects that were copied, and why others were not.
type Evidence struct {
	Copied        int64            `json:"copied"`
	SourceChecked int64            `json:"source_checked"` // bytes read match what the source reports
	Sent          int64            `json:"sent_checked"`   // the destination's checksum matches what was sent
	Hashed        int64            `json:"hashed"`         // a checksum was taken of the bytes that passed
	Listed        int64            `json:"listed"`         // found in the destination's listing afterwards
	Filtered      map[string]int64 `json:"filtered,omitempty"`
	Extra         KeyGroup         `json:"extra"` // at the destination only
	Vanished      KeyGroup         `json:"vanished"`
	Changed       KeyGroup         `json:"changed"`
	Lossy         KeyGroup         `json:"lossy"`          // copied, and lost some of what they had besides their bytes
	Lost          map[string]int64 `json:"lost,omitempty"` // what that is, by kind: tag, storage class
}

// KeyGroup counts keys and names the first.
type KeyGroup struct {
	Count int64       `json:"count"`
	First []ObjectKey `json:"first,omitempty"`
}

// The standings of a key.
const (
	Settled  = "settled"   // its record says what became of it
	InTask   = "in-task"   // a task has it, and it is not settled
	GivenUp  = "given-up"  // the task that had it was given up
	NotFound = "not-found" // the listing of the source is past it, and did not have it
	NotBegun = "not-begun" // the job has not listed the source yet, or was canceled before it got there
	Unknown  = "unknown"   // it may be among the records that are missing
)

// Trace is all that is known of one key in the present pass of a job, or in its last.
type Trace struct {
	ObjectKey
	Job         string            `json:"job"`
	Pass        uint64            `json:"pass"`
	State       fsm.JobState      `json:"state"` // of the job
	StartedAt   *time.Time        `json:"started_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
	Standing    string            `json:"standing,omitempty"`    // one of the constants above; "" where Continue is not
	Explanation string            `json:"explanation,omitempty"` // the same in a sentence
	Task        *KeyTask          `json:"task,omitempty"`        // that has the key now, or had it when it was given up
	Records     []json.RawMessage `json:"records"`               // the oldest first; of more than one the last counts
	Continue    string            `json:"continue,omitempty"`    // the search is not over: the value of `continue` that goes on with it
	Missing     *Missing          `json:"missing,omitempty"`     // so far
	Freshness
}

// KeyTask is a task that has a key.
type KeyTask struct {
	HeldTask
	Node    string     `json:"node,omitempty"`    // that holds it; "" while it waits for one
	Retry   bool       `json:"retry,omitempty"`   // the key failed before
	Upload  *KeyUpload `json:"upload,omitempty"`  // of the key, where one is open
	Helpers []string   `json:"helpers,omitempty"` // nodes that send parts of the upload besides
}

// KeyUpload is a multipart upload that is open.
type KeyUpload struct {
	ID        string    `json:"id"`
	Version   string    `json:"version,omitempty"` // of the source, that its parts are of
	PartSize  int64     `json:"part_size"`         // bytes
	PlannedAt time.Time `json:"planned_at"`        // by the destination's clock
}

// Inquiries are questions about the objects of jobs, which the records in the spool answer. A page may have less than was
// asked for, or nothing, where its token says that there is more.
type Inquiries interface {
	// Errors reads failed keys, and the ranges that were given up, at most limit of them.
	Errors(ctx context.Context, job *fsm.Job, from string, limit int) (*ErrorList, error)
	// Records reads the records of objects, at most limit of them.
	Records(ctx context.Context, job *fsm.Job, from string, limit int) (*RecordList, error)
	// Totals sums up a part of the records.
	Totals(ctx context.Context, job *fsm.Job, from string) (*Totals, error)
	// Trace looks for one key.
	Trace(ctx context.Context, job *fsm.Job, key, from string) (*Trace, error)
}

// NewKeyTask describes a task that has a key.
func NewKeyTask(t *fsm.Task, key string) *KeyTask {
	k := &KeyTask{HeldTask: newHeldTask(t), Node: t.Node, Retry: t.Retry}
	for _, u := range t.Uploads {
		if string(u.Key) == key && u.ID != "" {
			k.Upload = &KeyUpload{ID: u.ID, Version: u.Version, PartSize: u.Part, PlannedAt: time.Unix(0, u.Planned).UTC()}
		}
	}
	return k
}

// StaleToken refuses a token of a listing that is no more.
func StaleToken() error {
	return problemf(http.StatusConflict, CodeConflict, "the listing changed",
		"the job began another pass, was redone or retried since this listing began; ask again from the start")
}

// BadToken refuses a token that no page gave.
func BadToken() error {
	return problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "continue is not what a page of this listing gave")
}

// page reads what all questions about objects begin with.
func (s *Server) page(in *call, initial, most int) (job *fsm.Job, from string, limit int, err error) {
	if job, err = s.job(in.PathValue("id")); err != nil {
		return nil, "", 0, err
	}
	n, err := number(in, "limit", int64(initial), 1, int64(most))
	if err != nil {
		return nil, "", 0, err
	}
	if from = in.URL.Query().Get("continue"); len(from) > maxContinue {
		return nil, "", 0, BadToken()
	}
	return job, from, int(n), nil
}

func (s *Server) listErrors(ctx context.Context, in *call) (*reply, error) {
	job, from, limit, err := s.page(in, errorsPage, maxPage)
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Jobs.Errors(ctx, job, from, limit)
	if err != nil {
		return nil, err
	}
	return &reply{document: d}, nil
}

func (s *Server) listRecords(ctx context.Context, in *call) (*reply, error) {
	job, from, limit, err := s.page(in, maxPage, maxRecords)
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Jobs.Records(ctx, job, from, limit)
	if err != nil {
		return nil, err
	}
	return &reply{document: d}, nil
}

func (s *Server) showTotals(ctx context.Context, in *call) (*reply, error) {
	job, from, _, err := s.page(in, 1, 1)
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Jobs.Totals(ctx, job, from)
	if err != nil {
		return nil, err
	}
	return &reply{document: d}, nil
}

func (s *Server) traceKey(ctx context.Context, in *call) (*reply, error) {
	job, from, _, err := s.page(in, 1, 1)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(in.URL.Query())
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Jobs.Trace(ctx, job, key, from)
	if err != nil {
		return nil, err
	}
	return &reply{document: d}, nil
}

// keyOf reads the key that a query names: raw, or its bytes in base64.
func keyOf(q url.Values) (string, error) {
	key := q.Get("key")
	bad := func(format string, args ...any) (string, error) {
		return "", problemf(http.StatusBadRequest, CodeBadRequest, "bad request", format, args...)
	}
	if q.Has("key_base64") {
		if q.Has("key") {
			return bad("key and key_base64 do not go together")
		}
		raw, err := base64.StdEncoding.DecodeString(q.Get("key_base64"))
		if err != nil {
			return bad("key_base64 is not standard base64")
		}
		key = string(raw)
	}
	if key == "" || len(key) > maxKey {
		return bad("key or key_base64 is to name a key of 1 to %d bytes", maxKey)
	}
	return key, nil
}

// Errors returns a page of a job's failed keys.
func (c *Client) Errors(ctx context.Context, id, from string, limit int) (*ErrorList, error) {
	var d ErrorList
	return &d, c.page(ctx, id, "errors", from, limit, &d)
}

// Records returns a page of the records of a job's objects.
func (c *Client) Records(ctx context.Context, id, from string, limit int) (*RecordList, error) {
	var d RecordList
	return &d, c.page(ctx, id, "records", from, limit, &d)
}

// Totals returns the sums of a job, with what a part of its records shows.
func (c *Client) Totals(ctx context.Context, id, from string) (*Totals, error) {
	var d Totals
	return &d, c.page(ctx, id, "report", from, 0, &d)
}

func (c *Client) page(ctx context.Context, id, what, from string, limit int, into any) error {
	query := url.Values{}
	if from != "" {
		query.Set("continue", from)
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return c.call(ctx, http.MethodGet, jobPath(id)+"/"+what+"?"+query.Encode(), nil, nil, into)
}

// Trace looks for a key, until all that there is of it is found.
func (c *Client) Trace(ctx context.Context, id, key string) (*Trace, error) {
	all := &Trace{Records: []json.RawMessage{}}
	for {
		query := url.Values{"key_base64": {base64.StdEncoding.EncodeToString([]byte(key))}}
		if all.Continue != "" {
			query.Set("continue", all.Continue)
		}
		var page Trace
		if err := c.call(ctx, http.MethodGet, jobPath(id)+"/why?"+query.Encode(), nil, nil, &page); err != nil {
			return nil, err
		}
		page.Records = append(all.Records, page.Records...)
		if all = &page; all.Continue == "" {
			return all, nil
		}
	}
}
