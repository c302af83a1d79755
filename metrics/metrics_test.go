package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// bench is a node's metrics over a real state.
type bench struct {
	t       testing.TB
	machine *fsm.Machine
	metrics *Metrics
	index   uint64
	raft    cluster.RaftStats
	now     time.Time
	spool   *fewSegments
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{
		t: t, machine: fsm.NewMachine(), metrics: New("2.0.0"), now: time.Unix(1_800_000_000, 0), spool: &fewSegments{sizes: []int64{10, 32}},
		raft: cluster.RaftStats{Term: 3, Leads: true, HasLeader: true, Last: 9, Committed: 8, Applied: 7, Snapshot: 5, Voters: 3},
	}
	b.metrics.Observe(Sources{
		State: b.machine, Raft: func() cluster.RaftStats { return b.raft }, Now: func() time.Time { return b.now },
		Status: func(id string) (st scheduler.Status, ok bool) {
			b.machine.Read(func(s *fsm.State) { st.Job = s.Job(id) })
			left := time.Minute
			st.Rate, st.ETA = scheduler.Rate{Bytes: 1000, Objects: 2.5}, &left
			return st, st.Job != nil
		},
		Members: func() map[string]string { return map[string]string{"a": "alive", "b": "alive", "c": "dead"} },
		Mover:   transfer.NewNode("a", nil, slog.New(slog.DiscardHandler), 8, 32<<20),
		Spool:   b.spool, Singles: func() int { return 4 }, DiskLow: func() bool { return true },
	})
	return b
}

// fewSegments is a spool.
type fewSegments struct {
	sizes  []int64
	walks  int
	broken error
}

func (s *fewSegments) List(context.Context) iter.Seq2[cluster.SpoolEntry, error] {
	s.walks++
	return func(yield func(cluster.SpoolEntry, error) bool) {
		for _, size := range s.sizes {
			if !yield(cluster.SpoolEntry{Size: size}, s.broken) {
				return
			}
		}
	}
}

func (s *fewSegments) Space() (free, total uint64, err error) { return 100, 1000, s.broken }

func (b *bench) do(cmds ...fsm.Command) {
	b.t.Helper()
	for _, c := range cmds {
		b.index++
		entry, err := fsm.Encode(c)
		if err != nil {
			b.t.Fatal(err)
		}
		if r := b.machine.Apply(b.index, entry).(fsm.Result); r.Err != nil {
			b.t.Fatalf("%T: %v", c, r.Err)
		}
	}
}

func nonce(i int) []byte { return fmt.Appendf(nil, "%016d", i) }

// submit adds a job, and starts it.
func (b *bench) submit(i int) (id string) {
	id = fmt.Sprintf("job-%04d", i)
	b.do(fsm.SubmitJob{ID: id, Nonce: nonce(i), Kind: "copy", Spec: []byte(`{"secret":"hidden"}`), At: int64(i + 1)},
		fsm.StartPass{Job: id, Nonce: nonce(i), Pass: 1, At: b.now.UnixNano()})
	return id
}

// task is the first outstanding task of a job.
func (b *bench) task(job string) (task *fsm.Task) {
	b.machine.Read(func(s *fsm.State) {
		for t := range s.TasksOf(job) {
			task = t
			return
		}
	})
	if task == nil {
		b.t.Fatalf("%s has no task", job)
	}
	return task
}

// assign gives a job's first task to a node.
func (b *bench) assign(job string) *fsm.Task {
	b.do(fsm.AssignTasks{Grants: []fsm.Grant{{Task: b.task(job).ID, Node: "a"}}})
	return b.task(job)
}

// settle settles all of a job's only task.
func (b *bench) settle(i int, counts fsm.Counts, classes map[string]int64) {
	id := fmt.Sprintf("job-%04d", i)
	t := b.assign(id)
	b.do(fsm.AdvanceTask{Task: t.ID, Epoch: t.Epoch, Done: true, Counts: counts, Classes: classes})
}

func (b *bench) finish(i int) {
	b.do(fsm.FinishPass{Job: fmt.Sprintf("job-%04d", i), Nonce: nonce(i), Pass: 1, At: b.now.UnixNano()})
}

// exercise has everything happen that is counted.
func (b *bench) exercise() {
	b.submit(1)
	b.assign("job-0001")
	b.submit(2)
	b.settle(2, fsm.Counts{Listed: 5, Copied: 3, Failed: 2, Verified: 3, BytesListed: 50, BytesFound: 50, BytesCopied: 30, BytesMoved: 44},
		map[string]int64{"not found": 1, "auth": 1})
	b.do(fsm.PostNotice{Kind: "node-dead", Key: "node", Value: "dead", First: true, At: b.now.UnixNano()})
	b.finish(2)
	m := b.metrics
	m.Requested("s3://photos", "put", "", 30*time.Millisecond)
	m.Requested("s3://photos", "stat", store.NotFound, time.Millisecond)
	m.Retried(store.Throttled)
	m.Read("file", 100)
	m.Wrote("s3://photos", 90)
	m.Committed(time.Millisecond, nil)
	m.Committed(time.Second, errors.New("lost"))
	m.Called("spool", 200, time.Millisecond)
	m.Called("spool", 507, time.Millisecond)
	m.Called("spool", 0, time.Millisecond)
	told := m.Teller(tellerOf{errs: []error{nil, errors.New("busy"), scheduler.ErrUndeliverable}})
	for _, who := range []string{"mail:a@example.org", "slack:https://hooks.example/T/secret", "https://x.example/secret"} {
		_ = told.Tell(b.t.Context(), who, nil)
	}
}

// tellerOf fails one call after another with the errors given.
type tellerOf struct {
	scheduler.Teller
	errs []error
}

func (t tellerOf) Tell(_ context.Context, receiver string, _ []*fsm.Notice) error {
	switch {
	case strings.HasPrefix(receiver, "mail"):
		return t.errs[0]
	case strings.HasPrefix(receiver, "slack"):
		return t.errs[1]
	}
	return t.errs[2]
}

// gather reads everything.
func (b *bench) gather() map[string]*dto.MetricFamily {
	b.t.Helper()
	all, err := b.metrics.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	named := map[string]*dto.MetricFamily{}
	for _, f := range all {
		named[f.GetName()] = f
	}
	return named
}

// scrape reads everything as Prometheus does.
func (b *bench) scrape() string {
	b.t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	b.metrics.Handler().ServeHTTP(rec, r)
	if rec.Code != 200 {
		b.t.Fatalf("%d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// want wants lines in a scrape.
func (b *bench) want(lines ...string) {
	b.t.Helper()
	text := "\n" + b.scrape()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			b.t.Errorf("no line %s", line)
		}
	}
}

// TestFamilies: what is collected is what Families lists, name by name, with type, labels and help text.
func TestFamilies(t *testing.T) {
	b := newBench(t)
	b.exercise()
	got := b.gather()
	for _, f := range Families() {
		g := got[f.Name]
		if g == nil {
			t.Errorf("%s is not collected", f.Name)
			continue
		}
		delete(got, f.Name)
		if kind := strings.ToLower(g.GetType().String()); kind != string(f.Type) || g.GetHelp() != f.Help {
			t.Errorf("%s: %s %q", f.Name, kind, g.GetHelp())
		}
		for _, m := range g.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			if slices.Sort(labels); !slices.Equal(labels, slices.Sorted(slices.Values(f.Labels))) {
				t.Errorf("%s has the labels %v, want %v", f.Name, labels, f.Labels)
			}
		}
	}
	for name := range got {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
			t.Errorf("%s is collected and not listed", name)
		}
	}
}

func TestValues(t *testing.T) {
	b := newBench(t)
	b.exercise()
	b.want(
		`brigade_jobs{state="running"} 1`, `brigade_jobs{state="failed"} 1`, `brigade_jobs{state="paused"} 0`,
		`brigade_job_state{job_id="job-0001",state="running"} 1`, `brigade_job_state{job_id="job-0002",state="failed"} 1`,
		`brigade_job_objects_total{job_id="job-0002",outcome="copied"} 3`, `brigade_job_objects_total{job_id="job-0002",outcome="failed"} 2`,
		`brigade_job_failures_total{class="not_found",job_id="job-0002"} 1`, `brigade_job_sent_bytes_total{job_id="job-0002"} 44`,
		`brigade_job_end_timestamp_seconds{job_id="job-0002"} 1.8e+09`, `brigade_job_sent_bytes_per_second{job_id="job-0001"} 1000`,
		`brigade_job_remaining_seconds{job_id="job-0001"} 60`,
		`brigade_tasks{kind="scan",state="leased"} 1`, `brigade_tasks{kind="scan",state="pending"} 0`, `brigade_leases{node="a"} 1`,
		`brigade_store_requests_total{endpoint="s3://photos",operation="stat",outcome="not_found"} 1`,
		`brigade_store_request_duration_seconds_bucket{endpoint="s3://photos",operation="put",le="0.025"} 0`,
		`brigade_store_request_duration_seconds_bucket{endpoint="s3://photos",operation="put",le="0.05"} 1`,
		`brigade_store_retries_total{class="throttled"} 1`, `brigade_store_read_bytes_total{endpoint="file"} 100`,
		`brigade_raft_is_leader 1`, `brigade_raft_snapshot_index 5`, `brigade_raft_commit_failures_total 1`, `brigade_raft_commit_duration_seconds_count 1`,
		`brigade_members{state="alive"} 2`, `brigade_members{state="left"} 0`,
		`brigade_peer_requests_total{call="spool",outcome="refused"} 1`, `brigade_peer_requests_total{call="spool",outcome="error"} 1`,
		`brigade_spool_segments 2`, `brigade_spool_bytes 42`, `brigade_spool_single_copies 4`, `brigade_disk_low 1`, `brigade_disk_free_bytes 100`,
		`brigade_memory_budget_bytes 3.3554432e+07`, `brigade_slots 8`, `brigade_notices_waiting{kind="node-dead"} 1`,
		`brigade_notice_deliveries_total{outcome="told",receiver="mail"} 1`, `brigade_notice_deliveries_total{outcome="failed",receiver="slack"} 1`,
		`brigade_notice_deliveries_total{outcome="refused",receiver="other"} 1`,
	)
	if text := b.scrape(); strings.Contains(text, "secret") || strings.Contains(text, "hidden") || strings.Contains(text, "example") {
		t.Error("a label tells a secret, or whom notices go to")
	}
}

// TestFollower: rates come from the leader only, all else of the cluster from every node.
func TestFollower(t *testing.T) {
	b := newBench(t)
	b.submit(1)
	b.raft = cluster.RaftStats{LastContact: 2 * time.Second}
	b.want(`brigade_job_state{job_id="job-0001",state="running"} 1`, `brigade_raft_leader_contact_seconds 2`, `brigade_raft_has_leader 0`)
	b.raft.LastContact = -1
	for _, name := range []string{jobByteRate.Name, jobLeft.Name, raftContact.Name} {
		if b.gather()[name] != nil {
			t.Errorf("%s is collected", name)
		}
	}
}

// TestSpoolIsWalkedSeldom: a scrape does not cost a walk, and a spool that cannot be read leaves its metrics out.
func TestSpoolIsWalkedSeldom(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.want("brigade_spool_segments 2")
	}
	if b.spool.walks != 1 {
		t.Errorf("%d walks", b.spool.walks)
	}
	b.now = b.now.Add(spoolEvery)
	b.spool.broken = errors.New("gone")
	got := b.gather()
	for _, f := range []Family{spoolSegments, spoolBytes, diskFree} {
		if got[f.Name] != nil {
			t.Errorf("%s is collected", f.Name)
		}
	}
	if got[spoolSingles.Name] == nil {
		t.Error("what can be read is left out")
	}
}

// TestBounds: whatever there is, the number of time series is bounded. Finished jobs are added up, and nothing is lost.
func TestBounds(t *testing.T) {
	b := newBench(t)
	for i := range 260 {
		b.submit(i)
		if i < 30 {
			b.settle(i, fsm.Counts{Listed: 2, Copied: 2, BytesCopied: 7}, nil)
			b.finish(i)
		}
	}
	got := b.gather()
	if n := len(got[jobState.Name].GetMetric()); n != maxJobs {
		t.Errorf("%d jobs have metrics, want %d", n, maxJobs)
	}
	b.want("brigade_other_jobs 60", `brigade_other_jobs_objects{outcome="copied"} 60`, `brigade_other_jobs_bytes{outcome="copied"} 210`,
		`brigade_jobs{state="succeeded"} 30`, `brigade_jobs{state="running"} 230`)
	for i := range 1000 {
		b.metrics.Requested(fmt.Sprintf("s3://bucket-%d", i), "put", store.Class(fmt.Sprintf("class %d", i)), time.Second)
		b.metrics.Called(fmt.Sprintf("call-%d", i), 200, time.Second)
	}
	got = b.gather()
	for name, most := range map[string]int{requestTime.Name: maxEndpoints + 1, requests.Name: maxEndpoints + maxClasses + 1, peerTime.Name: maxCalls + 1} {
		if n := len(got[name].GetMetric()); n > most {
			t.Errorf("%s has %d series, want at most %d", name, n, most)
		}
	}
	b.want(fmt.Sprintf(`brigade_peer_requests_total{call="other",outcome="ok"} %d`, 1000-maxCalls))
}

// TestWhichJobsAreShown: those that somebody waits for come first, then those that failed, the newest of them.
func TestWhichJobsAreShown(t *testing.T) {
	var all []*fsm.Job
	for i := range 500 {
		all = append(all, &fsm.Job{ID: fmt.Sprint(i), Submitted: int64(i), State: states()[i%len(states())]})
	}
	shown, others := pick(all)
	if len(shown) != maxJobs || len(shown)+len(others) != len(all) {
		t.Fatalf("%d shown, %d others", len(shown), len(others))
	}
	counts := map[fsm.JobState]int{}
	for i, j := range shown {
		counts[j.State]++
		if i > 0 && urgency(shown[i-1]) == urgency(j) && shown[i-1].Submitted < j.Submitted {
			t.Fatalf("%s before %s", shown[i-1].ID, j.ID)
		}
	}
	if counts[fsm.Running] == 0 || counts[fsm.Paused] == 0 || counts[fsm.Succeeded]+counts[fsm.Canceled] > 0 {
		t.Errorf("%v", maps.Collect(maps.All(counts)))
	}
}

// TestPromtool has Prometheus' own tool look at a scrape.
func TestPromtool(t *testing.T) {
	b := newBench(t)
	b.exercise()
	cmd := exec.Command(promtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(b.scrape())
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// promtool finds it. With CI=true lacking it is a failure.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("promtool is missing; install prometheus")
	}
	t.Skip("promtool is not installed (Debian: prometheus)")
	return ""
}

// BenchmarkScrape reads the metrics of a leader that has a thousand jobs, a hundred of them running.
func BenchmarkScrape(b *testing.B) {
	bench := newBench(b)
	bench.thousandJobs()
	handler := bench.metrics.Handler()
	b.ReportAllocs()
	b.ResetTimer()
	var size int
	for range b.N {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		size = rec.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes/scrape")
}

// thousandJobs is a cluster that does much.
func (b *bench) thousandJobs() {
	for i := range 1000 {
		b.submit(i)
		if i >= 100 {
			b.settle(i, fsm.Counts{Listed: 2, Copied: 1, Failed: 1, BytesCopied: 7}, map[string]int64{"auth": 1})
			b.finish(i)
		}
	}
	for _, endpoint := range []string{"s3://a", "oss://b", "file"} {
		for _, op := range []string{"list", "stat", "get", "put", "upload_part", "complete_upload"} {
			b.metrics.Requested(endpoint, op, "", time.Second)
		}
	}
}

// TestSize: what docs/metrics.md says of a scrape's size holds, and the packed form is taken by whoever can read it.
func TestSize(t *testing.T) {
	b := newBench(t)
	b.thousandJobs()
	plain := len(b.scrape())
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	b.metrics.Handler().ServeHTTP(rec, r)
	packed := rec.Body.Len()
	t.Logf("%d bytes, %d packed", plain, packed)
	if rec.Header().Get("Content-Encoding") != "gzip" || plain > 300_000 || packed > 30_000 {
		t.Errorf("%d bytes, %d packed as %q", plain, packed, rec.Header().Get("Content-Encoding"))
	}
}
