package cluster

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Watcher hears of what a node does in its cluster. It is called by many goroutines at once, and must not block.
type Watcher interface {
	// Committed tells how long a proposed entry took until it was applied here, or until it failed.
	Committed(took time.Duration, err error)
	// Called tells of a call to another node: which, such as "spool" or "sync", how long it took until the answer began, and
	// the status of the answer, 0 if none came.
	Called(call string, status int, took time.Duration)
}

// RaftStats is where consensus stands, as this node knows.
type RaftStats struct {
	Term                     uint64
	Leads, HasLeader         bool
	Last, Committed, Applied uint64        // indexes of entries
	Snapshot                 uint64        // index that the last snapshot is of; 0 while there is none
	LastContact              time.Duration // since the leader was last heard of; 0 for the leader, negative if never
	Voters, Servers          int           // of the configuration; 0 where it is not known
}

// RaftStats looks at consensus. It waits for nothing.
func (n *Node) RaftStats() RaftStats {
	r := n.raft
	_, leader := r.LeaderWithID()
	s := RaftStats{
		Term: r.CurrentTerm(), Leads: r.State() == raft.Leader, HasLeader: leader != "",
		Last: r.LastIndex(), Committed: r.CommitIndex(), Applied: r.AppliedIndex(),
	}
	s.Snapshot, _ = strconv.ParseUint(r.Stats()["last_snapshot_index"], 10, 64) // there is none where it cannot be read
	if !s.Leads {
		if s.LastContact = -1; !r.LastContact().IsZero() {
			s.LastContact = time.Since(r.LastContact())
		}
	}
	if servers, err := n.Servers(); err == nil {
		s.Servers = len(servers)
		for _, server := range servers {
			if server.Voter {
				s.Voters++
			}
		}
	}
	return s
}

// Space tells how many bytes of the spool's disk are free, and how many it has.
func (s *Spool) Space() (free, total uint64, err error) { return s.space(s.dir) }

// watched tells a Watcher of calls.
type watched struct {
	http.RoundTripper
	watcher Watcher
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := w.RoundTripper.RoundTrip(req)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	w.watcher.Called(callOf(req.URL.Path), status, time.Since(began))
	return resp, err
}

// CloseIdleConnections closes those of the transport below.
func (w watched) CloseIdleConnections() {
	if c, ok := w.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// callOf names a call by its path, without what the path names.
func callOf(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "cluster":
		return strings.ReplaceAll(rest, "/", "_") // of the few that nodes have among themselves
	case "v1":
		return "api"
	}
	return first
}
