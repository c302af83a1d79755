package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

func plain(word string) string { return word }

// longJobs are jobs whose every column is as wide as it gets.
func longJobs() *api.JobList {
	eta := int64(47*3600 + 59*60)
	wide := api.Job{
		ID: strings.Repeat("photos-of-2019.", 8) + "12345678", State: fsm.Succeeded, Pass: 98765,
		Objects: api.Objects{Listed: 1 << 40, Found: 987_654_321, Failed: 987_654_321},
		Bytes:   api.Bytes{Moved: 1023 << 40}, Rate: api.Rate{BytesPerSecond: 1023 << 30}, ETASeconds: &eta,
	}
	return &api.JobList{Jobs: []api.Job{wide, {ID: "a", State: fsm.Running, Pass: 1, ListingDone: true, Objects: api.Objects{Listed: 4, Found: 1}}}}
}

func longMachines() *api.Machines {
	return &api.Machines{Nodes: []api.Machine{
		{
			ID: "0123456789abcdef0123456789abcdef", Address: "[fe80:1234:5678:9abc:def0:1234:5678:9abc]:65535", State: api.Draining, Disk: api.DiskLow,
			Role: "nonvoter", Slots: 1024, Busy: 1024, BytesPerSecond: 1023 << 20, Version: "10.20.30-rc.1+0123456789ab",
		},
		{ID: "b", Address: "10.0.0.1:7461", State: api.Alive, Role: "leader", Slots: 8, Version: "0.3.0"},
	}}
}

// TestTablesFit: whatever is in them, tables fit a terminal of 80 columns, and show all of it.
func TestTablesFit(t *testing.T) {
	jobs := jobTable(longJobs(), plain)
	const wantJobs = `
JOB            STATE       PASS   SETTLED       FAILED   MOVED      RATE     ETA
photos-of-201  succeeded  98765  987.6 M…  987,654,321  1.1 PB  1.1 TB/s  47h59m
9.photos-of-2
019.photos-of
-2019.photos-
of-2019.photo
s-of-2019.pho
tos-of-2019.p
hotos-of-2019
.photos-of-20
19.12345678
a              running        1       25%            0     0 B     0 B/s       -
`
	if d := cmp.Diff(strings.TrimPrefix(wantJobs, "\n"), jobs+"\n"); d != "" {
		t.Error(d)
	}
	machines := machineTable(longMachines(), plain)
	const wantMachines = `
NODE          ADDRESS     STATE       ROLE           BUSY      RATE  VERSION
0123456789ab  [fe80:1234  draining,   nonvoter  1024/1024  1.1 GB/s  10.20.30-rc
              :5678:9abc  disk low                                   .1+01234567
              :def0:1234                                             89ab
              :5678:9abc
              ]:65535
b             10.0.0.1:7  alive       leader          0/8     0 B/s  0.3.0
              461
`
	if d := cmp.Diff(strings.TrimPrefix(wantMachines, "\n"), machines+"\n"); d != "" {
		t.Error(d)
	}
	set := grid{header: []string{"setting", "value", "origin", "meaning"}, give: []int{2, 4}, words: []int{4}}
	for _, s := range []string{"max-worker-num", "webhook.operations.secret"} {
		set.add(s, strings.Repeat("v", 60), "default", "what a setting that takes many words to explain means to whoever reads about it, in the end")
	}
	held := &machineDocument{Nodes: []machineWork{{longMachines().Nodes[0], []api.HeldTask{{
		ID: 1 << 63, Job: longJobs().Jobs[0].ID, Kind: fsm.RelistTask, Objects: 987_654_321, Bytes: 1023 << 30, From: strings.Repeat("深い/フォルダ/", 20),
	}}}}}
	long, at := strings.Repeat("0123456789abcdef", 8), time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	for what, shown := range map[string]string{
		"history": historyTable([]api.Event{{At: at, Actor: long[:64], From: "fe80:1234:5678:9abc:def0:1234:5678:9abc", Verb: "token-add", Target: long}}),
		"tokens":  tokenTable([]api.TokenInfo{{Name: long[:64], Role: fsm.Operator, CreatedAt: &at, ExpiresAt: &at, Expired: true}}),
		"jobs":    jobs, "machines": machines, "settings": set.String(), "one machine": machineText(held, plain),
	} {
		fits(t, what, shown)
		t.Logf("%s:\n%s", what, shown)
	}
	for _, all := range []string{"0123456789ab", "leader", "draining", "disk low"} {
		contains(t, "machines", machines, all)
	}
}

// TestColours: words have colours on a terminal, unless NO_COLOR asks for none or the output is none.
func TestColours(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{false, nil, false}, {true, nil, true}, {true, map[string]string{"NO_COLOR": "1"}, false}, {true, map[string]string{"TERM": "dumb"}, false},
	} {
		a := *b.app
		a.terminals.out = test.terminal
		a.getenv = func(name string) string { return test.env[name] }
		shown := jobTable(longJobs(), a.painter()) + "\n" + machineTable(longMachines(), a.painter())
		if got := strings.Contains(shown, "\x1b["); got != test.want {
			t.Errorf("on a terminal %v with %v: coloured %v", test.terminal, test.env, got)
		}
		fits(t, "coloured", shown)
		if test.want {
			contains(t, "jobs", shown, "\x1b[32msucceeded\x1b[0m", "\x1b[33mdraining,")
		}
	}
}

// TestWhenAJobIsOver: a job that goes on by itself is not.
func TestWhenAJobIsOver(t *testing.T) {
	soon := time.Now()
	for _, test := range []struct {
		job  api.Job
		want bool
	}{
		{api.Job{State: fsm.Pending}, false}, {api.Job{State: fsm.Running}, false}, {api.Job{State: fsm.Waiting}, false},
		{api.Job{State: fsm.Paused}, true}, {api.Job{State: fsm.Succeeded}, true}, {api.Job{State: fsm.Canceled}, true},
		{api.Job{State: fsm.Failed}, true}, {api.Job{State: fsm.Failed, NextRetryAt: &soon}, false},
	} {
		if got := isOver(&test.job); got != test.want {
			t.Errorf("%s: %v", test.job.State, got)
		}
	}
}
