//go:build linux

package cluster_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// edit gives the running job a limit, and is refused another source for it.
func (l *life) edit(t *testing.T) {
	var d struct{ Changed []string }
	l.operator.must(t, l.edition(t, "limits", "bandwidth", "50M"), 200, &d)
	l.done("edit", "move")
	if !slices.Equal(d.Changed, []string{"limits.bandwidth"}) {
		t.Errorf("%q were changed", d.Changed)
	}
	if now := l.status(t); now.Limits.Bandwidth != 50<<20 || now.State != "running" {
		t.Errorf("the job is %s with a limit of %d bytes a second", now.State, now.Limits.Bandwidth)
	}
	l.operator.mayNot(t, l.edition(t, "source", "url", "file:///elsewhere"), refusal{1, 409, "job-state", []string{"source.url cannot be changed", "ctl redo --paused"}})
}

// edition changes one key of the job. Who has curl sends the description as it was read, but for that key.
func (l *life) edition(t *testing.T, part, key, value string) request {
	t.Helper()
	q := request{ctl: []string{"ctl", "edit", "move", "--set", part + "." + key + "=" + value}, method: "PUT", path: "/v1/jobs/move/spec"}
	if !l.operator.curl {
		return q
	}
	d := map[string]any{}
	a := l.operator.must(t, request{path: q.path}, 200, &d)
	side, _ := d[part].(map[string]any)
	if side == nil {
		side = map[string]any{}
	}
	side[key], d[part] = value, side
	body, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	q.body, q.header = string(body), []string{"If-Match: " + a.header.Get("Etag")}
	return q
}

// why asks what became of an object that was refused, and of one that arrived.
func (l *life) why(t *testing.T) {
	for key, outcome := range map[string]string{"d000/f00003": "failed", "d000/f00004": "copied"} {
		var d struct {
			Key, Standing string
			Records       []struct{ Key, Outcome, Reason string }
		}
		l.operator.must(t, request{ctl: []string{"ctl", "why", "move", key}, path: "/v1/jobs/move/why?key=" + url.QueryEscape(key)}, 200, &d)
		if d.Key != key || d.Standing != "settled" || len(d.Records) == 0 {
			t.Errorf("of %s it is known that it is %+v", key, d)
			continue
		}
		last := d.Records[len(d.Records)-1]
		if last.Key != key || last.Outcome != outcome || outcome == "failed" && !strings.Contains(last.Reason, "InvalidRequest") {
			t.Errorf("%s is %+v, want %s", key, last, outcome)
		}
	}
}

// report reads the sums of the pass, and by ctl the record of every object.
func (l *life) report(t *testing.T) {
	a := l.operator.must(t, request{ctl: []string{"ctl", "report", "move"}, path: "/v1/jobs/move/report"}, 200, nil)
	lines := bytes.Split(bytes.TrimSpace(a.out), []byte("\n"))
	type totals struct {
		Job      document
		Evidence struct{ Copied int64 }
	}
	var d struct{ Totals totals }
	last, into := lines[len(lines)-1], any(&d)
	if l.operator.curl {
		into = &d.Totals
	}
	if err := json.Unmarshal(last, into); err != nil {
		t.Fatalf("report: %v: %s", err, last)
	}
	n := len(l.job.want)
	l.job.checkSums(t, d.Totals.Job)
	if !l.operator.curl && len(lines) != n+1 || d.Totals.Evidence.Copied != int64(n) {
		t.Errorf("the report has %d lines, and %d copied, of %d objects", len(lines), d.Totals.Evidence.Copied, n)
	}
}
