package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// handle returns the open root. It fails with fs.ErrNotExist while the directory is missing.
func (d *disk) handle() (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openRoot()
}

func (d *disk) openRoot() (*os.Root, error) {
	if d.closed {
		return nil, fs.ErrClosed
	}
	if d.root != nil {
		return d.root.root, nil
	}
	root, err := d.holdRoot()
	if err != nil {
		return nil, err
	}
	d.root, d.nameMax, d.base = root, nameMax(d.path), pathOf(root)
	return root.root, nil
}

// holdRoot opens the root; where a destination's is missing, it sees to it that it can be made in one place only.
func (d *disk) holdRoot() (*held, error) {
	if d.above != nil {
		return d.openBelow()
	}
	root, err := hold(d.path)
	if isMissing(err) && d.role == store.RoleDestination {
		err = d.holdParent(err)
	}
	return root, err
}

// longestName returns how many bytes a name may have.
func (d *disk) longestName() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nameMax == 0 {
		return defaultNameMax
	}
	return d.nameMax
}

// makeRoot returns the open root of a destination, made if it was missing, and then durable.
func (d *disk) makeRoot() (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := d.openRoot()
	if d.above == nil || !isMissing(err) {
		return root, err
	}
	if err := d.makeBelow(); err != nil {
		return nil, err
	}
	return d.openRoot()
}

// folder is an open directory below the root. Names in it are used without any "/", so nothing is resolved.
type folder struct {
	*os.Root
	owned bool
}

// close closes the handle unless it is the store's own. An error would tell nothing: directories are only read.
func (f folder) close() {
	if f.owned {
		_ = f.Close()
	}
}

// openFolder opens the directory of a prefix ("" or ending in "/") without following any symbolic link; on a side that
// follows links, reads do follow them.
func (d *disk) openFolder(prefix string) (folder, error) {
	root, err := d.handle()
	if err != nil {
		return folder{}, err
	}
	if d.options.links == linksFollow && prefix != "" {
		linked, err := os.OpenRoot(d.native(prefix))
		if err != nil {
			return folder{}, err
		}
		return folder{linked, true}, nil
	}
	return walk(root, prefix, keepMissing)
}

// keepMissing is for walks that make nothing.
func keepMissing(*os.Root, string, string) error { return fs.ErrNotExist }

// makeFolder opens the directory of a prefix for writing key and makes what is missing of it.
func (d *disk) makeFolder(op, key, prefix string) (folder, error) {
	root, err := d.makeRoot()
	if err != nil {
		return folder{}, fail(op, key, err)
	}
	f, err := walk(root, prefix, func(parent *os.Root, name, made string) error {
		err := parent.Mkdir(name, 0o777)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		d.synced.forget(made)
		return nil
	})
	switch {
	case errors.Is(err, errNotDir):
		return folder{}, blocked(op, key, root, prefix, "a file")
	case errors.Is(err, errLink):
		return folder{}, blocked(op, key, root, prefix, "a symbolic link, which writes do not follow,")
	}
	return f, fail(op, key, err)
}

// blocked is the error of a key below something that is no directory.
func blocked(op, key string, root *os.Root, prefix, what string) error {
	at := prefix[:blockedAt(root, prefix)]
	return fault(store.Permanent, op, key, fmt.Sprintf("%q is %s at the destination, so nothing can be below it", at, what))
}

// blockedAt returns the length of the shortest prefix that is no directory.
func blockedAt(root *os.Root, prefix string) int {
	for i := range len(prefix) {
		if prefix[i] != '/' {
			continue
		}
		if info, err := root.Lstat(prefix[:i]); err != nil || !info.IsDir() {
			return i
		}
	}
	return len(prefix)
}

// walk goes down from root along a prefix. When a name does not exist, missing is asked, with the prefix up to and with
// that name; if it returns nil, the name is tried once more.
func walk(root *os.Root, prefix string, missing func(parent *os.Root, name, upTo string) error) (folder, error) {
	at := folder{Root: root}
	for done := 0; done < len(prefix); {
		name, _, _ := strings.Cut(prefix[done:], "/")
		done += len(name) + 1
		next, err := descend(at.Root, name)
		if isMissing(err) {
			if err = missing(at.Root, name, prefix[:done]); err == nil {
				next, err = descend(at.Root, name)
			}
		}
		at.close()
		if err != nil {
			return folder{}, err
		}
		at = folder{next, true}
	}
	return at, nil
}

// descend opens the directory name in parent and nothing else. os.Root alone would follow a link that stays inside the
// root, and a write would then change another key than its own.
func descend(parent *os.Root, name string) (*os.Root, error) {
	before, err := parent.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, errLink
	case !before.IsDir():
		return nil, errNotDir
	}
	child, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := child.Lstat(".")
	if err == nil && !os.SameFile(before, after) {
		err = errLink
	}
	if err != nil {
		_ = child.Close()
		return nil, err
	}
	return child, nil
}

// native returns the path of a key or prefix for calls that follow links. It is used once the root is open.
func (d *disk) native(key string) string {
	return filepath.Join(d.base, filepath.FromSlash(key))
}
