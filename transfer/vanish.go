package transfer

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// missing settles a key that a listing named and that could not be found when it was read. If the source still lists it, it has not
// vanished: the listing names what cannot be read under that name, such as a key whose characters it replaced, and the object that
// it stands for is not copied. That is a failure.
func (p *pipeline) missing(ctx context.Context, src *store.Object, gone *settled) (*settled, error) {
	const reason = "the source lists this key, and has no object of that name"
	a := p.job.Source.Abilities()
	switch {
	case p.job.SingleKey != nil || a.Order != store.OrderBytes:
		return gone, nil
	case strings.ContainsRune(src.Key, utf8.RuneError): // nobody knows where the listing would have the true key
		return p.taskRun.fail(src, string(store.Mismatch), reason+
			"; it seems to list U+FFFD in the place of characters that a listing cannot hold: copy the object under another name"), nil
	case !a.ListsByKeys: // no single key can be looked for
		return gone, nil
	}
	for try := 1; try <= listingTries; try++ {
		if try > 1 {
			if err := p.n.Sleep(ctx, time.Duration(try-1)*listingPause); err != nil {
				return nil, err
			}
		}
		listed, err := p.n.lists(ctx, p.job.Source, src.Key, p.lease)
		if err != nil || !listed {
			return gone, err
		}
	}
	return p.taskRun.fail(src, string(store.Mismatch), reason), nil
}

// lists tells whether the listing of a store that lists from keys on has a key.
func (n *Node) lists(ctx context.Context, s store.Source, key string, lease Lease) (bool, error) {
	near := n.newPager(s, store.ListOptions{From: justBefore(key), To: store.Next(key), Page: 1}, lease)
	defer near.close()
	for {
		o, err := near.peek(ctx)
		if err != nil || o == nil {
			return false, err
		}
		if o.Key == key {
			return true, nil
		}
		near.take()
	}
}

// justBefore returns a bound below a key and above nearly all others below it. It is made-up text and serves for nothing else.
func justBefore(key string) string {
	last, size := utf8.DecodeLastRuneInString(key)
	if size <= 1 && last == utf8.RuneError || last <= ' ' {
		return before(key)
	}
	last--
	if !utf8.ValidRune(last) { // between the surrogates
		last = '\uD7FF'
	}
	return store.Next(key[:len(key)-size] + string(last) + highest)
}
