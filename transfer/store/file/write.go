package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// createAttempts bounds how often a temporary file is tried when its name is taken or its directory vanishes.
const createAttempts = 5

// writable refuses what may not be written: anything on a source, and keys that cannot be.
func (d *disk) writable(ctx context.Context, op, key string, dir bool) error {
	if d.role == store.RoleSource {
		return fault(store.Permanent, op, key, "the store is open as a source")
	}
	if err := d.checkKey(op, key, dir); err != nil {
		return err
	}
	_, name := splitKey(strings.TrimSuffix(key, "/"))
	if _, ours := d.tempTask(name); ours {
		return fault(store.Permanent, op, key, "the name is kept for temporary files of this job")
	}
	return stopped(ctx, op, key)
}

// Put writes a file, a symbolic link or a directory. The object's name is durable only after Flush. Of the conditions
// only Absent is honoured: a file that came to be meanwhile is left alone, an error of class Precondition.
func (d *disk) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	if err := d.writable(ctx, "put", key, opts.Kind == store.KindDir); err != nil {
		return store.Object{}, err
	}
	switch opts.Kind {
	case store.KindObject:
		return d.putFile(ctx, key, body, opts)
	case store.KindDir:
		return d.putDir(ctx, key, opts)
	case store.KindSymlink:
		return d.putLink(ctx, key, opts)
	}
	return store.Object{}, fault(store.Permanent, "put", key, "an object of this kind cannot be written")
}

func (d *disk) putFile(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	t, err := d.createTemp("put", key, opts.Task)
	if err != nil {
		return store.Object{}, err
	}
	defer t.discard()
	if err := d.copyBody(ctx, t.f, key, body); err != nil {
		return store.Object{}, err
	}
	return t.commit(ctx, opts)
}

// putDir makes a directory, or lets one be that is there.
func (d *disk) putDir(ctx context.Context, key string, opts store.PutOptions) (store.Object, error) {
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return store.Object{}, fmt.Errorf("put %q: %w", key, err)
		}
	}
	if err := stopped(ctx, "put", key); err != nil {
		return store.Object{}, err
	}
	dir, err := d.makeFolder("put", key, key)
	if err != nil {
		return store.Object{}, err
	}
	defer dir.close()
	if !opts.ModTime.IsZero() {
		if err := dir.Chtimes(".", time.Time{}, opts.ModTime); err != nil {
			return store.Object{}, fail("put", key, err)
		}
	}
	info, err := dir.Lstat(".")
	if err != nil {
		return store.Object{}, fail("put", key, err)
	}
	return directory(key, info), nil
}

// putLink makes a symbolic link. It may point anywhere: nothing is ever written through it.
func (d *disk) putLink(ctx context.Context, key string, opts store.PutOptions) (store.Object, error) {
	if opts.Target == "" || strings.Contains(opts.Target, "\x00") {
		return store.Object{}, fault(store.Permanent, "put", key, "the target of the symbolic link is empty or holds a NUL byte")
	}
	t, err := d.newTemp("put", key, opts.Task, func(dir *os.Root, name string) (*os.File, error) {
		return nil, dir.Symlink(opts.Target, name)
	})
	if err != nil {
		return store.Object{}, err
	}
	defer t.discard()
	if !opts.ModTime.IsZero() {
		if err := setLinkTime(t.dir.Root, t.name, opts.ModTime); err != nil {
			return store.Object{}, fail("put", key, err)
		}
	}
	info, err := t.dir.Lstat(t.name)
	if err != nil {
		return store.Object{}, fail("put", key, err)
	}
	if err := t.publish(ctx, opts); err != nil {
		return store.Object{}, err
	}
	return store.Object{Key: key, Kind: store.KindSymlink, ModTime: info.ModTime().UTC(), Target: opts.Target}, nil
}

// copyBody writes exactly the bytes that the body announces.
func (d *disk) copyBody(ctx context.Context, f *os.File, key string, body store.Body) error {
	switch {
	case body.Bytes != nil && int64(len(body.Bytes)) != body.Size:
		return wrongSize(key, fmt.Sprintf("%d bytes", len(body.Bytes)), body.Size)
	case body.Bytes != nil:
		return writeAll(ctx, f, key, body.Bytes)
	case body.Reader == nil && body.Size != 0:
		return wrongSize(key, "no bytes", body.Size)
	case body.Reader == nil:
		return nil
	}
	return d.copyStream(ctx, f, key, body.Reader, body.Size)
}

// copyStream fills whole buffers before it writes, whatever pieces the reader gives.
func (d *disk) copyStream(ctx context.Context, f *os.File, key string, r io.Reader, size int64) error {
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	for left := size; left > 0; {
		chunk := (*buf)[:min(left, bufferSize)]
		n, err := io.ReadFull(r, chunk)
		left -= int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return wrongSize(key, fmt.Sprintf("%d bytes", size-left), size)
		case err != nil:
			return fmt.Errorf("read what to write to %q: %w", key, err)
		}
		if err := writeAll(ctx, f, key, chunk); err != nil {
			return err
		}
	}
	n, err := io.ReadFull(r, (*buf)[:1])
	switch {
	case n > 0:
		return wrongSize(key, "more bytes", size)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read what to write to %q: %w", key, err)
	}
	return nil
}

// writeAll writes in pieces of bufferSize, so that a cancelled ctx stops a large write.
func writeAll(ctx context.Context, f *os.File, key string, p []byte) error {
	for len(p) > 0 {
		if err := stopped(ctx, "put", key); err != nil {
			return err
		}
		n := min(len(p), bufferSize)
		if _, err := f.Write(p[:n]); err != nil {
			return fail("put", key, err)
		}
		p = p[n:]
	}
	return nil
}

func wrongSize(key, got string, want int64) error {
	return fault(store.Mismatch, "put", key, fmt.Sprintf("the body has %s, announced were %d", got, want))
}

// Delete removes a file or a link, or with a key that ends in "/" an empty directory.
func (d *disk) Delete(ctx context.Context, key string) error {
	marker := strings.HasSuffix(key, "/")
	if err := d.writable(ctx, "delete", key, marker); err != nil {
		return err
	}
	prefix, name := splitKey(strings.TrimSuffix(key, "/"))
	root, err := d.handle()
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fail("delete", key, err)
	}
	dir, err := walk(root, prefix, keepMissing)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return fail("delete", key, err)
	}
	defer dir.close()
	info, err := dir.Lstat(name)
	if isMissing(err) || err == nil && info.IsDir() != marker {
		return nil
	}
	if err == nil {
		err = dir.Remove(name)
	}
	if isMissing(err) {
		return nil
	}
	return fail("delete", key, err)
}
