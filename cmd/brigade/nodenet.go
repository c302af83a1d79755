package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// Paths of the calls between nodes, besides the API's.
const (
	syncPath = "/sync"
	selfPath = "/self"
	keysPath = "/keys"
)

const (
	selfPatience  = time.Second      // for what a node says of itself
	sweepEvery    = 10 * time.Minute // between looks for segments that nothing refers to
	segmentMinAge = time.Hour        // of a segment that is removed; its command comes within minutes
	maxSync       = 8 << 20          // bytes of one call
)

// among makes the node one of several.
func (n *node) among(ctx context.Context) (*place, error) {
	local, err := cluster.OpenSpool(n.dir.Spool())
	if err != nil {
		return nil, err
	}
	member, err := cluster.Start(ctx, cluster.Config{
		Dir: n.dir.Raft(), NodeID: n.dir.NodeID, Machine: n.machine, Logger: n.logger, OnStuck: n.fail, Watcher: n.metrics,
		Network: &cluster.Network{
			Keys: n.keys.inUse(), Dir: n.dir.Path, Bind: n.cfg.bind, Advertise: n.cfg.advertise,
			PeerPort: n.cfg.peerPort, GossipPort: n.cfg.gossipPort, Join: n.cfg.join, Expect: n.cfg.bootstrapExpect,
			API: n.address, Version: versionOf(), ClusterID: n.clusterID, Found: foundingEntry,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start the cluster: %w", nameFlag(err, n.cfg.bind))
	}
	spool := member.ShareSpool(local)
	n.leader = n.newLeader(member, spool)
	m := &manyMembers{node: n, member: member, log: n.logger}
	member.Handle("POST "+syncPath, http.HandlerFunc(m.serveSync))
	member.Handle("POST "+selfPath, http.HandlerFunc(m.serveSelf))
	member.Handle("POST "+keysPath, http.HandlerFunc(m.serveKeys))
	member.Handle("POST "+ratesPath, http.HandlerFunc(m.serveRates))
	n.rates.others = m.askRates
	n.logger.Info("cluster ports open", "peer", member.PeerAddr().String(), "gossip", member.GossipAddr(), "join", n.cfg.join)
	return &place{
		log: member, spool: spool, syncer: m, members: m, keys: m, forwarder: m,
		measured: measured{member.RaftStats, m.States, local, spool.Singles},
		serve:    func(h http.Handler) { member.Handle("/v1/", h) },
		prepare:  func(context.Context) error { return nil },
		tend:     func(ctx context.Context) { n.tendShared(ctx, member, spool) },
		draining: member.SetDraining, diskLow: member.SetDiskLow, setKeys: member.SetKeys, lowDisk: local.Low,
		quorate: member.Quorate, nodes: m.nodes,
		mayLeave: m.mayLeave, leave: member.Leave, shutdown: member.Shutdown,
	}, nil
}

// clusterID reads the cluster's ID from the state, "" before there is one.
func (n *node) clusterID() (id string) {
	n.machine.Read(func(s *fsm.State) { id = s.ClusterID() })
	return id
}

// foundingEntry is the entry that puts the cluster's ID into the state.
func foundingEntry(id string) ([]byte, error) { return fsm.Encode(fsm.SetClusterID{ID: id}) }

// manyMembers are this node and the others, as gossip and raft tell of them.
type manyMembers struct {
	node   *node
	member *cluster.Node
	log    *slog.Logger
}

// Leader implements api.Members.
func (m *manyMembers) Leader() string { return m.member.LeaderID() }

// States implements api.Presence.
func (m *manyMembers) States() map[string]string {
	states := map[string]string{}
	for _, member := range m.member.Members() {
		states[member.ID] = stateOf(member)
	}
	return states
}

// Machines implements api.Members. What only a node itself knows it is asked for; one that does not answer in time is
// shown without.
func (m *manyMembers) Machines(ctx context.Context) []api.Machine {
	roles := m.roles()
	members := m.member.Members()
	machines := make([]api.Machine, len(members))
	var asking sync.WaitGroup
	for i, member := range members {
		machines[i] = api.Machine{ID: member.ID, Address: member.Peer, State: stateOf(member), Role: roles(member.ID), Version: member.Version}
		if member.Alive && member.DiskLow {
			machines[i].Disk = api.DiskLow
		}
		if member.Alive {
			asking.Go(func() { m.ask(ctx, &machines[i]) })
		}
	}
	asking.Wait()
	return machines
}

// nodes are the members, and the voters that gossip knows nothing of: those have not been heard of since this node started.
func (m *manyMembers) nodes() (all []nodeNow) {
	known := map[string]bool{}
	for _, member := range m.member.Members() {
		known[member.ID] = true
		all = append(all, nodeNow{id: member.ID, address: member.Peer, state: stateOf(member), diskLow: member.DiskLow})
	}
	servers, err := m.member.Servers()
	if err != nil {
		return all
	}
	for _, s := range servers {
		if !known[s.ID] {
			all = append(all, nodeNow{id: s.ID, state: api.Dead})
		}
	}
	return all
}

// roles tells the role of a node.
func (m *manyMembers) roles() func(id string) string {
	leader, voters := m.member.LeaderID(), map[string]bool{}
	if servers, err := m.member.Servers(); err == nil { // else nobody is known to vote
		for _, s := range servers {
			voters[s.ID] = s.Voter
		}
	}
	return func(id string) string {
		switch {
		case id == leader:
			return roleLeader
		case voters[id]:
			return roleVoter
		}
		return roleNonvoter
	}
}

func stateOf(m cluster.Member) string {
	switch {
	case m.Leaving:
		return api.Left
	case !m.Alive:
		return api.Dead
	}
	return api.Alive
}

// ask adds what a node says of itself. One that gossip holds for alive and that does not answer is suspect: it hangs, has just
// gone, or cannot be reached from here.
func (m *manyMembers) ask(ctx context.Context, machine *api.Machine) {
	self := m.node.self()
	if machine.ID != self.ID {
		ctx, cancel := context.WithTimeout(ctx, selfPatience)
		defer cancel()
		if err := m.member.Call(ctx, machine.ID, selfPath, struct{}{}, &self); err != nil {
			m.log.Debug("node does not say how it is", "node", machine.ID, "error", err)
			if machine.State == api.Alive {
				machine.State = api.Suspect
			}
			return
		}
	}
	machine.Slots, machine.BytesPerSecond = self.Slots, self.BytesPerSecond
}

func (m *manyMembers) serveSelf(w http.ResponseWriter, _ *http.Request) { m.answer(w, m.node.self()) }

// KeyNodes implements api.Keys.
func (m *manyMembers) KeyNodes(ctx context.Context) []api.KeyNode {
	members := m.member.Members()
	nodes := make([]api.KeyNode, len(members))
	var asking sync.WaitGroup
	for i, member := range members {
		nodes[i] = api.KeyNode{ID: member.ID, Address: member.Peer, State: stateOf(member), Accepts: []string{}, Leftover: []string{}}
		if member.Alive {
			asking.Go(func() { m.askKeys(ctx, &nodes[i]) })
		}
	}
	asking.Wait()
	return nodes
}

// askKeys adds what a node says of its keys.
func (m *manyMembers) askKeys(ctx context.Context, node *api.KeyNode) {
	var r keyReport
	if node.ID == m.node.dir.NodeID {
		r = m.node.keys.report()
	} else {
		ctx, cancel := context.WithTimeout(ctx, selfPatience)
		defer cancel()
		var refusal *cluster.PeerError
		switch err := m.member.Call(ctx, node.ID, keysPath, struct{}{}, &r); {
		case errors.As(err, &refusal):
			node.Problem = "it runs a version that cannot change its key: update it first"
			return
		case err != nil:
			m.log.Debug("node does not say which keys it has", "node", node.ID, "error", err)
			node.State = api.Suspect
			return
		}
	}
	node.Uses, node.Accepts, node.Leftover, node.Problem = r.Uses, r.Accepts, r.Leftover, r.Problem
}

func (m *manyMembers) serveKeys(w http.ResponseWriter, _ *http.Request) {
	m.answer(w, m.node.keys.report())
}

func (m *manyMembers) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		m.log.Debug("answer to a node not sent", "error", err)
	}
}

// mayLeave refuses where no other node is alive.
func (m *manyMembers) mayLeave() error {
	for _, member := range m.member.Members() {
		if member.Alive && !member.Self && !member.Leaving {
			return nil
		}
	}
	return errOnlyMember()
}

// Forward implements api.Forwarder.
func (m *manyMembers) Forward(r *http.Request) (*http.Response, error) {
	leader := m.member.LeaderID()
	if leader == "" {
		return nil, api.ErrNoLeader
	}
	return m.ForwardTo(leader, r)
}

// ForwardTo passes a request on to a node.
func (m *manyMembers) ForwardTo(node string, r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host, r.Host = "http", node, node
	return m.member.PeerClient(node).Do(r)
}

// syncAnswer is the answer to a worker's call: a response, or why there is none.
type syncAnswer struct {
	Response *scheduler.SyncResponse  `json:"response,omitempty"`
	Refusal  *scheduler.CommandResult `json:"refusal,omitempty"`
}

// Sync implements scheduler.Syncer: it calls whoever leads now.
func (m *manyMembers) Sync(ctx context.Context, req scheduler.SyncRequest) (scheduler.SyncResponse, error) {
	leader := m.member.LeaderID()
	switch leader {
	case "":
		return scheduler.SyncResponse{}, fmt.Errorf("%w: none is known", scheduler.ErrNotLeader)
	case m.node.dir.NodeID:
		return m.node.leader.Sync(ctx, req)
	}
	var a syncAnswer
	if err := m.member.Call(ctx, leader, syncPath, req, &a); err != nil {
		return scheduler.SyncResponse{}, fmt.Errorf("call the leader: %w", err)
	}
	switch {
	case a.Refusal != nil:
		return scheduler.SyncResponse{}, a.Refusal.Err()
	case a.Response == nil:
		return scheduler.SyncResponse{}, errors.New("call the leader: it answered nothing")
	}
	return *a.Response, nil
}

// serveSync answers the workers of other nodes.
func (m *manyMembers) serveSync(w http.ResponseWriter, r *http.Request) {
	var req scheduler.SyncRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSync)).Decode(&req)
	if err == nil && req.Node != cluster.Caller(r.Context()) {
		err = errors.New("a node speaks for itself only")
	}
	if err != nil {
		refusal := scheduler.Refusal(fmt.Errorf("%w: %w", scheduler.ErrRefused, err))
		m.answer(w, syncAnswer{Refusal: &refusal})
		return
	}
	resp, err := m.node.leader.Sync(r.Context(), req)
	if err != nil {
		refusal := scheduler.Refusal(err)
		m.answer(w, syncAnswer{Refusal: &refusal})
		return
	}
	m.answer(w, syncAnswer{Response: &resp})
}

// tendShared keeps two copies of what the state refers to, and removes what it does not, until ctx ends.
func (n *node) tendShared(ctx context.Context, member *cluster.Node, spool *cluster.SharedSpool) {
	used := func(ctx context.Context) (map[[32]byte]bool, error) { return usedSegments(ctx, n.machine, spool) }
	var tending sync.WaitGroup
	defer tending.Wait()
	tending.Go(func() { spool.Tend(ctx, used) })
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := n.sweepShared(ctx, member, spool); err != nil && ctx.Err() == nil {
			n.logger.Warn("spool not swept", "error", err)
		}
	}
}

// sweepShared removes this node's segments that nothing refers to, second copies too. A node whose state is behind does not
// know what is in use: it waits for the next time.
func (n *node) sweepShared(ctx context.Context, member *cluster.Node, spool *cluster.SharedSpool) error {
	asking, cancel := context.WithTimeout(ctx, selfPatience)
	defer cancel()
	if err := member.UpToDate(asking); err != nil {
		n.logger.Debug("spool not swept now", "reason", err)
		return nil
	}
	before := time.Now().Add(-segmentMinAge)
	used, err := usedSegments(ctx, n.machine, spool)
	if err != nil {
		return err
	}
	_, err = spool.Sweep(ctx, before, func(name [32]byte) bool { return used[name] })
	return err
}
