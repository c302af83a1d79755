package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// held is an open directory and what it was when it was opened. While it is open, everything goes through it: an unmount
// fails as busy, and after a forced one the directory still is the one in the file system that was mounted, never the
// empty one that the path leads to by then.
type held struct {
	root     *os.Root
	file     *os.File // the same directory
	path     string   // what it was opened by
	spot     spot
	identity store.Identity
}

// spot tells two open directories apart on one machine while one of them is open.
type spot struct {
	mount uint64 // 0 where the system does not tell
	info  fs.FileInfo
}

func (a spot) same(b spot) bool { return a.mount == b.mount && os.SameFile(a.info, b.info) }

// hold opens a directory and looks at it.
func hold(path string) (*held, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return holdRoot(root, path)
}

// holdRoot takes over an open root, and closes it on error.
func holdRoot(root *os.Root, path string) (*held, error) {
	file, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	h := &held{root: root, file: file, path: path}
	if h.spot, err = spotOf(file); err == nil {
		h.identity, err = identify(file, h.spot)
	}
	if err == nil {
		h.identity.Empty, err = isEmpty(root)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *held) close() error {
	if h == nil {
		return nil
	}
	return errors.Join(h.file.Close(), h.root.Close())
}

func spotOf(file *os.File) (spot, error) {
	info, err := file.Stat()
	return spot{mount: mountOf(file), info: info}, err
}

func isEmpty(root *os.Root) (bool, error) {
	names, err := openNames(root)
	if err != nil {
		return false, err
	}
	defer names.Close()
	_, err = names.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// stillThere proves that the path leads to what is held.
func (h *held) stillThere() error {
	now, err := os.Open(h.path)
	if err != nil {
		return fmt.Errorf("%s cannot be opened any more (was it unmounted?): %w", h.path, rootCause(err))
	}
	defer now.Close()
	at, err := spotOf(now)
	if err != nil {
		return fmt.Errorf("%s: %w", h.path, rootCause(err))
	}
	if at.same(h.spot) {
		return nil
	}
	there := "another directory"
	if id, err := identify(now, at); err == nil {
		there = id.String()
	}
	return fmt.Errorf("%s is not what it was (unmounted, or mounted again?): it was %s and is %s", h.path, &h.identity, there)
}

// Identity tells what the disk is rooted at. While a destination's root does not exist, it is that of the file system
// where it will be made, without an inode.
func (d *disk) Identity(ctx context.Context) (store.Identity, error) {
	if err := stopped(ctx, "identify", ""); err != nil {
		return store.Identity{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.openRoot()
	switch {
	case err == nil:
		return d.root.identity, nil
	case isMissing(err) && d.above != nil:
		id := d.above.identity
		id.Inode, id.Born, id.Empty = 0, 0, true
		return id, nil
	}
	return store.Identity{}, atRoot("identify", d.path, err)
}

// SamePlace proves that the path still leads to the directory that is held.
func (d *disk) SamePlace(ctx context.Context) error {
	if err := stopped(ctx, "check", ""); err != nil {
		return err
	}
	d.mu.Lock()
	h := d.root
	if h == nil {
		h = d.above
	}
	d.mu.Unlock()
	if h == nil {
		return nil // nothing was used yet: the first use looks
	}
	if err := h.stillThere(); err != nil {
		return &store.Error{Op: "check", Class: store.Misconfigured, Err: err}
	}
	return nil
}

// holdParent keeps the nearest existing directory above a missing root open, so that the root is made below it and
// nowhere else. It fails with fs.ErrNotExist, which is what there is to tell of the root. The caller holds mu.
func (d *disk) holdParent(missing error) error {
	for dir := filepath.Dir(d.path); ; dir = filepath.Dir(dir) {
		above, err := hold(dir)
		switch {
		case err == nil:
			d.above = above
			return missing
		case !isMissing(err) || filepath.Dir(dir) == dir:
			return atRoot("open", dir, err)
		}
	}
}

// openBelow opens the root through the directory above it that is held. The caller holds mu.
func (d *disk) openBelow() (*held, error) {
	root, err := d.above.root.OpenRoot(d.below())
	if err != nil {
		return nil, err
	}
	h, err := holdRoot(root, d.path)
	if err == nil && h.spot.mount == d.above.spot.mount {
		id := d.above.identity // which is still told when it was unmounted since
		id.Inode, id.Born, id.Empty = h.identity.Inode, h.identity.Born, h.identity.Empty
		h.identity = id
	}
	return h, err
}

// below is the way from the directory that is held to the root.
func (d *disk) below() string {
	rest, err := filepath.Rel(d.above.path, d.path)
	if err != nil {
		return "." // cannot be: above.path is a part of path
	}
	return rest
}

// makeBelow makes the root, and all that is missing on the way to it, durable. The caller holds mu.
func (d *disk) makeBelow() error {
	rest := d.below()
	if err := d.above.root.MkdirAll(rest, 0o777); err != nil {
		if isMissing(err) { // the directory was removed while it was open
			return fault(store.Transient, "put", "", d.above.path+" was removed")
		}
		return err
	}
	for dir := filepath.Dir(rest); ; dir = filepath.Dir(dir) {
		if err := syncIn(d.above.root, dir); err != nil || dir == "." {
			return err
		}
	}
}

// syncIn makes the names in a directory durable.
func syncIn(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncDir(f)
}

// clean makes a name from the system fit for JSON, and not long.
func clean(s string) string {
	const most = 1000
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
