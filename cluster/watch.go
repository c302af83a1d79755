package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	lookEvery     = 250 * time.Millisecond
	joinsAtOnce   = 8
	tellEvery     = 10 // failed attempts between two lines about them
	maxMemberFile = 1 << 20
)

// follow enters what gossip tells in the table.
func (n *network) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-n.gossip.events:
			n.heard(e)
		}
	}
}

func (n *network) heard(e memberlist.NodeEvent) {
	m, err := readMember(e.Node.Name, e.Node.Address(), e.Node.Meta)
	if err != nil {
		n.log.Debug("a member cannot be understood", "error", err)
		return
	}
	if m.ID == n.nodeID {
		if m.Start > n.gossip.currentStart() && e.Event != memberlist.NodeLeave {
			n.log.Error("another node runs with this node's ID: its data directory is a copy", "node", m.ID, "address", m.Gossip)
		}
		return
	}
	before, known := n.table.get(m.ID)
	if e.Event == memberlist.NodeLeave {
		n.table.lost(m.ID, m.Start, time.Now())
	} else {
		m.Alive = true
		n.table.put(m, time.Now())
	}
	after, _ := n.table.get(m.ID)
	if !known || before.Alive != after.Alive {
		n.log.Info(memberNews(known, after.Alive), "node", m.ID, "address", m.Gossip, "alive", after.Alive)
	}
	if before.Start != after.Start || before.Peer != after.Peer {
		n.calls.drop(m.ID)
	}
}

// memberNews is what to say of a node that was not as it is now.
func memberNews(known, alive bool) string {
	switch {
	case !alive:
		return "node lost"
	case known:
		return "node back"
	}
	return "node found"
}

// look brings up to date what this node tells of itself and keeps in its files.
func (n *Node) look() error {
	net := n.net
	hasState, term := n.raft.LastIndex() > 0, uint64(0)
	if n.IsLeader() {
		term = n.raft.CurrentTerm()
	}
	net.origin.hasState(hasState)
	if err := net.origin.learn(net.conf.ClusterID()); err != nil {
		return err
	}
	m := net.meta(hasState, term)
	net.table.put(Member{
		ID: net.nodeID, Start: net.gossip.currentStart(), Gossip: net.gossip.address(), Peer: m.Peer, API: m.API, Version: m.Version,
		Cluster: m.Cluster, Expect: m.Expect, HasState: m.HasState, WorkerOnly: m.WorkerOnly, Draining: m.Draining, Leaving: m.Leaving,
		DiskLow: m.DiskLow, Term: m.Term, Alive: true, Self: true,
	}, time.Now())
	if err := net.gossip.tell(m); err != nil {
		return err
	}
	net.dropStrangers(m.Cluster)
	return nil
}

// dropStrangers forgets members of other clusters that were taken up before this node knew its own.
func (n *network) dropStrangers(cluster string) {
	for _, m := range n.table.all() {
		if cluster != "" && m.Cluster != "" && m.Cluster != cluster {
			n.table.remove(m.ID)
		}
	}
}

// watch looks again and again, and keeps the members' addresses.
func (n *Node) watch(ctx context.Context) {
	tick := time.NewTicker(min(lookEvery, n.net.conf.Timing.Probe/2))
	defer tick.Stop()
	var kept []Member
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := n.look()
		if errors.Is(err, ErrOtherCluster) {
			n.stuck(err)
			return
		}
		if all := n.net.addresses(); err == nil && !slices.Equal(all, kept) {
			if err = n.net.saveMembers(all); err == nil {
				kept = all
			}
		}
		if err != nil {
			n.net.log.Error("cannot keep the news of the cluster", "error", err)
		}
	}
}

// addresses are the members without what changes often.
func (n *network) addresses() []Member {
	all := slices.DeleteFunc(n.table.all(), func(m Member) bool { return m.Self || m.Leaving })
	for i, m := range all {
		since := m.Since
		if m.Alive {
			since = time.Time{}
		}
		all[i] = Member{ID: m.ID, Start: m.Start, Gossip: m.Gossip, Peer: m.Peer, Cluster: m.Cluster, Since: since}
	}
	return all
}

func (n *network) membersPath() string { return filepath.Join(n.conf.Dir, "members.json") }

func (n *network) saveMembers(all []Member) error {
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode members: %w", err)
	}
	return writeFile(n.membersPath(), append(text, '\n'))
}

// loadMembers fills the table with the members of the last life: none is known to be alive.
func (n *network) loadMembers() error {
	f, err := os.Open(n.membersPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMemberFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	var all []Member
	if err := json.Unmarshal(text, &all); err != nil {
		// It only helps to find the others again: the seeds do, too.
		n.log.Warn("the file of the last members is broken and left out", "file", n.membersPath(), "error", err)
		return nil
	}
	now := time.Now()
	for _, m := range all {
		if m.ID == n.nodeID {
			continue
		}
		n.table.put(Member{ID: m.ID, Start: m.Start, Gossip: m.Gossip, Peer: m.Peer, Cluster: m.Cluster}, orNow(m.Since, now))
	}
	return nil
}

// orNow returns t, or now where it is not set or has not come yet.
func orNow(t, now time.Time) time.Time {
	if t.IsZero() || t.After(now) {
		return now
	}
	return t
}

// rejoin reaches for everybody who is not alive, for as long as the node runs: gossip itself forgets a dead node after
// a while, and two halves of a cluster that have forgotten each other would never meet again.
func (n *network) rejoin(ctx context.Context) {
	for failed := 0; ; {
		switch err := n.rejoinOnce(ctx); {
		case err == nil:
			failed = 0
		case len(n.table.alive()) == 0:
			if failed%tellEvery == 0 && ctx.Err() == nil {
				n.log.Warn("no other node answers yet, trying on", "attempts", failed+1, "error", err)
			}
			if failed++; ctx.Err() == nil {
				if err := n.gossip.tryNextKey(); err != nil {
					n.log.Warn("cannot try the next key", "error", err)
				}
				if failed%tellEvery == 1 {
					n.outdated(ctx)
				}
			}
		}
		pause := n.conf.Timing.Rejoin
		if len(n.table.alive()) == 0 {
			pause /= 10
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// rejoinOnce tries each address once. It fails where there are some and none answers.
func (n *network) rejoinOnce(ctx context.Context) error {
	renewed, err := n.gossip.refresh(ctx)
	if renewed {
		n.loseAll() // nobody hears of this node's new address unless it calls them, as it does those who are not alive
	}
	if err != nil {
		n.log.Warn("cannot renew this node's address", "error", err)
	} else if peer, err := n.peerAdvertised(ctx); err == nil {
		n.table.update(n.nodeID, func(m *Member) { m.Peer = peer })
	}
	targets, err := n.missing(ctx)
	var mu sync.Mutex
	var joins sync.WaitGroup
	answered := 0
	slots := make(chan struct{}, joinsAtOnce)
	for _, address := range targets {
		slots <- struct{}{}
		joins.Go(func() {
			defer func() { <-slots }()
			joinErr := n.gossip.join(address)
			mu.Lock()
			defer mu.Unlock()
			if joinErr == nil {
				answered++
			} else {
				err = errors.Join(err, joinErr)
			}
		})
	}
	joins.Wait()
	if answered > 0 {
		return nil
	}
	return err
}

// loseAll takes nobody for alive, until they are heard of again.
func (n *network) loseAll() {
	for _, m := range n.table.alive() {
		n.table.lost(m.ID, m.Start, time.Now())
	}
}

// missing returns the addresses of seeds and of members known that are not of one alive. Names are resolved each time.
func (n *network) missing(ctx context.Context) (targets []string, err error) {
	there := map[string]bool{n.gossip.address(): true}
	for _, m := range n.table.alive() {
		there[m.Gossip] = true
	}
	add := func(address string) {
		if !there[address] {
			there[address] = true
			targets = append(targets, address)
		}
	}
	for _, seed := range n.conf.Join {
		addresses, seedErr := resolveSeed(ctx, seed)
		err = errors.Join(err, seedErr)
		for _, a := range addresses {
			add(a)
		}
	}
	for _, m := range n.table.all() {
		if !m.Alive && !m.Leaving && m.Gossip != "" {
			add(m.Gossip)
		}
	}
	return targets, err
}

// resolveSeed returns the addresses that HOST[:PORT] stands for.
func resolveSeed(ctx context.Context, seed string) ([]string, error) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		host, port = seed, strconv.Itoa(DefaultGossipPort)
	}
	if ip := net.ParseIP(host); ip != nil {
		return []string{net.JoinHostPort(ip.String(), port)}, nil
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", seed, err)
	}
	for i, ip := range ips {
		ips[i] = net.JoinHostPort(ip, port)
	}
	return ips, nil
}
