package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

// recordBench is a desk over a spool of records, for a job that the test makes up.
type recordBench struct {
	t     *testing.T
	spool *cluster.Spool
	desk  *jobDesk
	job   fsm.Job
	tasks []*fsm.Task
	keys  int // made so far
}

func newRecordBench(t *testing.T) *recordBench {
	t.Helper()
	spool, err := cluster.OpenSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &recordBench{t: t, spool: spool}
	b.desk = &jobDesk{spool: spool, machine: fsm.NewMachine(), away: func(context.Context) []string { return []string{"node-away"} }}
	b.job = fsm.Job{ID: "j", Nonce: []byte("0123456789abcdef"), Pass: 1, State: fsm.Running, Type: "copy", Spec: []byte(`{"version":1}`)}
	return b
}

// segment spools records of new keys, each of an outcome.
func (b *recordBench) segment(outcomes ...transfer.Outcome) fsm.Segment {
	b.t.Helper()
	var records []transfer.Record
	for _, o := range outcomes {
		r := transfer.Record{Outcome: o, Task: 1, Node: "n", At: time.Unix(1, 0)}
		r.SetKey(fmt.Sprintf("k%04d", b.keys))
		if o == transfer.Failed {
			r.Class = "permanent"
		}
		b.keys++
		records = append(records, r)
	}
	return b.put(transfer.EncodeRecords(records))(len(records))
}

func (b *recordBench) put(data []byte, err error) func(lines int) fsm.Segment {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	name, err := b.spool.Put(b.t.Context(), data)
	if err != nil {
		b.t.Fatal(err)
	}
	return func(lines int) fsm.Segment { return fsm.Segment{Name: name[:], Lines: int64(lines)} }
}

// folded puts a manifest in the place of segments.
func (b *recordBench) folded(list []fsm.Segment) []fsm.Segment {
	b.t.Helper()
	lines := 0
	for _, s := range list {
		lines += int(s.Lines)
	}
	m := b.put(scheduler.EncodeManifest(list))(lines)
	m.Manifest = true
	return []fsm.Segment{m}
}

// work is the job as it is now.
func (b *recordBench) work() work {
	job := b.job
	return work{&job, b.tasks}
}

// pages reads all records in pages of a size, with a change between the pages.
func (b *recordBench) pages(start, limit int, between func(page int)) (keys []string, missing int64) {
	b.t.Helper()
	c := cursor{stage: start}
	for page := 0; c.stage < stageEnd; page++ {
		w, p := b.work(), b.desk.newPage(limit)
		took := 0
		at, err := parseCursor(c.token(listingOf(w.job, true)), listingOf(w.job, true), start)
		if err != nil {
			b.t.Fatal(err)
		}
		c, err = p.fill(b.t.Context(), w, at, func(line []byte) error {
			took++
			r, err := decodeRecord(line)
			keys = append(keys, r.ExactKey()+" "+string(r.Outcome))
			return err
		}, func(l fsm.LostRange) error {
			took++
			keys = append(keys, "range from "+string(l.Task.From))
			return nil
		})
		if err != nil || took > limit || page > 1000 {
			b.t.Fatalf("page %d has %d of %d: %v", page, took, limit, err)
		}
		missing += p.missing
		between(page)
	}
	return keys, missing
}

const (
	did   = transfer.Copied
	fails = transfer.Failed
)

// TestRecordPages reads records page by page, while segments are folded: each comes once, those that failed last.
func TestRecordPages(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 7, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			b := newRecordBench(t)
			for range 5 {
				b.job.Audit = append(b.job.Audit, b.segment(did, fails, transfer.Skipped), b.segment(did))
			}
			failed := b.segment(fails, fails, fails)
			retried, given := b.segment(fails, fails, fails, fails), b.segment(fails, fails)
			b.job.Failed = []fsm.Segment{failed}
			b.tasks = []*fsm.Task{
				{ID: 3, Kind: fsm.ScanTask},
				{ID: 5, Kind: fsm.ListTask, Retry: true, Segment: &retried, Line: 1, EndLine: 2},
				{ID: 9, Kind: fsm.ListTask, Retry: true, Segment: &retried, Line: 3, EndLine: 4},
			}
			b.job.LostRanges = []fsm.LostRange{
				{Task: fsm.Task{ID: 4, Kind: fsm.RangeTask, From: []byte("x")}, Reason: "r"},
				{Task: fsm.Task{ID: 6, Kind: fsm.ListTask, Retry: true, Segment: &given, EndLine: 2}, Reason: "r"},
			}
			whole := b.job.Audit
			got, missing := b.pages(stageAudit, limit, func(page int) {
				if page == 1 {
					b.job.Audit = append(b.folded(whole[:4]), whole[4:]...)
				}
				if page == 3 {
					b.job.Audit = b.folded(whole)
				}
			})
			var want []string
			for i := range 5 {
				want = append(want, fmt.Sprintf("k%04d copied", 4*i), fmt.Sprintf("k%04d skipped", 4*i+2), fmt.Sprintf("k%04d copied", 4*i+3))
			}
			want = append(want, "k0024 failed", "k0026 failed", "k0020 failed", "k0021 failed", "k0022 failed", "range from x", "k0027 failed", "k0028 failed")
			if !slices.Equal(got, want) || missing != 0 {
				t.Errorf("got %q, %d missing, want %q", got, missing, want)
			}
		})
	}
}

// TestMissingRecords loses segments, and a manifest: what is left is read, and what is not is counted once.
func TestMissingRecords(t *testing.T) {
	b := newRecordBench(t)
	for range 6 {
		b.job.Audit = append(b.job.Audit, b.segment(did, did))
	}
	gone := b.job.Audit[1]
	b.job.Audit = append(b.folded(b.job.Audit[:3]), append(b.folded(b.job.Audit[3:5]), b.job.Audit[5])...)
	for _, s := range []fsm.Segment{gone, b.job.Audit[1]} { // one of a manifest, and the other manifest
		if err := b.spool.Remove([32]byte(s.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 3, 100} {
		got, missing := b.pages(stageAudit, limit, func(int) {})
		want := []string{"k0000 copied", "k0001 copied", "k0004 copied", "k0005 copied", "k0010 copied", "k0011 copied"}
		if !slices.Equal(got, want) || missing != 6 {
			t.Errorf("pages of %d: %q, %d missing, want %q and 6", limit, got, missing, want)
		}
	}
	b.job.Audit = nil
	retried := b.segment(fails, fails, fails, fails)
	b.tasks = []*fsm.Task{{ID: 5, Kind: fsm.ListTask, Retry: true, Segment: &retried, Line: 1, EndLine: 3}}
	if err := b.spool.Remove([32]byte(retried.Name)); err != nil {
		t.Fatal(err)
	}
	if got, missing := b.pages(stageAudit, 1, func(int) {}); len(got) != 0 || missing != 2 {
		t.Errorf("two lines of a list that is lost: %q, %d missing", got, missing)
	}
	var l lostRecords
	l.add(b.desk.missed(t.Context(), 6))
	if got := l.String(); got != "6 records missing (node node-away)" {
		t.Error(got)
	}
	b.desk.away = nil
	l = lostRecords{}
	l.add(b.desk.missed(t.Context(), 1))
	if got := l.String(); got != "1 record missing (no node has them)" {
		t.Error(got)
	}
}

// TestTokens refuses tokens that no page gave, and those of a listing that is no more.
func TestTokens(t *testing.T) {
	b := newRecordBench(t)
	now := listingOf(&b.job, true)
	for _, text := range []string{"x", now, now + ".0.0", now + ".0.0.0.0", now + ".0.0.-1", now + ".9.0.0", now + ".0.0.x", "." + now, strings.Repeat(".", 3)} {
		if _, err := parseCursor(text, now, stageAudit); !isProblem(err, api.CodeBadRequest) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := parseCursor(cursor{stage: stageAudit}.token(now), now, stageRetry); !isProblem(err, api.CodeBadRequest) {
		t.Errorf("a stage before the first: %v", err)
	}
	for name, change := range map[string]func(*fsm.Job){
		"pass": func(j *fsm.Job) { j.Pass++ }, "redo": func(j *fsm.Job) { j.Incarnation++ }, "retry": func(j *fsm.Job) { j.Retried++ },
		"another job": func(j *fsm.Job) { j.Nonce = []byte("fedcba9876543210") },
	} {
		later := b.job
		change(&later)
		_, err := parseCursor(cursor{stage: stageFailed, at: 3}.token(now), listingOf(&later, true), stageAudit)
		if !isProblem(err, api.CodeConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isProblem(err error, code string) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Code() == code
}

// traceAll looks for a key, with pages that end after each segment, and with a change between them.
func (b *recordBench) traceAll(key string, between func(page int)) (last *api.Trace, records [][]byte) {
	b.t.Helper()
	token := ""
	for page := 0; ; page++ {
		w := b.work()
		s, err := b.desk.newSearch(w, key, token)
		if err != nil {
			b.t.Fatal(err)
		}
		s.page.rest = func() bool { return true }
		err = s.run(b.t.Context(), w)
		for _, r := range s.trace.Records {
			records = append(records, r)
		}
		if err == nil {
			s.judge(w)
			return s.trace, records
		}
		if !errors.Is(err, errEnough) || page > 100 {
			b.t.Fatalf("page %d: %v", page, err)
		}
		token = s.token(listingOf(w.job, false))
		between(page)
	}
}

// TestTraceEveryKey finds each key once, wherever in a segment or a manifest it stands.
func TestTraceEveryKey(t *testing.T) {
	b := newRecordBench(t)
	for range 6 {
		b.job.Audit = append(b.job.Audit, b.segment(did, did, did))
	}
	b.job.Audit = append(b.folded(b.job.Audit[:4]), b.job.Audit[4:]...)
	for i := range b.keys {
		key := fmt.Sprintf("k%04d", i)
		if got, records := b.traceAll(key, func(int) {}); got.Standing != api.Settled || len(records) != 1 {
			t.Errorf("%s: %d records, %+v", key, len(records), got)
		}
	}
}

// TestTraceMovingKey looks for a key that moves while it is looked for: from a scan into a list, from there to another task,
// and at last into a record. Wherever it is found, it is never denied.
func TestTraceMovingKey(t *testing.T) {
	b := newRecordBench(t)
	for range 6 {
		b.job.Audit = append(b.job.Audit, b.segment(did, did))
	}
	const key = "k0013" // the next but one that is made
	settled := b.segment(did, did)
	moves := []func(){
		func() { b.tasks = []*fsm.Task{{ID: 1, Kind: fsm.ScanTask, Node: "n"}} },
		func() {
			b.tasks = []*fsm.Task{
				{ID: 1, Kind: fsm.ScanTask, Node: "n", From: []byte("k1")}, {ID: 2, Kind: fsm.RangeTask, From: []byte("k"), To: []byte("k1")},
			}
		},
		func() {
			b.tasks = []*fsm.Task{{ID: 1, Kind: fsm.ScanTask, Node: "n", From: []byte("k1")}}
			b.job.Audit = append(b.job.Audit, settled)
		},
	}
	for first := range moves {
		for pause := range 9 {
			b.job.Audit = b.job.Audit[:6]
			at := first
			moves[at]()
			got, records := b.traceAll(key, func(page int) {
				if page >= pause && at+1 < len(moves) {
					at++
					moves[at]()
				}
			})
			switch {
			case at == len(moves)-1 && (got.Standing != api.Settled || len(records) != 1):
				t.Errorf("from %d, after %d pages: %+v", first, pause, got)
			case at < len(moves)-1 && (got.Standing != api.InTask || got.Task.ID != uint64(at+1)):
				t.Errorf("from %d, after %d pages, at %d: %+v", first, pause, at, got)
			}
		}
	}
}

// TestTraceStandings finds keys in lists of tasks, in what was given up, and among what is missing.
func TestTraceStandings(t *testing.T) {
	b := newRecordBench(t)
	b.job.Audit = []fsm.Segment{b.segment(did, fails, fails)} // k0000 to k0002
	b.keys = 1
	failed := b.segment(fails, fails)
	b.keys = 2
	lost := b.segment(fails)
	b.job.LostRanges = []fsm.LostRange{
		{Task: fsm.Task{ID: 7, Kind: fsm.ListTask, Retry: true, Segment: &lost, EndLine: 1}, Class: "c", Reason: "too often"},
		{Task: fsm.Task{ID: 3, Kind: fsm.RangeTask, From: []byte("m"), To: []byte("n")}, Class: "c", Reason: "listings disagree"},
	}
	b.tasks = []*fsm.Task{
		{ID: 8, Kind: fsm.ListTask, Retry: true, Segment: &failed, EndLine: 1, Node: "node-2", Attempt: 1},
		{ID: 9, Kind: fsm.RangeTask, From: []byte("p"), To: []byte("q"), Node: "node-1", Uploads: []*fsm.Upload{
			{Key: []byte("pp"), ID: "upload-1", Part: 1 << 20, Planned: 1},
		}},
		{ID: 10, Kind: fsm.PartsTask, Node: "node-3", Parts: &fsm.Parts{Owner: 9, Key: []byte("pp"), ID: "upload-1"}},
	}
	for key, want := range map[string]struct{ standing, says string }{
		"k0000": {api.Settled, "it was copied"},
		"k0001": {api.InTask, "it failed, and is to be tried again: task 8 has it, and node node-2 works on that"},
		"k0002": {api.GivenUp, "too often"},
		"mm":    {api.GivenUp, "listings disagree"},
		"pp":    {api.InTask, "task 9 has it, and node node-1 works on that; its upload is open"},
		"z":     {api.NotFound, "did not have it"},
	} {
		got, _ := b.traceAll(key, func(int) {})
		if got.Standing != want.standing || !strings.Contains(got.Explanation, want.says) {
			t.Errorf("%s: %s, %q", key, got.Standing, got.Explanation)
		}
		if key == "pp" && (got.Task.Upload == nil || got.Task.Upload.ID != "upload-1" || !slices.Equal(got.Task.Helpers, []string{"node-3"})) {
			t.Errorf("%s: %+v", key, got.Task)
		}
	}
	b.job.Failed = []fsm.Segment{b.segmentOf("k0002")}
	if err := b.spool.Remove([32]byte(b.job.Audit[0].Name)); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.traceAll("z", func(int) {}); got.Standing != api.Unknown || !strings.Contains(got.Explanation, "among the 3 that are missing") {
		t.Errorf("%+v", got)
	}
	if _, records := b.traceAll("k0002", func(int) {}); len(records) != 1 || !bytes.Contains(records[0], []byte("permanent")) {
		t.Errorf("the failed key of a lost audit segment: %s", records)
	}
	b.job.Audit, b.job.TasksLost = nil, 5
	if got, _ := b.traceAll("z", func(int) {}); got.Standing != api.Unknown || !strings.Contains(got.Explanation, "one of 3 ranges") {
		t.Errorf("%+v", got)
	}
	b.job.Pass, b.job.TasksLost, b.tasks, b.job.LostRanges, b.job.Failed = 0, 0, nil, nil, nil
	if got, _ := b.traceAll("z", func(int) {}); got.Standing != api.NotBegun {
		t.Errorf("%+v", got)
	}
}

// segmentOf spools the record of one failed key.
func (b *recordBench) segmentOf(key string) fsm.Segment {
	r := transfer.Record{Key: key, Outcome: fails, Class: "permanent"}
	return b.put(transfer.EncodeRecords([]transfer.Record{r}))(1)
}

// alone is a node that is the only one, and leads.
type alone struct{}

func (alone) Leader() string                         { return "node-1" }
func (alone) Machines(context.Context) []api.Machine { return nil }

// TestErrorsOfRangesGivenUp asks the API of a node, with a state in which a key failed and the rest of its range was given up:
// a range is shown, but is no key of a key list.
func TestErrorsOfRangesGivenUp(t *testing.T) {
	b := newRecordBench(t)
	failed := b.segment(fails)
	index := uint64(0)
	for _, cmd := range []fsm.Command{
		fsm.SubmitJob{ID: "j", Nonce: b.job.Nonce, Kind: "copy", Spec: b.job.Spec, At: 1},
		fsm.StartPass{Job: "j", Nonce: b.job.Nonce, Pass: 1, At: 2, Clock: 2},
		fsm.AssignTasks{Grants: []fsm.Grant{{Task: 1, Node: "node-1"}}},
		fsm.AdvanceTask{Task: 1, Epoch: 3, To: []byte("m"), Counts: fsm.Counts{Listed: 1, Failed: 1}, Failed: &failed, Audit: &failed},
		fsm.FailTask{Task: 1, Epoch: 3, Class: "transient", Reason: "no answer", GiveUp: true},
	} {
		entry, err := fsm.Encode(cmd)
		if err != nil {
			t.Fatal(err)
		}
		index++
		if r := b.desk.machine.Apply(index, entry).(fsm.Result); r.Err != nil {
			t.Fatalf("%T: %v", cmd, r.Err)
		}
	}
	token, err := api.LocalToken(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.New(api.Config{
		Node: "node-1", Token: token, State: b.desk.machine, Jobs: b.desk, Members: alone{}, Logger: slog.New(slog.DiscardHandler),
	}).Handler())
	t.Cleanup(server.Close)
	c, err := api.NewClient(server.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for list, want := range map[bool]struct{ out, err string }{
		false: {"permanent  k0000  \ntransient  m  the keys from here to the end were given up: no answer\n", ""},
		true:  {"k0000\n", "left out of this list: 1 range of keys given up as a whole; brigade ctl retry j works on that again\n"},
	} {
		var out, said bytes.Buffer
		a := &app{out: &out, err: &said}
		if err := a.listErrors(t.Context(), c, "j", false, list); err != nil || out.String() != want.out || said.String() != want.err {
			t.Errorf("list %v: %q, %q, %v", list, out.String(), said.String(), err)
		}
	}
	got, err := c.Trace(t.Context(), "j", "n")
	if err != nil || got.Standing != api.GivenUp || !strings.Contains(got.Explanation, "no answer") {
		t.Errorf("a key of the range: %+v, %v", got, err)
	}
}

// BenchmarkTrace looks for a key that is not there in a hundred full segments, which are half a million records.
func BenchmarkTrace(b *testing.B) {
	spool, err := cluster.OpenSpool(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	d := &jobDesk{spool: spool}
	w := work{job: &fsm.Job{ID: "j", Pass: 1, State: fsm.Succeeded}}
	for i := range 100 {
		records := make([]transfer.Record, 5000)
		for k := range records {
			records[k] = transfer.Record{
				Key: fmt.Sprintf("photos/2019/%04d/image-%06d.jpg", i, k), Outcome: did, Size: 123456, ModTime: time.Unix(1, 2), Listed: true,
				Version: fmt.Sprintf("%032x", i*5000+k), Sums: map[string]string{"md5": fmt.Sprintf("%032x", k)}, Sent: "md5", Source: "md5",
				Nonce: "00112233445566778899aabbccddeeff", Task: uint64(i), Epoch: 77, Node: "0123456789abcdef", At: time.Unix(3, 4), Attempts: 1,
			}
		}
		data, err := transfer.EncodeRecords(records)
		if err != nil {
			b.Fatal(err)
		}
		name, err := spool.Put(b.Context(), data)
		if err != nil {
			b.Fatal(err)
		}
		w.job.Audit = append(w.job.Audit, fsm.Segment{Name: name[:], Lines: 5000})
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := d.newSearch(w, "photos/2019/none.jpg", "")
		if err != nil {
			b.Fatal(err)
		}
		s.page.rest = nil
		if err := s.run(b.Context(), w); err != nil || len(s.trace.Records) != 0 {
			b.Fatal(err)
		}
	}
}
