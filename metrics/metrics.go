package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	scrapesAtOnce  = 4
	scrapePatience = 30 * time.Second
)

// Metrics are those of one node. It is a transfer.Watcher and a cluster.Watcher from the start; what is read when somebody asks
// comes with Observe.
type Metrics struct {
	registry *prometheus.Registry

	requestTime             *prometheus.HistogramVec
	requests                *prometheus.CounterVec
	retries                 *prometheus.CounterVec
	bytesRead, bytesWritten *prometheus.CounterVec
	endpoints               names
	classes                 names

	commitTime     prometheus.Observer
	commitFailures prometheus.Counter
	peerTime       *prometheus.HistogramVec
	peerCalls      *prometheus.CounterVec
	calls          names

	deliveries *prometheus.CounterVec
}

// New returns metrics of a node of a version, in a registry of its own.
func New(version string) *Metrics {
	latency := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		requestTime: requestTime.histogram(latency), requests: requests.counter(), retries: retries.counter(),
		bytesRead: bytesRead.counter(), bytesWritten: bytesWritten.counter(),
		endpoints: names{most: maxEndpoints}, classes: names{most: maxClasses},
		peerTime: peerTime.histogram(latency), peerCalls: peerCalls.counter(), calls: names{most: maxCalls},
		deliveries: deliveries.counter(),
	}
	commits, failures := commitTime.histogram(latency), commitFailures.counter()
	m.commitTime, m.commitFailures = commits.WithLabelValues(), failures.WithLabelValues()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.Labels)
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		build, m.requestTime, m.requests, m.retries, m.bytesRead, m.bytesWritten, commits, failures, m.peerTime, m.peerCalls, m.deliveries,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler answers scrapes. A metric that cannot be read is left out and the others are told.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapePatience,
		ProcessStartTime: time.Now(),
	})
}
