package main

import (
	"net/url"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/metrics"
)

// measured is what metrics read of a node's place in its cluster.
type measured struct {
	raft    func() cluster.RaftStats
	members func() map[string]string
	spool   *cluster.Spool
	singles func() int
}

// observe has metrics read what the node knows.
func (n *node) observe() {
	n.metrics.Observe(metrics.Sources{
		State: n.machine, Status: n.leader.Status, Mover: n.mover, DiskLow: n.disk.isLow, Now: time.Now,
		Raft: n.place.measured.raft, Members: n.place.measured.members, Spool: n.place.measured.spool, Singles: n.place.measured.singles,
	})
}

// endpoint is what metrics call a side: its scheme with the host of the endpoint, where the URL names one, else with the
// bucket. Neither path nor options are in it.
func (s *side) endpoint() string {
	if s == nil {
		return ""
	}
	if given := s.at.Options.Get("endpoint"); given != "" {
		if u, err := url.Parse(given); err == nil && u.Host != "" {
			return s.at.Scheme + "://" + u.Host
		}
		if u, err := url.Parse("//" + given); err == nil && u.Host != "" {
			return s.at.Scheme + "://" + u.Host
		}
	}
	if s.at.Bucket == "" {
		return s.at.Scheme
	}
	return s.at.Scheme + "://" + s.at.Bucket
}
