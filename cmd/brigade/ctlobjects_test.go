package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// trace asks why with --json.
func (n *nodeBench) trace(id string, key ...string) (t api.Trace) {
	n.t.Helper()
	out, _ := n.run(codeDone, append([]string{"ctl", "why", id, "--json"}, key...)...)
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		n.t.Fatalf("%s: %v", out, err)
	}
	return t
}

// outcomesOf are the outcomes that the records of a trace tell, in order.
func outcomesOf(t *testing.T, trace api.Trace) (outcomes []string) {
	t.Helper()
	for _, raw := range trace.Records {
		var r transfer.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		if r.ExactKey() != trace.Exact() || r.Node == "" || r.At.IsZero() || r.Task == 0 {
			t.Errorf("record %s of key %q", raw, trace.Exact())
		}
		outcomes = append(outcomes, string(r.Outcome))
	}
	return outcomes
}

// TestCtlWhy asks about keys that were copied, left out, failed and retried, that are under way, and that are not there.
func TestCtlWhy(t *testing.T) {
	n := startNode(t)
	const strange = "caf\xe9"
	n.write("d/"+strange, "x")
	var mended atomic.Bool
	n.put = func(_ context.Context, key string) error {
		if !mended.Load() && (key == "d/3" || key == "d/"+strange) {
			return &store.Error{Op: "put", Key: key, Class: store.Permanent, Err: errors.New("no entry")}
		}
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "filter: {exclude: [\"9\"]}"))
	n.reaches("photos", fsm.Failed)
	in64 := base64.StdEncoding.EncodeToString([]byte("d/" + strange))
	for name, test := range map[string]struct {
		key      []string
		standing string
		outcomes string
		says     []string
	}{
		"copied":          {[]string{"d/1"}, api.Settled, "copied", []string{"it was copied", "crc64nvme ", "attempts"}},
		"left out":        {[]string{"d/9"}, api.Settled, "filtered", []string{"a rule leaves it out", "exclude"}},
		"failed":          {[]string{"d/3"}, api.Settled, "failed", []string{"it failed; brigade ctl retry photos", "permanent: ", "no entry"}},
		"bytes in base64": {[]string{"--key-base64", in64}, api.Settled, "failed", []string{`"d/caf\xe9"`, "no entry"}},
		"as in key lists": {[]string{`\b64:` + in64}, api.Settled, "failed", []string{`"d/caf\xe9"`}},
		"not there":       {[]string{"d/11"}, api.NotFound, "", []string{"the source did not have it in pass 1"}},
		"part of a key":   {[]string{"d/"}, api.NotFound, "", []string{"the source did not have it"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := n.trace("photos", test.key...)
			if got.Standing != test.standing || strings.Join(outcomesOf(t, got), " ") != test.outcomes || got.Pass != 1 || got.Missing != nil {
				t.Errorf("%+v", got)
			}
			out, _ := n.run(codeDone, append([]string{"ctl", "why", "photos"}, test.key...)...)
			contains(t, "why", out, test.says...)
		})
	}
	mended.Store(true)
	n.run(codeDone, "ctl", "retry", "photos")
	n.reaches("photos", fsm.Succeeded)
	if got := n.trace("photos", "d/3"); got.Standing != api.Settled || strings.Join(outcomesOf(t, got), " ") != "failed copied" {
		t.Errorf("after the retry: %+v", got)
	}
	for name, test := range map[string]struct {
		code int
		args []string
		want string
	}{
		"no key":      {2, []string{"photos"}, "a key is wanted"},
		"two keys":    {2, []string{"photos", "a", "--key-base64", "YQ=="}, "do not go together"},
		"not base64":  {2, []string{"photos", "--key-base64", "%"}, `"%"`},
		"no such job": {1, []string{"nope", "a"}, `there is no job "nope"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := n.run(test.code, append([]string{"ctl", "why"}, test.args...)...)
			contains(t, "stderr", errs, test.want)
		})
	}
}

// TestWhyOfKeysUnderWay asks about keys that a task has, of a job that runs and of one that is paused.
func TestWhyOfKeysUnderWay(t *testing.T) {
	n := startNode(t)
	writing, goOn := make(chan struct{}, 100), make(chan struct{})
	n.put = func(ctx context.Context, _ string) error {
		writing <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	<-writing
	n.eventually("the listing is over", func() bool { return n.status("photos").ListingDone })
	got := n.trace("photos", "d/5")
	if got.Standing != api.InTask || got.Task == nil || got.Task.Node == "" || got.Task.Kind != fsm.ListTask || len(got.Records) != 0 {
		t.Errorf("%+v", got)
	}
	out, _ := n.run(codeDone, "ctl", "why", "photos", "d/5")
	contains(t, "why", out, "it is not settled yet: task ", "and node "+shortID(got.Task.Node)+" works on that", "photos is running, pass 1")
	if got := n.trace("photos", "d/55"); got.Standing != api.NotFound || got.Task != nil {
		t.Errorf("a key that is in no list: %+v", got)
	}
	n.run(codeDone, "ctl", "pause", "photos")
	if got := n.trace("photos", "d/5"); got.Standing != api.InTask || got.Task.Node != "" || !strings.Contains(got.Explanation, "waits until the job goes on") {
		t.Errorf("of a paused job: %+v", got)
	}
	close(goOn)
	n.run(codeDone, "ctl", "continue", "photos")
	n.reaches("photos", fsm.Succeeded)
}

// reportLines reads a report in JSON lines: the outcome of each key, and the line of totals.
func (n *nodeBench) reportLines(id string) (outcomes map[string]string, last totalsLine) {
	n.t.Helper()
	out, _ := n.run(codeDone, "ctl", "report", id, "--json")
	outcomes = map[string]string{}
	for line := range strings.Lines(out) {
		var r transfer.Record
		if strings.HasPrefix(line, `{"totals":`) {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				n.t.Fatalf("%s: %v", line, err)
			}
			continue
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || last.Totals != nil {
			n.t.Fatalf("%s: %v, or behind the totals", line, err)
		}
		if before, twice := outcomes[r.ExactKey()]; twice {
			n.t.Errorf("%q has two records, %s and %s", r.ExactKey(), before, r.Outcome)
		}
		outcomes[r.ExactKey()] = string(r.Outcome)
	}
	if last.Totals == nil {
		n.t.Fatalf("no totals in %s", out)
	}
	return outcomes, last
}

// TestCtlReport: every object has one record, with what became of it last, and the sums agree with them.
func TestCtlReport(t *testing.T) {
	n := startNode(t)
	var mended atomic.Bool
	n.put = func(_ context.Context, key string) error {
		if key == "d/7" || !mended.Load() && key == "d/3" {
			return &store.Error{Op: "put", Key: key, Class: store.Permanent, Err: errors.New("no entry")}
		}
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "filter: {exclude: [\"9\"]}"))
	n.reaches("photos", fsm.Failed)
	check := func(d3 string, copied, failed int64) {
		t.Helper()
		got, last := n.reportLines("photos")
		want := map[string]string{"d/3": d3, "d/7": "failed", "d/9": "filtered"}
		for i := range 10 {
			key := fmt.Sprintf("d/%d", i)
			if want[key] == "" {
				want[key] = "copied"
			}
			if got[key] != want[key] {
				t.Errorf("%s is %q, want %q", key, got[key], want[key])
			}
		}
		o := last.Totals.Job.Objects
		if len(got) != 10 || last.Records != 10 || o.Found != 10 || o.Copied != copied || o.Failed != failed || last.Totals.Missing != nil {
			t.Errorf("%d records, totals %+v", len(got), last)
		}
		if e := last.Totals.Evidence; e.Copied != copied || e.Hashed != copied || len(e.Filtered) != 1 || !last.Totals.HashedBefore {
			t.Errorf("evidence %+v", e)
		}
	}
	check("failed", 7, 2)
	mended.Store(true)
	n.run(codeDone, "ctl", "retry", "photos")
	n.eventually("the retry is over", func() bool { return n.status("photos").Objects.Copied == 8 && n.status("photos").State == fsm.Failed })
	check("copied", 8, 1)
	out, _ := n.run(codeDone, "ctl", "report", "photos")
	contains(t, "report", out, "photos: pass 1 done, 1 object failed", "copied", "found", "left out:", "failed, permanent (1):", "d/7",
		"brigade ctl errors photos --list", "brigade ctl report photos --json", "hashed           8 of 8 copied objects")
	_, errs := n.run(codeRefused, "ctl", "report", "nope")
	contains(t, "stderr", errs, `there is no job "nope"`)
}
