package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

// memSpool keeps segments in memory.
type memSpool map[[32]byte][]byte

func (m memSpool) Put(_ context.Context, data []byte) ([32]byte, error) {
	name := sha256.Sum256(data)
	m[name] = data
	return name, nil
}

func (m memSpool) Get(_ context.Context, name [32]byte) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("no segment %x", name)
	}
	return data, nil
}

// segment spools records.
func (m memSpool) segment(t *testing.T, recs ...transfer.Record) fsm.Segment {
	t.Helper()
	data, err := transfer.EncodeRecords(recs)
	if err != nil {
		t.Fatal(err)
	}
	name, err := m.Put(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return fsm.Segment{Name: name[:], Lines: int64(len(recs))}
}

func record(key string, o transfer.Outcome, class, reason string) transfer.Record {
	r := transfer.Record{Outcome: o, Class: class, Reason: reason, Size: 3}
	r.SetKey(key)
	return r
}

func TestReportOfCopy(t *testing.T) {
	spool := memSpool{}
	copied := record(`tricky","sent_checked":"`, transfer.Copied, "", "")
	checked := record("a", transfer.Copied, "", "")
	checked.Source, checked.Sent, checked.Listed, checked.Sums = "md5", "md5", true, map[string]string{"md5": "00"}
	var failed []transfer.Record
	for i := range 7 {
		failed = append(failed, record(fmt.Sprintf("f%d", i), transfer.Failed, "auth", "put: AccessDenied"))
	}
	failed = append(failed, record("bad\x1b[31m\xff", transfer.Failed, "permanent", "name\nis bad"))
	job := &fsm.Job{
		ID: "photos", Type: "copy", State: fsm.Failed, Pass: 1, TasksLost: 1,
		Counts: fsm.Counts{Listed: 1014, Copied: 2, Skipped: 1000, Filtered: 2, Vanished: 1, Changed: 1, Failed: 8, Extra: 1,
			Recovered: 1, BytesFound: 3042, BytesCopied: 6, BytesSkipped: 3000, BytesMoved: 2_000_000},
		Audit: []fsm.Segment{spool.segment(t, checked, copied, record("t", transfer.Filtered, "", "excluded by *.tmp"),
			record("s", transfer.Filtered, "", "socket"), record("v", transfer.Vanished, "", ""),
			record("c", transfer.Changed, "", ""), record("e", "extra", "", ""), record("k", transfer.Skipped, "", ""))},
		Failed:     []fsm.Segment{spool.segment(t, failed[:3]...), manifestOf(t, spool, spool.segment(t, failed[3:]...))},
		LostRanges: []fsm.LostRange{{Task: fsm.Task{Kind: fsm.RangeTask, From: []byte("m"), To: []byte("n")}, Class: "transient", Reason: "list: reset"}},
	}
	dir := t.TempDir()
	got := render(t, spool, job, dir, runStats{elapsed: 2 * time.Second, bytes: 2_000_000, objects: 1014})
	want := `photos: pass 1 done, 8 objects failed and 1 key range was given up

 outcome                  objects   bytes 
──────────────────────────────────────────
 copied                         2     6 B 
 skipped (already there)    1,000  3.0 kB 
 filtered                       2         
 vanished                       1         
 changed                        1         
 failed                         8         
──────────────────────────────────────────
 found                      1,014  3.0 kB 

2.0 MB moved, this run took 2s: 1.0 MB/s, 507 objects/s; 1 copied object was there from an interrupted run

shown:
  source-checked   1 of 2 copied objects: the bytes read match a checksum that the source reports
  sent = received  1 of 2 copied objects: the destination's checksum matches what was sent
  listed           1 of 2 copied objects: found in the destination's listing afterwards

left out:
  1  excluded by *.tmp
  1  socket

1 vanished from the source before they could be read:
  v

1 changed at the source during every attempt:
  c

1 at the destination only:
  e

failed, auth (7):
  f0  put: AccessDenied
  f1  put: AccessDenied
  f2  put: AccessDenied
  f3  put: AccessDenied
  f4  put: AccessDenied
  … and 2 more

failed, permanent (1):
  "bad\x1b[31m\xff"  "name\nis bad"

failed, transient (1):
  m  the keys from here to n were given up: list: reset

all of them:   DIR/failed.list (keys), DIR/failed.jsonl (with reasons)

every object:  DIR/report.jsonl.zst
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report differs (-want +got):\n%s", diff)
	}
	list, err := os.ReadFile(filepath.Join(dir, "failed.list"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "f0\nf1\nf2\nf3\nf4\nf5\nf6\n\\b64:YmFkG1szMW3/\n"; string(list) != want {
		t.Errorf("failed.list is %q, want %q", list, want)
	}
	checkRecords(t, filepath.Join(dir, "report.jsonl.zst"), 8)
}

// checkRecords unpacks a report and counts its lines.
func checkRecords(t *testing.T, name string, want int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dec, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	text, err := io.ReadAll(dec)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(text, []byte("\n")); got != want {
		t.Errorf("%s has %d records, want %d", name, got, want)
	}
}

func manifestOf(t *testing.T, spool memSpool, segments ...fsm.Segment) fsm.Segment {
	t.Helper()
	data, err := scheduler.EncodeManifest(segments)
	if err != nil {
		t.Fatal(err)
	}
	name, err := spool.Put(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return fsm.Segment{Name: name[:], Manifest: true}
}

// render gives the report as text, with the directory's name replaced.
func render(t *testing.T, spool transfer.Spool, job *fsm.Job, dir string, run runStats) string {
	t.Helper()
	r := &report{job: job, run: run}
	var err error
	if r.failures, r.files, err = collectFailures(t.Context(), spool, job, dir); err != nil {
		t.Fatal(err)
	}
	if r.evidence, r.records, err = collectEvidence(t.Context(), spool, job, dir); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), dir, "DIR")
}

func TestHeadlines(t *testing.T) {
	for _, tc := range []struct {
		job  fsm.Job
		want string
	}{
		{fsm.Job{Type: "copy", State: fsm.Succeeded}, "pass 1 done, nothing matched: the source has no objects"},
		{fsm.Job{Type: "copy", State: fsm.Succeeded, Counts: fsm.Counts{Filtered: 1}}, "pass 1 done, nothing matched: all 1 object was left out"},
		{fsm.Job{Type: "copy", State: fsm.Succeeded, Counts: fsm.Counts{Skipped: 12000, Filtered: 1}}, "pass 1 done, nothing to do: all 12,000 objects were there already"},
		{fsm.Job{Type: "copy", State: fsm.Succeeded, Counts: fsm.Counts{Skipped: 1, Copied: 1}}, "pass 1 done, every object is accounted for"},
		{fsm.Job{Type: "copy", State: fsm.Failed, Counts: fsm.Counts{Failed: 1}}, "pass 1 done, 1 object failed"},
		{fsm.Job{Type: "copy", State: fsm.Paused, Reason: "disk\x07full"}, `pass 1 is paused: "disk\afull"`},
		{fsm.Job{Type: "list", State: fsm.Succeeded, Counts: fsm.Counts{Skipped: 2}}, "pass 1 done, 2 objects listed"},
		{fsm.Job{Type: "verify", State: fsm.Succeeded}, "pass 1 done, nothing matched: the source has no objects"},
		{fsm.Job{Type: "verify", State: fsm.Succeeded, Counts: fsm.Counts{Skipped: 2}}, "pass 1 done, no differences: 2 objects are at the destination and equal"},
		{fsm.Job{Type: "verify", State: fsm.Failed, Classes: map[string]int64{"missing": 1, "differs": 2, "auth": 1}, Counts: fsm.Counts{Failed: 4, Extra: 3}},
			"pass 1 done, 1 missing at the destination, 2 different, 3 at the destination only, 1 not verified for errors"},
	} {
		tc.job.Pass = 1
		if got := (&report{job: &tc.job}).headline(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestColourOnlyOnTerminals(t *testing.T) {
	job := &fsm.Job{Type: "copy", Counts: fsm.Counts{Copied: 1, Failed: 1}}
	if s := (&report{job: job}).table(); strings.Contains(s, "\x1b") {
		t.Errorf("colours where none are wanted: %q", s)
	}
	for _, tc := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{true, nil, true}, {false, nil, false}, {true, map[string]string{"NO_COLOR": "1"}, false}, {true, map[string]string{"TERM": "dumb"}, false},
	} {
		a := &app{terminals: terminals{out: tc.terminal}, getenv: func(k string) string { return tc.env[k] }}
		if got := a.colored(); got != tc.want {
			t.Errorf("terminal %v, environment %v: got %v", tc.terminal, tc.env, got)
		}
	}
}

func TestProgressViews(t *testing.T) {
	start := time.Unix(1000, 0)
	s := &sampler{}
	s.view(start, tally{listing: true})
	v := s.view(start.Add(time.Second), tally{
		counts: fsm.Counts{Listed: 2000, Copied: 900, Failed: 100, BytesListed: 20e6, BytesFound: 10e6, BytesMoved: 9e6}, listing: true, written: 10e6,
	})
	if got, want := v.String(), "1,000 of at least 2,000 objects, 11 MB of at least 20 MB, 10 MB/s, 100 failed"; got != want {
		t.Errorf("while listing: got  %s\nwant %s", got, want)
	}
	v = s.view(start.Add(2*time.Second), tally{
		counts: fsm.Counts{Listed: 2000, Copied: 1000, Verified: 7, BytesListed: 20e6, BytesFound: 20e6, BytesMoved: 20e6}, written: 20e6,
	})
	if got, want := v.String(), "1,000 of 2,000 objects, 20 MB of 20 MB, 10 MB/s, 7 verified, ETA 2s"; got != want {
		t.Errorf("afterwards: got  %s\nwant %s", got, want)
	}
	v = s.view(start.Add(3*time.Second), tally{
		counts: fsm.Counts{Listed: 2000, Copied: 1000, BytesListed: 40e6, BytesFound: 20e6, BytesMoved: 20e6}, written: 20e6, limit: 1e6,
	})
	if got, want := v.String(), "1,000 of 2,000 objects, 20 MB of 40 MB, 6.7 MB/s (limit 1.0 MB/s), ETA 20s"; got != want {
		t.Errorf("with a limit: got  %s\nwant %s", got, want)
	}
	// The rate is that of the last seconds only.
	for i := 4; i < 21; i++ {
		v = s.view(start.Add(time.Duration(i)*time.Second), tally{written: 20e6})
	}
	if v.rate != 0 {
		t.Errorf("after 17 idle seconds the rate is %f", v.rate)
	}
}

func TestBarMovesAndEndsWithItsContext(t *testing.T) {
	var out lockedBuffer
	a := &app{terminals: terminals{err: true}, err: &out}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var n int64
		a.showProgress(ctx, &sampler{}, func() tally {
			select {
			case asked <- struct{}{}:
			case <-ctx.Done():
			}
			n++
			return tally{counts: fsm.Counts{Listed: 1e6, Copied: n, BytesListed: 1e6, BytesFound: n}}
		})
	}()
	frames := regexp.MustCompile(`(\d+) of 1,000,000 objects`)
	seen := map[string]bool{}
	for len(seen) < 2 {
		<-asked
		for _, m := range frames.FindAllStringSubmatch(out.String(), -1) {
			seen[m[1]] = true
		}
	}
	cancel()
	<-ended
}

// The rate of the first line counts from the start of the run, so it has to be looked at before the first line is due.
func TestLinesLookAtTheStart(t *testing.T) {
	a := &app{err: io.Discard}
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	s := &sampler{}
	cancelled := func() tally { looks++; cancel(); return tally{} }
	a.showProgress(ctx, s, cancelled)
	if looks != 1 || len(s.history) != 1 {
		t.Errorf("%d looks, %d samples", looks, len(s.history))
	}
}
