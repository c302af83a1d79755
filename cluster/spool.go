package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MaxSegment bounds one segment in bytes.
const MaxSegment = 4 << 20

// The spool stops taking segments when less than either is free.
const (
	minFreeBytes = 256 << 20
	minFreeShare = 0.05
)

// What a spool refuses.
var (
	ErrSpoolFull = errors.New("not enough free disk space")
	ErrTooLarge  = errors.New("too large")
	ErrNoSegment = errors.New("no such segment")
	ErrCorrupt   = errors.New("content does not match its name")
)

// Spool keeps immutable segments in files named by the SHA-256 of their content, in 256 folders named by its first byte.
type Spool struct {
	dir   string
	space func(path string) (free, total uint64, err error)
	low   atomic.Bool // as Low said last

	sweeping sync.RWMutex // held to take a segment that is there for stored again, and to remove old ones
}

// SpoolEntry is a segment as List finds it.
type SpoolEntry struct {
	Name    [32]byte
	Size    int64
	ModTime time.Time
}

// OpenSpool opens the spool in dir, makes it on first use, and removes files that a crash left unfinished. The caller
// holds the lock of the data directory.
func OpenSpool(dir string) (*Spool, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{dir: dir, space: diskSpace}
	if err := s.removeUnfinished(); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

func (s *Spool) removeUnfinished() error {
	unfinished, err := filepath.Glob(filepath.Join(s.dir, "[0-9a-f][0-9a-f]", tempPrefix+"*"))
	if err != nil {
		return fmt.Errorf("find unfinished files: %w", err)
	}
	for _, path := range unfinished {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove unfinished file: %w", err)
		}
	}
	return nil
}

// Put stores data of at most MaxSegment bytes durably and returns its name. Storing the same again is no error. Errors
// wrap ErrTooLarge or ErrSpoolFull where these are the cause.
func (s *Spool) Put(ctx context.Context, data []byte) ([32]byte, error) {
	name := sha256.Sum256(data)
	if len(data) > MaxSegment {
		return name, fmt.Errorf("put segment: %w: %d bytes, at most %d", ErrTooLarge, len(data), MaxSegment)
	}
	if err := ctx.Err(); err != nil {
		return name, fmt.Errorf("put segment: %w", err)
	}
	// What is there is read again: a file cut short by a crash must not pass for the segment.
	if known, err := s.storedAgain(ctx, name); known {
		return name, err
	}
	if err := s.checkSpace(); err != nil {
		return name, fmt.Errorf("put segment: %w", err)
	}
	path := s.path(name)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return name, fmt.Errorf("put segment: %w", err)
	}
	if err := writeFile(path, data); err != nil {
		return name, fmt.Errorf("put segment: %w", err)
	}
	return name, nil
}

// storedAgain takes a segment that is there whole for stored now, so that Sweep spares it as a young one.
func (s *Spool) storedAgain(ctx context.Context, name [32]byte) (bool, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	if _, err := s.Get(ctx, name); err != nil {
		return false, nil
	}
	now := time.Now()
	if err := os.Chtimes(s.path(name), now, now); err != nil {
		return true, fmt.Errorf("put segment: %w", err)
	}
	return true, s.syncName(name)
}

// removeOlder forgets a segment unless it was stored again since a time, and tells whether it did.
func (s *Spool) removeOlder(name [32]byte, before time.Time) (bool, error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	info, err := os.Stat(s.path(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.ModTime().Before(before) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove segment: %w", err)
	}
	return true, s.Remove(name)
}

// has tells whether there is a file for a segment; only reading it shows that it is whole.
func (s *Spool) has(name [32]byte) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// syncName makes the name of an existing segment durable: whoever wrote it may have been killed before that.
func (s *Spool) syncName(name [32]byte) error {
	folder := filepath.Dir(s.path(name))
	if err := errors.Join(syncDir(folder), syncDir(s.dir)); err != nil {
		return fmt.Errorf("put segment: %w", err)
	}
	return nil
}

func (s *Spool) checkSpace() error {
	free, total, err := s.space(s.dir)
	if err != nil {
		return err
	}
	if scarce(free, total, 1) {
		return fmt.Errorf("%w: %d of %d bytes free at %s", ErrSpoolFull, free, total, s.dir)
	}
	return nil
}

// Get returns a segment and checks it against its name. Errors wrap ErrNoSegment or ErrCorrupt where these are the cause.
func (s *Spool) Get(ctx context.Context, name [32]byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("get segment: %w", err)
	}
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("get segment: %w: %x", ErrNoSegment, name)
	}
	if err != nil {
		return nil, fmt.Errorf("get segment: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSegment+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("get segment: %w", err)
	}
	if sha256.Sum256(data) != name {
		return nil, fmt.Errorf("get segment: %w: %x", ErrCorrupt, name)
	}
	return data, nil
}

// Remove forgets a segment; one that is not there is no error.
func (s *Spool) Remove(name [32]byte) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// List yields all segments in order of their names, for the removal of those that nothing refers to. Whoever removes
// spares young ones: a segment is stored before the command that names it.
func (s *Spool) List(ctx context.Context) iter.Seq2[SpoolEntry, error] {
	return func(yield func(SpoolEntry, error) bool) {
		folders, err := os.ReadDir(s.dir)
		if err != nil {
			yield(SpoolEntry{}, fmt.Errorf("list spool: %w", err))
			return
		}
		for _, folder := range folders {
			if !s.listFolder(ctx, folder.Name(), yield) {
				return
			}
		}
	}
}

// listFolder yields the segments of one folder and tells whether to go on.
func (s *Spool) listFolder(ctx context.Context, folder string, yield func(SpoolEntry, error) bool) bool {
	files, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err = errors.Join(ctx.Err(), err); err != nil {
		yield(SpoolEntry{}, fmt.Errorf("list spool: %w", err))
		return false
	}
	for _, file := range files {
		name, ok := segmentName(folder, file.Name())
		if !ok {
			continue
		}
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			yield(SpoolEntry{}, fmt.Errorf("list spool: %w", err))
			return false
		}
		if !yield(SpoolEntry{name, info.Size(), info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// segmentName reads the name of a segment from its file's, false for files that are none.
func segmentName(folder, file string) (name [32]byte, ok bool) {
	if len(file) != 2*len(name) || !strings.HasPrefix(file, folder) {
		return name, false
	}
	n, err := hex.Decode(name[:], []byte(file))
	return name, err == nil && n == len(name)
}

func (s *Spool) path(name [32]byte) string {
	file := hex.EncodeToString(name[:])
	return filepath.Join(s.dir, file[:2], file)
}
