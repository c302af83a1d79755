package metrics

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

var (
	_ transfer.Watcher = (*Metrics)(nil)
	_ cluster.Watcher  = (*Metrics)(nil)
)

// How many values labels have that are not fixed by this program.
const (
	maxEndpoints = 50
	maxClasses   = 40
	maxCalls     = 40
)

const (
	outcomeOK    = "ok"
	otherName    = "other"
	unnamedStore = "unknown"
)

// names bounds the values of a label: what comes after so many is other.
type names struct {
	most  int
	mu    sync.RWMutex
	known map[string]bool
}

func (n *names) of(name string) string {
	n.mu.RLock()
	known := n.known[name]
	n.mu.RUnlock()
	if known {
		return name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[name] {
		return name
	}
	if len(n.known) >= n.most {
		return otherName
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[strings.Clone(name)] = true
	return name
}

func (m *Metrics) endpoint(name string) string {
	if name == "" {
		return unnamedStore
	}
	return m.endpoints.of(name)
}

// outcomeOf is a class as labels have it.
func (m *Metrics) outcomeOf(class store.Class) string {
	if class == "" {
		return outcomeOK
	}
	return m.classes.of(labelOf(string(class)))
}

// labelOf writes a class, of several words or one, as one.
func labelOf(class string) string { return strings.ReplaceAll(class, " ", "_") }

// Requested implements transfer.Watcher.
func (m *Metrics) Requested(endpoint, operation string, class store.Class, took time.Duration) {
	endpoint = m.endpoint(endpoint)
	m.requestTime.WithLabelValues(endpoint, operation).Observe(took.Seconds())
	m.requests.WithLabelValues(endpoint, operation, m.outcomeOf(class)).Inc()
}

// Retried implements transfer.Watcher.
func (m *Metrics) Retried(class store.Class) { m.retries.WithLabelValues(m.outcomeOf(class)).Inc() }

// Read implements transfer.Watcher.
func (m *Metrics) Read(endpoint string, bytes int) {
	m.bytesRead.WithLabelValues(m.endpoint(endpoint)).Add(float64(bytes))
}

// Wrote implements transfer.Watcher.
func (m *Metrics) Wrote(endpoint string, bytes int) {
	m.bytesWritten.WithLabelValues(m.endpoint(endpoint)).Add(float64(bytes))
}

// Committed implements cluster.Watcher.
func (m *Metrics) Committed(took time.Duration, err error) {
	if err != nil {
		m.commitFailures.Inc()
		return
	}
	m.commitTime.Observe(took.Seconds())
}

// Called implements cluster.Watcher.
func (m *Metrics) Called(call string, status int, took time.Duration) {
	call = m.calls.of(call)
	m.peerTime.WithLabelValues(call).Observe(took.Seconds())
	outcome := "error"
	switch {
	case status >= 400:
		outcome = "refused"
	case status > 0:
		outcome = outcomeOK
	}
	m.peerCalls.WithLabelValues(call, outcome).Inc()
}

// Teller counts what a Teller does, by kind of receiver; whom it tells is in no label.
func (m *Metrics) Teller(t scheduler.Teller) scheduler.Teller { return countedTeller{t, m} }

type countedTeller struct {
	scheduler.Teller
	m *Metrics
}

// Tell implements scheduler.Teller.
func (c countedTeller) Tell(ctx context.Context, receiver string, notices []*fsm.Notice) error {
	err := c.Teller.Tell(ctx, receiver, notices)
	outcome := "told"
	switch {
	case errors.Is(err, scheduler.ErrUndeliverable):
		outcome = "refused"
	case err != nil:
		outcome = "failed"
	}
	c.m.deliveries.WithLabelValues(receiverKind(receiver), outcome).Inc()
	return err
}

// receiverKind is what comes before the first colon of a receiver's name, where that is a kind that there is.
func receiverKind(receiver string) string {
	kind, _, named := strings.Cut(receiver, ":")
	switch kind {
	case "mail", "webhook", "json", "slack", "dingtalk", "feishu", "lark", "wecom":
		if named {
			return kind
		}
	}
	if strings.Contains(receiver, "@") && !strings.Contains(receiver, "/") {
		return "mail"
	}
	return otherName
}
