package fsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssignTasks(t *testing.T) {
	b := cut(t)
	b.must(AssignTasks{Grants: []Grant{{2, "n1"}, {99, "n1"}, {1, "n1"}}})
	first := b.index
	want := &Task{ID: 2, Job: "j", Kind: RangeTask, From: []byte("b"), To: []byte("m"), Cut: 2, Grants: 1, Node: "n1", Epoch: first}
	if d := cmp.Diff(want, b.task(2)); d != "" {
		t.Error(d)
	}
	b.unchanged(AssignTasks{Grants: []Grant{{2, "n2"}}})
	b.must(ReleaseTasks{Tasks: []TaskEpoch{{2, first}}})
	b.unchanged(AssignTasks{Grants: []Grant{{2, ""}, {2, strings.Repeat("n", 257)}}})
	b.must(AssignTasks{Grants: []Grant{{2, "n2"}}})
	if got := b.task(2); got.Node != "n2" || got.Epoch <= first || got.Grants != 2 {
		t.Errorf("task assigned again: %+v", got)
	}
}

func TestReleaseTasks(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.unchanged(ReleaseTasks{Tasks: []TaskEpoch{{2, e - 1}, {2, 0}, {77, e}}})
	b.must(ReleaseTasks{Tasks: []TaskEpoch{{2, e}}})
	if got := b.task(2); got.Leased() || got.Epoch != 0 || got.Attempt != 0 {
		t.Errorf("released task: %+v", got)
	}
	b.unchanged(ReleaseTasks{Tasks: []TaskEpoch{{2, e}, {2, 0}}})
}

func TestFailTask(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.refuses(FailTask{Task: 99, Epoch: e}, ErrNoTask)
	b.refuses(FailTask{Task: 2, Epoch: e + 1}, ErrStaleEpoch)
	c := FailTask{Task: 2, Epoch: e, Class: "transient", Reason: "reset", NotBefore: 777}
	b.must(c)
	b.refuses(c, ErrStaleEpoch)
	if got := b.task(2); got.Leased() || got.Attempt != 1 || got.NotBefore != 777 {
		t.Errorf("failed task: %+v", got)
	}
}

func TestGiveUp(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("c"), Objects: 1, Counts: Counts{Copied: 1}},
		FailTask{Task: 2, Epoch: e, Class: "auth", Reason: strings.Repeat("é", 1000), GiveUp: true})
	j := b.job("j")
	want := []LostRange{{Task: Task{ID: 2, Job: "j", Kind: RangeTask, From: []byte("c"), To: []byte("m"), Cut: 2, Objects: 1, Grants: 1, Attempt: 1},
		Class: "auth", Reason: strings.Repeat("é", 500)}}
	if d := cmp.Diff(want, j.LostRanges); d != "" {
		t.Error(d)
	}
	if j.TasksLost != 1 || j.Unfinished != 0 || b.m.state.Task(2) != nil || j.TasksDone != 1 {
		t.Errorf("job after a task was given up: %+v", j)
	}
	if cut := b.m.state.Cut("j", 2); cut == nil || cut.Tasks != 0 || cut.Lost != 1 {
		t.Errorf("cut of the lost range: %+v", cut)
	}
}

func TestFailTaskPauses(t *testing.T) {
	b := listed(t)
	e := b.lease(2)
	b.must(SplitTask{Task: 2, Epoch: e, AtLine: 5})
	b.lease(3)
	b.must(FailTask{Task: 2, Epoch: e, Class: "full", Reason: "no space left", Pause: true})
	j := b.job("j")
	if j.State != Paused || j.Class != "full" || j.Reason != "no space left" {
		t.Errorf("paused job: %+v", j)
	}
	if got := b.m.state.TaskCounts("j"); got != (TaskCounts{Pending: 2}) {
		t.Errorf("tasks of the paused job: %+v", got)
	}
}

func TestLostRangesAreBounded(t *testing.T) {
	b := running(t)
	e := b.lease(1)
	from := []byte(nil)
	for i := range MaxLostRanges + 10 {
		to := fmt.Appendf(nil, "%06d", i+1)
		b.must(AdvanceTask{Task: 1, Epoch: e, From: from, To: to, Counts: Counts{Listed: 1}, Cuts: []NewCut{{From: from, To: to, Objects: 1, Digest: digest(1)}}})
		from = to
		id := b.m.state.lastTask
		b.must(FailTask{Task: id, Epoch: b.lease(id), Class: "auth", GiveUp: true})
	}
	j := b.job("j")
	if len(j.LostRanges) != MaxLostRanges || j.TasksLost != MaxLostRanges+10 || len(b.m.state.cuts["j"]) != MaxLostRanges {
		t.Errorf("%d lost ranges, %d counted, %d cuts", len(j.LostRanges), j.TasksLost, len(b.m.state.cuts["j"]))
	}
	b.must(AdvanceTask{Task: 1, Epoch: e, From: from, Done: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1})
	if r := b.job("j").Reason; !strings.Contains(r, "10 of these are not recorded") {
		t.Errorf("reason %q", r)
	}
	b.must(RetryJob{Job: "j", Nonce: testNonce, At: 1})
	if j := b.job("j"); j.Unfinished != MaxLostRanges || j.TasksLost != 10 {
		t.Errorf("retry: %d tasks, %d still lost", j.Unfinished, j.TasksLost)
	}
}

func TestSplitTask(t *testing.T) {
	type split struct {
		at   string
		line int64
		want error // nil: a new task
	}
	tests := map[string]struct {
		start  func(testing.TB) *bench
		task   uint64
		splits []split
	}{
		"range": {cut, 2, []split{{at: "b", want: ErrBadRange}, {at: "a", want: ErrBadRange}, {at: "z", want: ErrBadRange}, {at: "", want: ErrBadRange}, {at: "f"}}},
		"scan":  {running, 1, []split{{at: "", want: ErrBadRange}, {at: "x"}}},
		"list":  {listed, 2, []split{{line: 0, want: ErrBadRange}, {line: 11, want: ErrBadRange}, {line: -1, want: ErrBadRange}, {line: 4}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := test.start(t)
			b.refuses(SplitTask{Task: test.task, Epoch: 1, At: []byte("c"), AtLine: 1}, ErrStaleEpoch)
			e := b.lease(test.task)
			b.refuses(SplitTask{Task: 99, Epoch: e}, ErrNoTask)
			for _, s := range test.splits {
				c := SplitTask{Task: test.task, Epoch: e, At: []byte(s.at), AtLine: s.line}
				if s.want != nil {
					b.refuses(c, s.want)
					continue
				}
				old, last := *b.task(test.task), b.m.state.lastTask
				b.must(c)
				b.unchanged(c)
				head, tail := b.task(test.task), b.task(last+1)
				if string(head.To) != s.at || head.EndLine != s.line || string(tail.From) != s.at || tail.Line != s.line {
					t.Errorf("split into %+v and %+v", head, tail)
				}
				if string(tail.To) != string(old.To) || tail.EndLine != old.EndLine || tail.Kind != old.Kind || tail.Leased() || tail.Grants != 0 || tail.Cut != old.Cut {
					t.Errorf("tail %+v of %+v", tail, old)
				}
				if j := b.job("j"); j.Unfinished != 2 {
					t.Errorf("%d tasks outstanding", j.Unfinished)
				}
			}
		})
	}
}

func TestSplitMovesUploads(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	for _, k := range []string{"k", "c", "f"} {
		b.must(PlanUpload{Task: 2, Epoch: e, Key: []byte(k), Planned: 1})
	}
	b.must(SplitTask{Task: 2, Epoch: e, At: []byte("f")})
	keys := func(id uint64) (keys []string) {
		for _, u := range b.task(id).Uploads {
			keys = append(keys, string(u.Key))
		}
		return keys
	}
	if d := cmp.Diff([][]string{{"c"}, {"f", "k"}}, [][]string{keys(2), keys(3)}); d != "" {
		t.Error(d)
	}
	// The two lists are apart: adding to the first must not reach the second.
	b.must(PlanUpload{Task: 2, Epoch: e, Key: []byte("d"), Planned: 1})
	if d := cmp.Diff([][]string{{"c", "d"}, {"f", "k"}}, [][]string{keys(2), keys(3)}); d != "" {
		t.Error(d)
	}
}

func TestSplitCountsInCut(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.must(SplitTask{Task: 2, Epoch: e, At: []byte("f")},
		AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("f"), Done: true, Objects: 1, Bytes: 10, Digest: digest(5)})
	if cut := b.m.state.Cut("j", 2); cut == nil || cut.Tasks != 1 || cut.SettledObjects != 1 {
		t.Fatalf("cut after half of it: %+v", cut)
	}
	b.must(AdvanceTask{Task: 3, Epoch: b.lease(3), From: []byte("f"), To: []byte("m"), Done: true, Objects: 2, Bytes: 20,
		Digest: addDigests(digest(7), negative(digest(5)))})
	if b.m.state.Cut("j", 2) != nil || b.job("j").Unfinished != 0 {
		t.Error("the cut is not settled by its two tasks")
	}
}

// TestCutWaitsForLostTask gives up one half of a cut: the halves are compared with the scan only when both were worked through.
func TestCutWaitsForLostTask(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.must(SplitTask{Task: 2, Epoch: e, At: []byte("f")}, FailTask{Task: 2, Epoch: e, Class: "auth", GiveUp: true})
	rest := addDigests(digest(7), negative(digest(5)))
	b.must(AdvanceTask{Task: 3, Epoch: b.lease(3), From: []byte("f"), To: []byte("m"), Done: true, Objects: 2, Bytes: 20, Digest: rest})
	if j := b.job("j"); j.Unfinished != 0 || b.m.state.Cut("j", 2) == nil {
		t.Fatalf("a cut with a lost range was settled or listed again: %+v", j)
	}
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1}, RetryJob{Job: "j", Nonce: testNonce, At: 1})
	b.must(AdvanceTask{Task: 4, Epoch: b.lease(4), From: []byte("b"), To: []byte("f"), Done: true, Objects: 1, Bytes: 10, Digest: digest(5)})
	if j := b.job("j"); j.Unfinished != 0 || b.m.state.Cut("j", 2) != nil {
		t.Errorf("the cut is not settled after the retry: %+v", j)
	}
}

func TestUploads(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	plan := PlanUpload{Task: 2, Epoch: e, Key: []byte("c"), Known: []string{"foreign"}, Planned: 5}
	open := OpenUpload{Task: 2, Epoch: e, Key: []byte("c"), ID: "u1", Version: "v1", Part: 8 << 20}
	closed := CloseUpload{Task: 2, Epoch: e, Key: []byte("c")}

	b.refuses(open, ErrInvalid)
	b.must(plan)
	b.unchanged(plan)
	other := plan
	other.Planned = 6
	b.refuses(other, ErrInvalid)
	for name, change := range map[string]func(*PlanUpload){
		"below":  func(c *PlanUpload) { c.Key = []byte("a") },
		"beyond": func(c *PlanUpload) { c.Key = []byte("m") },
	} {
		t.Run(name, func(t *testing.T) {
			c := plan
			change(&c)
			b.refuses(c, ErrBadRange)
		})
	}
	empty := plan
	empty.Key = nil
	b.refuses(empty, ErrInvalid)

	for _, bad := range []OpenUpload{{Key: open.Key, Part: 1}, {Key: open.Key, ID: "x"}, {Key: open.Key, ID: strings.Repeat("x", 2000), Part: 1}} {
		bad.Task, bad.Epoch = 2, e
		b.refuses(bad, ErrInvalid)
	}
	b.must(open)
	b.unchanged(open)
	second := open
	second.ID = "u2"
	b.refuses(second, ErrInvalid)
	want := []*Upload{{Key: []byte("c"), Known: []string{"foreign"}, Planned: 5, ID: "u1", Version: "v1", Part: 8 << 20}}
	if d := cmp.Diff(want, b.task(2).Uploads); d != "" {
		t.Error(d)
	}
	b.must(closed)
	b.unchanged(closed)
	if b.task(2).Uploads != nil {
		t.Error("a closed upload is still there")
	}
	b.must(ReleaseTasks{Tasks: []TaskEpoch{{2, e}}})
	b.refuses(plan, ErrStaleEpoch)
	b.refuses(open, ErrStaleEpoch)
	b.refuses(closed, ErrStaleEpoch)
}

func TestUploadsAreBounded(t *testing.T) {
	b := listed(t)
	e := b.lease(2)
	for i := 0; i < maxUploads; i += 500 {
		var batch Batch
		for k := range 500 {
			batch.Commands = append(batch.Commands, PlanUpload{Task: 2, Epoch: e, Key: fmt.Appendf(nil, "%06d", (i+k)*7919%maxUploads)})
		}
		b.must(batch)
	}
	uploads := b.task(2).Uploads
	for i := range uploads[1:] {
		if string(uploads[i].Key) >= string(uploads[i+1].Key) {
			t.Fatal("uploads are not ordered by key")
		}
	}
	b.refuses(PlanUpload{Task: 2, Epoch: e, Key: []byte("one more")}, ErrInvalid)
}

func TestScansAndRelistsUploadNothing(t *testing.T) {
	b := running(t)
	b.refuses(PlanUpload{Task: 1, Epoch: b.lease(1), Key: []byte("k")}, ErrInvalid)
}
