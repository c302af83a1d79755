package cluster_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// keyStatus is what `ctl key rotate --json` prints.
type keyStatus struct {
	Phase, Current, Other, Next string
	Waits, Sealed               []string
}

// ownKeyFiles gives each node a key file of its own, and returns their paths.
func (c *cluster) ownKeyFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, n := range c.nodes {
		file := filepath.Join(c.dir, n.name+".key")
		copyFile(t, c.keyFile, file)
		n.args[slices.Index(n.args, "--cluster-key-file")+1] = file
		files = append(files, file)
	}
	return files
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// keygen runs it, and returns the IDs of the keys that the file holds then.
func keygen(t *testing.T, args ...string) (ids []string) {
	t.Helper()
	out, err := exec.Command(shared.binary, append([]string{"keygen", "--json"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("keygen %v: %v: %s", args, err, out)
	}
	var file struct{ Keys []string }
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatalf("keygen %v: %v: %s", args, err, out)
	}
	return file.Keys
}

// rotate runs `ctl key rotate` at a node.
func (n *node) rotate(t *testing.T, args ...string) (d keyStatus) {
	t.Helper()
	out := n.must(t, append([]string{"ctl", "key", "rotate", "--json"}, args...)...)
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("read keys: %v: %s", err, out)
	}
	return d
}

// mayNotRotate wants a step refused, in such words.
func (n *node) mayNotRotate(t *testing.T, words string, args ...string) {
	t.Helper()
	if _, err := n.brigade(append([]string{"ctl", "key", "rotate"}, args...)...); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("rotate %v at %s: %v, want %q", args, n.name, err, words)
	}
}

// gaps measures how long something did not happen at most.
type gaps struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (g *gaps) happened() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.last.IsZero() {
		g.longest = max(g.longest, now.Sub(g.last))
	}
	g.last = now
}

// take returns the longest gap so far, the one that lasts included, and starts again.
func (g *gaps) take() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	longest := max(g.longest, now.Sub(g.last))
	g.last, g.longest = now, 0
	return longest
}

// watchers measure, until the test ends, when each node answers over a new connection, and when objects are written.
type watchers struct {
	answers map[string]*gaps // by node
	writes  gaps
}

func (c *cluster) watch(t *testing.T, j *job) *watchers {
	t.Helper()
	w := &watchers{answers: map[string]*gaps{}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	every := func(do func()) {
		running.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				do()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // who answers, others tell
	}}
	for _, n := range c.nodes {
		g := &gaps{last: time.Now()}
		w.answers[n.name] = g
		every(func() {
			resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/readyz", n.http))
			if err != nil {
				return
			}
			if resp.Body.Close(); resp.StatusCode == http.StatusOK {
				g.happened()
			}
		})
	}
	w.writes.last = time.Now()
	count := j.proxy.Count(s3op.PutObject)
	every(func() {
		if now := j.proxy.Count(s3op.PutObject); now > count {
			count = now
			w.writes.happened()
		}
	})
	return w
}

// take returns the longest gaps since the last time: without an answer of some node, and without a write.
func (w *watchers) take() (answers, writes time.Duration) {
	for _, g := range w.answers {
		answers = max(answers, g.take())
	}
	return answers, w.writes.take()
}

// TestKeyRotation changes the key of three nodes while a job runs, and compares what is felt of it with what is felt of the
// restart of one node.
func TestKeyRotation(t *testing.T) {
	beside(t)
	j, later := newJob(t), newJob(t)
	later.id = "later"
	random := newRandom(t)
	j.files(t, random, 4000)
	later.files(t, random, 50)
	c := newCluster(t, 3)
	files := c.ownKeyFiles(t)
	for _, n := range c.nodes {
		n.args = append(n.args, "--http-tls", "always")
		n.start(t)
	}
	c.waitWhole(t)
	n1, n2, n3 := c.nodes[0], c.nodes[1], c.nodes[2]
	ann, bert := n1.invite(t, "ann", "admin"), n2.invite(t, "bert", "viewer")
	later.slow(time.Hour) // nothing of it is done before the key has changed
	later.add(t, n2, 10)
	n2.must(t, "ctl", "pause", later.id)
	j.slow(200 * time.Millisecond)
	j.add(t, n1, 20)
	j.waitWrites(t, 100, startLimit)

	w := c.watch(t, j)
	n3.stop(t)
	n3.start(t)
	c.waitWhole(t)
	j.waitWrites(t, 30, startLimit)
	restart, restartWrites := w.take()

	c.plantSettings(t, secrets{})
	n1.mayNotRotate(t, "brigade keygen --add", "--switch")
	n1.mayNotRotate(t, "no change of the key is under way", "--finish")
	keys := keygen(t, "--add", files[0])
	before, after := keys[0], keys[1]
	n2.mayNotRotate(t, "has not got the new key: copy the key file", "--switch")
	for _, n := range []*node{n2, n3} {
		ann.mayNot(t, n1, n.id(t), "key", "rotate", "--switch")
	}
	bert.mayNot(t, n1, "takes the role admin", "key", "rotate")
	for _, file := range files[1:] {
		copyFile(t, files[0], file)
	}
	if d := n3.rotate(t); d.Phase != "offered" || d.Current != before || d.Other != after || d.Next != "brigade ctl key rotate --switch" {
		t.Errorf("with the new key everywhere: %+v", d)
	}
	n3.mayNotRotate(t, "first: brigade ctl key rotate --switch", "--finish")
	if d := n2.rotate(t, "--switch"); d.Phase != "switched" || d.Current != after || len(d.Waits)+len(d.Sealed) > 0 {
		t.Errorf("after the switch: %+v", d)
	}
	j.waitWrites(t, 30, startLimit)
	stale := &visitor{file: filepath.Join(t.TempDir(), "stale.token"), home: ann.home}
	copyFile(t, ann.file, stale.file)
	ann.may(t, n3, "status") // takes the new authority, which the old one vouches for
	if d := n3.rotate(t, "--finish"); d.Phase != "settled" || d.Current != after || !strings.Contains(d.Next, "--remove "+before) {
		t.Errorf("at the end: %+v", d)
	}
	j.waitWrites(t, 100, startLimit)
	answers, writes := w.take()
	t.Logf("longest time without an answer of a node, without a write: restart of a node %v, %v; change of the key %v, %v", restart, restartWrites, answers, writes)
	const least = 2 * time.Second // so long a restart may take that was lucky here
	if answers > max(restart, least) || writes > max(restart, restartWrites, least) {
		t.Errorf("the change of the key interrupts for longer than the restart of a node")
	}
	if d, ok := j.status(t, n1); !ok || d.State != "running" {
		t.Errorf("the job did not run while the key changed: it is %s", d.State)
	}

	for _, n := range c.nodes {
		ann.may(t, n, "status")
		stale.mayNot(t, n, "not of the cluster that the token is for", "status")
	}
	bert.mayNot(t, n2, "take a new token file", "status") // did not come by while both keys were valid
	for _, file := range files {
		if left := keygen(t, "--remove", before, file); len(left) != 1 || left[0] != after {
			t.Errorf("%s holds %v", file, left)
		}
	}
	if d := n1.rotate(t); d.Phase != "settled" || strings.Contains(d.Next, "--remove") {
		t.Errorf("with the old key gone: %+v", d)
	}
	c.oldKeyIsRefused(t, n2, before, after)
	for _, line := range [][]string{{"ctl", "mail", "test"}, {"ctl", "webhook", "test", "chat"}} {
		if _, err := n2.brigade(line...); err == nil || !strings.Contains(err.Error(), "not taken") {
			t.Errorf("%v after the change of the key: %v", line, err)
		}
	}
	if d, ok := n2.notices(t); !ok || len(d.Receivers) != 2 || !strings.Contains(d.Receivers[0].Problem, "refused") || !strings.Contains(d.Receivers[1].Problem, "refused") {
		t.Errorf("with the new key, settings are not opened: %+v", d)
	}
	later.proxy.Clear()
	j.proxy.Clear()
	n3.must(t, "ctl", "continue", later.id)
	later.finish(t, n3, time.Minute)
	j.finish(t, n1, time.Minute)
	for _, n := range c.nodes {
		n.stop(t)
	}
	c.noKeyInClear(t, append(files, c.keyFile))
}

// oldKeyIsRefused starts a stranger, and then a node of the cluster, with the key that was replaced.
func (c *cluster) oldKeyIsRefused(t *testing.T, member *node, before, after string) {
	t.Helper()
	lines := map[*node][]string{}
	for _, n := range c.nodes {
		lines[n] = n.args
	}
	stranger := c.addNode(t)
	for n, line := range lines { // a new node changes them
		n.args = line
	}
	stranger.start(t)
	stranger.waitSaid(t, fmt.Sprintf("peer 127.0.0.1:%d does not have this cluster's key", member.gossip))
	member.waitSaid(t, "peer 127.0.0.1 does not have this cluster's key")
	stranger.stop(t)
	c.nodes = c.nodes[:len(c.nodes)-1]

	member.stop(t)
	good := member.args
	member.args = slices.Clone(good)
	member.args[slices.Index(member.args, "--cluster-key-file")+1] = c.keyFile
	member.start(t)
	member.waitExit(t, 1)
	member.waitSaid(t, "the key "+before, "was replaced on", "it uses the key "+after, "put that into the file")
	member.args = good
	member.start(t)
	c.waitWhole(t)
}

// noKeyInClear looks for the keys in everything that the nodes keep and said.
func (c *cluster) noKeyInClear(t *testing.T, files []string) {
	t.Helper()
	for _, n := range c.nodes {
		kept := readFiles(t, n.data)
		kept[n.log] = []byte(n.said(t))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				for path, text := range kept {
					if holds(text, strings.TrimSpace(line)) {
						t.Errorf("the cluster key stands in %s", path)
					}
				}
			}
		}
	}
}

// TestKeyRotationLosesItsLeader kills the leader the moment after the new key is used.
func TestKeyRotationLosesItsLeader(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	c := newCluster(t, 3)
	files := c.ownKeyFiles(t)
	for _, n := range c.nodes {
		n.start(t)
	}
	c.waitWhole(t)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 20)
	j.waitWrites(t, 50, startLimit)
	keys := keygen(t, "--add", files[0])
	for _, file := range files[1:] {
		copyFile(t, files[0], file)
	}
	leader, others := c.leader(t)
	switched := make(chan error, 1)
	go func() {
		_, err := others[0].brigade("ctl", "key", "rotate", "--switch")
		switched <- err
	}()
	leader.waitSaid(t, "step of a change of the cluster key", "step=switch")
	leader.kill(t)
	if err := <-switched; err != nil {
		t.Logf("the switch was not told as done: %v", err)
	}
	eventually(t, startLimit, "another leader seals the credentials again", func() bool {
		out, err := others[1].brigade("ctl", "key", "rotate", "--json")
		var d keyStatus
		return err == nil && json.Unmarshal(out, &d) == nil && d.Phase == "switched" && d.Current == keys[1] && len(d.Sealed) == 0
	})
	eventually(t, startLimit, "the node that is away is named", func() bool {
		_, err := others[1].brigade("ctl", "key", "rotate", "--finish")
		return err != nil && strings.Contains(err.Error(), leader.id(t)) && strings.Contains(err.Error(), "is dead")
	})
	leader.start(t)
	c.waitWhole(t)
	if d := leader.rotate(t, "--finish"); d.Phase != "settled" || d.Current != keys[1] {
		t.Errorf("at the end: %+v", d)
	}
	c.waitWhole(t)
	j.proxy.Clear()
	j.finish(t, leader, time.Minute)
}

// TestKeyRotationPassesANodeBy has a node away while the key changes from start to end.
func TestKeyRotationPassesANodeBy(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	c := newCluster(t, 3)
	files := c.ownKeyFiles(t)
	for _, n := range c.nodes {
		n.start(t)
	}
	c.waitWhole(t)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 20)
	j.waitWrites(t, 50, startLimit)
	n1, n2, away := c.nodes[0], c.nodes[1], c.nodes[2]
	away.stop(t)
	keys := keygen(t, "--add", files[0])
	copyFile(t, files[0], files[1])
	id := away.id(t)
	eventually(t, startLimit, "the node that is away is named", func() bool {
		_, err := n1.brigade("ctl", "key", "rotate", "--switch")
		return err != nil && strings.Contains(err.Error(), "go on --without "+id)
	})
	n1.mayNotRotate(t, "is there: it cannot be left behind", "--switch", "--without", n2.id(t))
	if d := n1.rotate(t, "--switch", "--without", id[:8]); d.Phase != "switched" || len(d.Waits) != 1 {
		t.Errorf("after the switch: %+v", d)
	}
	n2.mayNotRotate(t, id, "--finish")
	if d := n2.rotate(t, "--finish", "--without", id); d.Phase != "settled" || d.Current != keys[1] {
		t.Errorf("at the end: %+v", d)
	}

	away.start(t)
	away.waitSaid(t, "the cluster has another key by now", "put the cluster's key into this node's key file", "this_node_has="+keys[0])
	n1.waitSaid(t, "does not have this cluster's key")
	if m, ok := n1.machines(t); !ok || m.state(id) == "alive" {
		t.Errorf("the node with the old key is %s", m.state(id))
	}
	away.stop(t)
	copyFile(t, files[0], files[2]) // the old key and the new one
	away.start(t)
	c.waitWhole(t)
	away.stop(t)
	keygen(t, "--remove", keys[0], files[2])
	away.start(t)
	c.waitWhole(t)
	j.waitWrites(t, 30, startLimit)
	j.proxy.Clear()
	j.finish(t, away, time.Minute)
}
