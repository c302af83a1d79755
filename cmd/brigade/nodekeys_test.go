package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// keyBench is a key file and a data directory, which outlive the node.
type keyBench struct {
	t          *testing.T
	file, data string
	first      string // ID of the first key
	log        bytes.Buffer
	applied    []string // IDs
}

func newKeyBench(t *testing.T) *keyBench {
	t.Helper()
	b := &keyBench{t: t, file: filepath.Join(t.TempDir(), "key"), data: t.TempDir()}
	key, err := cluster.NewKeyFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	b.first = key.ID()
	return b
}

func (b *keyBench) open() (*nodeKeys, error) {
	k, err := openNodeKeys(b.file, b.data, slog.New(slog.NewTextHandler(&b.log, nil)))
	if err == nil {
		k.start(func(keys []cluster.Key) error { b.applied = idsOf(keys); return nil })
	}
	return k, err
}

func (b *keyBench) must() *nodeKeys {
	b.t.Helper()
	k, err := b.open()
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

func (b *keyBench) add() (id string) {
	b.t.Helper()
	key, err := cluster.AddKey(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	return key.ID()
}

func (b *keyBench) remove(id string) {
	b.t.Helper()
	if err := cluster.RemoveKey(b.file, id); err != nil {
		b.t.Fatal(err)
	}
}

// swap puts the lines of the file into the other order.
func (b *keyBench) swap() {
	b.t.Helper()
	text, err := os.ReadFile(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if err := os.WriteFile(b.file, []byte(lines[1]+lines[0]), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *keyBench) wants(k *nodeKeys, ids ...string) {
	b.t.Helper()
	if got := idsOf(k.inUse()); !slices.Equal(got, ids) {
		b.t.Errorf("the node has %v, want %v", got, ids)
	}
}

// TestNodeKeysFollowTheState takes a node through a change of keys, starting it again at each point.
func TestNodeKeysFollowTheState(t *testing.T) {
	b := newKeyBench(t)
	k := b.must()
	b.wants(k, b.first)
	second := b.add()
	r := k.report()
	if r.Uses != b.first || !slices.Equal(r.Accepts, []string{b.first, second}) || r.Problem != "" || !slices.Equal(b.applied, r.Accepts) {
		t.Errorf("with a new key in the file: %+v, applied %v", r, b.applied)
	}
	b.swap() // the order in the file means nothing
	b.wants(b.must(), b.first, second)

	switched := fsm.Keys{Current: second, Old: b.first, Began: b.first, Since: 5}
	if err := k.follow(7, switched); err != nil {
		t.Fatal(err)
	}
	b.wants(k, second, b.first)
	b.swap()
	k = b.must()
	b.wants(k, second, b.first)
	if err := k.follow(6, fsm.Keys{Current: b.first, Since: 1}); err != nil { // the log, read from its beginning
		t.Fatal(err)
	}
	b.wants(k, second, b.first)

	over := fsm.Keys{Current: second, Since: 5, Retired: []fsm.RetiredKey{{ID: b.first, At: 9}}}
	if err := k.follow(8, over); err != nil {
		t.Fatal(err)
	}
	b.wants(k, second)
	if r := k.report(); !slices.Equal(r.Leftover, []string{b.first}) || !slices.Equal(r.Accepts, []string{second}) {
		t.Errorf("with the old key in the file: %+v", r)
	}
	b.wants(b.must(), second)
	b.remove(second)
	if _, err := b.open(); err == nil || !strings.Contains(err.Error(), "the key "+b.first) || !strings.Contains(err.Error(), "it uses the key "+second) {
		t.Errorf("started with the old key: %v", err)
	}
	if strings.Contains(b.log.String(), "level=WARN") {
		t.Errorf("it logged:\n%s", b.log.String())
	}
}

// TestNodeKeysOutliveTheirFile breaks the key file while the node runs.
func TestNodeKeysOutliveTheirFile(t *testing.T) {
	b := newKeyBench(t)
	k := b.must()
	second := b.add()
	k.report()
	b.remove(b.first)
	if r := k.report(); r.Uses != b.first || !strings.Contains(r.Problem, "has lost the key "+b.first) {
		t.Errorf("without the key in use: %+v", r)
	}
	if err := os.WriteFile(b.file, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := k.report(); r.Uses != b.first || !slices.Contains(r.Accepts, second) || !strings.Contains(r.Problem, "cannot be read") || strings.Contains(r.Problem, "half a") {
		t.Errorf("with a broken file: %+v", r)
	}
	if err := k.follow(3, fsm.Keys{Current: "00000000000000cc", Old: b.first, Began: b.first, Since: 1}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.log.String(), "this node does not have the key that the cluster uses") {
		t.Errorf("it logged:\n%s", b.log.String())
	}
	b.wants(k, b.first, second)
	if err := k.follow(4, fsm.Keys{Current: "00000000000000cc", Since: 1, Retired: []fsm.RetiredKey{{ID: b.first, At: 2}, {ID: second, At: 2}}}); err == nil {
		t.Error("it runs on with keys that were replaced")
	}
}

// TestNodeKeysBadMemory starts with a file of what was known that is no such file.
func TestNodeKeysBadMemory(t *testing.T) {
	for _, text := range []string{"{", strings.Repeat(" ", maxKeyMemo+1)} {
		b := newKeyBench(t)
		if err := os.WriteFile(filepath.Join(b.data, keyMemo), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.open(); err == nil || !strings.Contains(err.Error(), keyMemo) {
			t.Errorf("%v", err)
		}
	}
	b := newKeyBench(t)
	b.must()
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	if _, err := b.open(); err == nil || !strings.Contains(err.Error(), "brigade keygen makes one") {
		t.Errorf("%v", err)
	}
}

// TestResealing seals credentials again: they open with the new key alone, and the state sees of which key they are.
func TestResealing(t *testing.T) {
	b := newKeyBench(t)
	second := b.add()
	keys, err := cluster.ReadKeys(b.file)
	if err != nil {
		t.Fatal(err)
	}
	at, err := store.Parse("s3://bucket/?endpoint=https://example.com")
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cluster.NewSealer(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	s := sealing{sealer, "job", []byte("nonce"), &side{role: store.RoleDestination, at: canonical(at)}}
	creds := store.Credentials{AccessKey: "access", SecretKey: "secret"}
	sealed := s.seal(creds)
	for _, value := range sealed {
		if got := fsm.SealedWith(value); got != b.first {
			t.Errorf("the state takes it for sealed with %s, it is with %s", got, b.first)
		}
	}
	if err := sealer.SetKeys([]cluster.Key{keys[1], keys[0]}); err != nil {
		t.Fatal(err)
	}
	values, err := s.reseal(sealed, b.first)
	if err != nil || len(values) != 2 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	renewed := map[string][]byte{}
	for _, v := range values {
		if !v.Destination || fsm.SealedWith(v.Sealed) != second {
			t.Errorf("%+v", v)
		}
		renewed[v.Field] = v.Sealed
	}
	if err := sealer.SetKeys(keys[1:]); err != nil {
		t.Fatal(err)
	}
	if got, err := s.open(fsm.Side{Sealed: renewed}); err != nil || got != creds {
		t.Errorf("%v", err)
	}
	if again, err := s.reseal(renewed, b.first); err != nil || len(again) > 0 {
		t.Errorf("sealed again: %d values, %v", len(again), err)
	}
	if _, err := s.reseal(sealed, b.first); err == nil {
		t.Error("what cannot be opened was sealed again")
	}
}

// TestKeyRotateCommand shows what the command says at each step, on three nodes that share a key file.
func TestKeyRotateCommand(t *testing.T) {
	c := newTeam(t, 3)
	n := c.nodes[0]
	n.alive(3)
	said := func(args ...string) string {
		out, _ := n.run(codeDone, append([]string{"ctl", "key", "rotate"}, args...)...)
		for line := range strings.Lines(out) {
			if table := !strings.Contains(line, "next: ") && !strings.Contains(line, "to do: "); table && len(line) > 81 {
				t.Errorf("wider than 80 columns: %s", line)
			}
		}
		return out
	}
	contains(t, "before", said(), "key in use:", "in use", "next: nothing", "brigade keygen --add FILE")
	out, _ := n.run(codeDone, "keygen", "--add", c.key)
	contains(t, "keygen --add", out, c.key, "copy it to every node", "brigade ctl key rotate")
	ids := strings.Fields(n.keygen("--show", c.key))
	_, errs := n.run(codeRefused, "keygen", "--add", c.key)
	contains(t, "a third key", errs, ids[0], ids[1])
	contains(t, "offered", said(), ids[0], "new key:     "+ids[1], "has the new one", "next: brigade ctl key rotate --switch")
	_, errs = n.run(codeMisuse, "ctl", "key", "rotate", "--without", n.self())
	contains(t, "without alone", errs, "--switch or --finish")
	_, errs = n.run(codeRefused, "ctl", "key", "rotate", "--switch", "--without", "zz")
	contains(t, "without a node", errs, `0 nodes have an ID that starts with "zz"`)
	_, errs = n.run(codeMisuse, "ctl", "key", "rotate", "--switch", "--finish")
	contains(t, "two steps", errs, "one step at a time")
	_, errs = n.run(codeMisuse, "keygen", "--add", "--show", c.key)
	contains(t, "keygen", errs, "one at a time")
	contains(t, "switched", said("--switch"), "old key:     "+ids[0], "has the old one", "next: brigade ctl key rotate --finish")
	contains(t, "back", said("--back"), "key in use:  "+ids[0], "old key:     "+ids[1])
	contains(t, "on again", said("--switch"), "key in use:  "+ids[1])
	contains(t, "over", said("--finish"), "key in use:  "+ids[1], "file holds a replaced one", "next: take the old key out", "--remove "+ids[0])
	n.run(codeDone, "keygen", "--remove", ids[0], c.key)
	contains(t, "after", said(), "next: nothing")
	var d api.KeyStatus
	out, _ = c.nodes[2].run(codeDone, "ctl", "key", "rotate", "--json")
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Phase != api.KeySettled || len(d.Nodes) != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	out, _ = n.run(codeDone, "ctl", "history")
	contains(t, "history", out, "key-use", "key-back", "key-end", ids[0])

	alone := startNode(t)
	_, errs = alone.run(codeRefused, "ctl", "key", "rotate")
	contains(t, "without a key", errs, "no cluster key")
}

func (n *nodeBench) keygen(args ...string) string {
	n.t.Helper()
	out, _ := n.run(codeDone, append([]string{"keygen"}, args...)...)
	return out
}

// TestTokenFilesFollowTheKey has token files of a visitor and of the node itself take up a new authority.
func TestTokenFilesFollowTheKey(t *testing.T) {
	n := startSecured(t, "127.0.0.1:0", "--http-tls", "always")
	token, locked := filepath.Join(n.dir, "ann.token"), filepath.Join(n.dir, "locked.token")
	n.run(codeDone, "ctl", "token", "add", "ann", "--role", "viewer", "--out", token)
	n.run(codeDone, "ctl", "token", "add", "bob", "--role", "viewer", "--out", locked)
	key := n.keyFile()
	n.keygen("--add", key)
	n.run(codeDone, "ctl", "key", "rotate", "--switch")
	was, local := readFile(t, token), readFile(t, api.LocalTokenFile(n.data))
	v := n.visitor(t, token)
	_, errs := v.run(codeDone, "ctl", "status")
	is := readFile(t, token)
	if is == was || len(is) != len(was) || errs != "" {
		t.Errorf("the token file was not renewed: %q", errs)
	}
	authority := func(line string) string { return line[strings.LastIndexByte(line, '.'):] }
	if authority(is) != authority(local) || authority(was) == authority(local) {
		t.Error("visitor and node name different authorities")
	}
	if os.Geteuid() != 0 { // whom no mode keeps from writing
		if err := os.Chmod(locked, 0o400); err != nil {
			t.Fatal(err)
		}
		_, errs = n.visitor(t, locked).run(codeDone, "ctl", "status")
		contains(t, "a file that cannot be changed", errs, locked, "ask for a new one")
	}
	n.run(codeDone, "ctl", "key", "rotate", "--finish")
	v.run(codeDone, "ctl", "status")
	if err := os.WriteFile(token, []byte(was), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = n.visitor(t, token).run(codeRefused, "ctl", "status")
	contains(t, "the old authority", errs, "take a new token file")
}

// keyFile finds the key file in what the node was started with.
func (n *nodeBench) keyFile() string {
	n.t.Helper()
	at := slices.Index(n.args, "--cluster-key-file")
	if at < 0 {
		n.t.Fatal("the node has no key file")
	}
	return n.args[at+1]
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
