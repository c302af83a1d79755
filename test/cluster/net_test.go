//go:build linux

package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/netlab"
)

// netCluster is a cluster whose nodes have hosts of their own. The last host is the stores'.
type netCluster struct {
	*cluster
	lab   *netlab.Lab
	store *netlab.Host

	mu     sync.Mutex
	hashes map[uint64]string // of the state, by index
}

// Ports of every node, which are the defaults.
const (
	netHTTP   = 7460
	netPeer   = 7461
	netGossip = 7462
)

// startNetCluster runs a cluster of n nodes in a network of their own and waits for its leader.
func startNetCluster(t *testing.T, n int, args ...string) *netCluster {
	t.Helper()
	lab := netlab.New(t, n+1)
	c := &netCluster{
		cluster: &cluster{dir: t.TempDir(), expect: n}, lab: lab, store: lab.Hosts[n], hashes: map[uint64]string{},
	}
	c.keyFile = c.newKey(t, "cluster.key")
	var join []string
	for _, h := range lab.Hosts[:n] {
		join = append(join, h.Address())
	}
	for i, h := range lab.Hosts[:n] {
		name := fmt.Sprintf("n%d", i+1)
		node := &node{
			name: name, data: filepath.Join(c.dir, name), log: filepath.Join(c.dir, name+".log"),
			http: netHTTP, peer: netPeer, gossip: netGossip, prefix: h.Prefix(),
		}
		node.args = append([]string{
			"node", "start", "--data", node.data, "--cluster-key-file", c.keyFile, "--bootstrap-expect", fmt.Sprint(n),
		}, args...)
		if n > 1 { // one alone waits for nobody
			node.args = append(node.args, "--join", strings.Join(join, ","))
		}
		c.nodes = append(c.nodes, node)
		t.Cleanup(func() { node.cleanUp(t) })
		node.start(t)
	}
	c.waitWhole(t)
	return c
}

// host is where a node runs.
func (c *netCluster) host(n *node) *netlab.Host {
	for i, other := range c.nodes {
		if other == n {
			return c.lab.Hosts[i]
		}
	}
	return nil
}

// hosts are where some nodes run.
func (c *netCluster) hosts(nodes ...*node) (hosts []*netlab.Host) {
	for _, n := range nodes {
		hosts = append(hosts, c.host(n))
	}
	return hosts
}

// serve answers at the stores' host for this process, and returns the URL.
func (c *netCluster) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	listener := c.store.Listen(t, 0)
	server := &http.Server{Handler: h}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) }) // it ends when it is closed
	t.Cleanup(func() {
		server.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String()
}

// call asks the API of a node from its own host, and reads what it answers.
func (c *netCluster) call(ctx context.Context, n *node, method, path string, into any) (status int, err error) {
	token, err := os.ReadFile(filepath.Join(n.data, "token"))
	if err != nil {
		return 0, err
	}
	transport, scheme := &http.Transport{DialContext: c.host(n).Dial, DisableKeepAlives: true}, "http"
	if ca, err := os.ReadFile(n.authority()); err == nil {
		transport.TLSClientConfig, scheme = trusting(ca), "https"
	}
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, n.http, path), http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, json.Unmarshal(text, into)
}

// state asks a node for the hash of its own state. It fails the test where another node had another at the same index.
func (c *netCluster) state(t *testing.T, n *node) (index uint64, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var d struct {
		Index  uint64 `json:"index"`
		SHA256 string `json:"sha256"`
	}
	if status, err := c.call(ctx, n, http.MethodGet, "/v1/state", &d); err != nil || status != http.StatusOK || d.Index == 0 {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, known := c.hashes[d.Index]; known && before != d.SHA256 {
		t.Errorf("the state of %s at index %d is unlike another node's", n.name, d.Index)
	}
	c.hashes[d.Index] = d.SHA256
	return d.Index, true
}

// waitHealed waits until every node that runs sees the same leader and all others alive, and has all that the leader had
// when the trouble was over.
func (c *netCluster) waitHealed(t *testing.T) {
	t.Helper()
	begin := time.Now()
	why := ""
	defer func() {
		if t.Failed() {
			t.Logf("the last look: %s", why)
		}
	}()
	eventually(t, healLimit, "the cluster heals", func() bool {
		goal := uint64(0)
		leaders := map[string]bool{}
		for _, n := range c.nodes {
			m, ok := n.machines(t)
			leaders[m.Leader] = true
			if !ok || m.Stale || m.Leader == "" || len(leaders) > 1 {
				why = fmt.Sprintf("%s sees leader %q, stale %v", n.name, m.Leader, m.Stale)
				return false
			}
			for _, other := range c.nodes {
				if m.state(other.id(t)) != "alive" {
					why = fmt.Sprintf("%s sees %s %q", n.name, other.name, m.state(other.id(t)))
					return false
				}
			}
			goal = max(goal, m.Index) // the leader's, who answers for all
		}
		for _, n := range c.nodes {
			index, ok := c.state(t, n)
			if !ok || index < goal {
				why = fmt.Sprintf("%s is at %d, not at %d", n.name, index, goal)
				return false
			}
		}
		return true
	})
	t.Logf("healed %v after the trouble", time.Since(begin).Round(time.Millisecond))
}

// checkSameState waits until all nodes are at the same index, and fails where their states differ there.
func (c *netCluster) checkSameState(t *testing.T) {
	t.Helper()
	eventually(t, startLimit, "all nodes are at the same index", func() bool {
		seen := map[uint64]bool{}
		for _, n := range c.nodes {
			index, ok := c.state(t, n)
			if !ok {
				return false
			}
			seen[index] = true
		}
		return len(seen) == 1
	})
}

// voters waits until a cluster has so many voters.
func (c *netCluster) waitVoters(t *testing.T, n int) {
	t.Helper()
	eventually(t, healLimit, fmt.Sprintf("there are %d voters", n), func() bool {
		m, ok := c.nodes[0].machines(t)
		voters := 0
		for _, node := range m.Nodes {
			if node.State == "alive" && node.Role != "nonvoter" {
				voters++
			}
		}
		return ok && voters == n
	})
}

// troubled is a job under way in a cluster whose network is about to have trouble.
func troubled(t *testing.T, nodes, files int) (*netCluster, *job) {
	t.Helper()
	c := startNetCluster(t, nodes, "--concurrency", "8")
	j := newJob(t)
	j.proxy.URL = c.serve(t, j.proxy)
	j.files(t, newRandom(t), files)
	j.slow(400 * time.Millisecond)
	j.add(t, c.nodes[0], 4)
	j.waitWrites(t, 40, startLimit)
	return c, j
}

// endLimit is how soon a job ends once nothing slows it: a connection to the stores of which the network does not say that
// it is gone, such as one from an address that moved, is given up after a minute of silence.
const endLimit = 3 * time.Minute

// inTurn has trouble come to one node of three in the middle of a job: to a follower, then to the leader. The short form
// leaves the leader to TestNetPartition. The witness is a node that has no trouble.
func inTurn(t *testing.T, files int, trouble func(t *testing.T, c *netCluster, j *job, n, witness *node)) {
	t.Run("follower", func(t *testing.T) {
		c, j := troubled(t, 3, files)
		_, others := c.leader(t)
		trouble(t, c, j, others[0], others[1])
	})
	if !shared.long {
		return
	}
	t.Run("leader", func(t *testing.T) {
		c, j := troubled(t, 3, files)
		leader, others := c.leader(t)
		trouble(t, c, j, leader, others[1])
	})
}

// over waits until the trouble is over, sees that the job was under way in it and goes on, and checks everything at its end.
func (c *netCluster) over(t *testing.T, j *job) {
	t.Helper()
	defer func() {
		if t.Failed() {
			m, _ := c.nodes[0].machines(t)
			d, _ := j.status(t, c.nodes[0])
			t.Logf("at the end: %+v, %+v", m, d)
		}
	}()
	c.waitHealed(t)
	before, ok := j.status(t, c.nodes[0])
	if !ok || before.State != "running" || before.Objects["found"] >= int64(len(j.want)) {
		t.Errorf("the job is not under way after the trouble: %v", before)
	}
	eventually(t, healLimit, "the job goes on", func() bool {
		d, ok := j.status(t, c.nodes[0])
		return ok && d.Objects["found"] > before.Objects["found"]
	})
	j.proxy.Clear()
	j.finish(t, c.nodes[0], endLimit)
	c.checkSameState(t)
}
