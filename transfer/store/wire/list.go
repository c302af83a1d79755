package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/sorting"
)

// MaxEmptyPages is how many pages without a key may follow each other before a listing is distrusted.
const MaxEmptyPages = 1000

// Listing is what a provider brings to a Lister.
type Listing struct {
	Prefix   string // of all keys; "" or ending in "/"
	PageSize int    // keys a page at most
	// Skips: a listing may begin before its bound, at any key: with the one that is asked for, or with the first of all. What lies
	// before the bound is left out, and as many pages as that takes are read, large ones.
	Skips bool
	// Fetch gets one page of at most keys entries: that of the token, else the first behind the key after.
	Fetch func(ctx context.Context, token, after string, keys int) (*Page, error)
	// Object describes an entry, given its relative key.
	Object func(key string, e *Entry) (store.Object, error)
	// Wrap classifies whatever the listing failed with.
	Wrap func(ctx context.Context, err error) error
	// Order is what the location says of the server's listings.
	Order ListOrder
}

// List starts a listing.
func (g *Listing) List(opts store.ListOptions) store.Lister {
	if g.Order == ListNone {
		return g.sorted(opts)
	}
	l := &lister{g: g, opts: opts, size: g.PageSize}
	if opts.Page > 0 {
		l.size = min(opts.Page, g.PageSize)
	}
	if after, ok := store.After(opts.From); ok {
		after = validPrefix(after)
		l.after = g.Prefix + after
		if l.floor, l.hasFloor = after, g.Skips; !g.Skips {
			l.last, l.hasLast = after, true
		}
	}
	if opts.First > 0 {
		l.next = min(opts.First, l.size)
	} else {
		l.next = l.size
	}
	return l
}

// sorted starts a listing that takes the server's pages as they come and sorts what is in them.
func (g *Listing) sorted(opts store.ListOptions) store.Lister {
	l := &lister{g: g, size: g.PageSize, next: g.PageSize, anyOrder: true}
	all := sorting.Listing{Resumes: true, Read: l.readAll}
	return all.List(opts)
}

// readAll passes on all that is not passed on yet.
func (l *lister) readAll(ctx context.Context, emit func(store.Object) error) error {
	for {
		page, err := l.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range page {
			if err := emit(page[i]); err != nil {
				l.stop()
				return err
			}
		}
	}
}

// validPrefix cuts a key before its first byte that is not UTF-8, which a request cannot carry: a listing from there begins
// early, by keys below the bound that the caller leaves out.
func validPrefix(key string) string {
	for i, r := range key {
		if r == utf8.RuneError && !strings.HasPrefix(key[i:], string(utf8.RuneError)) {
			return key[:i]
		}
	}
	return key
}

// lister reads pages in order, one ahead of the caller.
type lister struct {
	g     *Listing
	opts  store.ListOptions
	size  int
	next  int    // keys to ask for next
	asked int    // keys that the page at hand was asked for
	after string // full key to start behind, where there is no token
	token string // of the next page

	last     string // key before the next one, relative
	hasLast  bool
	floor    string // keys up to here are left out, relative
	hasFloor bool
	skipped  bool           // a page was read that did not reach beyond the floor
	rest     []store.Object // of a page that was larger than what was asked for
	// anyOrder: keys may come in any order. What tells a listing that goes round in circles is seen then.
	anyOrder bool
	seen     circle
	ended    bool
	closed   bool
	broken   error // final: the listing is not to be believed

	ahead *fetch // the page under way, if any
}

// fetch is one page being fetched in a goroutine that the lister waits for.
type fetch struct {
	cancel context.CancelFunc
	done   chan struct{}
	page   *Page
	err    error
}

// Next implements store.Lister. After an error that may pass, it asks for the same page again.
func (l *lister) Next(ctx context.Context) ([]store.Object, error) {
	for empty := 0; empty < MaxEmptyPages; {
		switch {
		case l.broken != nil:
			return nil, l.broken
		case l.closed, l.ended && len(l.rest) == 0:
			return nil, io.EOF
		case ctx.Err() != nil:
			return nil, l.g.Wrap(ctx, ctx.Err())
		case len(l.rest) > 0:
			return l.cut(nil), nil
		}
		page, err := l.page(ctx)
		if err != nil {
			return nil, l.g.Wrap(ctx, err)
		}
		objects, err := l.accept(page)
		if err != nil {
			l.broken = l.g.distrust(err)
			return nil, l.broken
		}
		if !l.ended && l.opts.Page == 0 { // whoever wants small pages looks for a key, and seldom for more
			l.start(ctx)
		}
		if len(objects) > 0 {
			return l.cut(objects), nil
		}
		if len(page.Entries) == 0 {
			empty++
		}
	}
	l.stop()
	l.broken = &store.Error{Op: "list", Class: store.Permanent, Err: fmt.Errorf("listing gave %d empty pages in a row", MaxEmptyPages)}
	return nil, l.broken
}

// cut gives what is left, then objects, no more at once than a page.
func (l *lister) cut(objects []store.Object) []store.Object {
	if objects == nil {
		objects, l.rest = l.rest, nil
	}
	if l.opts.Page > 0 && len(objects) > l.size {
		objects, l.rest = objects[:l.size:l.size], objects[l.size:]
	}
	return objects
}

// page waits for the page under way, or starts it.
func (l *lister) page(ctx context.Context) (*Page, error) {
	if l.ahead == nil {
		l.start(ctx)
	}
	f := l.ahead
	select {
	case <-f.done:
	case <-ctx.Done():
		l.stop()
		return nil, ctx.Err()
	}
	l.ahead = nil
	f.cancel()
	return f.page, f.err
}

// start fetches the next page. The fetch outlives the call of Next that started it, so it ends with the lister or its
// own time limits, not with that call's ctx.
func (l *lister) start(ctx context.Context) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &fetch{cancel: cancel, done: make(chan struct{})}
	l.ahead = f
	token, after, keys := l.token, l.after, l.next
	switch l.next = l.size; {
	case !l.hasFloor:
	case l.skipped:
		keys = l.g.PageSize
	default:
		keys = min(keys+1, l.g.PageSize) // the bound itself may come first
	}
	l.asked = keys
	go func() {
		defer close(f.done)
		f.page, f.err = l.g.Fetch(own, token, after, keys)
	}()
}

// ReadPage reads the answer to a request for a page, and closes it.
func ReadPage(resp *http.Response) (*Page, error) {
	data, err := ReadDocument(resp)
	if err != nil {
		return nil, err
	}
	return ParseListing(data)
}

// stop ends the fetch under way and waits for it.
func (l *lister) stop() {
	if l.ahead != nil {
		l.ahead.cancel()
		<-l.ahead.done
		l.ahead = nil
	}
}

// Close implements store.Lister.
func (l *lister) Close() error {
	l.closed = true
	l.stop()
	return nil
}

// errOrder marks what is wrong with the order alone.
type errOrder struct{ key, after string }

func (e errOrder) Error() string {
	return fmt.Sprintf("key %q after %q", Clip(e.key, 200), Clip(e.after, 200))
}

// distrust is the error of a listing that is not to be believed.
func (g *Listing) distrust(cause error) error {
	e := &store.Error{Op: "list", Class: store.Permanent, Hint: "this listing cannot be trusted", Err: fmt.Errorf("listing out of order: %w", cause)}
	if order := (errOrder{}); g.Order == ListBytes && errors.As(cause, &order) && order.key != order.after {
		e.Hint += "; if it is whole and only sorted otherwise, set " + OptionListOrder + "=" + string(ListNone) + " in the URL: it is then read whole and sorted here"
	}
	return e
}

// accept checks a page and moves on to the next.
func (l *lister) accept(page *Page) ([]store.Object, error) {
	if err := page.complete(); err != nil {
		return nil, err
	}
	objects := make([]store.Object, 0, len(page.Entries))
	for i := range page.Entries {
		o, err := l.object(&page.Entries[i], page.Encoding == "url")
		if err != nil {
			return nil, err
		}
		if l.hasLast && o.Key <= l.last && !l.anyOrder {
			return nil, errOrder{o.Key, l.last}
		}
		l.last, l.hasLast = o.Key, true
		if l.opts.To != "" && o.Key >= l.opts.To {
			l.ended = true
			return objects, nil
		}
		if l.hasFloor && o.Key <= l.floor {
			continue
		}
		objects = append(objects, o)
	}
	if l.hasFloor {
		l.skipped = len(objects) == 0
		l.hasFloor = l.skipped
	}
	return objects, l.advance(page)
}

// advance finds out whether there is a next page.
func (l *lister) advance(page *Page) error {
	if page.Truncated != "true" {
		l.end(page)
		return nil
	}
	if page.Token == "" {
		return errors.New("more keys announced, but no continuation token")
	}
	if page.Token == l.token {
		return errors.New("the continuation token repeats")
	}
	if l.anyOrder {
		if err := l.seen.pass(page); err != nil {
			return err
		}
	}
	l.token = page.Token
	return nil
}

// end ends the listing, unless more may follow all the same: the page is full, has a token, or whoever lists wants to be sure. Then
// what is behind its last key is asked for: a server that ends its listing too soon would have all that is there lost. Where keys
// have no order, or the server may begin elsewhere, nobody can ask so.
func (l *lister) end(page *Page) {
	suspect := l.opts.Whole || page.Token != "" || len(page.Entries) >= l.asked
	if !suspect || l.anyOrder || l.g.Skips || len(page.Entries) == 0 {
		l.ended = true
		return
	}
	l.token, l.after = "", l.g.Prefix+l.last
}

// object reads one entry.
func (l *lister) object(e *Entry, decode bool) (store.Object, error) {
	key := e.Key
	if decode {
		plainKey, err := url.QueryUnescape(key) // a space comes as "+"
		if err != nil {
			return store.Object{}, fmt.Errorf("key %q: %w", Clip(key, 200), err)
		}
		key = plainKey
	}
	rel, ok := strings.CutPrefix(key, l.g.Prefix)
	if !ok {
		return store.Object{}, fmt.Errorf("key %q is outside the prefix %q", Clip(key, 200), Clip(l.g.Prefix, 200))
	}
	return l.g.Object(rel, e)
}
