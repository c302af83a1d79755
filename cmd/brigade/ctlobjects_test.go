package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	_, errs := n.run(codeDone, "ctl", "errors", "photos")
	contains(t, "errors after the retry", errs, "nothing failed in job photos")
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

// answers has a user at a terminal who says the same to every question.
func (n *nodeBench) answers(with string) {
	n.app.terminals, n.app.in = terminals{in: true, err: true}, strings.NewReader(strings.Repeat(with+"\n", 10))
}

// TestAddAsksFirst: objects that stand at the destination are told of before a copy touches them.
func TestAddAsksFirst(t *testing.T) {
	n := startNode(t)
	var writes atomic.Int64
	n.put = func(context.Context, string) error { writes.Add(1); return nil }
	for i := range 7 {
		name := filepath.Join(n.dst, "old", fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("123"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	file := n.jobFile("photos")
	holds := "file://" + n.dst + " already holds 7 objects (21 B): old/0, old/1, old/2, old/3, old/4, …"

	_, errs := n.run(codeRefused, "ctl", "add", file)
	contains(t, "without a terminal", errs, "photos is not added: "+holds, "--yes adds it all the same")
	n.answers("n")
	_, errs = n.run(codeRefused, "ctl", "add", file)
	contains(t, "at a terminal", errs, holds, "Add photos? [y/N]", "photos is not added")
	_, errs = n.run(codeRefused, "ctl", "status", "--jobID=photos")
	contains(t, "after no", errs, "there is no job")
	if writes.Load() != 0 {
		t.Error("something was written")
	}
	n.answers("y")
	_, errs = n.run(codeRefused, "ctl", "add", file, "--json")
	contains(t, "with --json", errs, "--yes adds it all the same")
	out, _ := n.run(codeDone, "ctl", "add", file)
	contains(t, "after yes", out, "photos is added")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()

	n.app.terminals, n.app.in = terminals{}, strings.NewReader("")
	out, _ = n.run(codeDone, "ctl", "add", n.jobFile("check", "type: verify"))
	contains(t, "verify", out, "check is added")
	list := filepath.Join(n.dir, "list.yaml")
	if err := os.WriteFile(list, fmt.Appendf(nil, "id: list\ntype: list\nsource: {url: %q}\n", n.src), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run(codeDone, "ctl", "add", list)
	out, _ = n.run(codeDone, "ctl", "add", n.jobFile("again"), "--yes", "--json")
	contains(t, "--yes", out, `{"id":"again"}`)
}

// TestAddOfUnseenDestination: where no node can look, nobody knows that nothing is there.
func TestAddOfUnseenDestination(t *testing.T) {
	n := startNode(t)
	nowhere := "s3://bucket/x/?endpoint=http://" + closedPort(t) + "&region=r"
	text := fmt.Sprintf("id: away\nsource: {url: %q}\ndestination: {url: %q, access_key: a, secret_key: hidden-secret}\n", n.src, nowhere)
	file := filepath.Join(n.dir, "away.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := n.run(codeRefused, "ctl", "add", file)
	contains(t, "stderr", errs, "away is not added: what s3://bucket/x/", "could not be seen", "refused", "--yes adds it all the same")
	if strings.Contains(errs, "hidden-secret") {
		t.Error("the secret is shown")
	}
	n.run(codeDone, "ctl", "add", file, "--yes")
}

// TestAddTwice: the same again is no change, another of the same ID is refused, and credentials are part of what is the same.
func TestAddTwice(t *testing.T) {
	n := startNode(t)
	file := filepath.Join(n.dir, "s3.yaml")
	write := func(secret string) {
		text := fmt.Sprintf("id: s3\nsource: {url: \"s3://bucket/?endpoint=http://%s&region=r\", access_key: a, secret_key: %q}\ndestination: {url: %q}\n",
			"127.0.0.1:1", secret, n.dst)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	n.run(codeDone, "ctl", "add", file)
	n.reaches("s3", fsm.Paused)
	for _, yes := range [][]string{nil, {"--yes"}} {
		out, _ := n.run(codeDone, append([]string{"ctl", "add", file}, yes...)...)
		contains(t, "the same again", out, "s3 was added before, with the same description, and is paused; it is left as it is")
	}
	write("two")
	_, errs := n.run(codeRefused, "ctl", "add", file)
	contains(t, "other credentials", errs, `"s3" exists`)
	write("one")
	_, errs = n.run(codeRefused, "ctl", "add", file, "--set", "verify=size")
	contains(t, "other description", errs, `"s3" exists`)
	if d := n.status("s3"); d.State != fsm.Paused {
		t.Errorf("%+v", d)
	}
}

// TestSignedURLsAreMasked: whoever may read a job's records may not fetch what it copies.
func TestSignedURLsAreMasked(t *testing.T) {
	for line, want := range map[string]string{
		`{"key":"a","outcome":"failed","size":1,"origin":"https://h/a?sig=x&e=1"}`: `{"key":"a","outcome":"failed","size":1,"origin":"https://h/a?***"}`,
		`{"key":"a","outcome":"failed","size":1,"origin":"https://h/a"}`:           `{"key":"a","outcome":"failed","size":1,"origin":"https://h/a"}`,
		`{"key":"\"origin\":?","outcome":"copied","size":1}`:                       `{"key":"\"origin\":?","outcome":"copied","size":1}`,
	} {
		if got := string(shownRecord([]byte(line))); got != want {
			t.Errorf("%s is shown as %s", line, got)
		}
	}
}
