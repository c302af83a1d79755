package transfer

import (
	"context"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// named is what a list said of a key.
type named struct {
	size int64  // bytes; -1: nothing
	md5  string // 16 bytes; "": nothing
}

// namedBy reads it back from the record of a key that failed.
func namedBy(r *Record) *named {
	n := &named{size: -1, md5: string(r.WantMD5)}
	if r.WantSize != nil {
		n.size = *r.WantSize
	}
	return n
}

// note keeps in a record what a later attempt has to know.
func (n *named) note(r *Record, o *store.Object) {
	if n == nil {
		return
	}
	r.Origin = o.Origin
	if n.size >= 0 {
		r.WantSize = &n.size
	}
	if n.md5 != "" {
		r.WantMD5 = []byte(n.md5)
	}
}

// lookUp looks at both sides of a key that a list named. It returns the outcome where the key needs no more work, else the
// item is as a scan of listings would have made it.
func (p *pipeline) lookUp(ctx context.Context, it *item) (*settled, error) {
	now, err := p.n.statSource(ctx, p.job, it.src, p.lease)
	if err != nil {
		return p.refused(ctx, it.src, atSource(err))
	}
	now.Key, now.Origin = it.src.Key, it.src.Origin
	if reason := it.named.differs(&now); reason != "" {
		return p.taskRun.fail(it.src, string(store.Mismatch), reason), nil
	}
	if it.named.md5 != "" {
		now.Sums.MD5 = it.named.md5
	}
	it.src = &now
	if reason := p.job.leftOut(&now); reason != "" {
		return p.settle(&now, Filtered, reason), nil
	}
	dst, err := p.n.stat(ctx, p.job.Destination, now.Key, p.lease)
	switch {
	case store.ClassOf(err) == store.NotFound:
		it.verdict = Absent
		return nil, p.boardNamed(ctx, it)
	case err != nil:
		return p.refused(ctx, it.src, err)
	}
	dst.Key = now.Key
	it.dst, it.verdict = &dst, compareListed(p.job, &now, &dst)
	if p.job.Type == "verify" && it.verdict != Undecided {
		return p.settleVerified(it.src, it.dst, it.verdict), nil
	}
	if it.verdict == Equal {
		return p.present(it.src, it.dst), nil
	}
	return nil, p.boardNamed(ctx, it)
}

// boardNamed pays for an item that will be copied. One that is still undecided pays when it is decided.
func (p *pipeline) boardNamed(ctx context.Context, it *item) error {
	if p.job.Type == "verify" || it.verdict == Undecided {
		return nil
	}
	return p.boardLate(ctx, it)
}

// leftOut is why an object that was looked at is not to be copied; "" if it is.
func (job *Job) leftOut(o *store.Object) string {
	if o.Kind == store.KindSkipped {
		return o.Reason
	}
	return job.Filter.Reason(o)
}

// differs says in what an object is not what the list said; "" if it is.
func (n *named) differs(o *store.Object) string {
	if n.size >= 0 && n.size != o.Size {
		return fmt.Sprintf("the list says %d bytes, the source has %d; correct the size in the list, or leave it out", n.size, o.Size)
	}
	sums := store.Checksums{MD5: n.md5}
	if equal, known, _ := sums.Match(o.Sums); known && !equal {
		return fmt.Sprintf("the list says MD5 %s, the source reports %s", sums.Hex()["md5"], o.Sums.Hex()["md5"])
	}
	return ""
}
