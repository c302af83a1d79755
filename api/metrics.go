package api

import (
	"context"
	"net/http"

	"github.com/bucketbrigade/brigade/fsm"
)

// textMedia is what metrics come as; its parameters say in which version.
const textMedia = "text/plain"

// Exposition is metrics in the text format of Prometheus.
type Exposition string

// metricsRole is the least that /metrics takes.
func (s *Server) metricsRole() fsm.Role {
	if s.cfg.MetricsOpen {
		return anyone
	}
	return fsm.Viewer
}

// showMetrics answers a scrape. Only the text format is offered, whatever else a client would take.
func (s *Server) showMetrics(_ context.Context, in *call) (*reply, error) {
	if s.cfg.Metrics == nil {
		return nil, problemf(http.StatusNotFound, CodeNotFound, "not found", "this node has no metrics")
	}
	return &reply{stream: func(w http.ResponseWriter) {
		r := in.Clone(in.Context())
		r.Header.Set("Accept", textMedia)
		s.cfg.Metrics.ServeHTTP(w, r)
	}}, nil
}
