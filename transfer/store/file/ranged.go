package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// ranged is one file being written by ranges.
type ranged struct {
	t    *temp
	size int64
	opts store.PutOptions

	mu    sync.RWMutex // written to by Commit and Abort: no WriteAt runs meanwhile
	over  bool
	parts coverage
}

// CreateRanged prepares a file of size bytes. Its space is reserved at once, so that a full disk shows here.
func (d *disk) CreateRanged(ctx context.Context, key string, size int64, opts store.PutOptions) (store.Ranged, error) {
	if err := d.writable(ctx, "put", key, false); err != nil {
		return nil, err
	}
	if size < 0 || opts.Kind != store.KindObject {
		return nil, fault(store.Permanent, "put", key, "only files of a known size are written by ranges")
	}
	t, err := d.createTemp("put", key, opts.Task)
	if err != nil {
		return nil, err
	}
	if err := allocate(t.f, size); err != nil {
		t.discard()
		return nil, fail("put", key, err)
	}
	return &ranged{t: t, size: size, opts: opts}, nil
}

// WriteAt writes a range; ranges may be written in any order, at the same time, and again.
func (r *ranged) WriteAt(p []byte, off int64) (int, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.over {
		return 0, fail("put", r.t.key, fs.ErrClosed)
	}
	if off < 0 || off > r.size || int64(len(p)) > r.size-off {
		return 0, wrongSize(r.t.key, fmt.Sprintf("a range at %d of %d bytes", off, len(p)), r.size)
	}
	n, err := r.t.f.WriteAt(p, off)
	r.parts.add(off, off+int64(n))
	return n, fail("put", r.t.key, err)
}

// Commit makes the file exist, durably, its name included. It fails if a byte was never written.
func (r *ranged) Commit(ctx context.Context) (store.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return store.Object{}, fail("put", r.t.key, fs.ErrClosed)
	}
	r.over = true
	defer r.t.discard()
	if gap, missing := r.parts.gap(r.size); missing {
		return store.Object{}, fault(store.Mismatch, "put", r.t.key, fmt.Sprintf("nothing was written at byte %d of %d", gap, r.size))
	}
	o, err := r.t.commit(ctx, r.opts)
	if err != nil {
		return store.Object{}, err
	}
	return o, r.t.d.Flush(ctx, []string{r.t.key})
}

// Abort removes what was written.
func (r *ranged) Abort() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil
	}
	r.over = true
	err := r.t.f.Close()
	r.t.f = nil
	if gone := r.t.dir.Remove(r.t.name); !isMissing(gone) {
		err = errors.Join(err, gone)
	}
	r.t.name = ""
	r.t.discard()
	return fail("abort", r.t.key, err)
}

// coverage is the set of bytes written, as ascending spans that do not touch.
type coverage struct {
	mu    sync.Mutex
	spans []span
}

type span struct{ from, to int64 }

// add joins [from, to) with the spans it touches.
func (c *coverage) add(from, to int64) {
	if from >= to {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.spans, from, func(s span, at int64) int {
		if s.to < at {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(c.spans) && c.spans[j].from <= to; j++ {
		from, to = min(from, c.spans[j].from), max(to, c.spans[j].to)
	}
	c.spans = slices.Replace(c.spans, i, j, span{from, to})
}

// gap returns the first byte below size that is not covered.
func (c *coverage) gap(size int64) (at int64, missing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size == 0 {
		return 0, false
	}
	if len(c.spans) == 0 || c.spans[0].from > 0 {
		return 0, true
	}
	return c.spans[0].to, c.spans[0].to < size
}
