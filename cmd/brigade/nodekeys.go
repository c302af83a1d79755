package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
)

const (
	keyMemo      = "keys.json"      // in the data directory: what the node last knew of the cluster's keys
	keyFresh     = 30 * time.Second // between two times that the keys are set again
	maxKeyMemo   = 64 << 10
	keyLostAgain = "its key file has lost the key %s, which the cluster uses: put it back before the node starts again"
)

// nodeKeys are the cluster keys of a node. The key file has them, and the state says which of them is used, which is still
// accepted and which no more: the order in the file means nothing. Before the node has its state, it goes by what it knew
// when it last ran.
type nodeKeys struct {
	file, memo string
	log        *slog.Logger

	mu      sync.Mutex
	apply   func([]cluster.Key) error // puts keys to use; nil before the node runs
	known   keyMemory
	held    []cluster.Key // of the key file, and those that it lost while they are valid
	valid   []cluster.Key // the first is used, all are accepted
	inFile  []string
	trouble string // with the key file, "" for none
}

// keyMemory is what the file keyMemo holds.
type keyMemory struct {
	Index uint64   `json:"index"` // of the state that it is of
	Keys  fsm.Keys `json:"keys"`
}

// openNodeKeys reads the key file, and what the node knew of its keys.
func openNodeKeys(file, data string, log *slog.Logger) (*nodeKeys, error) {
	k := &nodeKeys{file: file, memo: filepath.Join(data, keyMemo), log: log}
	var err error
	if k.held, err = cluster.ReadKeys(file); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; brigade keygen makes one", err)
	} else if err != nil {
		return nil, err
	}
	k.inFile = idsOf(k.held)
	if err := k.remember(); err != nil {
		return nil, err
	}
	if k.valid = validKeys(k.held, k.known.Keys); len(k.valid) == 0 {
		return nil, k.onlyRetired(k.known.Keys)
	}
	if uses := k.valid[0].ID(); k.known.Keys.Current == "" || k.known.Keys.Current != uses && k.known.Keys.Since == 0 {
		k.known.Keys.Current = uses // there was no change of keys so far
		return k, k.keep()
	}
	return k, nil
}

// remember reads what the node knew.
func (k *nodeKeys) remember() error {
	info, err := os.Stat(k.memo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > maxKeyMemo {
		err = errors.New("too large")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(k.memo)
	}
	if err == nil {
		err = json.Unmarshal(text, &k.known)
	}
	if err != nil {
		return fmt.Errorf("read what this node knows of the cluster key: %s: %w; without the file it asks the others", k.memo, err)
	}
	return nil
}

// keep writes down what the node knows; the caller holds the lock, or is the only one.
func (k *nodeKeys) keep() error {
	text, err := json.Marshal(k.known)
	if err != nil {
		return fmt.Errorf("encode what this node knows of the cluster key: %w", err)
	}
	temp := k.memo + ".tmp"
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep what this node knows of the cluster key: %w", err)
	}
	if err := os.Rename(temp, k.memo); err != nil {
		return fmt.Errorf("keep what this node knows of the cluster key: %w", err)
	}
	return nil
}

// onlyRetired says that none of the keys is valid any more.
func (k *nodeKeys) onlyRetired(known fsm.Keys) error {
	last := known.Retired[len(known.Retired)-1]
	return fmt.Errorf("the key %s in %s was replaced on %s, and the cluster takes no node with it; it uses the key %s: put that into the file, and start the node again",
		strings.Join(idsOf(k.held), " "), k.file, time.Unix(0, last.At).UTC().Format(time.RFC3339), known.Current)
}

// validKeys puts keys in their order: the one in use first, then the one that still is accepted, those replaced left out.
func validKeys(held []cluster.Key, known fsm.Keys) []cluster.Key {
	valid := slices.DeleteFunc(slices.Clone(held), func(key cluster.Key) bool { return known.IsRetired(key.ID()) })
	rank := func(key cluster.Key) int {
		switch key.ID() {
		case known.Current:
			return 0
		case known.Old:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(valid, func(a, b cluster.Key) int { return rank(a) - rank(b) })
	return valid
}

func idsOf(keys []cluster.Key) []string {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.ID()
	}
	return ids
}

// start has changes put to use from now on.
func (k *nodeKeys) start(apply func([]cluster.Key) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.apply = apply
}

// inUse returns the valid keys, the one in use first.
func (k *nodeKeys) inUse() []cluster.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.valid)
}

// reload reads the key file again. A key that is still valid stays so for as long as the node runs, also without the file.
func (k *nodeKeys) reload() error {
	keys, err := cluster.ReadKeys(k.file)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.trouble = "its key file cannot be read: " + err.Error()
		return nil
	}
	k.trouble, k.inFile = "", idsOf(keys)
	for _, key := range k.valid {
		id := key.ID()
		if needed := id == k.known.Keys.Current || id == k.known.Keys.Old; needed && !slices.Contains(keys, key) {
			keys = append(keys, key)
			if id == k.known.Keys.Current {
				k.trouble = fmt.Sprintf(keyLostAgain, id)
			}
		}
	}
	k.held = keys
	return k.settle()
}

// follow takes up what the state says, older news left out: a node that starts reads its log from the beginning.
func (k *nodeKeys) follow(index uint64, now fsm.Keys) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Current == "" || index < k.known.Index {
		return k.settle()
	}
	if before := k.known.Keys; !sameKeys(before, now) {
		k.known = keyMemory{index, now}
		if err := k.keep(); err != nil {
			return err
		}
		k.tell(before, now)
	}
	return k.settle()
}

func sameKeys(a, b fsm.Keys) bool {
	return a.Current == b.Current && a.Old == b.Old && a.Began == b.Began && a.Since == b.Since && slices.Equal(a.Retired, b.Retired)
}

// tell logs what changed.
func (k *nodeKeys) tell(before, now fsm.Keys) {
	if before.Current != now.Current {
		k.log.Info("the cluster uses another key now", "key", now.Current, "accepted", now.Old)
	}
	if before.Old != "" && now.Old == "" {
		k.log.Info("a cluster key is not accepted any more", "key", before.Old)
	}
	if !slices.ContainsFunc(k.held, func(key cluster.Key) bool { return key.ID() == now.Current }) {
		k.log.Warn("this node does not have the key that the cluster uses: put it into the key file", "key", now.Current, "file", k.file)
	}
}

// settle puts to use what is valid; the caller holds the lock.
func (k *nodeKeys) settle() error {
	valid := validKeys(k.held, k.known.Keys)
	if len(valid) == 0 {
		return k.onlyRetired(k.known.Keys)
	}
	if k.apply != nil {
		if err := k.apply(valid); err != nil {
			return fmt.Errorf("change the cluster key: %w", err)
		}
	}
	k.valid = valid
	return nil
}

// keyReport is what a node tells others of its keys.
type keyReport struct {
	Uses     string   `json:"uses"`
	Accepts  []string `json:"accepts"`
	Leftover []string `json:"leftover"`
	Problem  string   `json:"problem,omitempty"`
}

// report looks at the key file again and tells what the node has.
func (k *nodeKeys) report() keyReport {
	err := k.reload()
	k.mu.Lock()
	defer k.mu.Unlock()
	r := keyReport{Uses: k.valid[0].ID(), Accepts: idsOf(k.valid), Leftover: []string{}, Problem: k.trouble}
	for _, id := range k.inFile {
		if k.known.Keys.IsRetired(id) {
			r.Leftover = append(r.Leftover, id)
		}
	}
	switch {
	case err != nil:
		r.Problem = err.Error()
	case r.Problem == "" && k.known.Keys.Since != 0 && r.Uses != k.known.Keys.Current:
		r.Problem = "it does not have the key " + k.known.Keys.Current + ", which the cluster uses: put it into its key file"
	}
	return r
}

// followKeys keeps the keys at what the state says, until ctx ends. They are set again now and then, for gossip tries others
// while the node is alone.
func (n *node) followKeys(ctx context.Context) {
	tick := time.NewTicker(keyFresh)
	defer tick.Stop()
	first := true
	for last := (fsm.Keys{}); ; {
		changed := n.machine.Changed()
		var now fsm.Keys
		var index uint64
		n.machine.Read(func(s *fsm.State) { now, index = s.Keys(), s.Index() })
		if first || !sameKeys(last, now) {
			first, last = false, now
			if err := n.keys.follow(index, now); err != nil {
				n.fail(err)
				return
			}
		}
		select {
		case <-changed:
		case <-tick.C:
			first = true
		case <-ctx.Done():
			return
		}
	}
}
