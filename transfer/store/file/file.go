// Package file is the provider of local disks and mounted file systems, as source and as destination.
//
// Keys are paths relative to the root directory, with "/" between names, as bytes. Listings come in the byte order of
// whole keys, the order of S3, and read each directory once. Writes go to a temporary file beside the target that is
// synced and renamed; no write follows a symbolic link.
//
// The root is opened once, at the first use, and stays open; every path below it is taken relative to the open directory.
// So an unmount fails as busy while a job works there, and where it is forced (umount -l) what is under way goes on in the
// file system that was mounted: neither a read nor a write ever falls through to the directory under the mount point. A
// destination's root that is missing is made below the nearest parent that existed at the first use, likewise held open.
// SamePlace tells whether the path still leads there, and Identity what it is, for comparison with other machines and
// other times.
package file

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const (
	bufferSize = 256 << 10 // bytes written at once
	maxKey     = 4096      // PATH_MAX of Linux
	pageSize   = 1000      // most keys of a page
	// sortLimit is how many bytes the names of one directory may take in memory; more are sorted in runs on disk.
	sortLimit = 4 << 20
)

// disk is one opened root.
type disk struct {
	path    string // absolute, symbolic links resolved
	role    store.Role
	options options
	nonce   string
	single  *single // the root names one file

	mu      sync.Mutex
	root    *held  // nil until the directory is needed
	above   *held  // the nearest existing parent of a destination's root that was missing
	base    string // path of the root for calls that follow links, valid once root is set, as is
	nameMax int    // bytes in one name
	closed  bool

	counter   atomic.Uint64 // of temporary names
	buffers   sync.Pool     // of *[]byte, bufferSize each
	synced    syncedDirs
	sortLimit int
}

// single is a root that is one regular file: its key, and its name in the directory that the store is rooted at. They
// differ where the location named a symbolic link.
type single struct{ key, name string }

var (
	_ store.Destination = (*disk)(nil)
	_ store.Flusher     = (*disk)(nil)
	_ store.RangeWriter = (*disk)(nil)
	_ store.TempCleaner = (*disk)(nil)
	_ store.Single      = (*disk)(nil)
	_ store.Identifier  = (*disk)(nil)
)

// Open opens a directory, or for a source one regular file. The directory need not exist: Check tells whether it does,
// and the first write makes a destination's.
func Open(_ context.Context, cfg store.Config) (store.Destination, error) {
	opts, err := parseOptions(cfg.Location)
	if err != nil {
		return nil, err
	}
	if cfg.Role == store.RoleDestination && !cfg.Location.Options.Has("links") {
		opts.links = linksKeep // so that links copied before are known again
	}
	d := &disk{role: cfg.Role, options: opts, nonce: cfg.Nonce, sortLimit: sortLimit}
	d.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	d.synced.known = map[string]struct{}{}
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fail("open", "", err)
	}
	if d.nonce == "" {
		d.nonce = hex.EncodeToString(random[:16])
	}
	// A random start keeps the names of two owners of one task apart, so that neither can rename the other's file.
	d.counter.Store(uint64(binary.BigEndian.Uint32(random[16:])))
	path := nativePath(cfg.Location.Path)
	if err := d.locate(path); err != nil {
		return nil, atRoot("open", path, err)
	}
	return d, nil
}

// nativePath turns the path of a location into one of this system: "/C:/dir" is C:\dir on Windows.
func nativePath(path string) string {
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	return filepath.FromSlash(path)
}

// locate resolves symbolic links in the root's path once, and finds out whether the root is a single file.
func (d *disk) locate(path string) error {
	resolved, err := resolve(filepath.Clean(path))
	if err != nil {
		return err
	}
	d.path = resolved
	if d.role == store.RoleDestination || strings.HasSuffix(path, string(filepath.Separator)) {
		return nil
	}
	info, err := os.Lstat(resolved)
	if err != nil || !info.Mode().IsRegular() {
		return nil // Check says what is wrong with it
	}
	d.path = filepath.Dir(resolved)
	d.single = &single{key: filepath.Base(path), name: filepath.Base(resolved)}
	return nil
}

// resolve follows the symbolic links of the longest part of a path that exists.
func resolve(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		return resolved, nil
	}
	parent := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || parent == path {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fault(store.Misconfigured, "open", "", path+" is a broken symbolic link")
	}
	resolved, err = resolve(parent)
	if err != nil {
		return "", err
	}
	return filepath.Join(resolved, filepath.Base(path)), nil
}

// Abilities of file systems: exact times, no metadata, no checksums of their own.
func (d *disk) Abilities() store.Abilities {
	return store.Abilities{
		Scheme: "file", Order: store.OrderBytes, ExactModTime: true, ModTimeUnit: time.Nanosecond, MaxKey: maxKey,
		HashedBeforeWrite: true,
	}
}

// Single tells whether the root is one regular file. Nothing else of its directory is listed or read then.
func (d *disk) Single(context.Context) (key string, ok bool, err error) {
	if d.single == nil {
		return "", false, nil
	}
	return d.single.key, true, nil
}

// Check proves that a source can be listed, and that a destination is a directory or can become one. It writes nothing
// and tells no clock.
func (d *disk) Check(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, fail("check", "", context.Cause(ctx))
	}
	if d.single != nil {
		body, _, err := d.Open(ctx, d.single.key, store.OpenOptions{Length: 0})
		if err != nil {
			return time.Time{}, err
		}
		return time.Time{}, body.Close()
	}
	root, err := d.handle()
	if d.role == store.RoleDestination && isMissing(err) {
		return time.Time{}, nil // its parent is held, so it is a directory
	}
	if err != nil {
		return time.Time{}, d.rootError("check", err)
	}
	f, err := openNames(root)
	if err != nil {
		return time.Time{}, atRoot("check", d.path, err)
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err != nil && !errors.Is(err, io.EOF) {
		return time.Time{}, atRoot("check", d.path, err)
	}
	return time.Time{}, nil
}

// rootError says what is wrong with the root itself.
func (d *disk) rootError(op string, err error) error {
	var known *store.Error
	if errors.As(err, &known) {
		return err
	}
	info, statErr := os.Stat(d.path)
	switch {
	case isMissing(statErr) && d.role == store.RoleDestination:
		return fault(store.NotFound, op, "", "destination directory missing: "+d.path)
	case isMissing(statErr):
		return fault(store.Misconfigured, op, "", "source directory missing: "+d.path)
	case statErr == nil && !info.IsDir():
		return fault(store.Misconfigured, op, "", d.path+" is not a directory")
	}
	return atRoot(op, d.path, err)
}

// Close releases the handle of the root.
func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	err := errors.Join(d.root.close(), d.above.close())
	d.root, d.above = nil, nil
	return err
}
