package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// readAhead is from how many bytes on a read is announced to the kernel as sequential.
const readAhead = 1 << 20

// openAttempts bounds how often a file that is replaced while it is being opened is opened anew.
const openAttempts = 3

// Open reads a range of one regular file. Files have no ETag: a read with IfMatch set is always refused.
func (d *disk) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	if err := stopped(ctx, "open", key); err != nil {
		return nil, store.Object{}, err
	}
	if opts.IfMatch != "" {
		return nil, store.Object{}, fault(store.Precondition, "open", key, "files have no ETag to match")
	}
	dir, name, err := d.find("open", key)
	if err != nil {
		return nil, store.Object{}, err
	}
	defer dir.close()
	f, info, err := d.openFile(dir, key, name)
	switch {
	case isAbsent(err), errors.Is(err, errIsDir):
		return nil, store.Object{}, notFound("open", key)
	case err != nil:
		return nil, store.Object{}, fail("open", key, err)
	}
	body, err := d.section(ctx, f, key, info.Size(), opts)
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, store.Object{}, err
	}
	o, _, err := describeFile(key, info)
	o.Meta = &store.Metadata{}
	return body, o, err
}

// openFile opens a regular file and proves that it is the one that was looked at: no link, no pipe put in its place.
func (d *disk) openFile(dir folder, key, name string) (*os.File, fs.FileInfo, error) {
	for range openAttempts {
		before, err := d.lookBefore(dir, key, name)
		if err != nil {
			return nil, nil, err
		}
		var f *os.File
		if d.options.links == linksFollow {
			f, err = os.OpenFile(d.native(key), os.O_RDONLY|openNonblock, 0)
		} else {
			f, err = dir.OpenFile(name, os.O_RDONLY|openNonblock, 0)
		}
		if err != nil {
			return nil, nil, err
		}
		after, err := f.Stat()
		if err == nil && os.SameFile(before, after) {
			return f, after, nil
		}
		_ = f.Close() // nothing was read
		if err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fault(store.Transient, "open", key, "the file is being replaced again and again")
}

func (d *disk) lookBefore(dir folder, key, name string) (fs.FileInfo, error) {
	o, info, err := d.look(dir.Root, key, name)
	switch {
	case err != nil:
		return nil, err
	case o.Kind == store.KindSymlink:
		return nil, fault(store.Permanent, "open", key, "a symbolic link has no content")
	case o.Kind != store.KindObject:
		return nil, fault(store.Permanent, "open", key, "cannot be read: "+o.Reason)
	}
	return info, nil
}

// section limits f to the wanted range.
func (d *disk) section(ctx context.Context, f *os.File, key string, size int64, opts store.OpenOptions) (io.ReadCloser, error) {
	if opts.Offset < 0 || opts.Offset > size {
		return nil, fault(store.Changed, "open", key, "the range begins behind the end of the file")
	}
	if opts.Offset > 0 {
		if _, err := f.Seek(opts.Offset, io.SeekStart); err != nil {
			return nil, fail("open", key, err)
		}
	}
	length := opts.Length
	if length < 0 || length > size-opts.Offset {
		length = size - opts.Offset
	}
	if length > readAhead {
		adviseSequential(f, opts.Offset, length)
	}
	r := &reader{ctx: ctx, f: f, key: key, left: opts.Length}
	if opts.Length < 0 {
		r.left = -1
	}
	return r, nil
}

// reader reads up to left bytes, or to the end where left is negative, until ctx is over.
type reader struct {
	ctx  context.Context
	f    *os.File
	key  string
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	if err := stopped(r.ctx, "read", r.key); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.left > 0 && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.f.Read(p)
	if r.left > 0 {
		r.left -= int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fail("read", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error { return fail("close", r.key, r.f.Close()) }
