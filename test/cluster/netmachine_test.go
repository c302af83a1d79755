//go:build linux

package cluster_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestNetAllRestarted ends all nodes at once in the middle of a job, as a power loss would, and starts them again.
func TestNetAllRestarted(t *testing.T) {
	beside(t)
	c, j := troubled(t, 5, 1500)
	for _, n := range c.nodes {
		n.signal(t, syscall.SIGKILL)
	}
	for _, n := range c.nodes {
		n.waitEnd(t)
	}
	for _, n := range c.nodes {
		n.start(t)
	}
	c.over(t, j)
}

// TestNetAddressChanges gives nodes other addresses while they run, in the middle of a job: one, and then the leader.
func TestNetAddressChanges(t *testing.T) {
	beside(t)
	inTurn(t, 1500, func(t *testing.T, c *netCluster, j *job, moved, witness *node) {
		id := moved.id(t)
		c.host(moved).SetAddress(t, 100)
		eventually(t, healLimit, "the others know the new address", func() bool {
			m, ok := witness.machines(t)
			for _, n := range m.Nodes {
				if n.ID == id && n.State == "alive" && n.Address == c.host(moved).Address()+":7461" {
					return ok
				}
			}
			return false
		})
		c.over(t, j)
	})
}

// TestNetWiped empties the data directory of a node in the middle of a job. The same command line makes it a new node, and
// no record of what it copied is lost.
func TestNetWiped(t *testing.T) {
	beside(t)
	inTurn(t, 1500, func(t *testing.T, c *netCluster, j *job, wiped, _ *node) {
		old := wiped.id(t)
		eventually(t, startLimit, "the node has records", func() bool { return len(segments(t, wiped)) > 4 })
		wiped.kill(t)
		if err := os.RemoveAll(wiped.data); err != nil {
			t.Fatal(err)
		}
		wiped.start(t)
		eventually(t, startLimit, "the node has an ID again", func() bool {
			_, err := os.Stat(filepath.Join(wiped.data, "api.addr"))
			return err == nil
		})
		if wiped.id(t) == old {
			t.Fatalf("the node is %s again", old)
		}
		c.over(t, j)
		j.checkRecords(t, c.nodes)
		c.waitVoters(t, 3)
	})
}

// segments are the files in a node's spool, by name.
func segments(t *testing.T, n *node) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(n.data, "spool", "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range paths {
		if len(filepath.Base(p)) == 64 { // others are being written
			all[filepath.Base(p)] = p
		}
	}
	return all
}

// checkRecords looks for a record of every object that was copied, in all segments that the nodes have.
func (j *job) checkRecords(t *testing.T, nodes []*node) {
	t.Helper()
	all, copies := map[string]string{}, map[string]int{}
	for _, n := range nodes {
		for name, path := range segments(t, n) {
			all[name] = path
			copies[name]++
		}
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	recorded, single := map[string]bool{}, 0
	for name, path := range all {
		if copies[name] < 2 {
			single++
		}
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := dec.DecodeAll(packed, nil)
		if err != nil {
			t.Fatalf("unpack %s: %v", path, err)
		}
		for line := range bytes.Lines(text) {
			var r struct{ Key, Outcome string }
			if json.Unmarshal(line, &r) == nil && r.Outcome == "copied" {
				recorded[r.Key] = true
			}
		}
	}
	t.Logf("%d segments, of which %d are on one node only", len(all), single)
	missing := 0
	for key := range j.want {
		if !recorded[key] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("there is no record of %d of %d objects", missing, len(j.want))
	}
}
