package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	statusPath   = "/cluster/status"
	leavePath    = "/cluster/leave"
	caughtUpLag  = 256 // entries that a member may lack and still count as caught up
	askPatience  = time.Second
	planPatience = 10 * time.Second // for one change
)

// memberStatus is what a node answers about its log.
type memberStatus struct {
	Applied uint64 `json:"applied"`
	Leader  string `json:"leader,omitempty"`
	// Servers are the members that hold the state, as this node's configuration has them.
	Servers []Server `json:"servers,omitempty"`
}

// reconciler keeps raft's configuration in step with the members while this node is leader.
type reconciler struct {
	node     *Node
	net      *network
	policy   Policy
	caughtUp map[string]time.Time
	term     uint64 // that caughtUp is of
}

func newReconciler(n *Node) *reconciler {
	t := n.net.conf.Timing
	return &reconciler{node: n, net: n.net, policy: Policy{Stable: t.Stable, FailedVoter: t.FailedVoter, Forget: t.Forget}}
}

func (l *reconciler) run(ctx context.Context) {
	tick := time.NewTicker(l.net.conf.Timing.Plan)
	defer tick.Stop()
	for {
		changed := l.net.table.wait()
		if err := l.round(ctx); err != nil && ctx.Err() == nil && l.node.IsLeader() {
			l.net.log.Warn("the members are not in order yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

// round plans once and applies the plan.
func (l *reconciler) round(ctx context.Context) error {
	if !l.node.IsLeader() {
		return nil
	}
	if term := l.node.Term(); term != l.term {
		l.term, l.caughtUp = term, map[string]time.Time{}
	}
	if err := l.found(ctx); err != nil {
		return err
	}
	config, _, err := l.node.configuration()
	if err != nil {
		return err
	}
	l.ask(ctx, config)
	for _, c := range l.policy.Plan(config, l.standings(config), time.Now()) {
		if err := l.apply(ctx, c); err != nil {
			return fmt.Errorf("%v node %s: %w", c.Kind, c.ID, err)
		}
		l.net.log.Info("members: "+c.Kind.String(), "node", c.ID, "reason", c.Reason)
	}
	return nil
}

// found puts the cluster's ID in the state, once.
func (l *reconciler) found(ctx context.Context) error {
	if l.net.conf.ClusterID() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, planPatience)
	defer cancel()
	if err := l.node.Barrier(ctx); err != nil || l.net.conf.ClusterID() != "" {
		return err
	}
	id := l.net.origin.cluster()
	if id == "" {
		id = newClusterID()
	}
	entry, err := l.net.conf.Found(id)
	if err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	answer, err := l.node.Apply(ctx, entry)
	if err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	if l.net.conf.ClusterID() == "" {
		return fmt.Errorf("found cluster: the state took no ID and answered %v", answer)
	}
	return l.node.look()
}

// ask finds out which nonvoters are caught up. Voters need no asking: raft would not commit without them.
func (l *reconciler) ask(ctx context.Context, config []Server) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	commit := l.node.raft.CommitIndex()
	good := make([]bool, len(config)) // each asker has its own element
	var asks sync.WaitGroup
	for i, s := range config {
		if m, known := l.net.table.get(s.ID); s.Voter || !known || !m.Alive {
			continue
		}
		asks.Go(func() {
			var status memberStatus
			err := l.net.calls.callJSON(ctx, s.ID, statusPath, struct{}{}, &status)
			good[i] = err == nil && status.Applied+caughtUpLag >= commit
		})
	}
	asks.Wait()
	caughtUp := map[string]time.Time{}
	for i, s := range config {
		if good[i] {
			caughtUp[s.ID] = orNow(l.caughtUp[s.ID], time.Now())
		}
	}
	l.caughtUp = caughtUp
}

// standings puts together what is known of the nodes of this cluster. Servers that gossip has never told of count as
// failed since this node started.
func (l *reconciler) standings(config []Server) []Standing {
	own := l.net.origin.cluster()
	var all []Standing
	for _, m := range l.net.table.all() {
		// A node without this cluster's ID could yet take another's: see origin.
		server := slices.ContainsFunc(config, func(s Server) bool { return s.ID == m.ID })
		if !server && (own == "" || m.Cluster != own) {
			continue
		}
		all = append(all, Standing{
			ID: m.ID, Address: m.Peer, Self: m.Self, Alive: m.Alive, Since: m.Since, Left: m.Leaving, WorkerOnly: m.WorkerOnly,
			Draining: m.Draining, DiskLow: m.DiskLow, CaughtUp: l.caughtUp[m.ID],
		})
	}
	for _, s := range config {
		if !slices.ContainsFunc(all, func(st Standing) bool { return st.ID == s.ID }) {
			all = append(all, Standing{ID: s.ID, Self: s.ID == l.net.nodeID, Since: l.node.started})
		}
	}
	return all
}

// apply makes one change, unless the configuration is not the one planned on any more.
func (l *reconciler) apply(ctx context.Context, c Change) error {
	ctx, cancel := context.WithTimeout(ctx, planPatience)
	defer cancel()
	config, index, err := l.node.configuration()
	if err != nil {
		return err
	}
	if err := fits(config, c); err != nil {
		return err
	}
	r, id := l.node.raft, raft.ServerID(c.ID)
	_, err = await(ctx, l.node, c.Kind.String(), func() raft.IndexFuture {
		switch c.Kind {
		case Remove:
			return r.RemoveServer(id, index, 0)
		case AddNonvoter:
			return r.AddNonvoter(id, raft.ServerAddress(id), index, 0)
		case Demote:
			return r.DemoteVoter(id, index, 0)
		default:
			return r.AddVoter(id, raft.ServerAddress(id), index, 0)
		}
	})
	return err
}

// fits refuses a change that the configuration has overtaken. AddVoter in particular makes a voter of a server that it
// does not know, at once.
func fits(config []Server, c Change) error {
	i := slices.IndexFunc(config, func(s Server) bool { return s.ID == c.ID })
	want := map[ChangeKind]bool{
		Remove:      i >= 0,
		AddNonvoter: i < 0,
		Demote:      i >= 0 && config[i].Voter,
		Promote:     i >= 0 && !config[i].Voter,
	}
	if !want[c.Kind] {
		return errors.New("the configuration has changed meanwhile")
	}
	return nil
}

// configuration returns raft's newest configuration and its index.
func (n *Node) configuration() ([]Server, uint64, error) {
	f := n.raft.GetConfiguration() // answers at once
	if err := f.Error(); err != nil {
		return nil, 0, fmt.Errorf("read configuration: %w", err)
	}
	var servers []Server
	for _, s := range f.Configuration().Servers {
		servers = append(servers, Server{ID: string(s.ID), Voter: s.Suffrage == raft.Voter})
	}
	return servers, f.Index(), nil
}

// status answers what the leader and those who leave ask.
func (n *Node) status(context.Context, struct{}) (memberStatus, error) {
	servers, _, err := n.configuration()
	return memberStatus{Applied: n.raft.AppliedIndex(), Leader: n.LeaderID(), Servers: servers}, err
}
