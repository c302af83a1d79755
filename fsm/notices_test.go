package fsm

import (
	"fmt"
	"slices"
	"testing"
)

// kinds are the notices that wait, by kind.
func (b *bench) kinds() (all []string) {
	for _, n := range b.m.state.Notices() {
		all = append(all, n.Kind)
	}
	return all
}

func (b *bench) wantKinds(want ...string) {
	b.tb.Helper()
	if got := b.kinds(); !slices.Equal(got, want) {
		b.tb.Errorf("notices %v, want %v", got, want)
	}
}

// TestEndsAreTold: how a pass ended is told once, and not while the leader means to go on with it.
func TestEndsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		counts Counts
		class  string
		kind   string // of job
		retry  int64
		want   []string
	}{
		"done":              {Counts{Listed: 3, Copied: 3}, "", "copy", 0, []string{NoticeJobDone}},
		"failed":            {Counts{Listed: 3, Copied: 2, Failed: 1}, "auth", "copy", 0, []string{NoticeJobFailed}},
		"to be retried":     {Counts{Listed: 3, Copied: 2, Failed: 1}, "transient", "copy", 1000, nil},
		"content differs":   {Counts{Listed: 3, Copied: 2, Failed: 1}, "mismatch", "copy", 0, []string{NoticeMismatch}},
		"verify, different": {Counts{Listed: 3, Skipped: 2, Failed: 1}, "not found", "verify", 0, []string{NoticeMismatch}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			job := submit("j")
			job.Kind = c.kind
			b.must(job, StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 200})
			a := AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Counts: c.counts, At: 300}
			if c.counts.Failed > 0 {
				a.Failed, a.Classes = segment(1, 1), map[string]int64{c.class: c.counts.Failed}
			}
			finish := FinishPass{Job: "j", Nonce: testNonce, Pass: 1, RetryAt: c.retry, At: 400}
			b.must(a, finish)
			b.wantKinds(c.want...)
			b.unchanged(finish)
			for _, n := range b.m.state.Notices() {
				if n.At != 400 || n.Job != "j" || n.Counts != c.counts || n.State == "" || n.ID == 0 {
					t.Errorf("notice %+v", n)
				}
			}
		})
	}
}

// TestPausesAreTold: by a rule, not by a person.
func TestPausesAreTold(t *testing.T) {
	for class, want := range map[string][]string{"operator": nil, "auth": {NoticeCredential}, "full": {NoticeJobPaused}} {
		b := running(t)
		pause := PauseJob{Job: "j", Nonce: testNonce, Class: class, Reason: "r", At: 300}
		b.must(pause)
		b.wantKinds(want...)
		b.unchanged(pause)
	}
	b := running(t)
	b.must(FailTask{Task: 1, Epoch: b.lease(1), Class: "config", Reason: "r", Pause: true, At: 300})
	b.wantKinds(NoticeJobPaused)
}

// TestNothingIsToldTwice: what stands as it was told is not told again, before its time.
func TestNothingIsToldTwice(t *testing.T) {
	b := newBench(t)
	dead := PostNotice{Kind: "node-dead", Key: "node/a", Value: "dead", First: true, At: 100}
	b.must(dead)
	b.unchanged(dead)
	dead.At = 1 << 50
	b.unchanged(dead)
	back := PostNotice{Kind: "node-back", Key: "node/a", Value: "alive", At: 200}
	b.must(back)
	b.wantKinds("node-dead", "node-back")
	b.unchanged(back)
	dead.At = 300
	b.must(dead)
	b.wantKinds("node-dead", "node-back", "node-dead")

	stalled := PostNotice{Kind: "job-stalled", Key: "stalled/j", Value: "1", First: true, Again: 1000, At: 100}
	b.must(stalled)
	stalled.At = 1099
	b.unchanged(stalled)
	stalled.At = 1100
	b.must(stalled, PostNotice{Key: "stalled/j", At: 1200})
	b.wantKinds("node-dead", "node-back", "node-dead", "job-stalled", "job-stalled")

	// Of what nothing is known, only how it stands is noted.
	leader := PostNotice{Kind: "leader-changed", Key: "leader", Value: "a", At: 100}
	b.must(leader)
	leader.Value = "b"
	b.must(leader)
	if got := b.kinds(); len(got) != 6 {
		t.Errorf("notices %v", got)
	}
	b.refuses(PostNotice{At: 1}, ErrInvalid)
	b.refuses(PostNotice{Kind: "a b", At: 1}, ErrInvalid)
	b.refuses(PostNotice{Kind: "a", Job: "none", At: 1}, ErrNoJob)
}

// TestAcknowledged: a notice stays until nobody is left to be told.
func TestAcknowledged(t *testing.T) {
	b := newBench(t)
	b.must(PostNotice{Kind: "test", At: 1}, PostNotice{Kind: "test", At: 2})
	ack := AckNotices{IDs: []uint64{1}, Receivers: []string{"mail:a", "mail:b"}}
	b.must(ack)
	b.unchanged(ack)
	if n := b.m.state.Notices()[0]; !slices.Equal(n.Told, ack.Receivers) {
		t.Errorf("told %v", n.Told)
	}
	ack.Final = true
	b.must(ack)
	b.unchanged(ack)
	if n := b.m.state.Notices(); len(n) != 1 || n[0].ID != 2 {
		t.Errorf("left: %v", n)
	}
	b.refuses(AckNotices{}, ErrInvalid)
	b.refuses(AckNotices{IDs: []uint64{2}, Receivers: []string{""}}, ErrInvalid)
}

// TestOutboxIsBounded: the oldest goes, and is counted.
func TestOutboxIsBounded(t *testing.T) {
	b := newBench(t)
	for i := range MaxNotices + 7 {
		b.must(PostNotice{Kind: "test", Key: fmt.Sprint(i), First: true, At: int64(i)})
	}
	s := b.m.state
	if len(s.Notices()) != MaxNotices || s.Notices()[0].ID != 8 || s.NoticesDropped() != 7 || len(s.told) > maxKeysTold {
		t.Errorf("%d notices from %d, %d dropped, %d noted", len(s.Notices()), s.Notices()[0].ID, s.NoticesDropped(), len(s.told))
	}
	for i := range 2 * maxKeysTold {
		b.must(PostNotice{Key: fmt.Sprint("k", i), At: int64(10_000 + i)})
	}
	if len(s.told) != maxKeysTold {
		t.Errorf("%d noted", len(s.told))
	}
}
