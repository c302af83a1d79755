package cluster

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// setKeys gives keys to nodes.
func setKeys(t *testing.T, keys []Key, nodes ...*testNode) {
	t.Helper()
	for _, n := range nodes {
		if err := n.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChangeOfKeys changes the key of three nodes, each at another time, while one after the other starts again.
func TestChangeOfKeys(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	before, after := c.key, makeKey(t)
	both, swapped := []Key{before, after}, []Key{after, before}
	a, b, last := c.nodes[0], c.nodes[1], c.nodes[2]

	setKeys(t, both, a, b, last)
	c.apply("two keys")
	setKeys(t, swapped, a)
	c.apply("one has switched")
	c.everywhere("one has switched")
	c.stop(b) // and comes back among nodes that use different keys
	b.conf.Network.Keys = both
	c.start(b)
	c.everywhere("one has switched")
	setKeys(t, swapped, b, last)
	c.voters(3, 3)

	c.stop(last) // is away when the change ends
	setKeys(t, []Key{after}, a, b)
	c.apply("changed")
	for _, n := range []*testNode{a, b} {
		for _, conns := range []map[string]bool{keysOfConns(n.net.mux), keysOfCalls(n.net.dialer)} {
			if conns[before.ID()] {
				t.Errorf("%s has connections of the old key", n.name)
			}
		}
	}

	last.conf.Network.Keys = []Key{before}
	c.start(last)
	eventually(t, "it is told that its key is the old one", func() bool {
		return strings.Contains(last.log.String(), "the cluster has another key by now") && strings.Contains(last.log.String(), "this_node_has="+before.ID())
	})
	eventually(t, "the others refuse it", func() bool {
		return strings.Contains(a.log.String()+b.log.String(), "does not have this cluster's key")
	})
	for _, n := range []*testNode{a, b} {
		if m, _ := n.net.table.get(last.name); m.Alive {
			t.Errorf("%s takes the node with the old key in", n.name)
		}
	}
	c.stop(last)
	last.conf.Network.Keys = both // the old one first, which it takes for the one in use
	c.start(last)
	c.everywhere("changed")
	setKeys(t, []Key{after}, last)
	c.apply("over")
	c.everywhere("over")
	c.voters(3, 3)
}

func keysOfConns(m *mux) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]bool{}
	for _, key := range m.conns {
		found[key] = true
	}
	return found
}

func keysOfCalls(d *dialer) map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := map[string]bool{}
	for _, key := range d.conns {
		found[key] = true
	}
	return found
}

// TestFreshNodeWithTwoKeys starts a node that knows nobody with the wrong key first.
func TestFreshNodeWithTwoKeys(t *testing.T) {
	c := newTestCluster(t)
	c.form("a")
	c.apply("one")
	n := c.prepare("b", 1, c.nodes[0].GossipAddr())
	n.conf.Network.Keys = []Key{makeKey(t), c.key}
	c.start(n)
	c.everywhere("one")
}

// TestKeyLeftOutEndsConnections holds a connection open while its key ends.
func TestKeyLeftOutEndsConnections(t *testing.T) {
	before, after := makeKey(t), makeKey(t)
	p := openPort(t, "server", before, after)
	old := p.to(t, "old", before)
	if _, err := old.call(deadline(t), "server", http.MethodGet, "/who", nil); err != nil {
		t.Fatal(err)
	}
	if !keysOfConns(p.mux)[before.ID()] || keysOfConns(p.mux)[after.ID()] {
		t.Fatalf("connections are of %v", keysOfConns(p.mux))
	}
	id, err := newIdentity([]Key{after}, "server")
	if err != nil {
		t.Fatal(err)
	}
	p.id.Store(id)
	p.mux.expel()
	eventually(t, "the connection is gone", func() bool { return !keysOfConns(p.mux)[before.ID()] })
	if _, err := old.call(deadline(t), "server", http.MethodGet, "/who", nil); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "it has the key "+after.ID()) {
		t.Errorf("the old key after its end: %v", err)
	}
	if _, err := p.to(t, "new", before, after).call(deadline(t), "server", http.MethodGet, "/who", nil); err != nil {
		t.Errorf("a node that has both: %v", err)
	}
}

// TestPeersHaveOneKeyInCommon has every two sets of keys meet.
func TestPeersHaveOneKeyInCommon(t *testing.T) {
	a, b := makeKey(t), makeKey(t)
	sets := [][]Key{{a}, {b}, {a, b}, {b, a}}
	for _, server := range sets {
		p := openPort(t, "server", server...)
		for _, client := range sets {
			common := false
			for _, k := range server {
				for _, other := range client {
					common = common || k == other
				}
			}
			_, err := p.to(t, "client", client...).call(deadline(t), "server", http.MethodGet, "/who", nil)
			if (err == nil) != common {
				t.Errorf("%d and %d keys, one in common: %v: %v", len(server), len(client), common, err)
			}
		}
	}
}

// TestSealerWithTwoKeys opens what either key sealed, and seals with the first.
func TestSealerWithTwoKeys(t *testing.T) {
	before, after := makeKey(t), makeKey(t)
	s, err := NewSealer(before)
	if err != nil {
		t.Fatal(err)
	}
	aad := []byte("place")
	old := s.Seal([]byte("secret"), aad)
	if err := s.SetKeys([]Key{after, before}); err != nil {
		t.Fatal(err)
	}
	renewed := s.Seal([]byte("secret"), aad)
	for _, sealed := range [][]byte{old, renewed} {
		if got, err := s.Open(sealed, aad); err != nil || string(got) != "secret" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := s.SetKeys([]Key{after}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(renewed, aad); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(old, aad); !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), before.ID()) {
		t.Errorf("what the old key sealed, without it: %v", err)
	}
	if _, err := NewSealer(); err == nil {
		t.Error("a sealer without a key")
	}
}

// TestKeyFileOfTwo adds a key to a file and takes the first, or the second, out again.
func TestKeyFileOfTwo(t *testing.T) {
	for _, gone := range []int{0, 1} {
		first, path := newKey(t)
		second, err := AddKey(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		keys, err := ReadKeys(path)
		if err != nil || len(keys) != 2 || keys[0] != first || keys[1] != second {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		if _, err := AddKey(path); err == nil || !strings.Contains(err.Error(), first.ID()) || !strings.Contains(err.Error(), second.ID()) {
			t.Errorf("a third key: %v", err)
		}
		if _, err := ReadKeyFile(path); !errors.Is(err, ErrKeyFormat) {
			t.Errorf("read as a file of one: %v", err)
		}
		if err := RemoveKey(path, makeKey(t).ID()); err == nil {
			t.Error("a key was removed that is not there")
		}
		if err := RemoveKey(path, keys[gone].ID()); err != nil {
			t.Fatal(err)
		}
		if left, err := ReadKeyFile(path); err != nil || left != keys[1-gone] {
			t.Errorf("another key is left: %v", err)
		}
		if err := RemoveKey(path, keys[1-gone].ID()); err == nil || !strings.Contains(err.Error(), "only key") {
			t.Errorf("the only key: %v", err)
		}
	}
	if _, err := AddKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestReadKeysBounds(t *testing.T) {
	line := func() string { return string(newRandomKey().line()) }
	same := line()
	for name, test := range map[string]struct {
		text string
		keys int
	}{
		"empty": {"\n \n", 0}, "three": {line() + line() + line(), 0}, "twice the same": {same + "\n" + same, 1},
		"no newline": {line() + strings.TrimSpace(line()), 2}, "a line cut short": {line() + line()[:20], 0}, "windows": {strings.ReplaceAll(line()+line(), "\n", "\r\n"), 2},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(path)
		if len(keys) != test.keys || (err == nil) != (test.keys > 0) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		if err != nil && strings.Contains(err.Error(), strings.TrimSpace(test.text)) && strings.TrimSpace(test.text) != "" {
			t.Errorf("%s: the error tells the key", name)
		}
	}
}
