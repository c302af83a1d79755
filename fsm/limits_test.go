package fsm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBandwidthAt(t *testing.T) {
	const day = 24 * 60
	l := JobLimits{Bandwidth: []RateSlot{{day + 480, 10}, {day + 1140, 0}, {5 * day, 7}}}
	for minute, want := range map[int]int64{
		0: 7, day + 479: 7, day + 480: 10, day + 1139: 10, day + 1140: 0, 5*day - 1: 0, 5 * day: 7, 7*day - 1: 7,
	} {
		if got := l.BandwidthAt(minute); got != want {
			t.Errorf("minute %d: %d, want %d", minute, got, want)
		}
	}
	if got := (JobLimits{}).BandwidthAt(5); got != 0 {
		t.Errorf("without a timetable: %d", got)
	}
}

func TestSetJobLimits(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"))
	b.must(StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 200})
	before := b.m.state.Job("j")
	c := SetJobLimits{Job: "j", Nonce: testNonce, Spec: []byte(`{ "version": 1, "limits": {} }`), Limits: JobLimits{MaxFailures: 2, Bandwidth: []RateSlot{{7, 8}}}}
	b.must(c)
	want := *before
	want.Revision = b.index
	want.Limits, want.Spec = c.Limits, []byte(`{"version":1,"limits":{}}`)
	if d := cmp.Diff(&want, b.m.state.Job("j")); d != "" {
		t.Error(d)
	}
	if len(before.Limits.Bandwidth) > 0 {
		t.Error("the job was changed in place")
	}
	b.unchanged(c)
	for name, change := range map[string]func(*SetJobLimits){
		"broken spec":   func(c *SetJobLimits) { c.Spec = []byte("{") },
		"negative rate": func(c *SetJobLimits) { c.Limits.Bandwidth = []RateSlot{{0, -1}} },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := c
			change(&wrong)
			b.refuses(wrong, ErrInvalid)
		})
	}
	c.Nonce = []byte("of a removed job")
	b.refuses(c, ErrNoJob)
}
