package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	bootstrapPath = "/cluster/bootstrap"
	pledgeProbes  = 10 // probe intervals for which a pledge holds
)

// bootstrap makes a new cluster with the others, unless there is one. The founders, all started with the same Expect and
// seeing the same lowest IDs, pledge themselves to one list of founders before any of them begins: a node pledges to one
// list at a time, so that two lists with a node in common are never both begun.
type bootstrap struct {
	net   *network
	pause time.Duration // for which a pledge holds

	mu     sync.Mutex
	list   []string // pledged to
	until  time.Time
	silent time.Time // until when a pledge of the life before may hold

	said string // what this node last said that it waits for
}

type pledgeRequest struct {
	Founders []string `json:"founders"`
}

// founders returns the list that this node would begin with, nil while there is none: the lowest IDs of the nodes alive
// without state that expect as many, this one among them.
func founders(members []Member, self string, expect int) []string {
	var list []string
	for _, m := range members {
		if m.Alive && (m.HasState || m.Cluster != "") {
			return nil // there is a cluster: its leader will add this node
		}
		if m.Alive && m.Expect == expect && !m.WorkerOnly && !m.Leaving {
			list = append(list, m.ID)
		}
	}
	slices.Sort(list)
	if len(list) < expect {
		return nil
	}
	list = list[:expect]
	if !slices.Contains(list, self) {
		return nil
	}
	return list
}

// foundation is raft's first configuration: as many voters as the plan would make of the founders.
func foundation(list []string) raft.Configuration {
	var c raft.Configuration
	for i, id := range list {
		suffrage := raft.Nonvoter
		if i < Voters(len(list)) {
			suffrage = raft.Voter
		}
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id), Suffrage: suffrage})
	}
	return c
}

func newBootstrap(n *network, restarted bool) *bootstrap {
	b := &bootstrap{net: n, pause: pledgeProbes * n.conf.Timing.Probe}
	if restarted {
		b.silent = time.Now().Add(b.pause)
	}
	return b
}

// pledge binds this node to a list for a time. It refuses while it is bound to another, and while it would begin with
// another itself.
func (b *bootstrap) pledge(list []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	refuse := func(why string) error {
		return &PeerError{Status: http.StatusConflict, Code: "not_now", Message: "node " + b.net.nodeID + " " + why}
	}
	switch {
	case now.Before(b.silent) && len(list) > 1:
		return refuse("may have pledged itself before it restarted")
	case now.Before(b.until) && !slices.Equal(b.list, list):
		return refuse("is pledged to another list")
	case !slices.Equal(founders(b.net.table.all(), b.net.nodeID, b.net.conf.Expect), list):
		return refuse("sees other founders")
	case !b.net.origin.promise(now.Add(b.pause)):
		return refuse("belongs to a cluster")
	}
	b.list, b.until = slices.Clone(list), now.Add(b.pause)
	return nil
}

// agree asks the other founders for their pledges. They are worth half of the time for which they hold.
func (b *bootstrap) agree(ctx context.Context, list []string) error {
	ctx, cancel := context.WithTimeout(ctx, b.pause/2)
	defer cancel()
	if err := b.pledge(list); err != nil {
		return err
	}
	for _, id := range list {
		if id == b.net.nodeID {
			continue
		}
		if err := b.net.calls.callJSON(ctx, id, bootstrapPath, pledgeRequest{list}, nil); err != nil {
			return fmt.Errorf("ask founder: %w", err)
		}
	}
	return ctx.Err()
}

// run makes the cluster when it can, until there is one.
func (b *bootstrap) run(ctx context.Context, n *Node) {
	tick := time.NewTicker(min(lookEvery, b.net.conf.Timing.Probe))
	defer tick.Stop()
	for n.raft.LastIndex() == 0 {
		if err := b.try(ctx, n); err != nil && ctx.Err() == nil {
			b.net.log.Debug("no cluster is made yet", "reason", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// founds tells whether a node so configured may make a cluster.
func (c *Network) founds() bool {
	return c.Expect > 0 && !c.WorkerOnly && (c.Expect > 1 || len(c.Join) == 0)
}

// say tells the operator what a node without a cluster waits for, whenever that changes.
func (b *bootstrap) say(c Network, members []Member) {
	seen, others, cluster := 0, 0, false
	for _, m := range members {
		switch {
		case !m.Alive:
		case m.HasState || m.Cluster != "":
			cluster = true
		case m.Expect == c.Expect && !m.WorkerOnly:
			seen++
		case m.Expect > 1:
			others++
		}
	}
	var text string
	switch {
	case cluster:
		text = "waiting for the leader to add this node"
	case !c.founds():
		text = "waiting for a cluster at the addresses to join: this node is not to make one"
	case others > 0:
		text = fmt.Sprintf("waiting: %d nodes expect another number of nodes than this one, %d", others, c.Expect)
	default:
		text = fmt.Sprintf("waiting for nodes to make a cluster with: %d of %d are here", seen, c.Expect)
	}
	if alone := c.Expect == 1 && len(c.Join) == 0; text != b.said && !alone {
		b.said = text
		b.net.log.Info(text)
	}
}

func (b *bootstrap) try(ctx context.Context, n *Node) error {
	c := b.net.conf
	b.say(c, b.net.table.all())
	if !c.founds() {
		return nil // a leader adds this node, or nobody does
	}
	list := founders(b.net.table.all(), b.net.nodeID, c.Expect)
	if list == nil {
		return nil
	}
	if err := b.agree(ctx, list); err != nil {
		return err
	}
	f := n.raft.BootstrapCluster(foundation(list))
	switch err := f.Error(); {
	case errors.Is(err, raft.ErrCantBootstrap):
		return nil // another founder was first
	case err != nil:
		return fmt.Errorf("bootstrap: %w", err)
	}
	b.net.log.Info("cluster made", "founders", list)
	return nil
}
