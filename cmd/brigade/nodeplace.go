package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

// place is a node's place in its cluster: what it replicates through, and how it reaches the others.
type place struct {
	log       scheduler.Log
	measured  measured
	spool     transfer.Spool
	syncer    scheduler.Syncer // whoever leads
	members   api.Members
	keys      api.Keys                        // nil: there is no cluster key
	forwarder api.Forwarder                   // nil: there are no others
	serve     func(http.Handler)              // takes requests that others pass on; nil: there are no others
	prepare   func(ctx context.Context) error // comes before the first task
	tend      func(ctx context.Context)       // runs beside all else; nil: nothing does
	draining  func(on bool) error             // tells the others; nil: there are none
	diskLow   func(on bool) error             // tells the others; nil: there are none
	setKeys   func([]cluster.Key) error       // changes the cluster keys; nil: there are none
	lowDisk   func() (bool, error)            // looks at the data directory's disk
	quorate   func() bool                     // whether there can be a leader; nil: this node is
	mayLeave  func() error                    // refuses what would be the end of the cluster
	nodes     func() []nodeNow                // this one included
	leave     func(ctx context.Context) error
	shutdown  func(ctx context.Context) error
}

// takePlace makes the node one of several where it has a key that others can know it by, else a cluster of one.
func (n *node) takePlace(ctx context.Context) (*place, error) {
	if n.cfg.keyFile == "" {
		return n.alone(ctx)
	}
	return n.among(ctx)
}

// alone makes the node a cluster of one.
func (n *node) alone(ctx context.Context) (*place, error) {
	spool, err := cluster.OpenSpool(n.dir.Spool())
	if err != nil {
		return nil, err
	}
	member, err := cluster.Start(ctx, cluster.Config{
		Dir: n.dir.Raft(), NodeID: n.dir.NodeID, Multiplier: raftMultiplier, Machine: n.machine, Logger: n.logger, OnStuck: n.fail,
		Watcher: n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	n.leader = n.newLeader(member, spool)
	return &place{
		log: member, spool: spool, syncer: n.leader, members: soleMember{member, n}, lowDisk: spool.Low,
		measured: measured{member.RaftStats, soleMember{member, n}.States, spool, func() int { return 0 }},
		prepare: func(ctx context.Context) error {
			if err := n.leader.Ready(ctx); err != nil {
				return err
			}
			return sweepSpool(ctx, n.machine, spool)
		},
		nodes: func() []nodeNow {
			return []nodeNow{{id: n.dir.NodeID, address: n.address, state: api.Alive, diskLow: n.disk.isLow()}}
		},
		mayLeave: errOnlyMember,
		shutdown: member.Shutdown,
	}, nil
}

// soleMember is the membership of a cluster of one.
type soleMember struct {
	member *cluster.Node
	node   *node
}

// States implements api.Presence.
func (m soleMember) States() map[string]string {
	return map[string]string{m.node.dir.NodeID: api.Alive}
}

// Leader is this node once it is elected.
func (m soleMember) Leader() string {
	if !m.member.IsLeader() {
		return ""
	}
	return m.node.dir.NodeID
}

// Machines describes this node.
func (m soleMember) Machines(context.Context) []api.Machine {
	self := m.node.self()
	if m.member.IsLeader() {
		self.Role = roleLeader
	}
	return []api.Machine{self}
}

// The roles of a machine.
const (
	roleLeader   = "leader"
	roleVoter    = "voter"
	roleNonvoter = "nonvoter"
)

// self is what this node knows of itself.
func (n *node) self() api.Machine {
	m := api.Machine{
		ID: n.dir.NodeID, Address: n.address, State: api.Alive, Role: roleVoter, Slots: taskSlots,
		BytesPerSecond: n.pace.bytesPerSecond(), Version: versionOf(),
	}
	if n.disk.isLow() {
		m.Disk = api.DiskLow
	}
	return m
}

// errOnlyMember is a leave that would be the end of the cluster.
func errOnlyMember() error {
	return &api.Problem{
		Type: "urn:brigade:problem:" + api.CodeConflict, Title: "the only node cannot leave", Status: http.StatusConflict,
		Detail: "this is the only node of its cluster, and cannot leave; brigade node stop stops it",
	}
}

// clusterSealer makes what seals credentials: of the cluster keys, or where there are none, of a key of this node's own
// beside its data directory, so that a copy of that gives nothing away.
func clusterSealer(keys *nodeKeys, data string) (*cluster.Sealer, error) {
	if keys == nil {
		return sealerAt(filepath.Clean(data) + keySuffix)
	}
	return cluster.NewSealer(keys.inUse()...)
}
