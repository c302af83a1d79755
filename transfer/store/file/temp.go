package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// temp is a temporary file or link beside its target. It ends in commit, publish or discard.
type temp struct {
	d         *disk
	op, key   string
	dir       folder
	base      string   // the target's name
	name      string   // "" once it is gone: renamed or removed
	f         *os.File // nil for links, and once closed
	discarded bool
}

// createTemp makes an empty temporary file for a key, and the directories above it.
func (d *disk) createTemp(op, key string, task uint64) (*temp, error) {
	return d.newTemp(op, key, task, func(dir *os.Root, name string) (*os.File, error) {
		return dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	})
}

// newTemp finds a name that is free. A name may be taken by a dead owner, and a directory may be removed by others
// between opening it and using it.
func (d *disk) newTemp(op, key string, task uint64, create func(dir *os.Root, name string) (*os.File, error)) (*temp, error) {
	prefix, base := splitKey(key)
	var err error
	for range createAttempts {
		var dir folder
		if dir, err = d.makeFolder(op, key, prefix); isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		name := d.tempName(task)
		var f *os.File
		if f, err = create(dir.Root, name); err == nil {
			return &temp{d: d, op: op, key: key, dir: dir, base: base, name: name, f: f}, nil
		}
		dir.close()
		if !isMissing(err) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if isMissing(err) {
		return nil, fault(store.Transient, op, key, "the directory is removed again and again")
	}
	return nil, fail(op, key, err)
}

// commit gives the file its time, makes it durable and lets it take its place.
func (t *temp) commit(ctx context.Context, opts store.PutOptions) (store.Object, error) {
	if err := stopped(ctx, t.op, t.key); err != nil {
		return store.Object{}, err
	}
	info, err := t.finish(opts.ModTime)
	if err != nil {
		return store.Object{}, fail(t.op, t.key, err)
	}
	if err := t.publish(ctx, opts); err != nil {
		return store.Object{}, err
	}
	return store.Object{Key: t.key, Size: info.Size(), ModTime: info.ModTime().UTC(), Written: changeTime(info)}, nil
}

// finish sets the time, syncs and closes the file. A failed close is a failed write: some file systems tell only then.
//
// Each file is synced by itself: the kernel groups the journal commits of writers that wait. Measured on ext4 with 64
// writers of 4 KiB files: 6,000 to 6,600 files a second so, 2,400 to 5,400 with one syncfs for all that wait (which also
// waits for what other processes wrote), 7,300 to 8,300 without any sync.
func (t *temp) finish(mtime time.Time) (fs.FileInfo, error) {
	if !mtime.IsZero() {
		if err := t.dir.Chtimes(t.name, time.Time{}, mtime); err != nil {
			return nil, err
		}
	}
	if err := t.f.Sync(); err != nil {
		return nil, err
	}
	info, err := t.f.Stat()
	if err != nil {
		return nil, err
	}
	f := t.f
	t.f = nil
	return info, f.Close()
}

// publish renames the temporary file to its target, under the condition of the options.
func (t *temp) publish(ctx context.Context, opts store.PutOptions) error {
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return fmt.Errorf("%s %q: %w", t.op, t.key, err)
		}
	}
	if err := stopped(ctx, t.op, t.key); err != nil {
		return err
	}
	var err error
	if opts.Condition.Absent {
		err = t.renameNew()
	} else {
		err = t.dir.Rename(t.name, t.base)
	}
	if err == nil {
		t.name = ""
		return nil
	}
	if info, lookErr := t.dir.Lstat(t.base); lookErr == nil && info.IsDir() {
		return fault(store.Permanent, t.op, t.key, fmt.Sprintf("%q is a directory at the destination, so no file %q can be there",
			t.key+"/", t.key))
	}
	return fail(t.op, t.key, err)
}

// renameNew renames only if the target does not exist: by one system call where there is one.
func (t *temp) renameNew() error {
	if supported, err := renameNew(t.dir.Root, t.name, t.base); supported {
		return err
	}
	return t.linkNew()
}

// linkNew does the same by a hard link, or, where the file system has no hard links, after a look, which is not atomic.
func (t *temp) linkNew() error {
	err := t.dir.Link(t.name, t.base)
	if err == nil {
		return t.dir.Remove(t.name)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := t.dir.Lstat(t.base); !isMissing(err) {
		if err == nil {
			err = fs.ErrExist
		}
		return err
	}
	return t.dir.Rename(t.name, t.base)
}

// discard ends the use of the temporary file and removes it, unless it has been renamed.
func (t *temp) discard() {
	if t.discarded {
		return
	}
	t.discarded = true
	if t.f != nil {
		_ = t.f.Close() // its content is thrown away
	}
	if t.name != "" {
		// What cannot be removed now is found by RemoveTemp: the error that led here matters more.
		_ = t.dir.Remove(t.name)
	}
	t.dir.close()
}
