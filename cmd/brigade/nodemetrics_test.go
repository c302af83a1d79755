package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/metrics"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestMetrics reads the metrics of a node that has moved something.
func TestMetrics(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	text := n.metrics(t)
	cmd := exec.Command(tool(t, "promtool", "prometheus"), "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("%v: %s", err, out)
	}
	contains(t, "metrics", text,
		`brigade_jobs{state="succeeded"} 1`, `brigade_other_jobs_objects{outcome="copied"} 10`, `brigade_raft_is_leader 1`, `brigade_members{state="alive"} 1`,
		`brigade_store_requests_total{endpoint="file",operation="put",outcome="ok"} 10`, `brigade_store_request_duration_seconds_count{endpoint="file",operation="list"}`,
		`brigade_store_read_bytes_total{endpoint="file"}`, `brigade_store_written_bytes_total{endpoint="file"}`, `brigade_raft_commit_duration_seconds_count`,
		`brigade_slots 64`, `brigade_memory_budget_bytes`, `process_resident_memory_bytes`, `go_goroutines`,
		fmt.Sprintf("brigade_build_info{goversion=%q,version=%q} 1", runtime.Version(), versionOf()),
	)
	if strings.Contains(text, `endpoint="unknown"`) {
		t.Error("requests went to a store without a name")
	}
	for _, f := range metrics.Families() {
		switch f.Name {
		case "brigade_notice_deliveries_total", "brigade_store_retries_total", "brigade_notices_waiting", "brigade_notices_oldest_timestamp_seconds",
			"brigade_peer_requests_total", "brigade_peer_request_duration_seconds", "brigade_leases":
			continue // of what did not happen
		}
		if !strings.HasPrefix(f.Name, "brigade_job_") && !strings.Contains(text, "\n# TYPE "+f.Name+" "+string(f.Type)+"\n") {
			t.Errorf("there is no %s", f.Name)
		}
	}
}

// metrics reads them with the token in the data directory.
func (n *nodeBench) metrics(t *testing.T) string {
	t.Helper()
	resp := n.get("/metrics")
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", resp.Status, err, text)
	}
	return string(text)
}

// TestMetricsOpen: without a token nobody reads metrics, unless the node is told so.
func TestMetricsOpen(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
	}{{nil, http.StatusUnauthorized}, {[]string{"--metrics-open"}, http.StatusOK}} {
		n := startNode(t, test.args...)
		addr, err := api.ReadAddr(n.data)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]int{"/metrics": test.status, "/v1/jobs": http.StatusUnauthorized} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%v: %s: %s", test.args, path, resp.Status)
			}
		}
		n.run(codeDone, "node", "stop")
	}
}

// TestEndpoint: what metrics call a side has nothing of its path, its options or its credentials.
func TestEndpoint(t *testing.T) {
	for url, want := range map[string]string{
		"s3://photos/2024/?endpoint=https://s3.example.org:9000&region=x": "s3://s3.example.org:9000",
		"s3://photos/2024/?endpoint=https://user:word@s3.example.org":     "s3://s3.example.org",
		"oss://photos/?endpoint=oss-cn-hangzhou.aliyuncs.com":             "oss://oss-cn-hangzhou.aliyuncs.com",
		"s3://photos/2024/":                         "s3://photos",
		"file:///srv/photos/":                       "file",
		"urllist:https://example.org/list?sig=word": "urllist",
	} {
		at, err := store.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&side{at: at}).endpoint(); got != want {
			t.Errorf("%s is %q, want %q", url, got, want)
		}
	}
	if got := (*side)(nil).endpoint(); got != "" {
		t.Errorf("no side is %q", got)
	}
}
