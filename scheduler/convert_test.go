package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// TestCountsFrom fails when a counter is added to one type only, or mixed up.
func TestCountsFrom(t *testing.T) {
	var c transfer.Counts
	from := reflect.ValueOf(&c).Elem()
	for i := range from.NumField() {
		from.Field(i).SetInt(int64(i + 1))
	}
	to := reflect.ValueOf(countsFrom(c))
	if to.NumField() != from.NumField() {
		t.Errorf("fsm.Counts has %d fields, transfer.Counts %d", to.NumField(), from.NumField())
	}
	for i := range from.NumField() {
		name := from.Type().Field(i).Name
		got := to.FieldByName(name)
		if !got.IsValid() || got.Int() != int64(i+1) {
			t.Errorf("field %s: got %v, want %d", name, got, i+1)
		}
	}
}

func TestTaskOf(t *testing.T) {
	name := bytes.Repeat([]byte{7}, 32)
	got, err := taskOf(&fsm.Task{
		ID: 3, Job: "j", Kind: fsm.ListTask, From: []byte("a"), To: nil, Segment: &fsm.Segment{Name: name, Lines: 9}, Line: 2,
		EndLine: 8, Retry: true, Grants: 2, Epoch: 77,
		Uploads: []*fsm.Upload{{Key: []byte("k"), Known: []string{"x"}, Planned: 5, ID: "i", Version: "v", Part: 6}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := transfer.Task{
		ID: 3, Epoch: 77, Kind: transfer.List, From: "a", Segment: transfer.Segment{Name: [32]byte(name), Lines: 9}, Line: 2,
		EndLine: 8, Retry: true, Takeover: true,
		Uploads: []transfer.Upload{{Key: "k", Known: []string{"x"}, Planned: time.Unix(0, 5), ID: "i", Version: "v", PartSize: 6}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := taskOf(&fsm.Task{Segment: &fsm.Segment{Name: []byte("short")}}); err == nil {
		t.Error("a segment name of 5 bytes is accepted")
	}
	if first, err := taskOf(&fsm.Task{Grants: 1}); err != nil || first.Takeover {
		t.Errorf("first grant: %+v, %v", first, err)
	}
}

func TestAdvanceFrom(t *testing.T) {
	seg := &transfer.Segment{Name: [32]byte{1}, Lines: 4}
	got := advanceFrom(fsm.TaskEpoch{Task: 1, Epoch: 2}, transfer.Advance{
		From: "", To: "m", Done: true, Counts: transfer.Counts{Copied: 1}, Objects: 3, Bytes: 30,
		Classes: map[string]int64{"auth": 1}, Failed: seg, Audit: seg,
		Cuts: []transfer.Cut{{From: "a", To: "", Objects: 5, Bytes: 50}, {Segment: seg, Objects: 4}},
	})
	name := append([]byte{1}, make([]byte, 31)...)
	want := fsm.AdvanceTask{
		Task: 1, Epoch: 2, To: []byte("m"), Done: true, Counts: fsm.Counts{Copied: 1}, Objects: 3, Bytes: 30,
		Classes: map[string]int64{"auth": 1}, Failed: &fsm.Segment{Name: name, Lines: 4}, Audit: &fsm.Segment{Name: name, Lines: 4},
		Cuts: []fsm.NewCut{{From: []byte("a"), Objects: 5, Bytes: 50}, {Segment: &fsm.Segment{Name: name, Lines: 4}, Objects: 4}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestErrorCodes: every sentinel survives the wire, and what has no code is an error all the same.
func TestErrorCodes(t *testing.T) {
	for _, c := range errorCodes() {
		got := resultOf(1, fmt.Errorf("more: %w", c.err)).Err()
		if !errors.Is(got, c.err) || !strings.Contains(got.Error(), "more") {
			t.Errorf("%v came back as %v", c.err, got)
		}
	}
	if err := resultOf(5, nil).Err(); err != nil {
		t.Errorf("success came back as %v", err)
	}
	if err := resultOf(5, errors.New("odd")).Err(); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "odd") {
		t.Errorf("an error without a code came back as %v", err)
	}
	if err := (CommandResult{Code: "of a later version"}).Err(); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown code is %v", err)
	}
}

func TestManifest(t *testing.T) {
	var segments []fsm.Segment
	for i := range 300 {
		segments = append(segments, fsm.Segment{Name: bytes.Repeat([]byte{byte(i)}, 32), Lines: int64(i)})
	}
	data, err := EncodeManifest(segments)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(segments, got); d != "" {
		t.Error(d)
	}
	if _, err := EncodeManifest([]fsm.Segment{{Manifest: true}}); err == nil {
		t.Error("manifests nest")
	}
	for _, line := range []string{"", "zz\t1", "00\t1", strings.Repeat("00", 32), strings.Repeat("00", 32) + "\t-1"} {
		if _, err := manifestLine(line); err == nil {
			t.Errorf("line %q is accepted", line)
		}
	}
	if _, err := DecodeManifest([]byte("no zstd")); err == nil {
		t.Error("garbage is accepted")
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\n\tb \xff"); got != "a b ?" {
		t.Errorf("got %q", got)
	}
	got := oneLine(strings.Repeat("é", 400))
	if len(got) > reasonLimit || !utf8.ValidString(got) || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-6:])
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		n      int
		jitter float64
		want   time.Duration
	}{
		{1, 0, time.Second}, {1, 0.5, time.Second}, {1, 0.9, 1400 * time.Millisecond}, {2, 0, 4 * time.Second},
		{2, 0.5, 8 * time.Second}, {3, 0, 32 * time.Second}, {3, 0.5, time.Minute}, {60, 0.99, time.Minute},
	} {
		if got := backoff(test.n, test.jitter); got.Round(time.Millisecond) != test.want {
			t.Errorf("backoff(%d, %v) = %v, want %v", test.n, test.jitter, got, test.want)
		}
	}
}

func TestSystemClock(t *testing.T) {
	c := SystemClock{}
	before := c.Monotonic()
	if before <= 0 || c.Monotonic() < before {
		t.Errorf("monotonic clock at %v goes back", before)
	}
	if d := time.Since(c.Now()); d < -time.Second || d > time.Minute {
		t.Errorf("wall clock is off by %v", d)
	}
}

func TestValidate(t *testing.T) {
	ok := SyncRequest{Node: "n", Instance: "i", Slots: 1, Want: 1, Wait: maxSyncWait}
	if err := ok.validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*SyncRequest){
		"no node":        func(r *SyncRequest) { r.Node = "" },
		"long node":      func(r *SyncRequest) { r.Node = strings.Repeat("n", 65) },
		"no instance":    func(r *SyncRequest) { r.Instance = "" },
		"negative slots": func(r *SyncRequest) { r.Slots = -1 },
		"many slots":     func(r *SyncRequest) { r.Want = maxSlots + 1 },
		"many running":   func(r *SyncRequest) { r.Running = make([]Holding, maxSyncRunning+1) },
		"many commands":  func(r *SyncRequest) { r.Commands = make([][]byte, maxSyncCommands+1) },
		"long wait":      func(r *SyncRequest) { r.Wait = maxSyncWait + 1 },
		"negative wait":  func(r *SyncRequest) { r.Wait = -1 },
	} {
		r := ok
		spoil(&r)
		l := NewLeader(LeaderConfig{})
		if _, err := l.Sync(context.Background(), r); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
