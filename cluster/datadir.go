package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// DirVersion is the version of the data directory's layout that this binary writes and reads.
const DirVersion = 1

// What OpenDir refuses.
var (
	ErrLocked       = errors.New("in use by another process")
	ErrNewerVersion = errors.New("written by a newer version")
	errLockHeld     = errors.New("the lock is held")
)

// Dir is a node's data directory: lock (holds the process ID), version, node.json, raft/ and spool/. While it is open no
// other process can open it.
type Dir struct {
	Path   string
	NodeID string // random, made on first use: neither a host name nor an address, for both change

	lock *os.File
}

// OpenDir opens a data directory and makes it on first use, with mode 0700. Errors wrap ErrLocked, naming the process
// that holds it, or ErrNewerVersion, naming both versions.
func OpenDir(path string) (*Dir, error) {
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	lock, err := takeLock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", path, err)
	}
	d := &Dir{Path: path, lock: lock}
	if err := errors.Join(d.checkVersion(), d.loadNodeID()); err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", path, errors.Join(err, lock.Close()))
	}
	return d, nil
}

// Raft is the folder of the raft log and its snapshots.
func (d *Dir) Raft() string { return filepath.Join(d.Path, "raft") }

// Spool is the folder of the segments.
func (d *Dir) Spool() string { return filepath.Join(d.Path, "spool") }

// Close gives the lock back. The lock file stays: removing it would let two processes lock two files of one name.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("close data directory %s: %w", d.Path, err)
	}
	return nil
}

func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := lockFile(f); err != nil {
		if errors.Is(err, errLockHeld) {
			err = fmt.Errorf("%w, process ID %s", ErrLocked, holder(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return f, nil
}

// holder reads who holds the lock. It can be too early to know.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid, bad := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || bad != nil {
		return "unknown"
	}
	return strconv.Itoa(pid)
}

func (d *Dir) checkVersion() error {
	path := filepath.Join(d.Path, "version")
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFile(path, []byte(strconv.Itoa(DirVersion)+"\n"))
	}
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	version, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || version < 1 {
		return fmt.Errorf("read version: %s holds %q, not a number", path, text)
	}
	if version > DirVersion {
		return fmt.Errorf("%w: version %d, this binary reads %d", ErrNewerVersion, version, DirVersion)
	}
	return nil
}

// nodeFile is the content of node.json.
type nodeFile struct {
	ID string `json:"id"`
}

func (d *Dir) loadNodeID() error {
	path := filepath.Join(d.Path, "node.json")
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d.makeNodeID(path)
	}
	if err != nil {
		return fmt.Errorf("read node ID: %w", err)
	}
	var n nodeFile
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("read node ID from %s: %w", path, err)
	}
	if raw, err := hex.DecodeString(n.ID); err != nil || len(raw) != 16 {
		return fmt.Errorf("read node ID from %s: %q is not 32 hex digits", path, n.ID)
	}
	d.NodeID = n.ID
	return nil
}

func (d *Dir) makeNodeID(path string) error {
	var id [16]byte
	rand.Read(id[:]) // never fails, says its documentation
	d.NodeID = hex.EncodeToString(id[:])
	text, err := json.Marshal(nodeFile{d.NodeID})
	if err != nil {
		return fmt.Errorf("encode node ID: %w", err)
	}
	return writeFile(path, append(text, '\n'))
}

// readSmall reads a file of at most 4 KiB.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, 4<<10))
	return data, errors.Join(err, f.Close())
}
