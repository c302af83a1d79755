package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrOtherCluster keeps a node out, for two clusters never merge.
var ErrOtherCluster = errors.New("it belongs to another cluster")

// origin is the cluster that this node belongs to. A node without state takes the first ID that it is told, and only
// after that can a leader add it: so that two leaders which both see a new node cannot both have it.
type origin struct {
	path string

	mu       sync.Mutex
	id       string
	saved    string // is in the file, and told to others
	state    bool
	promised time.Time // until when a bootstrap may begin anywhere, so that no ID is taken
	refused  map[string]bool
}

type originFile struct {
	ID string `json:"cluster"`
}

func openOrigin(path string) (*origin, error) {
	o := &origin{path: path, refused: map[string]bool{}}
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster ID: %w", err)
	}
	var f originFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read cluster ID from %s: %w", path, err)
	}
	o.id, o.saved = f.ID, f.ID
	return o, nil
}

// cluster returns the ID as it may be told, "" if there is none.
func (o *origin) cluster() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.saved
}

// hasState notes that there is a log.
func (o *origin) hasState(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = o.state || yes
}

// accept refuses members of other clusters; first tells that it has not refused this one before.
func (o *origin) accept(m Member) (first bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case m.Cluster == "" || m.Cluster == o.id:
		return false, nil
	case o.id == "" && !o.state && time.Now().After(o.promised):
		o.id = m.Cluster
		return false, nil
	case o.id == "":
		return false, nil // the state is about to tell; see learn
	}
	first = !o.refused[m.ID]
	if len(o.refused) < maxMembers {
		o.refused[m.ID] = true
	}
	return first, ErrOtherCluster
}

// promise keeps IDs from being taken for a time, unless one is.
func (o *origin) promise(until time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id != "" || o.state {
		return false
	}
	o.promised = until
	return true
}

// learn takes the ID of the state, and keeps an ID in the file. It fails where the state is of another cluster than the
// file.
func (o *origin) learn(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id != "" && o.saved != "" && id != o.saved {
		return fmt.Errorf("the state is of cluster %s, %s says %s: %w", id, o.path, o.saved, ErrOtherCluster)
	}
	if id != "" {
		o.id = id
	}
	if o.id == o.saved {
		return nil
	}
	text, err := json.Marshal(originFile{o.id})
	if err != nil {
		return fmt.Errorf("encode cluster ID: %w", err)
	}
	if err := writeFile(o.path, append(text, '\n')); err != nil {
		return fmt.Errorf("keep cluster ID: %w", err)
	}
	o.saved = o.id
	return nil
}

// newClusterID makes a random ID.
func newClusterID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails, says its documentation
	return hex.EncodeToString(id[:])
}

// countStart counts the starts of this node in a file.
func countStart(path string) (uint64, error) {
	text, err := readSmall(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("count start: %w", err)
	}
	var last uint64
	if err == nil {
		if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return 0, fmt.Errorf("count start: %s: %w", path, err)
		}
	}
	if err := writeFile(path, []byte(strconv.FormatUint(last+1, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("count start: %w", err)
	}
	return last + 1, nil
}
