package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetSettings(t *testing.T) {
	b := newBench(t)
	b.must(SetSettings{map[string]string{"max-worker-num": "4", "mail.host": "h"}})
	b.unchanged(SetSettings{map[string]string{"mail.host": "h"}})
	b.must(SetSettings{map[string]string{"mail.host": "", "log.level": "debug"}})
	want := map[string]string{"max-worker-num": "4", "log.level": "debug"}
	if d := cmp.Diff(want, b.m.state.Settings()); d != "" {
		t.Error(d)
	}
	if got := b.m.state.Setting("mail.host"); got != "" {
		t.Errorf("an unset setting is %q", got)
	}
	if got := b.m.state.Limit(SettingMaxTasks); got != 4 {
		t.Errorf("limit %d", got)
	}
	if b.m.state.Limit(SettingMaxJobs)+b.m.state.Limit("log.level") != 0 {
		t.Error("limits that nobody set")
	}
	for name, c := range map[string]SetSettings{
		"nothing":        {},
		"no name":        {map[string]string{"": "x"}},
		"long name":      {map[string]string{strings.Repeat("n", maxSetting+1): "x"}},
		"name with a =":  {map[string]string{"a=b": "x"}},
		"long value":     {map[string]string{"a": strings.Repeat("v", maxValue+1)}},
		"one of two bad": {map[string]string{"a": "x", "b c": "x"}},
	} {
		t.Run(name, func(t *testing.T) { b.refuses(c, ErrInvalid) })
	}
}

func TestSettingsAreBounded(t *testing.T) {
	b := newBench(t)
	for i := range maxSettings {
		b.must(SetSettings{map[string]string{fmt.Sprint(i): "x"}})
	}
	b.refuses(SetSettings{map[string]string{"more": "x"}}, ErrInvalid)
	b.must(SetSettings{map[string]string{"7": "", "more": "x"}})
}

func TestSetNode(t *testing.T) {
	b := newBench(t)
	b.must(SetNode{Node: "n1", Draining: true}, SetNode{Node: "n2", Draining: true})
	b.unchanged(SetNode{Node: "n1", Draining: true})
	b.must(SetNode{Node: "n1"})
	b.unchanged(SetNode{Node: "n1"})
	b.unchanged(SetNode{Node: "never"})
	if d := cmp.Diff(map[string]bool{"n2": true}, maps.Clone(b.m.state.draining)); d != "" {
		t.Error(d)
	}
	if b.m.state.Draining("n1") || !b.m.state.Draining("n2") {
		t.Error("the wrong node drains")
	}
	for _, name := range []string{"", "a b", strings.Repeat("n", maxName+1)} {
		b.refuses(SetNode{Node: name, Draining: true}, ErrInvalid)
	}
	for i := 1; i < maxNodes; i++ {
		b.must(SetNode{Node: fmt.Sprint(i), Draining: true})
	}
	b.refuses(SetNode{Node: "more", Draining: true}, ErrInvalid)
}

func TestSetClusterID(t *testing.T) {
	const id, other = "00112233445566778899aabbccddeeff", "ff112233445566778899aabbccddeeff"
	b := newBench(t)
	for _, bad := range []string{"", "xyz", id[2:], id + "00", strings.ToUpper(id)} {
		b.refuses(SetClusterID{ID: bad}, ErrInvalid)
	}
	b.must(SetClusterID{ID: id})
	b.unchanged(SetClusterID{ID: id})
	b.refuses(SetClusterID{ID: other}, ErrOtherID)
	if got := b.m.state.ClusterID(); got != id {
		t.Errorf("cluster ID %q", got)
	}
}

func TestRestoreKeepsTheCluster(t *testing.T) {
	b := newBench(t)
	b.must(SetClusterID{ID: "00112233445566778899aabbccddeeff"}, SetNode{Node: "n", Draining: true},
		SetSettings{map[string]string{"a": "b"}})
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != b.m.Hash() || !m.state.Draining("n") || m.state.Setting("a") != "b" || m.state.ClusterID() == "" {
		t.Errorf("restored %+v", m.state)
	}
}

func TestRedoJob(t *testing.T) {
	fresh := func(incarnation uint64, at int64) *Job {
		return &Job{ID: "j", Nonce: testNonce, Spec: []byte(`{"version":1}`), Type: "copy", State: Pending, Submitted: 100,
			Incarnation: incarnation, Redone: at}
	}
	for name, test := range map[string]struct {
		from func(t *testing.T) *bench
		err  error
	}{
		"running":  {func(t *testing.T) *bench { return cut(t) }, ErrJobState},
		"pending":  {func(t *testing.T) *bench { b := newBench(t); b.must(submit("j")); return b }, ErrJobState},
		"unknown":  {func(t *testing.T) *bench { return newBench(t) }, ErrNoJob},
		"paused":   {func(t *testing.T) *bench { return leading(t, PauseJob{Job: "j", Nonce: testNonce}) }, nil},
		"canceled": {func(t *testing.T) *bench { return leading(t, CancelJob{Job: "j", Nonce: testNonce}) }, nil},
		"finished": {finished, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := test.from(t)
			c := RedoJob{Job: "j", Nonce: testNonce, At: 900}
			if test.err != nil {
				b.refuses(c, test.err)
				return
			}
			b.must(c)
			if d := cmp.Diff(fresh(1, 900), b.job("j")); d != "" {
				t.Error(d)
			}
			if n := b.m.state.Outstanding(); n != 0 || len(b.m.state.cuts) != 0 {
				t.Errorf("%d tasks and %d cuts are left", n, len(b.m.state.cuts))
			}
			b.unchanged(c)
			b.must(StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 950, Clock: 960})
			if j := b.job("j"); j.Pass != 1 || j.PrevStart != 0 || j.Incarnation != 1 || j.Redone != 900 || j.Unfinished != 1 {
				t.Errorf("after the start %+v", j)
			}
		})
	}
}

// leading returns a bench with job j, a cut outstanding, after one more command.
func leading(t *testing.T, c Command) *bench {
	b := cut(t)
	b.must(c)
	return b
}

// finished returns a bench whose job j succeeded.
func finished(t *testing.T) *bench {
	b := running(t)
	e := b.lease(1)
	b.must(AdvanceTask{Task: 1, Epoch: e, Done: true, Counts: Counts{Listed: 2, Skipped: 2}},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 300})
	return b
}
