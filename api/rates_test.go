package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/throughput"
)

// moved is what nodes remember, the same in each 10 s of a time.
type moved struct {
	asked   []throughput.Window
	job     throughput.Job
	node    string
	missing []Unheard
}

func (m *moved) counts(w throughput.Window) []throughput.Counts {
	m.asked = append(m.asked, w)
	counts := make([]throughput.Counts, w.Points())
	for i := range counts {
		counts[i] = throughput.Counts{Written: 1000, Read: 2000, Objects: 10}
	}
	return counts
}

func (m *moved) JobCounts(_ context.Context, job throughput.Job, w throughput.Window) ([]throughput.Counts, []Unheard) {
	m.job = job
	return m.counts(w), m.missing
}

func (m *moved) EndpointCounts(_ context.Context, node string, w throughput.Window) (map[string][]throughput.Counts, []Unheard) {
	m.node = node
	return map[string][]throughput.Counts{"s3://b/": m.counts(w), "file://": m.counts(w)}, m.missing
}

// ratedBench is a node at a time that the test sets, with a job that began five minutes ago.
func ratedBench(t *testing.T) (*bench, *moved, *time.Time) {
	t.Helper()
	m, now := &moved{}, time.Date(2026, 11, 21, 12, 5, 3, 0, time.UTC)
	b := newBench(t, func(c *Config) { c.Rates, c.Now = m, func() time.Time { return now } })
	b.at = now.Add(-5 * time.Minute).UnixNano()
	for _, cmd := range []fsm.Command{
		fsm.SubmitJob{ID: "j", Nonce: testNonce, Kind: "copy", Spec: []byte(`{"id":"j"}`), At: b.at},
		fsm.StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: b.at},
	} {
		if r, err := b.Propose(t.Context(), cmd); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	return b, m, &now
}

func TestJobRates(t *testing.T) {
	b, m, now := ratedBench(t)
	m.missing = []Unheard{{ID: "n3", State: Dead}}
	d, err := b.client.JobRates(t.Context(), "j", time.Time{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d.Job != "j" || d.StepSeconds != 10 || len(d.Rates) != 31 || !d.Since.Equal(now.Add(-303*time.Second)) || d.Index == 0 {
		t.Errorf("%+v", d)
	}
	if len(d.Missing) != 1 || d.Missing[0] != m.missing[0] || m.job.ID != "j" || m.job.Nonce != string(testNonce) {
		t.Errorf("missing %+v, asked for %+v", d.Missing, m.job)
	}
	first, last := d.Rates[0], d.Rates[30]
	if first.BytesPerSecond != 100 || first.ReadBytesPerSecond != 200 || first.ObjectsPerSecond != 1 || first.Seconds != 10 || !first.At.Equal(d.Since) {
		t.Errorf("first %+v", first)
	}
	if last.Seconds != 3 || last.BytesPerSecond*last.Seconds != 1000 {
		t.Errorf("the step that is not over: %+v", last)
	}
	d, err = b.client.JobRates(t.Context(), "j", now.Add(-12*time.Hour), 10*time.Minute)
	if err != nil || d.StepSeconds != 600 || len(d.Rates) != 73 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := b.client.JobRates(t.Context(), "k", time.Time{}, 0); err == nil || !strings.Contains(err.Error(), "no job") {
		t.Errorf("of no job: %v", err)
	}
}

// TestRatesOfAnEndedJob: the time ends with the job, however long ago that was.
func TestRatesOfAnEndedJob(t *testing.T) {
	b, m, now := ratedBench(t)
	if r, err := b.Propose(t.Context(), fsm.PauseJob{Job: "j", Nonce: testNonce, At: now.UnixNano()}); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if r, err := b.Propose(t.Context(), fsm.CancelJob{Job: "j", Nonce: testNonce, At: now.UnixNano()}); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	end := *now
	*now = now.Add(50 * time.Hour)
	d, err := b.client.JobRates(t.Context(), "j", time.Time{}, 0)
	if err != nil || d.StepSeconds != 10 || d.Until.Before(end) || d.Until.Sub(end) > 20*time.Second || len(m.asked) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestEndpointRates(t *testing.T) {
	b, m, now := ratedBench(t)
	d, err := b.client.Rates(t.Context(), "", time.Time{}, 0)
	if err != nil || len(d.Endpoints) != 2 || d.Endpoints[0].Endpoint != "file://" || len(d.Endpoints[0].Rates) != 361 && len(d.Endpoints[0].Rates) != 360 {
		t.Fatalf("%+v, %v", d, err)
	}
	d, err = b.client.Rates(t.Context(), benchNode, now.Add(-14*24*time.Hour), 0)
	if err != nil || m.node != benchNode || len(d.Endpoints[0].Rates) > maxEndpointPoints {
		t.Errorf("%d points, %v", len(d.Endpoints[0].Rates), err)
	}
	var p *Problem
	if _, err := b.client.Rates(t.Context(), "nobody", time.Time{}, 0); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("of no node: %v", err)
	}
}

// TestRatesAreBounded: what a query says is checked, and no answer has more points than it may.
func TestRatesAreBounded(t *testing.T) {
	b, m, _ := ratedBench(t)
	for query, want := range map[string]int{
		"":                               200,
		"?since=90m":                     200,
		"?since=2026-11-21T11:00:00Z":    200,
		"?since=1971-01-01T00:00:00Z":    200,
		"?since=2030-01-01T00:00:00Z":    200,
		"?since=9000h&step=10s":          200,
		"?since=336h&step=10m":           200,
		"?step=24h":                      200,
		"?since=yesterday":               400,
		"?since=-5m":                     400,
		"?since=0000-01-01T00:00:00Z":    400,
		"?since=%00":                     400,
		"?step=15s":                      400,
		"?step=0s":                       400,
		"?step=-10s":                     400,
		"?step=25h":                      400,
		"?step=1":                        400,
		"?step=2562047h47m16.854775807s": 400,
	} {
		m.asked = nil
		resp, text := b.request(http.MethodGet, "/v1/jobs/j/rates"+query, "", nil)
		if resp.StatusCode != want {
			t.Errorf("%q: %s: %s", query, resp.Status, text)
		}
		for _, w := range m.asked {
			if err := w.Check(); err != nil {
				t.Errorf("%q: nodes are asked for %+v: %v", query, w, err)
			}
		}
	}
	resp, text := b.request(http.MethodGet, "/v1/rates?since=1h&step=10s", "", nil)
	if resp.StatusCode != 200 {
		t.Errorf("an hour of endpoints: %s: %s", resp.Status, text)
	}
	resp, text = b.request(http.MethodGet, "/v1/rates?since=24h&step=1m", "", nil)
	if resp.StatusCode != 400 || !strings.Contains(string(text), "points") {
		t.Errorf("a day of endpoints by the minute: %s: %s", resp.Status, text)
	}
}

// TestNothingIsRemembered: a node that keeps no rates answers with none.
func TestNothingIsRemembered(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	resp, text := b.request(http.MethodGet, "/v1/rates", "", nil)
	var d EndpointRates
	if err := json.Unmarshal([]byte(text), &d); err != nil || resp.StatusCode != 200 || len(d.Endpoints) != 0 {
		t.Errorf("%s: %s", resp.Status, text)
	}
}
