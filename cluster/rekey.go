package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SetKeys changes the cluster keys: the first is used from now on, all are accepted. Connections whose other side showed a
// key that is left out end at once. On an error nothing was changed, or the same call does the rest.
func (n *Node) SetKeys(keys []Key) error {
	net := n.net
	if net == nil {
		return errors.New("a cluster of one has no cluster key")
	}
	id, err := newIdentity(keys, net.nodeID)
	if err != nil {
		return err
	}
	secrets, err := gossipKeys(keys)
	if err != nil {
		return err
	}
	if err := net.gossip.setKeys(secrets); err != nil {
		return err
	}
	if slices.Equal(id.keys, net.id.Load().keys) {
		return nil
	}
	net.id.Store(id)
	net.calls.dropAll() // so that few connections, if any, are left of the old key when that ends
	net.dialer.expel()
	net.mux.expel()
	return nil
}

// setKeys changes the keys of the gossip: the first encrypts, all decrypt.
func (g *gossip) setKeys(keys [][]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conf.keys = keys
	if g.list == nil {
		return nil
	}
	for _, k := range keys {
		if err := g.ring.AddKey(k); err != nil {
			return fmt.Errorf("add gossip key: %w", err)
		}
	}
	if err := g.ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("use gossip key: %w", err)
	}
	for _, k := range slices.Clone(g.ring.GetKeys()) {
		if slices.ContainsFunc(keys, func(valid []byte) bool { return bytes.Equal(valid, k) }) {
			continue
		}
		if err := g.ring.RemoveKey(k); err != nil {
			return fmt.Errorf("remove gossip key: %w", err)
		}
	}
	return nil
}

// tryNextKey has the gossip encrypt with the next of the valid keys, until setKeys. A node that is alone may hold the
// wrong one for the key in use: it was away when that changed.
func (g *gossip) tryNextKey() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.list == nil || len(g.conf.keys) < 2 {
		return nil
	}
	used := slices.IndexFunc(g.conf.keys, func(k []byte) bool { return bytes.Equal(k, g.ring.GetPrimaryKey()) })
	if err := g.ring.UseKey(g.conf.keys[(used+1)%len(g.conf.keys)]); err != nil {
		return fmt.Errorf("try the other gossip key: %w", err)
	}
	return nil
}

// outdated asks the peer ports of members known whether it is for the key that nobody answers this node, and says so.
func (n *network) outdated(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for _, m := range n.table.all() {
		if m.Self || m.Alive || m.Leaving || m.Peer == "" {
			continue
		}
		conn, err := n.dialer.connect(ctx, m.ID, callByte)
		if err == nil {
			conn.Close()
			continue
		}
		if errors.Is(err, ErrNoKey) {
			n.log.Warn("the cluster has another key by now, and takes no node that has not: put the cluster's key into this node's key file, and start it again",
				"this_node_has", strings.Join(n.id.Load().keys, " "), "node", m.ID, "error", err)
			return
		}
	}
}
