package transfer

import (
	"context"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// copyByStore lets the destination take the object by itself: in one request, or in parts where it is too large for
// one or was made of parts that can be made again, so that the ETags agree. An error of class Permanent means that the
// destination does not do this after all.
func (c *copier) copyByStore(ctx context.Context) error {
	by := c.job.Destination.(store.Copier)
	to, parts := c.job.Destination.(store.Multiparter)
	large := c.src.Size > by.CopyLimit()
	switch {
	case parts && (large || c.composed(to)):
		return c.putParts(ctx, to, by)
	case large:
		return &store.Error{Op: "copy", Key: c.key, Class: store.Permanent, Err: fmt.Errorf("not possible in one request")}
	}
	c.res.How = "server-side"
	// Metadata is replaced only where it is known, and a copy takes the class that is asked for.
	if c.src.Sums.MD5 == "" || !c.job.Metadata || c.job.Keep.needsLook(&c.src) {
		if err := c.lookAtSource(ctx); err != nil {
			return err
		}
	}
	opts := c.options(c.listsAgree(), nil)
	return c.n.retry(ctx, c.lease, func() error { return c.copyOnce(ctx, by, opts) })
}

// needsLook tells whether a listing does not say what is kept of an object.
func (k *Keep) needsLook(src *store.Object) bool {
	return k.SourceClass && src.Class == (store.StorageClass{}) || k.Encryption || k.AlwaysMTime || k.MD5
}

// composed tells that the source was made of parts that the destination can make again.
func (c *copier) composed(to store.Multiparter) bool {
	smallest, largest, most := to.PartLimits()
	part, _ := sourcePart(&c.src, &c.n.Tuning, partBounds{smallest, largest, most})
	return part > 0 && c.src.Size >= c.n.Tuning.MultipartMin
}

func (c *copier) copyOnce(ctx context.Context, by store.Copier, opts store.PutOptions) error {
	c.attempts.Add(1)
	opts.Condition = c.cond
	ended := c.n.began(c.job.Destination, opCopy)
	dst, err := by.Copy(ctx, c.job.Source, c.src, c.key, opts)
	if class := store.ClassOf(ended(err)); class == store.Precondition || class == store.NotFound {
		// Either side may be meant: the source tells.
		if gone := c.lookAtSource(ctx); gone != nil {
			return gone
		}
	}
	if err != nil {
		return err
	}
	return c.fetched(ctx, dst)
}

// fetched holds what the destination made by itself against what the source reports: no byte passed here. Where the
// answer shows no sum in common with the source, the destination is asked for all it knows.
func (c *copier) fetched(ctx context.Context, dst store.Object) error {
	_, known, _ := c.src.Sums.Match(dst.Sums)
	if c.job.Verify != "none" && (!known || dst.Size != c.src.Size) {
		now, err := c.n.stat(ctx, c.job.Destination, c.key, c.lease)
		if err != nil {
			return err
		}
		dst = now
	}
	err := c.acknowledged(dst, c.src.Size, c.src.Sums)
	c.res.Sums = store.Checksums{}
	return err
}
