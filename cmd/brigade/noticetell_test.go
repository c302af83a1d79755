package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/test/servers"
)

// tellerBench is a teller with a job in its state.
type tellerBench struct {
	t *testing.T
	*teller
	index uint64
	job   *fsm.Job
	mail  *servers.Mail
}

func newTellerBench(t *testing.T, more map[string]string) *tellerBench {
	t.Helper()
	mail, sealer := servers.StartMail(t), testSealer(t)
	n := &teller{
		noticePlans: noticePlans{machine: fsm.NewMachine(), sealer: sealer, node: "node", now: time.Now},
		problems:    map[string]noticeProblem{}, directly: map[string]string{},
	}
	b := &tellerBench{t: t, teller: n, mail: mail}
	pem, err := os.ReadFile(mail.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{
		api.MailFrom: "b@test.local", api.MailTo: "ops@test.local", api.MailHost: "localhost", api.MailPort: fmt.Sprint(mail.StartTLS), api.MailUser: mail.User,
		api.MailSecurity: "starttls", api.MailCA: string(pem),
		api.MailPassword: fsm.SealedSetting(sealer.Seal([]byte(mail.Password), api.SettingBinding(api.MailPassword))),
	}
	for name, value := range more {
		set[name] = value
	}
	b.apply(fsm.SetSettings{Settings: set})
	spec, err := json.Marshal(fsm.Spec{
		Version: 1, ID: "j", Type: "copy", Source: fsm.Side{URL: "s3://from/"}, Destination: &fsm.Side{URL: "s3://to/"},
		Notify: fsm.NotifySpec{Mail: []string{"owner@test.local", "ops@test.local"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("0123456789abcdef")
	b.apply(fsm.SubmitJob{ID: "j", Nonce: nonce, Kind: "copy", Spec: spec, At: 1})
	b.apply(fsm.StartPass{Job: "j", Nonce: nonce, Pass: 1, At: 2})
	b.machine.Read(func(s *fsm.State) { b.job = s.Job("j") })
	return b
}

func (b *tellerBench) apply(c fsm.Command) {
	b.t.Helper()
	entry, err := fsm.Encode(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.index++
	if err := b.machine.Apply(b.index, entry).(fsm.Result).Err; err != nil {
		b.t.Fatal(err)
	}
}

// TestTellerKnowsReceivers: those of a job are told of all that concerns it, those of the cluster by severity.
func TestTellerKnowsReceivers(t *testing.T) {
	b := newTellerBench(t, map[string]string{api.NotifyDigest: "1h"})
	for _, test := range []struct {
		notice fsm.Notice
		want   string
		window time.Duration
	}{
		{fsm.Notice{Kind: fsm.NoticeJobDone, Job: "j", Nonce: b.job.Nonce}, "mail:owner@test.local mail:ops@test.local", time.Hour},
		{fsm.Notice{Kind: fsm.NoticeJobFailed, Job: "j", Nonce: b.job.Nonce}, "mail:ops@test.local mail:owner@test.local", 0},
		{fsm.Notice{Kind: fsm.NoticeJobFailed, Job: "j", Nonce: []byte("another job")}, "mail:ops@test.local", 0},
		{fsm.Notice{Kind: fsm.NoticeJobDone, Job: "gone"}, "", time.Hour},
		{fsm.Notice{Kind: string(notify.NodeJoined)}, "", time.Hour},
		{fsm.Notice{Kind: string(notify.JobStalled)}, "mail:ops@test.local", time.Hour},
		{fsm.Notice{Kind: "of a later version"}, "mail:ops@test.local", 0},
	} {
		if got := strings.Join(b.Receivers(&test.notice), " "); got != test.want {
			t.Errorf("%s of %q: %s, want %s", test.notice.Kind, test.notice.Job, got, test.want)
		}
		if got := b.Window(&test.notice); got != test.window {
			t.Errorf("%s waits %v, want %v", test.notice.Kind, got, test.window)
		}
	}
	b.apply(fsm.SetSettings{Settings: map[string]string{api.MailFrom: ""}})
	if got := b.Receivers(&fsm.Notice{Kind: fsm.NoticeJobFailed, Job: "j", Nonce: b.job.Nonce}); len(got) > 0 {
		t.Errorf("without a sender: %v", got)
	}
}

// TestTellerKeepsWhatSettingsAreToBlameFor, and gives up what a receiver will never take.
func TestTellerKeepsWhatSettingsAreToBlameFor(t *testing.T) {
	b := newTellerBench(t, nil)
	tell := func(to string) error {
		return b.Tell(t.Context(), to, []*fsm.Notice{{ID: 7, Kind: fsm.NoticeJobFailed, At: 1, Job: "j", Nonce: b.job.Nonce, Pass: 1, State: fsm.Failed}})
	}
	if err := tell("mail:bounce@test.local"); !errors.Is(err, scheduler.ErrUndeliverable) {
		t.Errorf("a receiver that is not there: %v", err)
	}
	for name, wrong := range map[string]string{
		api.MailPassword: fsm.SealedSetting(b.sealer.Seal([]byte("wrong"), api.SettingBinding(api.MailPassword))),
		api.MailCA:       "", api.MailPort: "1", api.MailHost: "nowhere.invalid",
	} {
		var before string
		b.machine.Read(func(s *fsm.State) { before = s.Setting(name) })
		b.apply(fsm.SetSettings{Settings: map[string]string{name: wrong}})
		if err := tell("mail:ops@test.local"); err == nil || errors.Is(err, scheduler.ErrUndeliverable) {
			t.Errorf("with a wrong %s: %v", name, err)
		}
		all := notices{b.teller}.Receivers()
		if i := slices.IndexFunc(all, func(r api.NoticeReceiver) bool { return r.Name == "mail:ops@test.local" }); i < 0 || all[i].Problem == "" || all[i].ProblemAt == nil {
			t.Errorf("with a wrong %s the status is %+v", name, all)
		}
		b.apply(fsm.SetSettings{Settings: map[string]string{name: before}})
	}
	if err := errors.Join(tell("mail:ops@test.local"), tell("mail:ops@test.local")); err != nil {
		t.Fatal(err)
	}
	kept := b.mail.Kept(t)
	if len(kept) != 2 || kept[0].Header(t, "Message-ID") != kept[1].Header(t, "Message-ID") {
		t.Errorf("%d messages, or two IDs", len(kept))
	}
	if text := string(kept[0].Message); !strings.Contains(text, "s3://from/") || !strings.Contains(text, "s3://to/") {
		t.Errorf("the message lacks the job's sides:\n%s", text)
	}
}
