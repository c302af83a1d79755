package fsm

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdvanceRange(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	first := AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("f"), Counts: Counts{Copied: 1, Failed: 1, BytesFound: 20, BytesCopied: 10, BytesMoved: 15},
		Objects: 2, Bytes: 20, Digest: digest(5), Classes: map[string]int64{"auth": 1}, Failed: segment('f', 1), Audit: segment('a', 2)}
	b.must(first)
	b.unchanged(first)
	want := &Task{ID: 2, Job: "j", Kind: RangeTask, From: []byte("f"), To: []byte("m"), Cut: 2, Objects: 2, Bytes: 20, Digest: digest(5), Grants: 1, Node: "n", Epoch: e}
	if d := cmp.Diff(want, b.task(2)); d != "" {
		t.Error(d)
	}
	last := AdvanceTask{Task: 2, Epoch: e, From: []byte("f"), To: []byte("m"), Done: true, Counts: Counts{Copied: 1},
		Objects: 1, Bytes: 10, Digest: addDigests(digest(7), negative(digest(5)))}
	b.must(last)
	b.refuses(last, ErrNoTask)
	j := b.job("j")
	if want := (Counts{Listed: 5, Skipped: 2, Copied: 2, Failed: 1, BytesListed: 50, BytesFound: 40, BytesCopied: 10, BytesMoved: 15}); j.Counts != want {
		t.Errorf("counts %+v, want %+v", j.Counts, want)
	}
	if j.Counts.Found() != j.Counts.Listed || j.Unfinished != 0 || j.TasksDone != 2 || b.m.state.Cut("j", 2) != nil {
		t.Errorf("job after its only cut: %+v", j)
	}
	if d := cmp.Diff([]any{map[string]int64{"auth": 1}, []Segment{*segment('f', 1)}, []Segment{*segment('a', 2)}}, []any{j.Classes, j.Failed, j.Audit}); d != "" {
		t.Error(d)
	}
}

func TestAdvanceRefusals(t *testing.T) {
	ok := func(e uint64) AdvanceTask {
		return AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("f")}
	}
	tests := map[string]struct {
		change func(*AdvanceTask)
		want   error
	}{
		"no task":            {func(c *AdvanceTask) { c.Task = 99 }, ErrNoTask},
		"stale epoch":        {func(c *AdvanceTask) { c.Epoch-- }, ErrStaleEpoch},
		"epoch zero":         {func(c *AdvanceTask) { c.Epoch = 0 }, ErrStaleEpoch},
		"from below":         {func(c *AdvanceTask) { c.From = nil }, ErrStaleFrom},
		"from above":         {func(c *AdvanceTask) { c.From = []byte("c") }, ErrStaleFrom},
		"to equals from":     {func(c *AdvanceTask) { c.To = c.From }, ErrBadRange},
		"to below from":      {func(c *AdvanceTask) { c.To = []byte("a") }, ErrBadRange},
		"to beyond the end":  {func(c *AdvanceTask) { c.To = []byte("n") }, ErrBadRange},
		"no to":              {func(c *AdvanceTask) { c.To = nil }, ErrBadRange},
		"done before end":    {func(c *AdvanceTask) { c.Done = true }, ErrBadRange},
		"done without end":   {func(c *AdvanceTask) { c.Done, c.To = true, nil }, ErrBadRange},
		"negative":           {func(c *AdvanceTask) { c.Counts.Failed = -1 }, ErrInvalid},
		"huge":               {func(c *AdvanceTask) { c.Counts.BytesMoved = math.MaxInt64 }, ErrInvalid},
		"listed by a range":  {func(c *AdvanceTask) { c.Counts.Listed = 1 }, ErrInvalid},
		"negative objects":   {func(c *AdvanceTask) { c.Objects = -1 }, ErrInvalid},
		"negative bytes":     {func(c *AdvanceTask) { c.Bytes = -1 }, ErrInvalid},
		"short digest":       {func(c *AdvanceTask) { c.Digest = []byte("x") }, ErrInvalid},
		"nameless class":     {func(c *AdvanceTask) { c.Classes = map[string]int64{"": 1} }, ErrInvalid},
		"negative class":     {func(c *AdvanceTask) { c.Classes = map[string]int64{"auth": -1} }, ErrInvalid},
		"failed without sum": {func(c *AdvanceTask) { c.Failed = &Segment{Name: []byte("x"), Lines: 1} }, ErrInvalid},
		"audit of no lines":  {func(c *AdvanceTask) { c.Audit = segment('a', 0) }, ErrInvalid},
		"cuts":               {func(c *AdvanceTask) { c.Cuts = []NewCut{{From: []byte("b"), To: []byte("c")}} }, ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := cut(t)
			c := ok(b.lease(2))
			test.change(&c)
			b.refuses(c, test.want)
			b.must(ok(b.task(2).Epoch))
		})
	}
}

func TestAdvanceToEndThenDone(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("m"), Objects: 3, Bytes: 30, Digest: digest(7), Counts: Counts{Copied: 3}})
	b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("m"), To: []byte("m"), Done: true})
	if j := b.job("j"); j.Unfinished != 0 || j.Counts.Copied != 3 {
		t.Errorf("job: %+v", j)
	}
}

func TestAdvanceList(t *testing.T) {
	b := listed(t)
	e := b.lease(2)
	half := AdvanceTask{Task: 2, Epoch: e, FromLine: 0, ToLine: 5, Counts: Counts{Copied: 5}}
	b.refuses(AdvanceTask{Task: 2, Epoch: e, FromLine: 1, ToLine: 5}, ErrStaleFrom)
	b.refuses(AdvanceTask{Task: 2, Epoch: e, FromLine: 0, ToLine: 0}, ErrBadRange)
	b.refuses(AdvanceTask{Task: 2, Epoch: e, FromLine: 0, ToLine: 11}, ErrBadRange)
	b.refuses(AdvanceTask{Task: 2, Epoch: e, FromLine: 0, ToLine: 9, Done: true}, ErrBadRange)
	b.must(half)
	b.unchanged(half)
	b.must(AdvanceTask{Task: 2, Epoch: e, FromLine: 5, ToLine: 10, Done: true, Counts: Counts{Copied: 5}})
	if j := b.job("j"); j.Unfinished != 0 || j.Counts.Found() != 10 || len(b.m.state.cuts) != 0 {
		t.Errorf("job: %+v", j)
	}
}

func TestScanCuts(t *testing.T) {
	r := func(from, to string) NewCut { return NewCut{From: []byte(from), To: []byte(to), Objects: 1} }
	list := NewCut{Segment: segment('s', 4), Objects: 4}
	tests := map[string]struct {
		from, to string
		done     bool
		cuts     []NewCut
		want     error
	}{
		"ranges and lists":       {"", "m", false, []NewCut{r("", "b"), list, r("b", "c"), r("d", "m"), list}, nil},
		"to the end":             {"", "", true, []NewCut{r("", "b"), r("x", ""), list}, nil},
		"only all":               {"", "", true, []NewCut{r("", "")}, nil},
		"overlap":                {"", "m", false, []NewCut{r("a", "c"), r("b", "d")}, ErrBadRange},
		"descending":             {"", "m", false, []NewCut{r("c", "d"), r("a", "b")}, ErrBadRange},
		"empty":                  {"", "m", false, []NewCut{r("c", "c")}, ErrBadRange},
		"reversed":               {"", "m", false, []NewCut{r("d", "c")}, ErrBadRange},
		"past what is settled":   {"", "m", false, []NewCut{r("d", "n")}, ErrBadRange},
		"no end in the middle":   {"", "m", false, []NewCut{r("d", "")}, ErrBadRange},
		"after the endless":      {"", "", true, []NewCut{r("d", ""), r("e", "f")}, ErrBadRange},
		"empty after endless":    {"", "", true, []NewCut{r("d", ""), r("", "")}, ErrBadRange},
		"both":                   {"", "m", false, []NewCut{{From: []byte("a"), To: []byte("b"), Segment: segment('s', 1)}}, ErrInvalid},
		"list with a digest":     {"", "m", false, []NewCut{{Segment: segment('s', 1), Digest: digest(1)}}, ErrInvalid},
		"list of nothing":        {"", "m", false, []NewCut{{Segment: segment('s', 0)}}, ErrInvalid},
		"negative count":         {"", "m", false, []NewCut{{From: []byte("a"), To: []byte("b"), Objects: -1}}, ErrInvalid},
		"digest of wrong size":   {"", "m", false, []NewCut{{From: []byte("a"), To: []byte("b"), Digest: []byte("x")}}, ErrInvalid},
		"segment that is a list": {"", "m", false, []NewCut{{Segment: &Segment{Name: segment('s', 1).Name, Lines: 1, Manifest: true}}}, ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := running(t)
			c := AdvanceTask{Task: 1, Epoch: b.lease(1), From: []byte(test.from), To: []byte(test.to), Done: test.done, Counts: Counts{Listed: 3, BytesListed: 9}, Cuts: test.cuts}
			if test.want != nil {
				b.refuses(c, test.want)
				return
			}
			b.must(c)
			j := b.job("j")
			tasks := len(test.cuts)
			if !test.done {
				b.unchanged(c)
				tasks++
			}
			if j.Unfinished != tasks {
				t.Errorf("%d tasks after %d cuts", j.Unfinished, len(test.cuts))
			}
			for i, n := range test.cuts {
				got := b.task(uint64(i + 2))
				want := &Task{ID: got.ID, Job: "j", Kind: RangeTask, From: n.From, To: n.To, Cut: got.ID}
				if n.Segment != nil {
					want = &Task{ID: got.ID, Job: "j", Kind: ListTask, Segment: n.Segment, EndLine: n.Segment.Lines}
				}
				if !sameTask(got, want) {
					t.Errorf("task %+v, want %+v", got, want)
				}
			}
		})
	}
}

// sameTask compares two tasks, a nil bound and an empty one being the same.
func sameTask(a, b *Task) bool {
	return cmp.Equal(a, b, cmp.Comparer(bytes.Equal))
}

// TestCorrectionStaysAboveZero corrects the count of a scan that listed less than it cut.
func TestCorrectionStaysAboveZero(t *testing.T) {
	b := running(t)
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Cuts: []NewCut{{Objects: 9, Bytes: 90, Digest: digest(1)}}})
	b.must(AdvanceTask{Task: 2, Epoch: b.lease(2), Done: true})
	b.must(AdvanceTask{Task: 3, Epoch: b.lease(3), Done: true})
	if j := b.job("j"); j.Counts != (Counts{}) || j.Unfinished != 0 || j.TasksLost != 0 {
		t.Errorf("job: %+v", j)
	}
}

// TestRelist goes through what follows when a cut was worked through with other sums than the scan's.
func TestRelist(t *testing.T) {
	start := func(t *testing.T) (*bench, uint64) {
		b := cut(t) // 3 objects, 30 bytes, digest 7
		b.must(AdvanceTask{Task: 2, Epoch: b.lease(2), From: []byte("b"), To: []byte("m"), Done: true, Objects: 4, Bytes: 45, Digest: digest(8), Counts: Counts{Copied: 4}})
		want := &Task{ID: 3, Job: "j", Kind: RelistTask, From: []byte("b"), To: []byte("m"), Cut: 2}
		if d := cmp.Diff(want, b.task(3)); d != "" {
			t.Fatal(d)
		}
		return b, b.lease(3)
	}
	relist := func(e uint64, objects, bytes int64, digest []byte) AdvanceTask {
		return AdvanceTask{Task: 3, Epoch: e, From: []byte("b"), To: []byte("m"), Done: true, Objects: objects, Bytes: bytes, Digest: digest}
	}
	t.Run("source moved", func(t *testing.T) {
		b, e := start(t)
		c := relist(e, 4, 45, digest(8))
		c.Counts.Copied = 1
		b.refuses(c, ErrInvalid)
		b.refuses(SplitTask{Task: 3, Epoch: e, At: []byte("c")}, ErrInvalid)
		b.refuses(PlanUpload{Task: 3, Epoch: e, Key: []byte("c")}, ErrInvalid)
		b.must(relist(e, 4, 45, digest(8)))
		j := b.job("j")
		if j.Counts.Listed != 6 || j.Counts.BytesListed != 65 || j.Counts.Found() != 6 || j.TasksLost != 0 || j.Unfinished != 0 {
			t.Errorf("job: %+v", j)
		}
		if len(b.m.state.cuts) != 0 {
			t.Error("the cut is still there")
		}
	})
	for name, third := range map[string]struct {
		objects, bytes int64
		digest         []byte
	}{
		"other count":  {5, 45, digest(8)},
		"other bytes":  {4, 44, digest(8)},
		"other digest": {4, 45, digest(9)},
		"as the scan":  {3, 30, digest(7)},
	} {
		t.Run(name, func(t *testing.T) {
			b, e := start(t)
			b.must(relist(e, third.objects, third.bytes, third.digest))
			j := b.job("j")
			if len(j.LostRanges) != 1 || j.TasksLost != 1 || j.Unfinished != 0 || j.Counts.Listed != 5 {
				t.Fatalf("job: %+v", j)
			}
			if l := j.LostRanges[0]; l.Class != "listing" || l.Task.Kind != RelistTask || string(l.Task.From) != "b" || l.Task.Objects != 0 {
				t.Errorf("lost range %+v", l)
			}
			b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1}, RetryJob{Job: "j", Nonce: testNonce, At: 1})
			again := relist(b.lease(4), 4, 45, digest(8))
			again.Task = 4
			b.must(again)
			if j := b.job("j"); j.TasksLost != 0 || j.Counts.Listed != 6 || len(b.m.state.cuts) != 0 {
				t.Errorf("job after listing it again: %+v", j)
			}
		})
	}
}

func TestRetryCounts(t *testing.T) {
	b := listed(t)
	b.must(AdvanceTask{Task: 2, Epoch: b.lease(2), ToLine: 10, Done: true, Counts: Counts{Copied: 8, Failed: 2, BytesFound: 100},
		Classes: map[string]int64{"auth": 1, "transient": 1}, Failed: segment('f', 2)},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1}, RetryJob{Job: "j", Nonce: testNonce, At: 1})
	e := b.lease(3)
	b.refuses(AdvanceTask{Task: 3, Epoch: e, ToLine: 2, Done: true, Counts: Counts{Failed: -3, Copied: 3}}, ErrInvalid)
	b.refuses(AdvanceTask{Task: 3, Epoch: e, ToLine: 2, Done: true, Counts: Counts{BytesFound: -101}}, ErrInvalid)
	b.must(AdvanceTask{Task: 3, Epoch: e, ToLine: 2, Done: true, Counts: Counts{Failed: -1, Copied: 1, BytesFound: -5},
		Classes: map[string]int64{"auth": -1}, Failed: segment('g', 1)})
	j := b.job("j")
	if want := (Counts{Listed: 10, Copied: 9, Failed: 1, BytesFound: 95}); j.Counts != want {
		t.Errorf("counts %+v, want %+v", j.Counts, want)
	}
	if d := cmp.Diff(map[string]int64{"transient": 1}, j.Classes); d != "" {
		t.Error(d)
	}
}

func TestTooManyFailuresPause(t *testing.T) {
	tests := map[string]struct {
		limits JobLimits
		counts Counts
		want   JobState
	}{
		"defaults, at the limit":    {JobLimits{}, Counts{Failed: 10000}, Running},
		"defaults, above":           {JobLimits{}, Counts{Failed: 10001}, Paused},
		"above, but a small share":  {JobLimits{}, Counts{Failed: 10001, Copied: 1000000}, Running},
		"own limit":                 {JobLimits{MaxFailures: 3}, Counts{Failed: 4, Copied: 100}, Paused},
		"own limit and large share": {JobLimits{MaxFailures: 3, MaxFailuresPercent: 50}, Counts{Failed: 4, Copied: 100}, Running},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := submit("j")
			c.Limits = test.limits
			b.must(c, StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 1})
			b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), To: []byte("m"), Counts: test.counts})
			if got := b.job("j").State; got != test.want {
				t.Fatalf("job is %s, want %s", got, test.want)
			}
			if test.want != Paused {
				return
			}
			if b.task(1).Leased() {
				t.Error("the task is still leased")
			}
			b.must(ContinueJob{Job: "j", Nonce: testNonce})
			b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), From: []byte("m"), To: []byte("n"), Counts: Counts{Failed: 1}})
			if got := b.job("j").State; got != Running {
				t.Error("one more failure pauses a job whose failures were accepted")
			}
		})
	}
}

func TestClassesAreBounded(t *testing.T) {
	b := running(t)
	e := b.lease(1)
	for i := range maxClasses + 5 {
		from := b.task(1).From
		b.must(AdvanceTask{Task: 1, Epoch: e, From: from, To: fmt.Appendf(nil, "%03d", i+1), Counts: Counts{Failed: 1}, Classes: map[string]int64{fmt.Sprintf("class%03d", i): 1}})
	}
	j := b.job("j")
	if len(j.Classes) != maxClasses+1 || j.Classes["other"] != 5 {
		t.Errorf("%d classes, %d of others", len(j.Classes), j.Classes["other"])
	}
	b.refuses(AdvanceTask{Task: 1, Epoch: e, From: b.task(1).From, To: []byte("z"), Classes: map[string]int64{strings.Repeat("x", 300): 1}}, ErrInvalid)
}

func TestAddDigests(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, digestSize)
	one := append(make([]byte, digestSize-1), 1)
	carried := append(append(make([]byte, 7), 1), make([]byte, 8)...)
	low := append(make([]byte, 8), bytes.Repeat([]byte{0xff}, 8)...)
	for name, test := range map[string]struct{ a, b, want []byte }{
		"nothing":   {nil, nil, nil},
		"one side":  {nil, one, one},
		"other":     {one, nil, one},
		"wraps":     {ones, one, nil},
		"carries":   {low, one, carried},
		"zero is 0": {make([]byte, digestSize), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, addDigests(test.a, test.b)); d != "" {
				t.Error(d)
			}
		})
	}
}
