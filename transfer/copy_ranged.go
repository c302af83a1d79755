package transfer

import (
	"context"
	"errors"
	"math"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// putRanges writes one object by ranges in parallel, as a file system can. The parts are the source's own where they can
// be told, so that its multipart ETag can be checked.
func (c *copier) putRanges(ctx context.Context, to store.RangeWriter) error {
	if err := c.lookAtSource(ctx); err != nil {
		return err
	}
	if c.job.Verify == "checksum" && c.onlyWholeSums() {
		return c.putStream(ctx)
	}
	bounds := partBounds{smallest: 1, largest: math.MaxInt64, most: math.MaxInt32}
	plan, err := planParts(&c.src, &c.n.Tuning, bounds, c.n.Tuning.PartSize)
	if err != nil {
		return err
	}
	c.res.How, c.res.Parts = "ranged", plan.n
	opts := c.options(true, nil)
	for try := 1; ; try++ {
		err := c.writeRanges(ctx, to, &plan, opts)
		if store.ClassOf(err) != store.Mismatch || try == rounds {
			return err
		}
		c.n.again(err)
	}
}

// onlyWholeSums tells that the source has told sums, but none that can be put together from parts. A file system reports
// nothing of what it was given, so this is the only check there is, and the object is read in one piece for it.
func (c *copier) onlyWholeSums() bool {
	s := c.src.Sums
	return (s.MD5 != "" || s.SHA256 != "") && s.CRC64NVME == "" && s.CRC32C == "" && s.CRC64ECMA == "" && s.QETag == ""
}

// writeRanges writes all ranges and makes the object exist if they are what the source reports.
func (c *copier) writeRanges(ctx context.Context, to store.RangeWriter, plan *partPlan, opts store.PutOptions) (err error) {
	c.attempts.Add(1)
	opts.Condition = c.cond
	var out store.Ranged
	err = c.n.retry(ctx, c.lease, func() (err error) {
		ended := c.n.began(c.job.Destination, opCreateRanged)
		out, err = to.CreateRanged(ctx, c.key, plan.size, opts)
		return ended(err)
	})
	if err != nil {
		return err
	}
	defer func() {
		if abortErr := out.Abort(); err != nil {
			err = errors.Join(err, abortErr)
		}
	}()
	want := wantedOfParts(c.job, c.src.Sums, plan, summedAfter)
	parts := make([]store.Part, plan.n)
	err = c.n.inParallel(ctx, c.lease, c.job.ID, plan.n, func(ctx context.Context, i int) error {
		off, length := plan.span(i)
		return c.n.retry(ctx, c.lease, func() error {
			sums, err := c.hashRange(ctx, off, length, want, func(p []byte, off int64) error {
				n, err := out.WriteAt(p, off)
				c.wrote(n)
				return err
			})
			parts[i] = store.Part{Number: i + 1, Size: length, Sums: sums}
			return err
		})
	})
	if err != nil {
		return err
	}
	sums := combineParts(parts)
	if err := c.sourceChecked(sums); err != nil {
		return err
	}
	if err := c.recheck(ctx); err != nil {
		return err
	}
	ended := c.n.began(c.job.Destination, opCommit)
	dst, err := out.Commit(ctx)
	if ended(err) != nil {
		return err
	}
	return c.acknowledged(dst, plan.size, sums)
}
