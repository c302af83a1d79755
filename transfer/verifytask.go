package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// differs says in what two objects of a key are not equal, as far as is known.
func differs(src, dst *store.Object) string {
	switch {
	case src.Kind != dst.Kind:
		return "another kind of entry at the destination"
	case src.Size != dst.Size:
		return fmt.Sprintf("%d bytes at the source, %d at the destination", src.Size, dst.Size)
	}
	if equal, known, by := src.Sums.Match(dst.Sums); known && !equal {
		return "another " + by + " at the destination"
	}
	return "another modification time at the destination"
}

// settleVerified settles one key of a verify job by what the listings say.
func (t *taskRun) settleVerified(src, dst *store.Object, v Verdict) *settled {
	switch v {
	case Equal:
		done := t.settle(src, Skipped, "")
		_, _, done.record.Sent = src.Sums.Match(dst.Sums)
		done.record.Listed, done.record.ETag, done.counts.Verified = true, dst.ETag, 1
		return done
	case Absent:
		return t.fail(src, classMissing, "not at the destination")
	}
	return t.fail(src, classDiffers, differs(src, dst))
}

// verify settles one key of a verify job: both sides' sums are compared, and where the stores have none in common the
// content is read.
func (p *pipeline) verify(ctx context.Context, it *item) (*settled, error) {
	if it.dst == nil {
		return p.taskRun.fail(it.src, classMissing, "not at the destination"), nil
	}
	src, err := p.n.statSource(ctx, p.job, it.src, p.lease)
	if done, err := p.refused(ctx, it.src, err); done != nil || err != nil {
		return done, err
	}
	dst, err := p.n.stat(ctx, p.job.Destination, it.src.Key, p.lease)
	if store.ClassOf(err) == store.NotFound {
		return p.taskRun.fail(it.src, classMissing, "not at the destination"), nil
	}
	if done, err := p.refused(ctx, it.src, err); done != nil || err != nil {
		return done, err
	}
	by, reason, err := p.sameContent(ctx, &src, &dst)
	if done, err := p.refused(ctx, it.src, err); done != nil || err != nil {
		return done, err
	}
	if reason != "" {
		return p.taskRun.fail(it.src, classDiffers, reason), nil
	}
	done := p.settle(it.src, Skipped, "")
	done.counts.Verified = 1
	done.record.Sent, done.record.Listed, done.record.ETag = by, true, dst.ETag
	return done, nil
}

// sameContent tells by what two objects were shown equal, or the reason why they are not.
func (p *pipeline) sameContent(ctx context.Context, src, dst *store.Object) (by, reason string, err error) {
	if src.Kind == store.KindSymlink || dst.Kind == store.KindSymlink {
		if sameLink(src, dst) {
			return "link target", "", nil
		}
		return "", "the link points elsewhere at the destination", nil
	}
	if src.Kind != dst.Kind || src.Size != dst.Size {
		return "", differs(src, dst), nil
	}
	if p.job.Verify != "checksum" || src.Kind != store.KindObject || src.Size == 0 {
		return "size", "", nil
	}
	equal, known, by := src.Sums.Match(dst.Sums)
	if !known {
		equal, by, err = p.readBoth(ctx, src, dst)
	}
	if err != nil || equal {
		return by, "", err
	}
	return "", "another " + by + " at the destination", nil
}

// readBoth compares content that no sums of the stores can: it reads the source, and the destination as well unless it
// reports a sum of its own.
func (p *pipeline) readBoth(ctx context.Context, src, dst *store.Object) (equal bool, by string, err error) {
	mine, err := p.n.readSums(ctx, p.job.Source, src, p.lease, p.job.Traffic.read)
	if err != nil {
		return false, "", err
	}
	if !p.job.Source.Abilities().Pinned {
		if now, err := p.n.statSource(ctx, p.job, src, p.lease); err != nil {
			return false, "", err
		} else if now.Size != src.Size || !now.ModTime.Equal(src.ModTime) {
			return false, "", &store.Error{Op: "verify", Key: src.Key, Class: store.Changed, Err: errors.New("the source changed while it was read")}
		}
	}
	if equal, known, by := mine.Match(dst.Sums); known {
		return equal, by, nil
	}
	theirs, err := p.n.readSums(ctx, p.job.Destination, dst, p.lease, p.job.Traffic.readBack)
	if err != nil {
		return false, "", err
	}
	equal, _, by = mine.Match(theirs)
	return equal, by + " of both sides' content", nil
}
