package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
)

const monitorLimit = 90 * time.Second

// pager takes what Alertmanager sends.
type pager struct {
	mu   sync.Mutex
	last map[string]string // status by alert and what it is about
}

func startPager(t *testing.T) (*pager, string) {
	t.Helper()
	p := &pager{last: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Errorf("read what Alertmanager sends: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, a := range message.Alerts {
			p.last[a.Labels["alertname"]+" "+a.Labels["instance"]+a.Labels["job_id"]] = a.Status
		}
	}))
	t.Cleanup(server.Close)
	return p, server.URL
}

// waitFor waits until an alert is told to fire, or to be over.
func (p *pager) waitFor(t *testing.T, alert, about, status string) {
	t.Helper()
	eventually(t, monitorLimit, fmt.Sprintf("%s about %s is %s", alert, about, status), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last[alert+" "+about] == status
	})
}

// firing are the alerts that fire, by name.
func (p *pager) firing() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, status := range p.last {
		if status == "firing" {
			names = append(names, name)
		}
	}
	return names
}

// monitor starts Prometheus over the nodes of a cluster. Configuration and rules are those that are shipped, but that everything
// is looked at every second, and that no alert waits for longer than three.
func (c *cluster) monitor(t *testing.T, v *visitor, alertmanager string) *servers.Prometheus {
	t.Helper()
	dir := t.TempDir()
	shipped := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var targets []string
	for _, n := range c.nodes {
		targets = append(targets, fmt.Sprintf("%q", n.instance()))
	}
	config := regexp.MustCompile(`targets: \[.*\]`).ReplaceAllString(shipped("prometheus.yml"), "targets: ["+strings.Join(targets, ", ")+"]")
	config = strings.NewReplacer("/etc/prometheus/brigade.token", v.file, "/etc/prometheus/brigade.ca.pem", filepath.Join(c.nodes[0].data, "api.ca.pem")).Replace(config)
	write("prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"+
		"alerting: {alertmanagers: [{static_configs: [{targets: ["+fmt.Sprintf("%q", alertmanager)+"]}]}]}\n"+config)
	write("brigade.rules.yml", regexp.MustCompile(`for: \w+`).ReplaceAllString(shipped("brigade.rules.yml"), "for: 3s"))
	return servers.StartPrometheus(t, dir)
}

// instance is what Prometheus calls a node.
func (n *node) instance() string { return fmt.Sprintf("127.0.0.1:%d", n.http) }

// waitValue waits until an expression has one value.
func waitValue(t *testing.T, p *servers.Prometheus, expr string, want float64) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Logf("%s was %s", expr, last)
		}
	}()
	eventually(t, monitorLimit, fmt.Sprintf("%s is %v", expr, want), func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got, err := p.Query(ctx, expr)
		last = fmt.Sprint(got, err)
		return err == nil && len(got) == 1 && got[0].Value == want
	})
}

// scrape reads the metrics of a node as Prometheus does.
func (n *node) scrape(t *testing.T, v *visitor) (status int, text string) {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(n.data, "api.ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "brigade-api"}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+n.instance()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		token, err := os.ReadFile(v.file)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 15 * time.Second}).Do(r)
	if err != nil {
		t.Fatalf("scrape %s: %v", n.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("scrape %s: %v", n.name, err)
	}
	return resp.StatusCode, string(body)
}

// TestPrometheus has a real Prometheus scrape three nodes over TLS with a viewer's token, and a real Alertmanager tell of a job
// that stands still and of a node that is killed, and that both are over.
func TestPrometheus(t *testing.T) {
	beside(t)
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		n.args = append(n.args, "--http-tls", "always")
		n.start(t)
	}
	c.waitWhole(t)
	leader, others := c.leader(t)
	v := leader.invite(t, "prometheus", "viewer")
	pager, webhook := startPager(t)
	prometheus := c.monitor(t, v, servers.StartAlertmanager(t, webhook))
	waitValue(t, prometheus, `count(up{job="brigade"} == 1)`, 3)
	waitValue(t, prometheus, `sum(brigade_raft_is_leader)`, 1)
	waitValue(t, prometheus, `min(brigade_members{state="alive"})`, 3)

	j := newJob(t)
	j.files(t, newRandom(t), 60)
	j.slow(40 * time.Second) // less than a store may be silent
	j.add(t, others[0], 20)
	pager.waitFor(t, "BrigadeJobStalled", j.id, "firing")
	waitValue(t, prometheus, `max(brigade_job_state{job_id="move", state="running"})`, 1)
	waitValue(t, prometheus, `sum(brigade_slots_used) > bool 0`, 1)
	j.proxy.Clear()
	pager.waitFor(t, "BrigadeJobStalled", j.id, "resolved")
	j.finish(t, others[0], monitorLimit)
	j.checkMetrics(t, prometheus)
	for _, n := range c.nodes {
		n.checkScrape(t, v, j)
	}

	victim := others[1]
	victim.kill(t)
	pager.waitFor(t, "BrigadeNodeDown", victim.instance(), "firing")
	pager.waitFor(t, "BrigadeMemberDead", "", "firing")
	victim.start(t)
	pager.waitFor(t, "BrigadeNodeDown", victim.instance(), "resolved")
	pager.waitFor(t, "BrigadeMemberDead", "", "resolved")
	for _, name := range pager.firing() {
		if name != "BrigadeDiskFilling" && !strings.HasPrefix(name, "BrigadeDiskFilling ") && !strings.HasPrefix(name, "BrigadeDiskLow ") { // the machine's own
			t.Errorf("%s still fires", name)
		}
	}
}

// checkMetrics wants the numbers of a job that is done to be those of its objects.
func (j *job) checkMetrics(t *testing.T, p *servers.Prometheus) {
	t.Helper()
	var size int64
	for _, o := range j.want {
		size += o.size
	}
	endpoint := "s3://" + strings.TrimPrefix(j.proxy.URL, "http://")
	waitValue(t, p, `max(brigade_jobs{state="succeeded"})`, 1)
	waitValue(t, p, `max(brigade_other_jobs_objects{outcome="copied"})`, float64(len(j.want)))
	waitValue(t, p, `max(brigade_other_jobs_bytes{outcome="copied"})`, float64(size))
	waitValue(t, p, fmt.Sprintf(`sum(brigade_store_written_bytes_total{endpoint=%q}) >= bool %d`, endpoint, size), 1)
	waitValue(t, p, fmt.Sprintf(`sum(brigade_store_read_bytes_total{endpoint="file"}) >= bool %d`, size), 1)
	waitValue(t, p, fmt.Sprintf(`sum(brigade_store_requests_total{endpoint=%q, operation="put", outcome="ok"})`, endpoint), float64(len(j.want)))
	waitValue(t, p, `count(brigade_raft_commit_duration_seconds_count > 0) > bool 0`, 1)
	waitValue(t, p, `sum(brigade_peer_requests_total{call="sync", outcome="ok"}) > bool 0`, 1)
	waitValue(t, p, `sum(brigade_tasks)`, 0)
}

// checkScrape has promtool look at what a node answers, which nobody gets without a token, and which tells no secrets.
func (n *node) checkScrape(t *testing.T, v *visitor, j *job) {
	t.Helper()
	if status, text := n.scrape(t, nil); status != http.StatusUnauthorized || strings.Contains(text, "brigade_") {
		t.Errorf("%s answers %d without a token: %s", n.name, status, text)
	}
	status, text := n.scrape(t, v)
	if status != http.StatusOK {
		t.Fatalf("%s answers %d: %s", n.name, status, text)
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("%s: %v: %s", n.name, err, out)
	}
	for _, secret := range []string{j.gateway.AccessKey, j.gateway.SecretKey, j.source, "endpoint=http", "f00001"} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics of %s tell %q", n.name, secret)
		}
	}
}
