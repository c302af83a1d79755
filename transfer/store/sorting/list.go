package sorting

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// pageSize is how many objects a page has at most where the caller does not say.
const pageSize = 1000

// Listing is what a provider brings whose server lists in no order that can be relied on.
type Listing struct {
	// Read passes everything under the store's root to emit, in any order, each key once, and one after the other. It ends with
	// emit's error where there is one. It is called until it returns nil once.
	Read func(ctx context.Context, emit func(store.Object) error) error
	// Resumes says that Read, called again after an error, goes on behind what it has emitted. Without it, it starts again at the
	// beginning, and what it had emitted is forgotten.
	Resumes bool
	// Limit is the memory for sorting in bytes, see New; 0 is DefaultLimit.
	Limit int
}

// List starts a listing that reads everything once, at the first Next, and has what lies between the bounds of opts sorted by the
// bytes of the keys. Sorted runs take room in TMPDIR, about 100 bytes and the key for each object (twice that for more than FanIn
// times the limit). A key that comes twice ends the listing: it cannot be trusted.
func (g *Listing) List(opts store.ListOptions) store.Lister {
	l := &lister{g: g, opts: opts, page: pageSize}
	if opts.Page > 0 {
		l.page = min(opts.Page, pageSize)
	}
	return l
}

// lister is one listing.
type lister struct {
	g      *Listing
	opts   store.ListOptions
	page   int
	closed atomic.Bool // Close was called

	stop   sync.Mutex         // guards cancel only: Close stops a Next that runs
	cancel context.CancelFunc // of the reading under way

	mu      sync.Mutex // held by Next
	sorter  *Sorter
	sorted  *Sorted
	record  []byte // reused
	last    string
	hasLast bool
	err     error // final
}

// Resumes tells that Next may be called again after an error that may pass.
func (l *lister) Resumes() bool { return l.g.Resumes }

// Next implements store.Lister.
func (l *lister) Next(ctx context.Context) ([]store.Object, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed.Load():
		l.release()
		return nil, io.EOF
	case l.err != nil:
		return nil, l.err
	case ctx.Err() != nil:
		return nil, &store.Error{Op: "list", Class: store.Canceled, Err: context.Cause(ctx)}
	}
	if l.sorted == nil {
		if err := l.read(ctx); err != nil {
			return nil, err
		}
	}
	page, err := l.fill()
	if err == nil && len(page) == 0 {
		err = io.EOF
	}
	if err != nil {
		l.err = err
		l.release()
		return nil, err
	}
	return page, nil
}

// Close implements store.Lister.
func (l *lister) Close() error {
	l.closed.Store(true)
	l.stop.Lock()
	if l.cancel != nil {
		l.cancel()
	}
	l.stop.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	return nil
}

// release frees memory and disk.
func (l *lister) release() {
	if l.sorter != nil {
		l.sorter.Discard()
	}
	if l.sorted != nil {
		l.sorted.Close()
	}
	l.sorter, l.sorted = nil, nil
}

// read reads everything and sorts it.
func (l *lister) read(ctx context.Context) error {
	ctx, done := l.stoppable(ctx)
	defer done()
	if l.sorter == nil {
		l.sorter = New(l.limit())
	}
	for {
		before := l.sorter.Len()
		err := l.g.Read(ctx, l.take)
		if err == nil {
			break
		}
		// One failure behind some progress costs no more than the request that failed. Only what fails at once again is the
		// caller's, who waits before it tries: a listing of millions has more failures than one call may be retried.
		if l.g.Resumes && store.Retryable(err) && l.sorter.Len() > before && ctx.Err() == nil {
			continue
		}
		if !l.g.Resumes || !store.Retryable(err) {
			l.release()
		}
		return err
	}
	sorted, err := l.sorter.Sorted(ctx)
	if err != nil {
		l.release()
		return err
	}
	l.sorter, l.sorted = nil, sorted
	return nil
}

func (l *lister) limit() int {
	if l.g.Limit > 0 {
		return l.g.Limit
	}
	return DefaultLimit
}

// stoppable makes a ctx that Close ends, too.
func (l *lister) stoppable(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	l.stop.Lock()
	l.cancel = cancel
	l.stop.Unlock()
	if l.closed.Load() {
		cancel()
	}
	return ctx, func() {
		l.stop.Lock()
		l.cancel = nil
		l.stop.Unlock()
		cancel()
	}
}

// take sorts one object in.
func (l *lister) take(o store.Object) error {
	if o.Key < l.opts.From || l.opts.To != "" && o.Key >= l.opts.To {
		return nil
	}
	l.record = appendObject(l.record[:0], &o)
	return l.sorter.Add(o.Key, l.record)
}

// fill collects a page.
func (l *lister) fill() ([]store.Object, error) {
	page := make([]store.Object, 0, min(l.page, 64))
	for len(page) < l.page {
		key, value, ok, err := l.sorted.Peek()
		if err != nil {
			return nil, err
		}
		if !ok {
			return page, nil
		}
		if l.hasLast && key == l.last {
			return nil, Twice(key)
		}
		o, err := decodeObject(key, value)
		if err != nil {
			return nil, err
		}
		l.sorted.Take()
		l.last, l.hasLast = key, true
		page = append(page, o)
	}
	return page, nil
}

// Twice is the error of a listing that names one key more than once: keys of it may be missing for that, so nothing of it counts.
func Twice(key string) error {
	const longest = 200
	if len(key) > longest {
		key = key[:longest] + "..."
	}
	return &store.Error{Op: "list", Class: store.Permanent, Hint: "this listing cannot be trusted",
		Err: fmt.Errorf("the listing has key %q twice", key)}
}
