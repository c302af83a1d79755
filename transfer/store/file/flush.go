package file

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const (
	flushWorkers = 8     // directories synced at once
	knownDirs    = 16384 // directories remembered as durable; with more of them all are synced anew
)

// syncedDirs remembers the directories whose own names are durable, all the way up to the root. A directory that a dead
// owner made is not among them, so its parents are synced too.
type syncedDirs struct {
	mu    sync.Mutex
	known map[string]struct{} // by prefix
}

// forget drops what was known of a directory that is made anew.
func (s *syncedDirs) forget(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, prefix)
}

// pending returns the directories to sync for the names in these directories to be durable.
func (s *syncedDirs) pending(dirs map[string]struct{}) map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]struct{}, len(dirs))
	for dir := range dirs {
		all[dir] = struct{}{}
		for p := dir; p != ""; p = parentOf(p) {
			if _, ok := s.known[p]; ok {
				break
			}
			all[parentOf(p)] = struct{}{}
		}
	}
	return all
}

func (s *syncedDirs) remember(dirs map[string]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known)+len(dirs) > knownDirs {
		clear(s.known)
	}
	for dir := range dirs {
		for p := dir; p != "" && len(s.known) < knownDirs; p = parentOf(p) {
			s.known[p] = struct{}{}
		}
	}
}

// parentOf returns the prefix of the directory above that of prefix.
func parentOf(prefix string) string {
	parent, _ := splitKey(strings.TrimSuffix(prefix, "/"))
	return parent
}

// Flush makes the names of these keys durable: it syncs each of their directories, and once those above them.
func (d *disk) Flush(ctx context.Context, keys []string) error {
	dirs := directoriesOf(keys)
	if len(dirs) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(flushWorkers)
	for prefix := range d.synced.pending(dirs) {
		group.Go(func() error {
			if err := stopped(ctx, "flush", prefix); err != nil {
				return err
			}
			return fail("flush", prefix, d.syncFolder(prefix))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	d.synced.remember(dirs)
	return nil
}

// directoriesOf returns the prefixes of the directories that hold these keys.
func directoriesOf(keys []string) map[string]struct{} {
	dirs := map[string]struct{}{}
	for _, key := range keys {
		dirs[parentOf(key)] = struct{}{}
	}
	return dirs
}

func (d *disk) syncFolder(prefix string) error {
	root, err := d.handle()
	if err != nil {
		return err
	}
	dir, err := walk(root, prefix, keepMissing)
	if err != nil {
		return err
	}
	defer dir.close()
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return syncDir(f)
}

// RemoveTemp removes this task's temporary files from the directories of these keys. Directories behind symbolic links
// are left alone: nothing was ever written there.
func (d *disk) RemoveTemp(ctx context.Context, task uint64, keys []string) error {
	if d.role == store.RoleSource {
		return fault(store.Permanent, "remove temporary files", "", "the store is open as a source")
	}
	root, err := d.handle()
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fail("remove temporary files", "", err)
	}
	for prefix := range directoriesOf(keys) {
		if err := stopped(ctx, "remove temporary files", prefix); err != nil {
			return err
		}
		dir, err := walk(root, prefix, keepMissing)
		if isAbsent(err) || errors.Is(err, errLink) {
			continue
		}
		if err == nil {
			err = d.removeTempIn(dir, task)
			dir.close()
		}
		if err != nil {
			return fail("remove temporary files", prefix, err)
		}
	}
	return nil
}

func (d *disk) removeTempIn(dir folder, task uint64) error {
	f, err := openNames(dir.Root)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			if t, ours := d.tempTask(name); !ours || t != task {
				continue
			}
			if err := dir.Remove(name); err != nil && !isMissing(err) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
