package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// rounds is how often an object is taken again when its source changed, how often a refused condition is renewed, and
// how often an upload is started over.
const rounds = 3

// largestStream is the largest object that goes in one request because its source cannot read it by ranges, in bytes:
// S3 takes no larger one (https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html).
const largestStream = 5 << 30

// errVanished means that the source object is gone.
var errVanished = errors.New("gone from the source")

// copier copies one object.
type copier struct {
	n      *Node
	job    *Job
	task   *Task
	lease  Lease
	ledger Ledger

	key     string
	src     store.Object    // the version being copied; Meta and Sums are completed by opening it
	cond    store.Condition // what the next write depends on
	byStore bool            // the destination may copy by itself; false once it refused
	resumed bool            // the upload that the task brought along was dealt with
	details store.Metadata  // tags and access of the version at hand, where they are kept
	lost    []store.Loss    // of what reading them could not tell
	class   string          // storage class that the last options asked for
	wrong   *store.Object   // what the destination holds that this copy wrote and that is not what was sent

	sent     atomic.Int64
	attempts atomic.Int64
	res      Result
}

// copyObject copies one listed object and verifies what arrived. dst is what was seen at the destination, nil if the key
// was absent. The caller holds one slot of n.Slots for it. An error of class Canceled (the lease is lost, ctx is
// cancelled) says nothing about the object: it is not settled, and its upload is left for the next owner.
func (n *Node) copyObject(ctx context.Context, job *Job, task *Task, src store.Object, dst *store.Object, lease Lease,
	ledger Ledger) Result {
	c := &copier{n: n, job: job, task: task, lease: lease, ledger: ledger, key: src.Key, src: src, cond: conditionOn(job, dst)}
	if from, ok := job.Destination.(store.Copier); ok {
		c.byStore = from.CanCopyFrom(job.Source)
	}
	err := c.run(ctx)
	if err != nil && !isEnd(err) {
		err = errors.Join(err, c.discardWrong(ctx))
	}
	return c.result(err)
}

// run copies the object, from its start again whenever the source has changed.
func (c *copier) run(ctx context.Context) error {
	if err := c.checkName(ctx); err != nil {
		return err
	}
	for round := 1; ; round++ {
		err := c.copyVersion(ctx)
		if store.ClassOf(err) != store.Changed || round == rounds {
			return err
		}
		fresh, err := c.statSource(ctx)
		if err != nil {
			return err
		}
		c.src = fresh
	}
}

// copyVersion copies the version at hand, again whenever the destination was changed by someone else meanwhile.
func (c *copier) copyVersion(ctx context.Context) error {
	for try := 1; ; try++ {
		c.res = Result{}
		err := c.send(ctx)
		if c.refusesClass(err) {
			c.res = Result{}
			err = c.send(ctx)
		}
		if store.ClassOf(err) != store.Precondition || try == rounds {
			return err
		}
		if held, err := c.renewCondition(ctx); held || err != nil {
			return err
		}
	}
}

// send chooses the way that the object takes.
func (c *copier) send(ctx context.Context) error {
	switch c.src.Kind {
	case store.KindDir:
		if err := c.detailed(ctx); err != nil {
			return err
		}
		return c.putMarker(ctx)
	case store.KindSymlink:
		return c.putLink(ctx)
	case store.KindSkipped:
		return &store.Error{Op: "copy", Key: c.key, Class: store.Permanent, Err: fmt.Errorf("not a file: %s", c.src.Reason)}
	}
	if err := c.detailed(ctx); err != nil {
		return err
	}
	if c.byStore {
		err := c.copyByStore(ctx)
		if store.ClassOf(err) != store.Permanent || c.refusesClass(err) {
			return err
		}
		c.byStore, c.res = false, Result{}
	}
	switch size := c.src.Size; {
	case size <= c.n.Tuning.BufferedMax && limiterOf(c.lease).second() >= size:
		return c.putBuffered(ctx)
	case size < c.n.Tuning.MultipartMin, c.src.OneStream && size <= largestStream:
		return c.putStream(ctx)
	}
	if d, ok := c.job.Destination.(store.Multiparter); ok {
		return c.putParts(ctx, d, nil)
	}
	if d, ok := c.job.Destination.(store.RangeWriter); ok {
		return c.putRanges(ctx, d)
	}
	return c.putStream(ctx)
}

// result sums up what became of the object.
func (c *copier) result(err error) Result {
	r := c.res
	r.Moved, r.Attempts = c.sent.Load(), int(c.attempts.Load())
	if r.Source.Key == "" {
		r.Source = c.src
	}
	switch {
	case err == nil:
		r.Outcome = Copied
		c.n.Meter.Objects.Add(1)
	case errors.Is(err, errVanished):
		r.Outcome = Vanished
	case store.ClassOf(err) == store.Changed:
		r.Outcome, r.Err = Changed, err
	default:
		r.Outcome, r.Err = Failed, err
		if isEnd(err) {
			r.Err = canceled(err)
		}
	}
	return r
}

// conditionOn makes the condition that what was seen at the destination still is there. Absence is asked for of every
// store: some that cannot hold ETags against each other can do that.
func conditionOn(job *Job, dst *store.Object) store.Condition {
	switch {
	case dst == nil:
		return store.Condition{Absent: true}
	case job.Destination.Abilities().Conditional:
		return store.Condition{ETag: dst.ETag}
	}
	return store.Condition{}
}

// renewCondition looks at what stands at the destination after a write was refused. held tells that it equals what was
// to be written; else the next write depends on what stands there now.
func (c *copier) renewCondition(ctx context.Context) (held bool, err error) {
	now, err := c.n.stat(ctx, c.job.Destination, c.key, c.lease)
	if store.ClassOf(err) == store.NotFound {
		c.cond = conditionOn(c.job, nil)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if by, equal := c.holds(&now); equal {
		c.res.Source, c.res.Destination, c.res.SentChecked, c.res.Found = c.src, now, by, true
		c.wrong = nil
		return true, nil
	}
	if c.cond.Absent {
		if err := c.ownName(ctx); err != nil {
			return false, err
		}
	}
	c.cond = conditionOn(c.job, &now)
	return false, nil
}

// holds tells whether a destination object is what this copy writes, and by which sum; "" is size and recorded time.
func (c *copier) holds(now *store.Object) (by string, equal bool) {
	if now.Size != c.src.Size || now.Kind == store.KindSymlink {
		return "", false
	}
	if equal, known, by := c.res.Sums.Merge(c.src.Sums).Match(now.Sums); known {
		return by, equal
	}
	have, ok := recordedTime(now.Meta)
	if c.job.Destination.Abilities().ExactModTime {
		have, ok = now.ModTime, true
	}
	return "", ok && sameTime(have, c.modTime(), c.job.Source.Abilities().ModTimeUnit)
}

// overwrite makes the next write depend on what this copy has just written wrongly.
func (c *copier) overwrite(dst store.Object) {
	c.wrong = &dst
	c.cond = conditionOn(c.job, &dst)
}

// discardWrong deletes what this copy has written wrongly, if it still stands there: a key that is absent is copied by
// the next pass, one of the right size with wrong content may pass for equal.
func (c *copier) discardWrong(ctx context.Context) error {
	if c.wrong == nil {
		return nil
	}
	now, err := c.n.stat(ctx, c.job.Destination, c.key, c.lease)
	switch {
	case store.ClassOf(err) == store.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("look at what arrived wrong: %w", err)
	case now.ETag != c.wrong.ETag || now.Size != c.wrong.Size || now.ETag == "" && !now.ModTime.Equal(c.wrong.ModTime):
		return nil // written again by someone else
	}
	err = c.n.retry(ctx, c.lease, func() error {
		return c.n.began(c.job.Destination, opDelete)(c.job.Destination.Delete(ctx, c.key))
	})
	if err != nil {
		return fmt.Errorf("delete what arrived wrong: %w", err)
	}
	return nil
}

// acknowledged holds the destination's answer against what was sent.
func (c *copier) acknowledged(dst store.Object, size int64, sums store.Checksums) error {
	c.res.Destination, c.res.Sums, c.res.Source = dst, sums, c.src
	if c.job.Verify == "none" {
		return nil
	}
	if dst.Size != size {
		c.overwrite(dst)
		return &store.Error{Op: "verify", Key: c.key, Class: store.Mismatch,
			Err: fmt.Errorf("%d bytes were sent, the destination has %d", size, dst.Size)}
	}
	if c.job.Verify == "size" || c.job.Destination.Abilities().HashedBeforeWrite {
		return nil
	}
	equal, known, by := sums.Match(dst.Sums)
	if known && !equal {
		c.overwrite(dst)
		return mismatch(c.key, by, "what was sent", sums, "the destination", dst.Sums)
	}
	c.wrong = nil
	c.res.SentChecked = by
	return nil
}

// sourceChecked holds the sums of what was read against what the source reports.
func (c *copier) sourceChecked(sums store.Checksums) error {
	equal, known, by := sums.Match(c.src.Sums)
	if known && !equal {
		return atSource(mismatch(c.key, by, "what was read", sums, "the source", c.src.Sums))
	}
	c.res.SourceChecked = by
	return nil
}

// mismatch is the error of two sums that differ.
func mismatch(key, by, what string, sums store.Checksums, side string, reported store.Checksums) error {
	return &store.Error{Op: "verify", Key: key, Class: store.Mismatch,
		Err: fmt.Errorf("%s of %s is %s, %s reports %s", by, what, sums.Hex()[by], side, reported.Hex()[by])}
}

// modTime is the modification time of the content: the one that the source records, else the source's own.
func (c *copier) modTime() time.Time {
	if t, ok := recordedTime(c.src.Meta); ok {
		return t
	}
	return c.src.ModTime
}
