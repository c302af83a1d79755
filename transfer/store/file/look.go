package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// errIsDir tells that a name is a directory, or a followed link to one: no object.
var errIsDir = errors.New("a directory")

// look describes the file name in dir, which is key, by the rule for symbolic links.
func (d *disk) look(dir *os.Root, key, name string) (store.Object, fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return store.Object{}, nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return d.lookLink(dir, key, name, info)
	}
	return describeFile(key, info)
}

func (d *disk) lookLink(dir *os.Root, key, name string, info fs.FileInfo) (store.Object, fs.FileInfo, error) {
	switch d.options.links {
	case linksKeep:
		target, err := dir.Readlink(name)
		if err != nil {
			return store.Object{}, info, err
		}
		return store.Object{Key: key, Kind: store.KindSymlink, ModTime: info.ModTime().UTC(), Target: target, Written: changeTime(info)},
			info, nil
	case linksFollow:
		target, err := os.Stat(d.native(key))
		switch {
		case isAbsent(err):
			return skipped(key, info, "broken symlink"), info, nil
		case errors.Is(err, syscall.ELOOP):
			return skipped(key, info, "symlink loop"), info, nil
		case err != nil:
			return store.Object{}, info, err
		}
		return describeFile(key, target)
	}
	return skipped(key, info, "symlink"), info, nil
}

// describeFile describes what is no symbolic link.
func describeFile(key string, info fs.FileInfo) (store.Object, fs.FileInfo, error) {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return store.Object{Key: key, Size: info.Size(), ModTime: info.ModTime().UTC(), Written: changeTime(info)}, info, nil
	case mode.IsDir():
		return store.Object{}, info, errIsDir
	case mode&fs.ModeSocket != 0:
		return skipped(key, info, "socket"), info, nil
	case mode&fs.ModeNamedPipe != 0:
		return skipped(key, info, "pipe"), info, nil
	case mode&fs.ModeDevice != 0:
		return skipped(key, info, "device"), info, nil
	}
	return skipped(key, info, "not a regular file"), info, nil
}

// Stat describes one file, link or special file, or with a key that ends in "/" one directory. On a source only an empty
// directory can be described: one with files in it is no object of its own.
func (d *disk) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := stopped(ctx, "stat", key); err != nil {
		return store.Object{}, err
	}
	return d.stat("stat", key)
}

func (d *disk) stat(op, key string) (store.Object, error) {
	if strings.HasSuffix(key, "/") {
		return d.statDir(op, key)
	}
	dir, name, err := d.find(op, key)
	if err != nil {
		return store.Object{}, err
	}
	defer dir.close()
	o, _, err := d.look(dir.Root, key, name)
	if isAbsent(err) || errors.Is(err, errIsDir) {
		return store.Object{}, notFound(op, key)
	}
	o.Key, o.Meta = key, &store.Metadata{}
	return o, fail(op, key, err)
}

func (d *disk) statDir(op, key string) (store.Object, error) {
	if err := d.checkKey(op, key, true); err != nil {
		return store.Object{}, err
	}
	if d.single != nil {
		return store.Object{}, notFound(op, key)
	}
	dir, err := d.openFolder(key)
	if isAbsent(err) || errors.Is(err, errLink) {
		return store.Object{}, notFound(op, key)
	}
	if err != nil {
		return store.Object{}, fail(op, key, err)
	}
	defer dir.close()
	info, err := dir.Lstat(".")
	if err == nil && d.role == store.RoleSource {
		err = d.provedEmpty(op, key, dir)
	}
	if err != nil {
		return store.Object{}, fail(op, key, err)
	}
	o := directory(key, info)
	o.Meta = &store.Metadata{}
	return o, nil
}

// provedEmpty refuses a source directory that holds something. It may have been unreadable when it was listed; to take
// it for a mere marker now would lose what it holds without a word.
func (d *disk) provedEmpty(op, key string, dir folder) error {
	f, err := openNames(dir.Root)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	switch {
	case errors.Is(err, io.EOF) && !d.options.emptyDirs:
		return notFound(op, key)
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return &store.Error{Op: op, Key: key, Class: store.Permanent, Err: errors.New("the directory is not empty and has not been listed"),
		Hint: "run the job again to list it"}
}

// find opens the directory of a key that is no marker and returns its name in there.
func (d *disk) find(op, key string) (folder, string, error) {
	if err := d.checkKey(op, key, false); err != nil {
		return folder{}, "", err
	}
	prefix, name := splitKey(key)
	if d.single != nil {
		if key != d.single.key {
			return folder{}, "", notFound(op, key)
		}
		name = d.single.name
	}
	dir, err := d.openFolder(prefix)
	switch {
	case err == nil:
		return dir, name, nil
	case prefix == "":
		return folder{}, "", d.rootError(op, err)
	case isAbsent(err), errors.Is(err, errLink):
		return folder{}, "", notFound(op, key)
	}
	return folder{}, "", fail(op, key, err)
}

func notFound(op, key string) error { return fault(store.NotFound, op, key, "no such file") }
