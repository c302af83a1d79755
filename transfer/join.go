package transfer

import (
	"context"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// pair is one key as the two listings show it; one of them may be nil.
type pair struct {
	src, dst *store.Object
}

func (p pair) key() string {
	if p.src != nil {
		return p.src.Key
	}
	return p.dst.Key
}

// joiner merges two listings in key order.
type joiner struct {
	src, dst *pager // dst is nil where there is no destination
	passed   string // highest key returned; "" before the first
}

func (n *Node) newJoiner(job *Job, opts store.ListOptions, lease Lease) *joiner {
	src, dst := job.sides()
	j := &joiner{src: n.newPager(src, opts, lease)}
	if dst != nil {
		opts.Whole = false // what it leaves out is found absent, and the write of it refused
		j.dst = n.newPager(dst, opts, lease)
	}
	return j
}

// next returns the next key; ok is false at the end.
func (j *joiner) next(ctx context.Context) (p pair, ok bool, err error) {
	p.src, err = j.src.peek(ctx)
	if err != nil {
		return pair{}, false, fmt.Errorf("source: %w", err)
	}
	if j.dst != nil {
		if p.dst, err = j.dst.peek(ctx); err != nil {
			return pair{}, false, fmt.Errorf("destination: %w", err)
		}
	}
	if p.src != nil && p.dst != nil {
		if p.src.Key < p.dst.Key {
			p.dst = nil
		} else if p.dst.Key < p.src.Key {
			p.src = nil
		}
	}
	if p.src != nil {
		j.src.take()
	}
	if p.dst != nil {
		j.dst.take()
	}
	if p.src != nil || p.dst != nil {
		j.passed = p.key()
	}
	return p, p.src != nil || p.dst != nil, nil
}

func (j *joiner) close() {
	j.src.close()
	if j.dst != nil {
		j.dst.close()
	}
}

// extra tells whether a pair is a destination key that the source lacks. Directories of a file system are no keys.
func (p pair) extra() bool { return p.src == nil && p.dst.Kind != store.KindDir }
