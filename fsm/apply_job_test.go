package fsm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSubmitJob(t *testing.T) {
	b := newBench(t)
	c := submit("photos")
	c.Spec = []byte(`{"a": "<x>",  "b": 1}`)
	c.Limits = JobLimits{MaxFailures: 5}
	c.Priority = 2
	b.must(c)
	want := &Job{ID: "photos", Nonce: testNonce, Spec: []byte(`{"a":"<x>","b":1}`), Type: "copy", Priority: 2, State: Pending,
		Submitted: 100, Limits: JobLimits{MaxFailures: 5}}
	if d := cmp.Diff(want, b.job("photos")); d != "" {
		t.Error(d)
	}
	b.unchanged(c)
	other := c
	other.Nonce = []byte("another nonce ..")
	b.refuses(other, ErrJobExists)
}

func TestSubmitJobRefusesInvalid(t *testing.T) {
	for name, change := range map[string]func(*SubmitJob){
		"no ID":             func(c *SubmitJob) { c.ID = "" },
		"long ID":           func(c *SubmitJob) { c.ID = strings.Repeat("x", 129) },
		"ID with a slash":   func(c *SubmitJob) { c.ID = "a/b" },
		"short nonce":       func(c *SubmitJob) { c.Nonce = []byte("x") },
		"unknown type":      func(c *SubmitJob) { c.Kind = "move" },
		"broken spec":       func(c *SubmitJob) { c.Spec = []byte("{") },
		"negative limit":    func(c *SubmitJob) { c.Limits.MaxFailures = -1 },
		"negative rate":     func(c *SubmitJob) { c.Limits.Bandwidth = []RateSlot{{0, -1}} },
		"day beyond week":   func(c *SubmitJob) { c.Limits.Bandwidth = []RateSlot{{minutesOfWeek, 1}} },
		"time given twice":  func(c *SubmitJob) { c.Limits.Bandwidth = []RateSlot{{5, 1}, {5, 2}} },
		"negative per cent": func(c *SubmitJob) { c.Limits.MaxFailuresPercent = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			c := submit("ok")
			change(&c)
			newBench(t).refuses(c, ErrInvalid)
		})
	}
}

func TestStartPass(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"))
	b.refuses(StartPass{Job: "none", Nonce: testNonce, Pass: 1}, ErrNoJob)
	b.refuses(StartPass{Job: "j", Nonce: []byte("of a removed job"), Pass: 1}, ErrNoJob)
	b.refuses(StartPass{Job: "j", Nonce: testNonce, Pass: 2}, ErrInvalid)
	c := StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 200, Clock: 210, SkewNanos: 3}
	b.must(c)
	b.unchanged(c)
	again := c
	again.At = 201
	b.refuses(again, ErrJobState)
	j := b.job("j")
	if j.State != Running || j.Pass != 1 || j.Started != 200 || j.PassClock != 210 || j.SkewNanos != 3 || j.PrevStart != 0 ||
		j.Listing != 1 || j.Unfinished != 1 {
		t.Errorf("job after its first start: %+v", j)
	}
	if d := cmp.Diff(&Task{ID: 1, Job: "j", Kind: ScanTask}, b.task(1)); d != "" {
		t.Error(d)
	}
}

func TestSecondPassStartsAtZero(t *testing.T) {
	b := cut(t)
	e := b.lease(2)
	b.must(
		AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("m"), Done: true, Objects: 3, Bytes: 30, Digest: digest(7),
			Counts: Counts{Copied: 2, Failed: 1}, Classes: map[string]int64{"auth": 1}, Failed: segment('f', 1), Audit: segment('a', 3)},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 300},
		StartPass{Job: "j", Nonce: testNonce, Pass: 2, At: 400, Clock: 410},
	)
	want := &Job{ID: "j", Nonce: testNonce, Spec: []byte(`{"version":1}`), Type: "copy", Submitted: 100, State: Running, Pass: 2,
		Started: 400, PassClock: 410, PrevStart: 210, Listing: 1, Unfinished: 1}
	if d := cmp.Diff(want, b.job("j")); d != "" {
		t.Error(d)
	}
	if b.m.state.Outstanding() != 1 || len(b.m.state.cuts) != 0 {
		t.Errorf("%d tasks and %d cuts in the second pass", b.m.state.Outstanding(), len(b.m.state.cuts))
	}
}

func TestFinishPass(t *testing.T) {
	b := running(t)
	finish := FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 300}
	b.refuses(finish, ErrUnfinished)
	e := b.lease(1)
	b.must(AdvanceTask{Task: 1, Epoch: e, Done: true, Counts: Counts{Skipped: 2, Listed: 2}})
	b.refuses(FinishPass{Job: "j", Nonce: testNonce, Pass: 2, At: 300}, ErrJobState)
	b.must(finish)
	if j := b.job("j"); j.State != Succeeded || j.Finished != 300 || j.TasksDone != 1 {
		t.Errorf("job after its end: %+v", j)
	}
	finish.At = 301
	b.unchanged(finish)
	b.refuses(RetryJob{Job: "j", Nonce: testNonce, At: 1}, ErrJobState)
}

func TestPauseAndContinue(t *testing.T) {
	b := cut(t)
	b.refuses(PauseJob{Job: "none", Nonce: testNonce}, ErrNoJob)
	b.refuses(ContinueJob{Job: "none", Nonce: testNonce}, ErrNoJob)

	e := b.lease(2)
	b.must(AdvanceTask{Task: 2, Epoch: e, From: []byte("b"), To: []byte("d"), Counts: Counts{Copied: 1}, Objects: 1})
	pause := PauseJob{Job: "j", Nonce: testNonce, Reason: "night", Class: "user"}
	b.must(pause)
	b.unchanged(pause)
	if j := b.job("j"); j.State != Paused || j.Reason != "night" || j.Class != "user" {
		t.Errorf("paused job: %+v", j)
	}
	if got := b.task(2); got.Leased() || string(got.From) != "d" || got.Epoch != 0 || got.Objects != 1 {
		t.Errorf("task of a paused job: %+v", got)
	}
	b.refuses(AdvanceTask{Task: 2, Epoch: e, From: []byte("d"), To: []byte("e")}, ErrStaleEpoch)
	b.must(AssignTasks{Grants: []Grant{{2, "n"}}})
	if b.task(2).Leased() {
		t.Error("a task of a paused job was assigned")
	}
	b.refuses(FinishPass{Job: "j", Nonce: testNonce, Pass: 1}, ErrJobState)
	goOn := ContinueJob{Job: "j", Nonce: testNonce}
	b.must(goOn)
	b.unchanged(goOn)
	if j := b.job("j"); j.State != Running || j.Reason != "" || j.Class != "" {
		t.Errorf("continued job: %+v", j)
	}
	b.lease(2)
}

func TestPausePending(t *testing.T) {
	b := cut(t)
	b.must(submit("idle"))
	b.unchanged(ContinueJob{Job: "idle", Nonce: testNonce})
	b.must(PauseJob{Job: "idle", Nonce: testNonce, Reason: "no such bucket", Class: "config"})
	if j := b.job("idle"); j.State != Paused || j.Reason != "no such bucket" || j.Class != "config" {
		t.Errorf("paused before its first pass: %+v", j)
	}
	b.refuses(StartPass{Job: "idle", Nonce: testNonce, Pass: 1}, ErrJobState)
	b.must(ContinueJob{Job: "idle", Nonce: testNonce})
	if j := b.job("idle"); j.State != Pending || j.Reason != "" || j.Class != "" {
		t.Errorf("continued before its first pass: %+v", j)
	}
}

func TestCancelAndRemove(t *testing.T) {
	b := cut(t)
	b.lease(2)
	b.refuses(RemoveJob{Job: "j", Nonce: testNonce}, ErrJobState)
	b.refuses(CancelJob{Job: "none", Nonce: testNonce}, ErrNoJob)
	cancel := CancelJob{Job: "j", Nonce: testNonce, Reason: "wrong bucket", At: 9}
	b.must(cancel)
	b.unchanged(cancel)
	j := b.job("j")
	if j.State != Canceled || j.Unfinished != 0 || j.Listing != 0 || j.Finished != 9 || j.Reason != "wrong bucket" {
		t.Errorf("canceled job: %+v", j)
	}
	if j.Counts.Listed != 5 {
		t.Error("canceling forgot the counts")
	}
	if s := b.m.state; s.Outstanding() != 0 || len(s.cuts) != 0 || len(s.byJob) != 0 || len(s.byNode) != 0 {
		t.Errorf("a canceled job keeps tasks: %+v", s)
	}
	b.refuses(StartPass{Job: "j", Nonce: testNonce, Pass: 2}, ErrJobState)
	b.refuses(RemoveJob{Job: "j", Nonce: []byte("another nonce ..")}, ErrNoJob)
	b.must(RemoveJob{Job: "j", Nonce: testNonce})
	if b.m.state.Job("j") != nil {
		t.Error("a removed job is still there")
	}
	b.refuses(RemoveJob{Job: "j", Nonce: testNonce}, ErrNoJob)
}

func TestCancelRefusesFinished(t *testing.T) {
	b := running(t)
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1})
	b.refuses(CancelJob{Job: "j", Nonce: testNonce}, ErrJobState)
}

func TestRemovePausedJobDropsTasks(t *testing.T) {
	b := cut(t)
	b.must(PauseJob{Job: "j", Nonce: testNonce}, RemoveJob{Job: "j", Nonce: testNonce})
	if s := b.m.state; len(s.jobs)+len(s.tasks)+len(s.cuts)+len(s.byJob) != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// TestRetryJob takes a pass with one failed key and one lost range through a retry to success.
func TestRetryJob(t *testing.T) {
	b := running(t)
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Counts: Counts{Listed: 5}, Cuts: []NewCut{
		{From: []byte("a"), To: []byte("b"), Objects: 3, Digest: digest(3)},
		{From: []byte("b"), To: []byte("c"), Objects: 2, Digest: digest(4)},
	}})
	b.must(AdvanceTask{Task: 2, Epoch: b.lease(2), From: []byte("a"), To: []byte("b"), Done: true, Objects: 3, Digest: digest(3),
		Counts: Counts{Copied: 2, Failed: 1}, Classes: map[string]int64{"permanent": 1}, Failed: segment('f', 1)})
	e := b.lease(3)
	b.must(
		AdvanceTask{Task: 3, Epoch: e, From: []byte("b"), To: []byte("bb"), Objects: 1, Digest: digest(1), Counts: Counts{Copied: 1}},
		FailTask{Task: 3, Epoch: e, Class: "transient", Reason: "reset", GiveUp: true},
	)
	retry := RetryJob{Job: "j", Nonce: testNonce, At: 500}
	b.refuses(retry, ErrJobState)
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 400})
	if j := b.job("j"); j.State != Failed || j.Reason != "1 objects failed, 1 ranges were given up" || j.TasksLost != 1 {
		t.Errorf("failed job: %+v", j)
	}
	b.refuses(RetryJob{Job: "none", Nonce: testNonce}, ErrNoJob)
	b.must(retry)
	b.unchanged(retry)

	j := b.job("j")
	if j.State != Running || j.Unfinished != 2 || j.Failed != nil || j.LostRanges != nil || j.TasksLost != 0 || j.Finished != 0 || j.Pass != 1 {
		t.Errorf("retried job: %+v", j)
	}
	wantList := &Task{ID: 4, Job: "j", Kind: ListTask, Segment: segment('f', 1), EndLine: 1, Retry: true}
	wantRange := &Task{ID: 5, Job: "j", Kind: RangeTask, From: []byte("bb"), To: []byte("c"), Cut: 3, Objects: 1, Digest: digest(1), Grants: 1}
	if d := cmp.Diff([]*Task{wantList, wantRange}, []*Task{b.task(4), b.task(5)}); d != "" {
		t.Error(d)
	}
	b.must(AdvanceTask{Task: 4, Epoch: b.lease(4), FromLine: 0, ToLine: 1, Done: true, Counts: Counts{Copied: 1, Failed: -1},
		Classes: map[string]int64{"permanent": -1}})
	rest := addDigests(digest(4), negative(digest(1)))
	b.must(AdvanceTask{Task: 5, Epoch: b.lease(5), From: []byte("bb"), To: []byte("c"), Done: true, Objects: 1, Digest: rest, Counts: Counts{Copied: 1}})
	if b.m.state.Cut("j", 3) != nil {
		t.Error("the cut of the retried range is not settled")
	}
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 600})
	j = b.job("j")
	if want := (Counts{Listed: 5, Copied: 5}); j.State != Succeeded || j.Counts != want || j.Classes != nil {
		t.Errorf("job after its retry: %+v", j)
	}
}

func negative(d []byte) []byte {
	n := make([]byte, len(d))
	for i := range d {
		n[i] = ^d[i]
	}
	return addDigests(n, append(make([]byte, digestSize-1), 1))
}

func TestRetryOfRangeIsRecognised(t *testing.T) {
	b := running(t)
	b.must(FailTask{Task: 1, Epoch: b.lease(1), Class: "auth", GiveUp: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1},
		RetryJob{Job: "j", Nonce: testNonce, At: 7})
	if j := b.job("j"); j.Listing != 1 || j.Unfinished != 1 {
		t.Errorf("a scan's retry is not counted: %+v", j)
	}
	b.must(FailTask{Task: 2, Epoch: b.lease(2), Class: "auth", GiveUp: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1})
	b.unchanged(RetryJob{Job: "j", Nonce: testNonce, At: 7})
}

func TestFoldSegments(t *testing.T) {
	b := running(t)
	e := b.lease(1)
	for i, name := range []byte("abc") {
		b.must(AdvanceTask{Task: 1, Epoch: e, From: b.task(1).From, To: []byte{'k', byte(i)}, Audit: segment(name, 5), Failed: segment(name-32, 1)})
	}
	manifest := *segment('m', 2)
	manifest.Manifest = true
	c := FoldSegments{Job: "j", Nonce: testNonce, First: segment('a', 1).Name, Count: 2, Manifest: manifest}
	plain, wrong, many, none := c, c, c, c
	plain.Manifest.Manifest = false
	wrong.First = segment('x', 1).Name
	many.Count = 4
	none.Count = 0
	b.refuses(plain, ErrInvalid)
	b.refuses(wrong, ErrStaleFrom)
	b.refuses(many, ErrStaleFrom)
	b.refuses(none, ErrInvalid)
	b.must(c)
	b.unchanged(c)
	if d := cmp.Diff([]Segment{manifest, *segment('c', 5)}, b.job("j").Audit); d != "" {
		t.Error(d)
	}
	c.Failed, c.First, c.Count = true, segment('A', 1).Name, 3
	b.must(c)
	if d := cmp.Diff([]Segment{manifest}, b.job("j").Failed); d != "" {
		t.Error(d)
	}
	c.Job = "none"
	b.refuses(c, ErrNoJob)
}

func TestStartPassNeedsPriorPass(t *testing.T) {
	b := cut(t)
	b.refuses(StartPass{Job: "j", Nonce: testNonce, Pass: 2, At: 9}, ErrJobState)
}
