package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxMeta    = 512  // bytes, memberlist's limit
	maxMembers = 1000 // that are remembered
)

// Member is a node as gossip tells of it.
type Member struct {
	ID      string `json:"id"`
	Peer    string `json:"peer,omitempty"`    // host:port of the peer port
	Gossip  string `json:"gossip,omitempty"`  // ip:port of the gossip port
	API     string `json:"api,omitempty"`     // host:port of the HTTP port
	Version string `json:"version,omitempty"` // of the program
	Cluster string `json:"cluster,omitempty"` // ID of the cluster it belongs to, "" while it belongs to none
	Expect  int    `json:"expect,omitempty"`
	// HasState: it has a log, so that it belongs to a cluster even if it cannot reach it.
	HasState   bool `json:"has_state,omitempty"`
	WorkerOnly bool `json:"worker_only,omitempty"`
	Draining   bool `json:"draining,omitempty"`
	Leaving    bool `json:"leaving,omitempty"`
	DiskLow    bool `json:"disk_low,omitempty"` // see SetDiskLow
	Alive      bool `json:"alive"`
	Self       bool `json:"self,omitempty"`
	// Term is the one that it says to be leader of, 0 for others.
	Term uint64 `json:"term,omitempty"`
	// Start counts the starts of the node.
	Start uint64 `json:"start,omitempty"`
	// Since is when Alive changed last, as seen here.
	Since time.Time `json:"since"`
}

// meta is what a node gossips about itself. Names are short: there are 512 bytes.
type meta struct {
	Peer       string `json:"p"`
	API        string `json:"a,omitempty"`
	Version    string `json:"v,omitempty"`
	Cluster    string `json:"c,omitempty"`
	Expect     int    `json:"e,omitempty"`
	HasState   bool   `json:"s,omitempty"`
	WorkerOnly bool   `json:"w,omitempty"`
	Draining   bool   `json:"d,omitempty"`
	Leaving    bool   `json:"l,omitempty"`
	DiskLow    bool   `json:"f,omitempty"`
	Term       uint64 `json:"t,omitempty"`
}

// encode refuses what gossip cannot carry.
func (m meta) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode node metadata: %w", err)
	}
	if len(text) > maxMeta {
		return nil, fmt.Errorf("encode node metadata: %w: %d bytes, at most %d; are the addresses that long?", ErrTooLarge, len(text), maxMeta)
	}
	return text, nil
}

// gossipName is the name of one start of a node. With a new name for each start the others take a node back at once,
// whatever they remember of its last life: another address, or its death with a higher incarnation.
func gossipName(nodeID string, start uint64) string { return fmt.Sprintf("%s.%d", nodeID, start) }

func splitGossipName(name string) (nodeID string, start uint64, err error) {
	id, number, ok := strings.Cut(name, ".")
	if !ok || id == "" {
		return "", 0, fmt.Errorf("%q is no name of a node", name)
	}
	if _, err := fmt.Sscanf(number, "%d", &start); err != nil {
		return "", 0, fmt.Errorf("%q is no name of a node: %w", name, err)
	}
	return id, start, nil
}

// readMember makes a member of a gossiped name, address and metadata.
func readMember(name, gossip string, text []byte) (Member, error) {
	id, start, err := splitGossipName(name)
	if err != nil {
		return Member{}, err
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil {
		return Member{}, fmt.Errorf("read metadata of node %s: %w", id, err)
	}
	if m.Peer == "" {
		return Member{}, errors.New("node " + id + " tells no peer address")
	}
	return Member{
		ID: id, Start: start, Gossip: gossip, Peer: m.Peer, API: m.API, Version: m.Version, Cluster: m.Cluster, Expect: m.Expect,
		HasState: m.HasState, WorkerOnly: m.WorkerOnly, Draining: m.Draining, Leaving: m.Leaving, DiskLow: m.DiskLow, Term: m.Term,
	}, nil
}

// table holds the members by their IDs: those alive, and those that were.
type table struct {
	mu      sync.Mutex
	members map[string]Member
	changed chan struct{} // closed at the next change
}

func newTable() *table { return &table{members: map[string]Member{}, changed: make(chan struct{})} }

// put enters a member as it is now. What is older than what is known is left out.
func (t *table) put(m Member, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.members[m.ID]
	if known && old.Start > m.Start || !known && len(t.members) >= maxMembers {
		return
	}
	m.Since = now
	if known && old.Alive == m.Alive {
		m.Since = old.Since
	}
	m.Leaving = m.Leaving || old.Leaving && old.Start == m.Start
	if m != old {
		t.members[m.ID] = m
		t.signal()
	}
}

// lost notes that one start of a node is gone.
func (t *table) lost(nodeID string, start uint64, now time.Time) {
	t.update(nodeID, func(m *Member) {
		if m.Start == start && m.Alive {
			m.Alive, m.Since, m.Term = false, now, 0
		}
	})
}

// update changes a member that is known.
func (t *table) update(nodeID string, f func(*Member)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.members[nodeID]
	if !known {
		return
	}
	m := old
	if f(&m); m != old {
		t.members[nodeID] = m
		t.signal()
	}
}

// remove forgets a member.
func (t *table) remove(nodeID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.members[nodeID]; known {
		delete(t.members, nodeID)
		t.signal()
	}
}

// signal wakes whoever waits for a change; the caller holds the lock.
func (t *table) signal() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait returns a channel that the next change closes.
func (t *table) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *table) get(nodeID string) (Member, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.members[nodeID]
	return m, ok
}

// all returns the members in order of their IDs.
func (t *table) all() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.members), func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
}

// alive returns the members alive but this node, in order of their IDs.
func (t *table) alive() []Member {
	return slices.DeleteFunc(t.all(), func(m Member) bool { return !m.Alive || m.Self })
}
