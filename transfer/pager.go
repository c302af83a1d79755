package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// pager reads one side's listing in key order, retries from the last key seen, and distrusts it: keys must strictly
// increase and stay within the bounds.
type pager struct {
	n      *Node
	s      store.Source
	lease  Lease
	opts   store.ListOptions
	lister store.Lister
	last   string // last key returned
	any    bool   // last is set
	ended  bool

	page   []store.Object // not yet consumed
	recent []store.Object // the latest page as it came
	size   int            // keys of the largest page so far
}

func (n *Node) newPager(s store.Source, opts store.ListOptions, lease Lease) *pager {
	return &pager{n: n, s: s, lease: lease, opts: opts}
}

// fill makes page non-empty, or returns io.EOF.
func (p *pager) fill(ctx context.Context) error {
	for len(p.page) == 0 {
		if p.ended {
			return io.EOF
		}
		page, err := p.fetch(ctx)
		if err != nil {
			return err
		}
		if page, err = p.trim(page); err != nil {
			return err
		}
		p.page = page
		if len(page) > 0 {
			p.recent, p.size = page, max(p.size, len(page))
		}
	}
	return nil
}

// fetch gets a page, with retries. A lister that has come on since they began gets all of them again: one page of it may cost
// thousands of requests.
func (p *pager) fetch(ctx context.Context) (page []store.Object, err error) {
	for {
		before := p.advanced()
		err = p.n.retry(ctx, p.lease, func() (err error) {
			page, err = p.next(ctx)
			if errors.Is(err, io.EOF) {
				p.ended = true
				return nil
			}
			return err
		})
		if err == nil || !retryable(err) || p.advanced() <= before {
			return page, err
		}
		p.n.Meter.Retries.Add(1)
		if stop := p.n.Sleep(ctx, p.n.spread(retryFirst, err)); stop != nil {
			return nil, canceled(errors.Join(stop, err))
		}
	}
}

// advanced tells how far the lister is, 0 where it does not tell.
func (p *pager) advanced() int64 {
	if l, ok := p.lister.(store.Advancer); ok {
		return l.Advanced()
	}
	return 0
}

// next asks the lister, and starts a new one behind the last key after an error, unless this one goes on by itself.
func (p *pager) next(ctx context.Context) ([]store.Object, error) {
	if p.lister == nil {
		opts := p.opts
		if p.any {
			opts.From = store.Next(p.last)
		}
		p.lister = p.s.List(opts)
	}
	if !p.s.Abilities().ListsByKeys {
		defer alive(p.lease)()
	}
	ended := p.n.began(p.s, opList)
	page, err := p.lister.Next(ctx)
	if ended(err) != nil {
		if r, ok := p.lister.(store.Resumer); !ok || !r.Resumes() || !store.Retryable(err) {
			p.close()
		}
		return page, err
	}
	moved(p.lease, 1)
	return page, nil
}

// Walk visits what a store lists, in key order, with the rules of retries that tasks have, outside of any task. It ends
// with the error that visit returns.
func Walk(ctx context.Context, s store.Source, visit func(*store.Object) error) error {
	n := Node{Now: time.Now, Jitter: rand.Float64, Sleep: sleep}
	p := n.newPager(s, store.ListOptions{}, free{})
	defer p.close()
	for {
		o, err := p.peek(ctx)
		if err != nil || o == nil {
			return err
		}
		if err := visit(o); err != nil {
			return err
		}
		p.take()
	}
}

// alive gives signs of life until the function that it returns is called: a walk through directories has no page to show
// before a whole directory is read and sorted, which may take longer than a task may stand still.
func alive(lease Lease) (stop func()) {
	if _, ok := lease.(MovedLease); !ok {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := newTicker(aliveEvery)
		defer tick.stop()
		for {
			select {
			case <-tick.c:
				moved(lease, 1)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

const aliveEvery = 30 * time.Second

// trim drops what lies outside the bounds and checks the order.
func (p *pager) trim(page []store.Object) ([]store.Object, error) {
	kept := page[:0]
	for i := range page {
		o := &page[i]
		if p.opts.To != "" && o.Key >= p.opts.To {
			p.ended = true
			p.close()
			break
		}
		if o.Key < p.opts.From {
			continue
		}
		if p.any && o.Key <= p.last {
			p.close()
			return nil, &store.Error{Op: "list", Key: o.Key, Class: store.Permanent,
				Err: fmt.Errorf("listing out of order: %q came after %q", o.Key, p.last)}
		}
		p.last, p.any = o.Key, true
		kept = append(kept, *o)
	}
	return kept, nil
}

// peek returns the next object without consuming it; nil at the end.
func (p *pager) peek(ctx context.Context) (*store.Object, error) {
	switch err := p.fill(ctx); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &p.page[0], nil
}

// take consumes what peek returned.
func (p *pager) take() { p.page = p.page[1:] }

func (p *pager) close() {
	if p.lister != nil {
		p.lister.Close()
		p.lister = nil
	}
}

// oneLister lists a single object, for sources that are one.
type oneLister struct {
	s    store.Source
	key  string
	done bool
}

// Next stats the object.
func (l *oneLister) Next(ctx context.Context) ([]store.Object, error) {
	if l.done {
		return nil, io.EOF
	}
	o, err := l.s.Stat(ctx, l.key)
	switch {
	case store.ClassOf(err) == store.NotFound:
		l.done = true
		return nil, io.EOF
	case err != nil:
		return nil, err
	}
	l.done = true
	o.Key = l.key
	return []store.Object{o}, nil
}

// Close does nothing.
func (l *oneLister) Close() error { return nil }

// oneKey is a store seen through a single key.
type oneKey struct {
	store.Source
	key string
}

// List lists that key.
func (s oneKey) List(store.ListOptions) store.Lister { return &oneLister{s: s.Source, key: s.key} }

// sides returns what to list on either side of a job: everything, or the one key it is about.
func (job *Job) sides() (src, dst store.Source) {
	src = job.Source
	if job.Destination != nil {
		dst = job.Destination
	}
	if job.SingleKey != nil {
		src = oneKey{src, *job.SingleKey}
		if dst != nil {
			dst = oneKey{dst, *job.SingleKey}
		}
	}
	return src, dst
}
