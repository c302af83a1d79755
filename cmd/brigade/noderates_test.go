package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/throughput"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// ratesBench is the memory of one node, at a time that the test sets.
type ratesBench struct {
	*rateKeeper
	at      time.Time
	machine *fsm.Machine
	index   uint64
	log     lockedBuffer
	dir     string
}

func newRatesBench(t *testing.T, dir string) *ratesBench {
	t.Helper()
	b := &ratesBench{at: time.Unix(1_800_000_000, 0).UTC(), machine: fsm.NewMachine(), dir: dir}
	b.rateKeeper = newRateKeeper(dir, "self", b.machine, slog.New(slog.NewTextHandler(&b.log, nil)), func() time.Time { return b.at })
	return b
}

// job is a job that the state knows, in its first pass.
func (b *ratesBench) job(t *testing.T, id string) *fsm.Job {
	t.Helper()
	nonce := []byte("\xff\x00" + id + "-0123456789")[:16]
	for _, cmd := range []fsm.Command{
		fsm.SubmitJob{ID: id, Nonce: nonce, Kind: "copy", Spec: []byte("{}"), At: b.at.UnixNano()},
		fsm.StartPass{Job: id, Nonce: nonce, Pass: 1, At: b.at.UnixNano()},
	} {
		entry, err := fsm.Encode(cmd)
		if err != nil {
			t.Fatal(err)
		}
		b.index++
		if r := b.machine.Apply(b.index, entry).(fsm.Result); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	var job *fsm.Job
	b.machine.Read(func(s *fsm.State) { job = s.Job(id) })
	return job
}

// move has a job move something here, and time go on.
func (b *ratesBench) move(job *fsm.Job, bytes int64) {
	at := func(url string) *side {
		l, err := store.Parse(url)
		if err != nil {
			panic(err)
		}
		return &side{at: l}
	}
	t := b.follow(job, sides{source: at("file:///from/"), destination: at("s3://to/prefix/?endpoint=http://h:1&region=r&acl=private")})
	t.BytesWritten.Add(bytes)
	t.BytesRead.Add(2 * bytes)
	t.Objects.Add(1)
	b.at = b.at.Add(10 * time.Second)
	b.book.Sample(b.at.Add(-time.Second))
}

func (b *ratesBench) sum(t *testing.T, job *fsm.Job) (sum throughput.Counts, missing []api.Unheard) {
	t.Helper()
	w, err := throughput.Plan(b.at, b.at.Add(-time.Hour), 0, throughput.MaxPoints)
	if err != nil {
		t.Fatal(err)
	}
	counts, missing := b.JobCounts(t.Context(), api.RatedJob(job), w)
	for _, c := range counts {
		sum = sum.Plus(c)
	}
	return sum, missing
}

// TestRatesOfAllNodes: what other nodes answer is added up, one at a time; those that do not answer, and those that answer
// something else, are named and change nothing.
func TestRatesOfAllNodes(t *testing.T) {
	b := newRatesBench(t, t.TempDir())
	job := b.job(t, "j")
	other := newRatesBench(t, t.TempDir())
	b.move(job, 100)
	other.move(job, 7)
	var asked []ratesCall
	b.others = func(_ context.Context, call ratesCall, take func(*ratesAnswer) error) (missing []api.Unheard) {
		asked = append(asked, call)
		a, err := other.answer(call)
		if err != nil || take(a) != nil {
			t.Errorf("the other node: %v", err)
		}
		n := call.Window.Points()
		for id, odd := range map[string]*ratesAnswer{
			"short":    {Job: make([]throughput.Counts, n-1)},
			"long":     {Job: make([]throughput.Counts, n+1)},
			"empty":    {},
			"negative": {Job: append(make([]throughput.Counts, n-1), throughput.Counts{Written: -1})},
		} {
			if err := take(odd); !errors.Is(err, errOddRates) {
				t.Errorf("%s: %v", id, err)
			}
		}
		return []api.Unheard{{ID: "z", State: api.Dead}, {ID: "a", State: api.Suspect}}
	}
	sum, missing := b.sum(t, job)
	if want := (throughput.Counts{Written: 107, Read: 214, Objects: 2}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
	if d := cmp.Diff([]api.Unheard{{ID: "a", State: api.Suspect}, {ID: "z", State: api.Dead}}, missing); d != "" {
		t.Error(d)
	}
	if asked[0].Job != "j" || string(asked[0].Nonce) != string(job.Nonce) {
		t.Errorf("asked for %+v", asked[0])
	}
	if _, err := b.answer(ratesCall{Job: "j", Window: throughput.Window{}}); err == nil {
		t.Error("a window of nothing is answered")
	}
}

// TestRatesOfEndpoints: an endpoint goes by its bucket and where that is; one node is asked alone.
func TestRatesOfEndpoints(t *testing.T) {
	b := newRatesBench(t, t.TempDir())
	b.move(b.job(t, "j"), 100)
	b.others = func(_ context.Context, call ratesCall, take func(*ratesAnswer) error) []api.Unheard {
		if call.Only != "" && call.Only != "other" {
			t.Errorf("asked %q", call.Only)
		}
		counts := make([]throughput.Counts, call.Window.Points())
		counts[len(counts)-1].Read = 5
		if err := take(&ratesAnswer{Endpoints: map[string][]throughput.Counts{"file://": counts}}); err != nil {
			t.Error(err)
		}
		many := map[string][]throughput.Counts{}
		for i := range throughput.MaxEndpoints + 1 {
			many[strings.Repeat("x", i+1)] = counts
		}
		if err := take(&ratesAnswer{Endpoints: many}); err == nil {
			t.Error("any number of endpoints is taken")
		}
		return nil
	}
	w, err := throughput.Plan(b.at, b.at.Add(-time.Hour), 0, throughput.MaxPoints)
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]map[string]throughput.Counts{
		"":      {"file://": {Read: 205, Objects: 1}, "s3://to/?endpoint=http%3A%2F%2Fh%3A1&region=r": {Written: 100, Objects: 1}},
		"self":  {"file://": {Read: 200, Objects: 1}, "s3://to/?endpoint=http%3A%2F%2Fh%3A1&region=r": {Written: 100, Objects: 1}},
		"other": {"file://": {Read: 5}},
	} {
		counts, _ := b.EndpointCounts(t.Context(), node, w)
		got := map[string]throughput.Counts{}
		for name, list := range counts {
			for _, c := range list {
				got[name] = got[name].Plus(c)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("of node %q: %s", node, d)
		}
	}
}

// TestRatesSurviveARestart: the file is written when something happened, and goes with the node; a broken one is said, and left.
func TestRatesSurviveARestart(t *testing.T) {
	b := newRatesBench(t, t.TempDir())
	b.save()
	if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing happened, and it is written down: %v", err)
	}
	job := b.job(t, "j")
	b.move(job, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.run(ctx, func() bool { return true })
	if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disk is full, and it is written down: %v", err)
	}
	b.run(ctx, func() bool { return false })
	again := newRatesBench(t, b.dir)
	again.at = b.at
	again.move(job, 11)
	if sum, _ := again.sum(t, job); sum.Written != 111 || again.log.String() != "" {
		t.Errorf("after the restart %+v; it logged %s", sum, again.log.String())
	}
	if info, err := os.Stat(b.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(b.file, []byte("brigade-rates\x01 and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := newRatesBench(t, b.dir)
	broken.at = b.at
	if sum, _ := broken.sum(t, job); sum != (throughput.Counts{}) || !strings.Contains(broken.log.String(), "past rates are not known any more") {
		t.Errorf("of a broken file %+v; it logged %s", sum, broken.log.String())
	}
}

// TestChart: a notice gets the rates of its job's pass, evenly spaced.
func TestChart(t *testing.T) {
	b := newRatesBench(t, t.TempDir())
	job := b.job(t, "j")
	for i := range 30 {
		b.move(job, int64(1000*i))
	}
	rates := b.chart(t.Context(), "j")
	if len(rates) != 31 || rates[29].BytesPerSecond != 2900 || rates[29].ObjectsPerSecond != 0.1 {
		t.Fatalf("%d rates: %+v", len(rates), rates)
	}
	for i := 1; i < len(rates); i++ {
		if rates[i].At.Sub(rates[i-1].At) != 10*time.Second {
			t.Errorf("%v after %v", rates[i].At, rates[i-1].At)
		}
	}
	b.at = b.at.Add(30 * time.Hour)
	if long := b.chart(t.Context(), "j"); len(long) > chartPoints || len(long) < chartPoints/2 {
		t.Errorf("%d points of a long pass", len(long))
	}
	if none := b.chart(t.Context(), "k"); none != nil {
		t.Errorf("%d points of no job", len(none))
	}
}

// TestFollowIsBounded: jobs that are not followed any more are forgotten, and one that is opened again counts on.
func TestFollowIsBounded(t *testing.T) {
	b := newRatesBench(t, t.TempDir())
	first := b.follow(&fsm.Job{ID: "first", Nonce: []byte("1")}, sides{})
	if again := b.follow(&fsm.Job{ID: "first", Nonce: []byte("1")}, sides{}); again != first {
		t.Error("a job that is opened again is counted anew")
	}
	for i := range 3 * throughput.MaxJobs {
		b.at = b.at.Add(time.Second)
		b.follow(&fsm.Job{ID: "later", Nonce: []byte{byte(i)}}, sides{})
	}
	if len(b.traffic) > throughput.MaxJobs+1 {
		t.Errorf("%d jobs", len(b.traffic))
	}
	if (*rateKeeper)(nil).follow(&fsm.Job{}, sides{}) != nil {
		t.Error("nobody counts, and yet")
	}
}
