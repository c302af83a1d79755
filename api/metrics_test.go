package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

const someMetric = "# HELP brigade_up It is.\n# TYPE brigade_up gauge\nbrigade_up 1\n"

// someMetrics answers as the library does that makes metrics.
func someMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Accept")+"; version=0.0.4; charset=utf-8; escaping=underscores")
	fmt.Fprint(w, someMetric)
}

func TestMetricsWantAToken(t *testing.T) {
	b := newBench(t)
	viewer := "Bearer " + b.hold("prometheus", fsm.Viewer, 0).bearer()
	for _, test := range []struct {
		name, header string
		status       int
	}{
		{"a viewer", viewer, 200},
		{"nobody", "", 401},
		{"a wrong token", viewer + "x", 401},
		{"another scheme", strings.Replace(viewer, "Bearer", "Basic", 1), 401},
	} {
		resp, body := b.request("GET", metricsPath, "", map[string]string{"Authorization": test.header, "Accept": "application/openmetrics-text"})
		if resp.StatusCode != test.status {
			t.Errorf("%s: %s: %s", test.name, resp.Status, body)
		}
		if test.status == 200 && (body != someMetric || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4")) {
			t.Errorf("%s: %s: %s", test.name, resp.Header.Get("Content-Type"), body)
		}
	}
}

// TestMetricsOpen: the node's administrator may let everybody read metrics, and nothing else.
func TestMetricsOpen(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MetricsOpen = true })
	none := map[string]string{"Authorization": ""}
	if resp, body := b.request("GET", metricsPath, "", none); resp.StatusCode != 200 || body != someMetric {
		t.Errorf("%s: %s", resp.Status, body)
	}
	for _, path := range []string{"/openapi.json", "/v1/jobs", "/metrics/", "//metrics", "/v1/../metrics", "/metrics/../v1/jobs"} {
		if resp, body := b.request("GET", path, "", none); resp.StatusCode != 401 {
			t.Errorf("%s: %s: %s", path, resp.Status, body)
		}
	}
	if resp, body := b.request("POST", metricsPath, "", none); resp.StatusCode != 405 {
		t.Errorf("POST: %s: %s", resp.Status, body)
	}
}

func TestNoMetrics(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Metrics = nil })
	if resp, body := b.request("GET", metricsPath, "", nil); resp.StatusCode != 404 {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
