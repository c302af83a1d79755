package fsm

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// everyCommand has one command of each type, every field set.
func everyCommand() []Command {
	return []Command{
		SubmitJob{ID: "j", Nonce: testNonce, Kind: "copy", Spec: []byte(`{}`), Limits: JobLimits{MaxFailures: 1, MaxFailuresPercent: 2.5, Bandwidth: []RateSlot{{480, 1 << 20}, {1140, 0}}}, Priority: 3, At: 4},
		StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 2, Clock: 3, SkewNanos: -4},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1, RetryAt: 3, At: 2},
		PauseJob{Job: "j", Nonce: testNonce, Reason: "<&>", Class: "c", At: 1},
		ContinueJob{Job: "j", Nonce: testNonce, At: 1},
		CancelJob{Job: "j", Nonce: testNonce, Reason: "r", At: 1},
		RetryJob{Job: "j", Nonce: testNonce, Auto: true, At: 1},
		AssignTasks{Grants: []Grant{{1, "n"}}},
		ReleaseTasks{Tasks: []TaskEpoch{{1, 2}}},
		AdvanceTask{Task: 1, Epoch: 2, From: []byte{0}, To: []byte{0xff}, FromLine: 3, ToLine: 4, Done: true,
			Counts:  Counts{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17},
			Objects: 5, Bytes: 6, Digest: digest(1), Classes: map[string]int64{"c": 1}, Failed: segment('f', 1), Audit: segment('a', 1),
			Cuts: []NewCut{{From: []byte("a"), To: []byte("b"), Segment: segment('s', 1), Objects: 1, Bytes: 2, Digest: digest(2)}}, At: 7,
			Parts: &PartsResult{Tags: digest(1), CRC64: digest(2), CRC32C: digest(3), CRC64ECMA: digest(4), Shown: "s", Class: "c", Reason: "r"}},
		FailTask{Task: 1, Epoch: 2, Class: "c", Reason: "r", NotBefore: 3, GiveUp: true, Pause: true, At: 4},
		SplitTask{Task: 1, Epoch: 2, At: []byte("k"), AtLine: 3},
		PlanUpload{Task: 1, Epoch: 2, Key: []byte("k"), Known: []string{"a"}, Planned: 3},
		OpenUpload{Task: 1, Epoch: 2, Key: []byte("k"), ID: "i", Version: "v", Part: 3},
		CloseUpload{Task: 1, Epoch: 2, Key: []byte("k")},
		FoldSegments{Job: "j", Nonce: testNonce, Failed: true, First: []byte("f"), Count: 2, Manifest: Segment{Name: []byte("n"), Lines: 1, Manifest: true}},
		RemoveJob{Job: "j", Nonce: testNonce},
		RedoJob{Job: "j", Nonce: testNonce, Paused: true, At: 1},
		EditJob{Job: "j", Nonce: testNonce, Base: digest(1), Spec: []byte(`{}`), Kind: "copy", Limits: JobLimits{MaxFailures: 3}, Scope: EditLive, Renews: true, At: 5, Priority: 6},
		SetJobLimits{Job: "j", Nonce: testNonce, Spec: []byte(`{}`), Limits: JobLimits{MaxFailures: 3, Bandwidth: []RateSlot{{0, 5}}}},
		SetSettings{Settings: map[string]string{"a": "b"}},
		SetNode{Node: "n", Draining: true},
		SetClusterID{ID: "i"},
		FixPlaces{Job: "j", Nonce: testNonce, Pass: 1, Source: []byte(`{"a":1}`), Destination: []byte(`{"b":2}`)},
		ShareParts{Task: 1, Epoch: 2, Key: []byte("k"), First: 3, End: 4, Size: 5, Back: true},
		PutToken{ID: "i", Name: "n", Role: Viewer, Hash: digest(1), Lifetime: 2, At: 3},
		RemoveToken{ID: "i"},
		SwitchKey{From: "a", To: "b", At: 1},
		ResealJob{Job: "j", Nonce: testNonce, Values: []Resealed{{Destination: true, Field: "f", Was: digest(1), Sealed: digest(2)}}},
		RetireKey{Key: "a", At: 1},
		ResealSetting{Name: "a", Was: digest(1), Sealed: digest(2)},
		Recorded{Event: testEvent(), Command: SetNode{Node: "n", Draining: true}},
		testOnce(1, 2),
	}
}

func TestEncodeDecode(t *testing.T) {
	seen := map[Type]bool{TypeBatch: true}
	for _, c := range append(everyCommand(), Batch{everyCommand()}) {
		t.Run(reflect.TypeOf(c).Name(), func(t *testing.T) {
			entry, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			if entry[0] != FormatVersion || entry[1] != byte(c.Type()) {
				t.Errorf("entry starts with % x", entry[:2])
			}
			got, err := Decode(entry)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c, got); d != "" {
				t.Error(d)
			}
			seen[c.Type()] = true
		})
	}
	for n := TypeBatch; n <= TypeRetireKey; n++ {
		if reserved := n == 24 || n == 31 || n == 33; !seen[n] && !reserved {
			t.Errorf("no command of type %d is tested", n)
		}
	}
}

// TestEveryFieldIsTested keeps everyCommand complete when a field is added.
func TestEveryFieldIsTested(t *testing.T) {
	for _, c := range everyCommand() {
		v := reflect.ValueOf(c)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%T.%s is zero", c, v.Type().Field(i).Name)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	single, err := Encode(RemoveJob{Job: "j"})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := JoinBatch([][]byte{single})
	if err != nil {
		t.Fatal(err)
	}
	nested := append([]byte{FormatVersion, byte(TypeBatch), byte(len(batch))}, batch...)
	for name, entry := range map[string][]byte{
		"nothing":          nil,
		"one byte":         {FormatVersion},
		"newer format":     append([]byte{FormatVersion + 1}, single[1:]...),
		"type 0":           {FormatVersion, 0, '{', '}'},
		"unknown type":     {FormatVersion, 200, '{', '}'},
		"broken JSON":      single[:len(single)-1],
		"unknown field":    append([]byte{FormatVersion, byte(TypeRemoveJob)}, `{"job":"j","force":true}`...),
		"bytes after":      append(bytes.Clone(single), '{'),
		"nested batch":     nested,
		"batch cut short":  batch[:len(batch)-1],
		"batch of garbage": {FormatVersion, byte(TypeBatch), 0x80},
		"huge length":      append([]byte{FormatVersion, byte(TypeBatch)}, bytes.Repeat([]byte{0xff}, 9)...),
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := Decode(entry); err == nil {
				t.Errorf("decoded as %#v", c)
			}
			defer func() {
				if recover() == nil {
					t.Error("Apply did not panic")
				}
			}()
			NewMachine().Apply(1, entry)
		})
	}
}

func TestApplyPanicsWhenTheLogGoesBack(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"))
	defer func() {
		if recover() == nil {
			t.Error("the same entry was applied twice")
		}
	}()
	b.m.Apply(b.index, b.log[0])
}

func TestEncodeRefusesTooLarge(t *testing.T) {
	big := bytes.Repeat([]byte("k"), 3000)
	var cuts []NewCut
	for range 100 {
		cuts = append(cuts, NewCut{From: bytes.Repeat([]byte("k"), 200)})
	}
	tests := map[string]struct {
		c    Command
		want error
	}{
		"advance":             {AdvanceTask{From: big, To: big}, ErrTooLarge},
		"advance by pointer":  {&AdvanceTask{From: big, To: big}, ErrTooLarge},
		"advance that fits":   {AdvanceTask{From: big[:1000], To: big[:1000]}, nil},
		"scan":                {AdvanceTask{From: big, To: big, Cuts: cuts[:80]}, nil},
		"scan with many cuts": {AdvanceTask{From: big, To: big, Cuts: cuts}, ErrTooLarge},
		"spec":                {SubmitJob{Spec: bytes.Repeat([]byte("x"), MaxEntry)}, ErrTooLarge},
		"batch":               {Batch{[]Command{SubmitJob{Spec: make([]byte, 30000)}, SubmitJob{Spec: make([]byte, 30000)}}}, ErrTooLarge},
		"nested batch":        {Batch{[]Command{Batch{}}}, ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Encode(test.c); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestBatchAnswersEachCommand(t *testing.T) {
	m := NewMachine()
	entry, err := Encode(Batch{[]Command{submit("a"), RemoveJob{Job: "none"}, submit("b")}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{{nil, 7}, {ErrNoJob, 7}, {nil, 7}}
	if d := cmp.Diff(want, m.Apply(7, entry), cmpopts.EquateErrors()); d != "" {
		t.Error(d)
	}
}

func TestRestoreRefuses(t *testing.T) {
	b := cut(t)
	good := b.snapshot()
	for name, change := range map[string]func([]byte) []byte{
		"nothing":       func([]byte) []byte { return nil },
		"newer format":  func(s []byte) []byte { s[0] = FormatVersion + 1; return s },
		"cut short":     func(s []byte) []byte { return s[:len(s)-5] },
		"a task less":   func(s []byte) []byte { return s[:bytes.LastIndexByte(s[:len(s)-1], '\n')+1] },
		"data after":    func(s []byte) []byte { return append(s, "{}"...) },
		"unknown field": func(s []byte) []byte { return bytes.Replace(s, []byte(`"kind"`), []byte(`"sort"`), 1) },
		"orphaned task": func(s []byte) []byte {
			return bytes.Replace(s, []byte(`"job":"j","kind"`), []byte(`"job":"x","kind"`), 1)
		},
		"orphaned cut":  func(s []byte) []byte { return bytes.Replace(s, []byte(`"job":"j","id"`), []byte(`"job":"x","id"`), 1) },
		"task ID ahead": func(s []byte) []byte { return bytes.Replace(s, []byte(`"last_task":2`), []byte(`"last_task":1`), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			data := change(bytes.Clone(good))
			if bytes.Equal(data, good) {
				t.Fatal("the case changes nothing")
			}
			m := cut(t).m
			hash := m.Hash()
			err := m.Restore(bytes.NewReader(data))
			if err == nil {
				t.Fatal("restored")
			}
			if name == "newer format" && (!errors.Is(err, ErrUnknownFormat) || !strings.Contains(err.Error(), "version 2, this binary reads 1")) {
				t.Errorf("error %q", err)
			}
			if m.Hash() != hash {
				t.Error("a failed restore changed the state")
			}
		})
	}
	if err := b.m.Restore(bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
}

func (b *bench) snapshot() []byte {
	b.tb.Helper()
	var buf bytes.Buffer
	if err := b.m.Snapshot()(&buf); err != nil {
		b.tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestRestoreDropsEverythingBefore(t *testing.T) {
	b := cut(t)
	empty := newBench(t)
	if err := b.m.Restore(bytes.NewReader(empty.snapshot())); err != nil {
		t.Fatal(err)
	}
	if b.m.Hash() != empty.m.Hash() || len(b.m.state.byJob) != 0 {
		t.Error("something of the old state is left")
	}
}

// TestSnapshotIsOfItsTime writes a snapshot out after more entries were applied.
func TestSnapshotIsOfItsTime(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	for _, key := range []string{"c", "e", "g", "i", "k"} {
		b.must(PlanUpload{Task: 2, Epoch: e, Key: []byte(key)})
	}
	want := b.snapshot()
	persist := b.m.Snapshot()
	b.must(PlanUpload{Task: 2, Epoch: e, Key: []byte("bb")}, CloseUpload{Task: 2, Epoch: e, Key: []byte("g")})
	b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("c"), Audit: segment('a', 1), Classes: map[string]int64{"c": 1}})
	b.must(submit("another"), CancelJob{Job: "j", Nonce: testNonce})
	var buf bytes.Buffer
	if err := persist(&buf); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), buf.String()); d != "" {
		t.Error(d)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestSnapshotReportsWriteErrors(t *testing.T) {
	if err := cut(t).m.Snapshot()(brokenWriter{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestChanged(t *testing.T) {
	b := newBench(t)
	ch := b.m.Changed()
	select {
	case <-ch:
		t.Fatal("signal without a change")
	default:
	}
	b.must(submit("j"))
	select {
	case <-ch:
	default:
		t.Error("no signal after Apply")
	}
	ch = b.m.Changed()
	if err := b.m.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ch:
	default:
		t.Error("no signal after Restore")
	}
}
