package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Prometheus is a running Prometheus server. It has the files of Dir beside its configuration.
type Prometheus struct {
	URL string
	Dir string
}

// StartPrometheus starts Prometheus in a folder that has prometheus.yml and what that names, and ends it with the test. It looks
// every second, and sends alerts that go on firing every two.
func StartPrometheus(t testing.TB, dir string) *Prometheus {
	t.Helper()
	p := &Prometheus{Dir: dir}
	p.URL = startMonitor(t, "prometheus", "prometheus", func(address string) []string {
		return []string{"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
			"--web.listen-address=" + address, "--rules.alert.resend-delay=2s"}
	})
	return p
}

// Sample is one time series of an answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query asks what an expression is now.
func (p *Prometheus) Query(ctx context.Context, expr string) ([]Sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("ask Prometheus for %s: %w: %s", expr, errors.Join(err, errors.New(answer.Error)), body)
	}
	var samples []Sample
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("ask Prometheus for %s: %w", expr, err)
		}
		samples = append(samples, Sample{r.Metric, value})
	}
	return samples, nil
}

// StartAlertmanager starts Alertmanager, which posts each alert to a URL as it fires and as it is over, and ends it with the
// test. It returns its address, host:port.
func StartAlertmanager(t testing.TB, webhook string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	text := "route: {receiver: test, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n" +
		"receivers: [{name: test, webhook_configs: [{url: " + strconv.Quote(webhook) + ", send_resolved: true}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := startMonitor(t, "prometheus-alertmanager", "prometheus-alertmanager", func(address string) []string {
		return []string{"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
			"--cluster.listen-address="}
	})
	return strings.TrimPrefix(at, "http://")
}

// startMonitor starts one of the programs of Prometheus on a free port and returns its URL once it is ready. Where somebody else
// took the port meanwhile, it tries another.
func startMonitor(t testing.TB, program, pkg string, args func(address string) []string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s not found (Debian: apt-get install %s)", program, pkg)
	}
	for try := 1; ; try++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
		p, err := startProcess(path, args(address), nil)
		if err == nil {
			if err = p.waitHealthy("http://" + address + "/-/ready"); err == nil {
				t.Cleanup(func() {
					if err := p.stop(); err != nil {
						t.Errorf("stop %s: %v", program, err)
					}
				})
				return "http://" + address
			}
			err = errors.Join(err, p.stop())
		}
		if try == 3 {
			t.Fatalf("start %s: %v", program, err)
		}
	}
}
