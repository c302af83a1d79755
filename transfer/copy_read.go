package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// errBodyOver is what a body answers after its request has ended.
var errBodyOver = errors.New("the request that this body was for is over")

// sourceError is a failure at the source, so that it is not blamed on the destination. Its class is the cause's.
type sourceError struct{ err error }

// Error gives the cause.
func (e *sourceError) Error() string { return "source: " + e.err.Error() }

// Unwrap gives the cause.
func (e *sourceError) Unwrap() error { return e.err }

// atSource marks a failure as one of the source, unless it only ends the task.
func atSource(err error) error {
	if err == nil || isEnd(err) {
		return err
	}
	return &sourceError{err}
}

// pinned tells whether reads are of the version at hand or fail.
func (c *copier) pinned() bool { return c.job.Source.Abilities().Pinned && c.src.ETag != "" }

// openSource opens a range of the version at hand. A source that shows another version is an error of class Changed, one
// that is gone wraps errVanished.
func (c *copier) openSource(ctx context.Context, off, length int64) (io.ReadCloser, store.Object, error) {
	opts := store.OpenOptions{Offset: off, Length: length}
	if c.pinned() {
		opts.IfMatch = c.src.ETag
	}
	whole := off == 0 && length == c.src.Size
	if whole {
		opts.Length = -1
	}
	ended := c.n.began(c.job.Source, opGet)
	r, now, err := c.job.Source.Open(ctx, c.src.Name(), opts)
	switch store.ClassOf(ended(err)) {
	case "":
	case store.NotFound:
		return nil, now, atSource(fmt.Errorf("%w: %w", errVanished, err))
	case store.Precondition:
		return nil, now, c.changed(err)
	default:
		return nil, now, atSource(err)
	}
	if whole && now.Size < 0 { // not told before it is read to its end
		now.Size = c.src.Size
	}
	if (whole && now.Size != c.src.Size) || (!c.pinned() && !c.sameVersion(&now)) {
		return nil, now, errors.Join(c.changed(errors.New("another version than listed")), r.Close())
	}
	return r, now, nil
}

// changed is the error of a source that is no longer the version at hand.
func (c *copier) changed(err error) error {
	return atSource(&store.Error{Op: "read", Key: c.key, Class: store.Changed, Err: fmt.Errorf("the object changed: %w", err)})
}

// sameVersion tells whether a source object is the version at hand.
func (c *copier) sameVersion(now *store.Object) bool {
	if now.Size != c.src.Size || now.Kind != c.src.Kind || now.Target != c.src.Target {
		return false
	}
	if now.ETag != "" && c.src.ETag != "" {
		return now.ETag == c.src.ETag
	}
	ab := c.job.Source.Abilities()
	if ab.ExactModTime {
		return now.ModTime.Equal(c.src.ModTime)
	}
	return sameTime(now.ModTime, c.src.ModTime, ab.ModTimeUnit)
}

// statSource returns the source object as it is now.
func (c *copier) statSource(ctx context.Context) (store.Object, error) {
	now, err := c.n.statSource(ctx, c.job, &c.src, c.lease)
	if store.ClassOf(err) == store.NotFound {
		err = fmt.Errorf("%w: %w", errVanished, err)
	}
	return now, atSource(err)
}

// recheck proves that an unpinned source is still the version at hand, after it was read.
func (c *copier) recheck(ctx context.Context) error {
	if c.pinned() {
		return nil
	}
	now, err := c.statSource(ctx)
	if err != nil {
		return err
	}
	if !c.sameVersion(&now) {
		return c.changed(errors.New("size or time differ after reading"))
	}
	return nil
}

// learn adds to the version at hand what opening or looking at it told.
func (c *copier) learn(now *store.Object) {
	if now.Meta != nil {
		c.src.Meta = now.Meta
	}
	c.src.Sums = c.src.Sums.Merge(now.Sums)
	c.res.Source = c.src
}

// wrote counts bytes on their way to the destination.
func (c *copier) wrote(n int) {
	c.sent.Add(int64(n))
	c.n.wroteTo(c.job.Destination, n)
	c.job.Traffic.wrote(n)
	moved(c.lease, n)
}

// lookAtSource completes the version at hand by a Stat.
func (c *copier) lookAtSource(ctx context.Context) error {
	now, err := c.statSource(ctx)
	if err != nil {
		return err
	}
	if !c.sameVersion(&now) {
		return c.changed(errors.New("another version than listed"))
	}
	if now.Archived {
		if err := c.proveReadable(ctx); err != nil {
			return err
		}
	}
	c.learn(&now)
	return nil
}

// proveReadable reads the first byte of an object that its source calls archived: before an upload is begun for it. There are
// buckets whose archives can be read at once.
func (c *copier) proveReadable(ctx context.Context) error {
	r, _, err := c.openSource(ctx, 0, min(c.src.Size, 1))
	if err != nil {
		return err
	}
	return atSource(r.Close())
}

// body is a range of the source on its way to the destination. It is read once. After stop it answers errBodyOver and
// touches nothing: HTTP clients may read on for a moment after the request has ended.
type body struct {
	c   *copier
	ctx context.Context

	mu         sync.Mutex
	source     io.ReadCloser
	reader     io.Reader // source behind the fence
	left       int64     // bytes still to come from the source
	buf        []byte
	head, tail int
	hash       *hasher
	last       func(context.Context, store.Checksums) error // called before the last bytes are handed out
	err        error
}

// newBody takes a buffer of the node and then opens a range of the source, so that no connection waits for memory. last
// may be nil; an error of it keeps the last bytes back, so that the object does not come to be.
func (c *copier) newBody(ctx context.Context, off, length int64, want func(*store.Object) wanted,
	last func(context.Context, store.Checksums) error) (*body, error) {
	size := int(max(1, min(length, int64(c.n.Tuning.StreamBuffer))))
	buf, err := c.n.Memory.Get(ctx, size)
	if err != nil {
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	r, now, err := c.openSource(ctx, off, length)
	if err != nil {
		c.n.Memory.Put(buf)
		return nil, err
	}
	b := &body{c: c, ctx: ctx, source: r, reader: fencedReader{r, c.lease}, left: length, buf: buf, last: last}
	b.hash = newHasher(want(&now))
	return b, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(); err != nil {
		return 0, err
	}
	n := copy(p, b.buf[b.head:b.tail])
	b.head += n
	b.c.wrote(n)
	return n, nil
}

// chunk returns the next bytes, which are the caller's until the next call; io.EOF after the last.
func (b *body) chunk() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(); err != nil {
		return nil, err
	}
	p := b.buf[b.head:b.tail]
	b.head = b.tail
	return p, nil
}

// ready sees to it that there are bytes to hand out. b.mu is held.
func (b *body) ready() error {
	if b.err == nil {
		if err := b.c.lease.Check(); err != nil {
			b.err = canceled(err)
		}
	}
	if b.err != nil {
		return b.err
	}
	if b.head < b.tail {
		return nil
	}
	if b.left == 0 {
		return io.EOF
	}
	b.err = b.fill()
	return b.err
}

// fill reads the next piece of the source and hashes it; what comes last is checked first.
func (b *body) fill() error {
	b.head, b.tail = 0, 0
	piece := b.buf[:limiterOf(b.c.lease).piece(min(b.left, int64(len(b.buf))))]
	if err := pay(b.ctx, b.c.lease, int64(len(piece))); err != nil {
		return canceled(err)
	}
	n, err := io.ReadFull(b.reader, piece)
	b.c.n.readFrom(b.c.job.Source, n)
	b.c.job.Traffic.read(n)
	if err != nil {
		return b.c.readFailure(b.ctx, err)
	}
	b.hash.add(piece)
	b.left -= int64(n)
	if b.left == 0 && b.last != nil {
		if err := b.last(b.ctx, b.hash.sums()); err != nil {
			return err
		}
	}
	b.tail = n
	return nil
}

// readFailure explains a read that failed: an object that ended early may have changed.
func (c *copier) readFailure(ctx context.Context, err error) error {
	if errors.Is(err, ErrFenced) {
		return canceled(err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if changed := c.recheck(ctx); changed != nil {
			return changed
		}
		return atSource(&store.Error{Op: "read", Key: c.key, Class: store.Transient, Err: io.ErrUnexpectedEOF})
	}
	var known *store.Error
	if errors.As(err, &known) {
		return atSource(err)
	}
	return atSource(fmt.Errorf("read %q: %w", c.key, err))
}

// stop ends the body, gives its buffer back and returns the sums of what was read. failure is what kept it from handing
// out everything; it names the cause better than the error of the request it was for.
func (b *body) stop() (sums store.Checksums, failure error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.err, errBodyOver) {
		return store.Checksums{}, nil
	}
	failure = b.err
	b.err = errBodyOver
	b.c.n.Memory.Put(b.buf)
	b.buf = nil
	if err := b.source.Close(); err != nil && failure == nil && b.left > 0 {
		failure = atSource(fmt.Errorf("close %q: %w", b.c.key, err))
	}
	return b.hash.sums(), failure
}

// whole tells whether everything was handed out.
func (b *body) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left == 0 && b.head == b.tail
}
