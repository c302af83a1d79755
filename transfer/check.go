package transfer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// A listing may lag behind what was just written; so often it is read again before a key counts as lost.
const (
	listingTries = 3
	listingPause = 500 * time.Millisecond
)

// checkWritten looks for everything the batch wrote in a fresh listing of the destination. What is not there, or is not
// what was written, becomes a failed key: stores that hide, rename, alter or lose keys are found here.
func (p *pipeline) checkWritten(ctx context.Context, b *batch) error {
	if p.job.Verify == "none" || len(b.wrote) == 0 {
		return nil
	}
	missing := b.wrote
	for try := 1; len(missing) > 0 && try <= listingTries; try++ {
		if try > 1 {
			if err := p.n.Sleep(ctx, time.Duration(try-1)*listingPause); err != nil {
				return err
			}
		}
		var err error
		if missing, err = p.find(ctx, b, missing); err != nil {
			return err
		}
	}
	for i := range missing {
		if err := p.lost(ctx, b, &missing[i]); err != nil {
			return err
		}
	}
	return nil
}

// find looks up written keys and returns those that were not found. Those found differing are demoted.
func (p *pipeline) find(ctx context.Context, b *batch, wrote []written) (missing []written, err error) {
	keys := make([]string, len(wrote))
	for i := range wrote {
		keys[i] = wrote[i].key
	}
	l := p.n.newLookup(p.job, p.job.Destination, keys, p.lease)
	defer l.close()
	for i := range wrote {
		w := &wrote[i]
		o, err := l.find(ctx, keys[i])
		if err != nil {
			return nil, fmt.Errorf("check what was written: %w", err)
		}
		if o == nil {
			missing = append(missing, *w)
			continue
		}
		if reason := p.altered(w, o); reason != "" {
			b.demote(w.index, store.Mismatch, reason)
			continue
		}
		b.records.listed(w.index)
	}
	return missing, nil
}

// lost settles a key that the destination's listing does not show.
func (p *pipeline) lost(ctx context.Context, b *batch, w *written) error {
	_, err := p.n.stat(ctx, p.job.Destination, w.key, p.lease)
	switch {
	case err == nil:
		b.demote(w.index, store.Mismatch, "stored, but the destination does not list it")
	case store.ClassOf(err) == store.NotFound:
		b.demote(w.index, store.Mismatch, "acknowledged by the destination, but not there afterwards")
	default:
		return fmt.Errorf("check what was written: %w", err)
	}
	return nil
}

// altered compares what the destination acknowledged with what it lists; "" if they agree.
func (p *pipeline) altered(wrote *written, now *store.Object) string {
	if wrote.kind == store.KindDir && now.Kind == store.KindDir {
		return ""
	}
	if wrote.size != now.Size {
		return fmt.Sprintf("%d bytes were written, the destination lists %d", wrote.size, now.Size)
	}
	if p.job.Verify == "size" {
		return ""
	}
	if equal, known, by := wrote.sums.Match(now.Sums); known && !equal {
		return fmt.Sprintf("the destination lists another %s than it acknowledged", by)
	}
	if wrote.etag != "" && now.ETag != "" && wrote.etag != now.ETag {
		return "the destination lists another ETag than it acknowledged"
	}
	return ""
}

// lookup finds keys at a store, asked for in ascending order: by listing where the keys lie dense, by Stat where they
// do not, and on file systems.
type lookup struct {
	n     *Node
	s     store.Source
	lease Lease
	list  bool
	to    string   // bound behind the last key that will be asked for
	keys  []string // not yet asked for
	p     *pager
	seen  []looked // by Stat, of keys that will be asked for
}

// looked is what Stat said of a key.
type looked struct {
	key string
	o   *store.Object
	err error
}

// Where keys are looked up by Stat, so many are together, and so many at once: a round trip after the other would hold a task up
// for minutes.
const (
	statAhead  = 64
	statAtOnce = 8
)

// newLookup prepares to find keys, given in ascending order.
func (n *Node) newLookup(job *Job, s store.Source, keys []string, lease Lease) *lookup {
	a := s.Abilities()
	return &lookup{
		n: n, s: s, lease: lease, list: a.ListsByKeys && a.Order == store.OrderBytes && job.SingleKey == nil,
		to: store.Next(keys[len(keys)-1]), keys: keys,
	}
}

// find returns the object, or nil where the store does not have it.
func (l *lookup) find(ctx context.Context, key string) (*store.Object, error) {
	i, _ := slices.BinarySearch(l.keys, key)
	l.keys = l.keys[i:]
	if !l.list {
		return l.statMany(ctx, key)
	}
	if l.p == nil { // there may be some other keys before and between those asked for
		l.p = l.n.newPager(l.s, store.ListOptions{From: before(key), To: l.to, First: len(l.keys) + fewKeys}, l.lease)
	}
	for range stretchKeys {
		o, err := l.p.peek(ctx)
		if err != nil {
			return nil, err
		}
		if o == nil || o.Key > key {
			return nil, nil
		}
		l.p.take()
		if o.Key == key {
			return o, nil
		}
	}
	// The keys asked for lie far apart: ask for this one, and list again close to the next.
	l.close()
	return l.stat(ctx, key)
}

// statMany asks for a key and for those that will be asked for next.
func (l *lookup) statMany(ctx context.Context, key string) (*store.Object, error) {
	i := slices.IndexFunc(l.seen, func(s looked) bool { return s.key == key })
	if i < 0 {
		if len(l.keys) == 0 || l.keys[0] != key { // not one that was named, or out of order
			return l.stat(ctx, key)
		}
		l.seen = make([]looked, min(statAhead, len(l.keys)))
		var next atomic.Int64
		var workers sync.WaitGroup
		for range min(statAtOnce, len(l.seen)) {
			workers.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(l.seen); i = int(next.Add(1)) - 1 {
					at := &l.seen[i]
					at.key = l.keys[i]
					at.o, at.err = l.stat(ctx, at.key)
				}
			})
		}
		workers.Wait()
		i = 0
	}
	now := l.seen[i]
	l.seen = l.seen[i+1:]
	return now.o, now.err
}

func (l *lookup) stat(ctx context.Context, key string) (*store.Object, error) {
	o, err := l.n.stat(ctx, l.s, key, l.lease)
	switch {
	case store.ClassOf(err) == store.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	o.Key = key
	return &o, nil
}

func (l *lookup) close() {
	if l.p != nil {
		l.p.close()
		l.p = nil
	}
}

// before returns a bound at or below key from which a listing soon reaches it: the successor of the key without its last
// character. That prefix sorts before the key, and only keys that begin with it lie between.
func before(key string) string {
	_, size := utf8.DecodeLastRuneInString(key)
	if size >= len(key) {
		return ""
	}
	return store.Next(key[:len(key)-size])
}
