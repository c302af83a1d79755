package transfer

import (
	"context"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// copyItem copies one object and settles its outcome.
func (p *pipeline) copyItem(ctx context.Context, it *item) (*settled, error) {
	lease := p.lease
	if it.fare != nil {
		lease = it.fare
	}
	began := p.job.writes.begin()
	res := p.n.copyObject(ctx, p.job, p.task, *it.src, it.dst, lease, p.uploads.wrap(p.ledger))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if isEnd(res.Err) {
		return nil, res.Err // it says nothing about the object
	}
	if err := p.job.writes.stop(began, &res); err != nil {
		return nil, err
	}
	return p.settleCopy(it.src, &res), nil
}

// settleCopy makes the count and record of a copy.
func (p *pipeline) settleCopy(src *store.Object, res *Result) *settled {
	reason := ""
	if res.Err != nil {
		reason = res.Err.Error()
	}
	if res.Outcome == Failed {
		done := p.taskRun.fail(src, string(store.ClassOf(res.Err)), reason)
		done.counts.BytesMoved = res.Moved
		done.record.Attempts = res.Attempts
		return done
	}
	now := src
	if res.Source.Key == src.Key {
		now = &res.Source // the version that was read
	}
	done := p.settle(src, res.Outcome, reason)
	done.counts.BytesMoved = res.Moved
	r := &done.record
	r.Version, r.How, r.Attempts, r.ETag = now.ETag, res.How, res.Attempts, res.Destination.ETag
	r.Source, r.Sent = res.SourceChecked, res.SentChecked
	if sums := res.Sums.Hex(); len(sums) > 0 {
		r.Sums = sums
	}
	if res.Outcome == Copied {
		done.counts.Copied, done.counts.BytesCopied = 1, src.Size
		if r.Source != "" || r.Sent != "" {
			done.counts.Verified = 1
		}
		if r.Lost = lossLines(res.Lost); len(r.Lost) > 0 {
			done.counts.Lossy = 1
		}
		o := &res.Destination
		done.wrote = &written{key: src.Key, kind: o.Kind, size: o.Size, etag: o.ETag, sums: o.Sums}
		if res.Found && p.task.Takeover {
			done.counts.Recovered, r.Recovered = 1, true
		}
	}
	return done
}
