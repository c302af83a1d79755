package fsm

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// uploading returns a bench whose range task 2 has an upload of 100 parts of 10 bytes open at "c", and the task's epoch.
func uploading(t *testing.T) (b *bench, epoch uint64) {
	t.Helper()
	b = cut(t)
	epoch = b.lease(2)
	b.must(PlanUpload{Task: 2, Epoch: epoch, Key: []byte("c"), Planned: 5},
		OpenUpload{Task: 2, Epoch: epoch, Key: []byte("c"), ID: "i", Version: "v", Part: 10})
	return b, epoch
}

func shareOf(epoch uint64, first, end int64) ShareParts {
	return ShareParts{Task: 2, Epoch: epoch, Key: []byte("c"), First: first, End: end, Size: 995}
}

func (c ShareParts) back() ShareParts { c.Back = true; return c }

// sent is the report of a parts task.
func sent(t *Task, moved int64, r PartsResult) AdvanceTask {
	return AdvanceTask{Task: t.ID, Epoch: t.Epoch, FromLine: t.Line, ToLine: t.EndLine, Done: true,
		Counts: Counts{BytesMoved: moved}, Parts: &r}
}

func goodResult() PartsResult {
	return PartsResult{Tags: bytes.Repeat([]byte{1}, nameSize), CRC64: bytes.Repeat([]byte{2}, 8), Shown: "md5"}
}

func (b *bench) shares() []Share { return b.task(2).Uploads[0].Shares }

func TestShareParts(t *testing.T) {
	b, e := uploading(t)
	for name, tc := range map[string]struct {
		c    ShareParts
		want error
	}{
		"another epoch":   {shareOf(e+1, 0, 5), ErrStaleEpoch},
		"no such task":    {ShareParts{Task: 99, Epoch: e, Key: []byte("c"), End: 5, Size: 10}, ErrNoTask},
		"another key":     {ShareParts{Task: 2, Epoch: e, Key: []byte("d"), End: 5, Size: 995}, ErrInvalid},
		"no part":         {shareOf(e, 5, 5), ErrInvalid},
		"below the first": {shareOf(e, -1, 5), ErrInvalid},
		"behind the last": {shareOf(e, 50, 101), ErrBadRange},
		"no size":         {ShareParts{Task: 2, Epoch: e, Key: []byte("c"), End: 5}, ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) { b.refuses(tc.c, tc.want) })
	}
	b.must(shareOf(e, 50, 100)) // the last part is short
	b.unchanged(shareOf(e, 50, 100))
	b.refuses(shareOf(e, 40, 60), ErrBadRange)
	b.refuses(shareOf(e, 60, 70), ErrBadRange)
	b.must(shareOf(e, 25, 50))
	want := []Share{{First: 25, End: 50, Task: 4}, {First: 50, End: 100, Task: 3}}
	if d := cmp.Diff(want, b.shares()); d != "" {
		t.Error(d)
	}
	b.unchanged(shareOf(e, 25, 100)) // tiled by what is there: a repeat
	part := b.task(3)
	if d := cmp.Diff(&Task{ID: 3, Job: "j", Kind: PartsTask, Line: 50, EndLine: 100,
		Parts: &Parts{Owner: 2, Key: []byte("c"), ID: "i", Version: "v", Part: 10, Size: 995}}, part); d != "" {
		t.Error(d)
	}
	if n := b.job("j").Unfinished; n != 3 {
		t.Errorf("%d tasks unfinished", n)
	}
	planned := cut(t)
	pe := planned.lease(2)
	planned.must(PlanUpload{Task: 2, Epoch: pe, Key: []byte("c"), Planned: 5})
	planned.refuses(shareOf(pe, 0, 5), ErrInvalid)
}

func TestSharesAreBounded(t *testing.T) {
	b, e := uploading(t)
	c := ShareParts{Task: 2, Epoch: e, Key: []byte("c"), Size: 100000}
	for i := range int64(maxShares) {
		c.First, c.End = 2*i, 2*i+2
		b.must(c)
	}
	c.First, c.End = c.End, c.End+1
	b.refuses(c, ErrInvalid)
	pe := b.lease(3)
	b.refuses(SplitTask{Task: 3, Epoch: pe, AtLine: 1}, ErrInvalid)
}

func TestPartsAreSent(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100))
	b.lease(3)
	part, before := b.task(3), b.job("j").Counts
	for name, change := range map[string]func(*AdvanceTask){
		"no result":      func(c *AdvanceTask) { c.Parts = nil },
		"not at the end": func(c *AdvanceTask) { c.Done, c.ToLine = false, 60 },
		"an object":      func(c *AdvanceTask) { c.Counts.Copied = 1 },
		"a listing":      func(c *AdvanceTask) { c.Objects = 1 },
		"short tags":     func(c *AdvanceTask) { c.Parts = &PartsResult{Tags: []byte("x")} },
		"long sum":       func(c *AdvanceTask) { c.Parts.CRC64 = make([]byte, 9) },
		"long other sum": func(c *AdvanceTask) { c.Parts.CRC64ECMA = make([]byte, 9) },
		"failed keys":    func(c *AdvanceTask) { c.Failed = segment('f', 1) },
		"classes":        func(c *AdvanceTask) { c.Classes = map[string]int64{"auth": 1} },
	} {
		t.Run(name, func(t *testing.T) {
			c := sent(part, 5, goodResult())
			change(&c)
			b.refuses(c, ErrInvalid)
		})
	}
	b.refuses(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("d"), Parts: &PartsResult{Class: "x"}}, ErrInvalid)

	b.must(sent(part, 5, goodResult()))
	b.refuses(sent(part, 5, goodResult()), ErrNoTask)
	r := goodResult()
	if d := cmp.Diff([]Share{{First: 50, End: 100, Result: &r}}, b.shares()); d != "" {
		t.Error(d)
	}
	want := before
	want.BytesMoved += 5
	if got := b.job("j").Counts; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	// What was sent may be found wrong, and is then the owner's again.
	b.must(shareOf(e, 50, 100).back())
	if len(b.shares()) != 0 {
		t.Errorf("shares %+v", b.shares())
	}
}

func TestPartsAreTakenBack(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100))
	b.lease(3)
	b.refuses(shareOf(e, 50, 100).back(), ErrNotPending)
	b.refuses(shareOf(e, 50, 99).back(), ErrBadRange)
	b.must(ReleaseTasks{Tasks: []TaskEpoch{{3, b.task(3).Epoch}}})
	b.must(shareOf(e, 50, 100).back())
	b.unchanged(shareOf(e, 50, 100).back())
	if b.m.state.Task(3) != nil || len(b.shares()) != 0 || b.job("j").Unfinished != 1 {
		t.Errorf("task %+v, shares %+v, %d unfinished", b.m.state.Task(3), b.shares(), b.job("j").Unfinished)
	}
}

// TestPartsTaskGivenUp: no range is lost, the owner learns why.
func TestPartsTaskGivenUp(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100))
	pe := b.lease(3)
	b.must(FailTask{Task: 3, Epoch: pe, Class: "auth", Reason: "no", GiveUp: true})
	if d := cmp.Diff([]Share{{First: 50, End: 100, Result: &PartsResult{Class: "auth", Reason: "no"}}}, b.shares()); d != "" {
		t.Error(d)
	}
	if j := b.job("j"); j.TasksLost != 0 || len(j.LostRanges) != 0 || j.Unfinished != 1 {
		t.Errorf("lost %d, %+v, unfinished %d", j.TasksLost, j.LostRanges, j.Unfinished)
	}
}

func TestPartsTaskSplits(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100))
	pe := b.lease(3)
	b.refuses(SplitTask{Task: 3, Epoch: pe, AtLine: 50}, ErrBadRange)
	b.must(SplitTask{Task: 3, Epoch: pe, AtLine: 75})
	b.unchanged(SplitTask{Task: 3, Epoch: pe, AtLine: 75})
	if d := cmp.Diff([]Share{{First: 50, End: 75, Task: 3}, {First: 75, End: 100, Task: 4}}, b.shares()); d != "" {
		t.Error(d)
	}
	b.lease(4)
	b.must(sent(b.task(4), 1, goodResult()), sent(b.task(3), 2, goodResult()))
	if err := checkShares(b.m.state); err != nil {
		t.Error(err)
	}
}

// TestPartsEndWithTheirUpload: whatever ends the upload or its task ends what others do for it.
func TestPartsEndWithTheirUpload(t *testing.T) {
	for name, end := range map[string]func(b *bench, e uint64){
		"closed": func(b *bench, e uint64) { b.must(CloseUpload{Task: 2, Epoch: e, Key: []byte("c")}) },
		"task done": func(b *bench, e uint64) {
			b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("m"), Done: true, Objects: 3, Bytes: 30, Digest: digest(7)})
		},
		"task given up": func(b *bench, e uint64) {
			b.must(FailTask{Task: 2, Epoch: e, Class: "auth", GiveUp: true})
			if u := b.job("j").LostRanges[0].Task.Uploads; len(u) != 1 || u[0].ID != "i" || u[0].Shares != nil {
				b.tb.Errorf("the lost range has uploads %+v", u)
			}
		},
		"canceled": func(b *bench, e uint64) { b.must(CancelJob{Job: "j", Nonce: testNonce}) },
	} {
		t.Run(name, func(t *testing.T) {
			b, e := uploading(t)
			b.must(shareOf(e, 50, 100), shareOf(e, 20, 50))
			pe := b.lease(3)
			end(b, e)
			if b.m.state.Task(3) != nil || b.m.state.Task(4) != nil {
				t.Errorf("tasks %+v and %+v go on", b.m.state.Task(3), b.m.state.Task(4))
			}
			b.refuses(AdvanceTask{Task: 3, Epoch: pe, FromLine: 50, ToLine: 100, Done: true, Parts: &PartsResult{Class: "x"}}, ErrNoTask)
			if err := checkJobs(b.m.state); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPartsFollowTheirUpload: a task that was taken over and split leaves an upload to the new task, with its shares.
func TestPartsFollowTheirUpload(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100), ReleaseTasks{Tasks: []TaskEpoch{{2, e}}})
	e = b.lease(2)
	b.must(SplitTask{Task: 2, Epoch: e, At: []byte("bb")})
	if owner := b.task(3).Parts.Owner; owner != 4 {
		t.Errorf("the parts are of task %d", owner)
	}
	b.lease(3)
	b.must(sent(b.task(3), 1, goodResult()))
	if sh := b.task(4).Uploads[0].Shares; len(sh) != 1 || sh[0].Result == nil {
		t.Errorf("shares %+v", sh)
	}
}

// TestPartsOfPausedJob: parts tasks wait with their owner, and go on without it.
func TestPartsOfPausedJob(t *testing.T) {
	b, e := uploading(t)
	b.must(shareOf(e, 50, 100))
	b.lease(3)
	b.must(PauseJob{Job: "j", Nonce: testNonce}, ContinueJob{Job: "j", Nonce: testNonce})
	if b.task(3).Leased() || b.task(2).Leased() {
		t.Error("tasks are leased after a pause")
	}
	b.lease(3)
	b.must(sent(b.task(3), 7, goodResult()))
	e = b.lease(2)
	if sh := b.shares(); len(sh) != 1 || sh[0].Result == nil {
		t.Errorf("the next owner finds %+v", sh)
	}
	b.must(CloseUpload{Task: 2, Epoch: e, Key: []byte("c")})
}
