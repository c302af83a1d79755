package transfer

import (
	"context"
	"fmt"
	"io"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// putMarker makes a directory marker.
func (c *copier) putMarker(ctx context.Context) error {
	if c.job.Metadata && c.job.Source.Abilities().Metadata {
		if err := c.lookAtSource(ctx); err != nil {
			return err
		}
	}
	opts := c.options(true, nil)
	opts.Kind = store.KindDir
	return c.putBytes(ctx, []byte{}, store.Checksums{}, opts)
}

// putLink writes a symbolic link: as a link where the destination is a file system, else as an object that has the
// target as content and says in its metadata what it is.
func (c *copier) putLink(ctx context.Context) error {
	c.res.How = "put"
	if err := c.recheck(ctx); err != nil {
		return err
	}
	opts := c.options(true, nil)
	if c.job.Destination.Abilities().Metadata {
		opts.Meta = withUser(opts.Meta, kindKey, kindSymlink)
		target := []byte(c.src.Target)
		return c.putBytes(ctx, target, sumsOf(wantedSums(c.job, store.Checksums{}, summedBefore), target), opts)
	}
	return c.putAsLink(ctx, c.src.Target, opts)
}

// putAsLink makes a link. What the destination says of its size is its own matter.
func (c *copier) putAsLink(ctx context.Context, target string, opts store.PutOptions) error {
	opts.Kind, opts.Target = store.KindSymlink, target
	return c.n.retry(ctx, c.lease, func() error {
		c.attempts.Add(1)
		opts.Condition = c.cond
		ended := c.n.began(c.job.Destination, opPut)
		dst, err := c.job.Destination.Put(ctx, c.key, store.Body{Bytes: []byte{}}, opts)
		c.res.Source, c.res.Destination = c.src, dst
		return ended(err)
	})
}

// putBuffered reads a small object whole and then writes it, so that the write can be repeated without reading again.
func (c *copier) putBuffered(ctx context.Context) error {
	content := []byte{}
	if c.src.Size > 0 {
		buf, err := c.n.Memory.Get(ctx, int(c.src.Size))
		if err != nil {
			return fmt.Errorf("wait for memory: %w", err)
		}
		defer c.n.Memory.Put(buf)
		content = buf
	}
	var sums store.Checksums
	err := c.n.retry(ctx, c.lease, func() (err error) {
		sums, err = c.readWhole(ctx, content)
		return err
	})
	if err != nil {
		return err
	}
	opts := c.options(c.listsAgree(), content)
	if c.isRecordedLink() {
		return c.putAsLink(ctx, string(content), opts)
	}
	return c.putBytes(ctx, content, sums, opts)
}

// readWhole fills content with the version at hand and checks it against what the source reports.
func (c *copier) readWhole(ctx context.Context, content []byte) (store.Checksums, error) {
	if err := pay(ctx, c.lease, int64(len(content))); err != nil {
		return store.Checksums{}, err
	}
	r, now, err := c.openSource(ctx, 0, int64(len(content)))
	if err != nil {
		return store.Checksums{}, err
	}
	defer r.Close()
	n, err := io.ReadFull(fencedReader{r, c.lease}, content)
	c.n.readFrom(c.job.Source, n)
	c.job.Traffic.read(n)
	if err != nil {
		return store.Checksums{}, c.readFailure(ctx, err)
	}
	c.learn(&now)
	sums := sumsOf(wantedSums(c.job, c.src.Sums, summedBefore), content)
	if err := c.sourceChecked(sums); err != nil {
		return sums, err
	}
	return sums, c.recheck(ctx)
}

// putBytes writes content that is in memory.
func (c *copier) putBytes(ctx context.Context, content []byte, sums store.Checksums, opts store.PutOptions) error {
	c.res.How, c.res.Sums = "put", sums
	again := resending{lease: c.lease, size: int64(len(content))}
	return c.n.retry(ctx, c.lease, func() error {
		if err := again.pay(ctx); err != nil {
			return err
		}
		c.attempts.Add(1)
		opts.Condition = c.cond
		size := int64(len(content))
		ended := c.n.began(c.job.Destination, opPut)
		dst, err := c.job.Destination.Put(ctx, c.key, store.Body{Bytes: content, Size: size, Sums: sums}, opts)
		c.wrote(len(content))
		if ended(err) != nil {
			return err
		}
		if _, known, _ := sums.Match(dst.Sums); !known && c.job.Verify == "checksum" {
			sums = sums.Merge(sumsOf(wantedOf(dst.Sums), content)) // the answer has another sum than was expected
		}
		return c.acknowledged(dst, size, sums)
	})
}

// putStream writes an object in one request while it is read.
func (c *copier) putStream(ctx context.Context) error {
	c.res.How = "stream"
	return c.n.retry(ctx, c.lease, func() error { return c.streamOnce(ctx) })
}

func (c *copier) streamOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.attempts.Add(1)
	want := func(now *store.Object) wanted {
		c.learn(now)
		return wantedSums(c.job, c.src.Sums, summedAfter)
	}
	b, err := c.newBody(ctx, 0, c.src.Size, want, func(ctx context.Context, sums store.Checksums) error {
		if err := c.sourceChecked(sums); err != nil {
			return err
		}
		return c.recheck(ctx)
	})
	if err != nil {
		return err
	}
	opts := c.options(c.listsAgree(), nil)
	opts.Condition = c.cond
	ended := c.n.began(c.job.Destination, opPut)
	dst, err := c.job.Destination.Put(ctx, c.key, store.Body{Reader: b, Size: c.src.Size}, opts)
	whole := b.whole()
	cancel()
	sums, failure := b.stop()
	_ = ended(blamed(err, failure))
	if whole {
		c.res.Sums = sums
	}
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return err
	case !whole:
		c.overwrite(dst)
		return &store.Error{Op: "put", Key: c.key, Class: store.Mismatch, Err: fmt.Errorf("acknowledged before all was sent")}
	}
	return c.acknowledged(dst, c.src.Size, sums)
}
