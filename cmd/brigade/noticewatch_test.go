package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/scheduler"
)

const selfID, otherID = "222222222222aaaa", "333333333333bbbb"

// lookoutBench has a lookout see what a test shows it.
type lookoutBench struct {
	t *testing.T
	*lookout
	index  uint64
	leads  string
	seen   []nodeNow
	stand  scheduler.Status
	direct []notify.Notice
	fails  int // of what is told directly
}

// lookingOut runs a test with a lookout of its own, in a time of its own.
func lookingOut(t *testing.T, do func(t *testing.T, b *lookoutBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &lookoutBench{t: t, leads: selfID, seen: []nodeNow{{id: selfID, state: api.Alive, address: "one"}, {id: otherID, state: api.Alive, address: "two"}}}
		m := fsm.NewMachine()
		plans := &noticePlans{machine: m, now: time.Now}
		b.lookout = &lookout{
			self: selfID, machine: m, plan: plans.plan, now: time.Now, leader: func() string { return b.leads }, logger: slog.New(slog.DiscardHandler),
			ready: func(context.Context) error { return nil }, nodes: func() []nodeNow { return b.seen },
			status: func(string) (scheduler.Status, bool) { return b.stand, true },
			post: func(_ context.Context, p fsm.PostNotice) error {
				p.At = time.Now().UnixNano()
				return b.apply(p)
			},
			direct: func(_ context.Context, n notify.Notice) error {
				if b.fails--; b.fails >= 0 {
					return errors.New("refused")
				}
				b.direct = append(b.direct, n)
				return nil
			},
		}
		do(t, b)
		b.telling.Wait()
	})
}

func (b *lookoutBench) apply(c fsm.Command) error {
	entry, err := fsm.Encode(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.index++
	return b.machine.Apply(b.index, entry).(fsm.Result).Err
}

// after lets the lookout look for a time, and returns what was posted meanwhile.
func (b *lookoutBench) after(d time.Duration) (kinds []string) {
	b.t.Helper()
	before := uint64(0)
	b.machine.Read(func(s *fsm.State) {
		for _, n := range s.Notices() {
			before = n.ID
		}
	})
	for end := time.Now().Add(d); !time.Now().After(end); time.Sleep(noticeEvery) {
		b.look(b.t.Context())
	}
	b.machine.Read(func(s *fsm.State) {
		for _, n := range s.Notices() {
			if n.ID > before {
				kinds = append(kinds, n.Kind+" "+n.Node+n.Job)
			}
		}
	})
	return kinds
}

func (b *lookoutBench) wants(d time.Duration, want ...string) {
	b.t.Helper()
	if got := b.after(d); !slices.Equal(got, want) {
		b.t.Errorf("within %v: %q, want %q", d, got, want)
	}
}

// TestLookoutOnNodes: those of a fresh cluster are no news, nor is one that restarts within seconds.
func TestLookoutOnNodes(t *testing.T) {
	lookingOut(t, func(_ *testing.T, b *lookoutBench) {
		other := &b.seen[1]
		b.wants(time.Minute)
		other.state = api.Dead
		b.wants(20 * time.Second)
		other.state = api.Alive
		b.wants(20 * time.Second)
		other.state = api.Dead
		b.wants(25 * time.Second)
		b.wants(10*time.Second, "node-dead 333333333333")
		b.wants(time.Hour)
		b.leads = otherID
		b.wants(10 * time.Second)
		b.leads = selfID
		b.wants(time.Minute)
		other.state = api.Alive
		b.wants(10*time.Second, "node-back 333333333333")
		b.seen = append(b.seen, nodeNow{id: "444444444444cccc", state: api.Alive})
		b.wants(10*time.Second, "node-joined 444444444444")
		b.seen[2].state = api.Left
		b.wants(10*time.Second, "node-left 444444444444")
		b.seen = b.seen[:2]
		b.wants(time.Hour)
		b.seen[1].diskLow = true
		b.wants(time.Hour, "disk-low 333333333333")
		b.seen[1].diskLow = false
		b.wants(10 * time.Second)
		b.seen[1].diskLow = true
		b.wants(10*time.Second, "disk-low 333333333333")
	})
}

// TestLookoutOnLeaders: another one is news, the first one is not.
func TestLookoutOnLeaders(t *testing.T) {
	lookingOut(t, func(_ *testing.T, b *lookoutBench) {
		b.wants(10 * time.Second)
		b.leads = otherID
		b.wants(10 * time.Second)
		if err := b.post(t.Context(), fsm.PostNotice{Kind: string(notify.LeaderChanged), Key: toldLeader, Value: otherID, Node: "333333333333"}); err != nil {
			t.Fatal(err)
		}
		b.leads = selfID
		b.wants(10*time.Second, "leader-changed 222222222222")
	})
}

// running gives the bench a job that runs.
func (b *lookoutBench) running() *fsm.Job {
	b.t.Helper()
	nonce := []byte("0123456789abcdef")
	for _, c := range []fsm.Command{
		fsm.SubmitJob{ID: "j", Nonce: nonce, Kind: "copy", Spec: []byte(`{}`), At: 1}, fsm.StartPass{Job: "j", Nonce: nonce, Pass: 1, At: 2},
	} {
		if err := b.apply(c); err != nil {
			b.t.Fatal(err)
		}
	}
	var job *fsm.Job
	b.machine.Read(func(s *fsm.State) { job = s.Job("j") })
	return job
}

// TestLookoutOnStalledJobs: told when nothing happens, again a day later, and anew after something happened.
func TestLookoutOnStalledJobs(t *testing.T) {
	lookingOut(t, func(_ *testing.T, b *lookoutBench) {
		job := b.running()
		b.wants(29 * time.Minute)
		b.stand.Moved++ // bytes of a large object
		b.wants(29 * time.Minute)
		b.wants(2*time.Minute, "job-stalled j")
		b.wants(23 * time.Hour)
		b.wants(2*time.Hour, "job-stalled j")
		b.stand.Counts.Copied++
		b.wants(29 * time.Minute)
		b.wants(2*time.Minute, "job-stalled j")
		b.stand.Counts.Copied++
		b.wants(time.Minute)
		if err := b.apply(fsm.PauseJob{Job: "j", Nonce: job.Nonce, Class: fsm.OperatorClass, At: 3}); err != nil {
			t.Fatal(err)
		}
		b.wants(2 * time.Hour)
		if err := b.apply(fsm.SetSettings{Settings: map[string]string{api.NotifyStalled: "10s"}}); err != nil {
			t.Fatal(err)
		}
		if err := b.apply(fsm.ContinueJob{Job: "j", Nonce: job.Nonce, At: 4}); err != nil {
			t.Fatal(err)
		}
		b.wants(12*time.Second, "job-stalled j")
	})
}

// TestLookoutOnFailures: told once in a pass, and not of a handful of objects.
func TestLookoutOnFailures(t *testing.T) {
	lookingOut(t, func(_ *testing.T, b *lookoutBench) {
		b.running()
		b.stand.Counts = fsm.Counts{Copied: 40, Failed: 9}
		b.wants(5 * time.Second)
		b.stand.Counts = fsm.Counts{Copied: 950, Failed: 50}
		b.wants(5 * time.Second)
		b.stand.Counts.Failed = 51
		b.wants(5*time.Second, "error-share j")
		b.stand.Counts.Failed = 500
		b.wants(5 * time.Second)
		b.machine.Read(func(s *fsm.State) {
			if n := s.Notices()[0]; n.Reason != "51 of 1,001 objects so far failed, 5.1%; allowed: 5%" {
				t.Errorf("the reason is %q", n.Reason)
			}
		})
	})
}

// TestLookoutWithoutLeader: the lowest node that is alive tells, once in each time without a leader, and until it was heard.
func TestLookoutWithoutLeader(t *testing.T) {
	lookingOut(t, func(t *testing.T, b *lookoutBench) {
		told := func(d time.Duration, want int) {
			t.Helper()
			b.after(d)
			synctest.Wait()
			if len(b.direct) != want {
				t.Errorf("told %d times, want %d", len(b.direct), want)
			}
		}
		b.leads = ""
		told(59*time.Second, 0)
		b.fails = 2
		told(30*time.Second, 1)
		told(time.Hour, 1)
		if n := b.direct[0]; n.Kind != notify.NoLeader || n.Node != "222222222222" || !strings.Contains(n.Reason, "2 of 2 nodes answer") {
			t.Errorf("told %+v", n)
		}
		b.leads = otherID
		told(2*time.Second, 1)
		b.leads = ""
		b.seen = append(b.seen, nodeNow{id: "111111111111dddd", state: api.Alive})
		told(62*time.Second, 1)
		b.seen[2].state = api.Dead // it was dead for long, as turns out now
		told(5*time.Second, 2)
		b.leads = otherID
		told(2*time.Second, 2)
		b.leads, b.seen[2].state = "", api.Alive
		told(3*time.Minute, 2)
		b.seen[2].state = api.Dead // it told before
		told(time.Hour, 2)
	})
}

// TestPlanOfNotices: what holds, by itself and where it is set.
func TestPlanOfNotices(t *testing.T) {
	sealer := testSealer(t)
	sealed := func(name, value string) string {
		return fsm.SealedSetting(sealer.Seal([]byte(value), api.SettingBinding(name)))
	}
	p := planNotices(nil, sealer, "n", time.Now)
	if p.mailer != nil || p.severity != notify.Warning || p.digest != 0 || p.stalled != 30*time.Minute || p.errorShare != 0.05 || len(p.receivers()) > 0 {
		t.Errorf("without settings: %+v", p)
	}
	set := map[string]string{
		"mail.from": "b@qq.com", "mail.to": "a@b.c, d@e.f", "mail.user": "u", "mail.password": sealed("mail.password", "pw"), "notify.severity": "info",
		"notify.digest": "1h", "notify.error_share": "0%", "webhook.chat.url": sealed("webhook.chat.url", "https://x/"), "webhook.chat.secret": sealed("webhook.chat.secret", "s"),
		"webhook.half.kind": "slack",
	}
	p = planNotices(set, sealer, "n", time.Now)
	if p.mailErr != nil || p.mailer.String() != "smtp.qq.com:465 (tls)" || p.mailer.Password != "pw" || p.mailer.Hello != "n" {
		t.Errorf("mail by %v: %v", p.mailer, p.mailErr)
	}
	got := p.receivers()
	slices.Sort(got)
	if want := []string{"mail:a@b.c", "mail:d@e.f", "webhook:chat"}; !slices.Equal(got, want) || p.hooks["chat"].hook.Secret != "s" || p.hooks["chat"].hook.Kind != "json" {
		t.Errorf("receivers %v, want %v", got, want)
	}
	if p.severity != notify.Info || p.digest != time.Hour || p.errorShare != 0 {
		t.Errorf("plan %+v", p)
	}
	set["mail.password"] = sealed("mail.user", "pw") // belongs elsewhere
	if p = planNotices(set, sealer, "n", time.Now); p.mailErr == nil || !strings.Contains(p.mailErr.Error(), "give it again") || !p.broken() {
		t.Errorf("a password of another setting is opened: %v", p.mailErr)
	}
	if text := fmt.Sprintf("%v %+v %#v", p.mailer, p.hooks["chat"].hook, p.hooks["chat"].hook); strings.Contains(text, "https://x/") {
		t.Errorf("a secret shows: %s", text)
	}
}

func testSealer(t *testing.T) api.Sealer {
	t.Helper()
	s, err := sealerAt(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
