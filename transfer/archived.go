package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What becomes of objects that must be restored before they can be read.
const (
	skipArchived    = "skip"
	restoreArchived = "restore"
)

// hintArchived goes with failures of a job that says nothing of archived objects.
const hintArchived = "archived: restore in the job file has it restored and waits, archived: skip leaves it out"

// asArchived is what becomes of an object that its source keeps in an archive, by the job's rule; done is its failure. Restoring
// takes hours: the object counts as failed, and whoever retries the job's failures finds it readable or asks again.
func (t *taskRun) asArchived(ctx context.Context, src *store.Object, done *settled) (*settled, error) {
	moved := done.counts.BytesMoved
	switch t.job.Archived {
	case skipArchived:
		done = t.settle(src, Filtered, "archived")
	case restoreArchived:
		now, err := t.askRestore(ctx, src, done)
		if err != nil {
			return nil, err
		}
		done = now
	default:
		done.record.Reason += "; " + hintArchived
	}
	done.counts.BytesMoved = moved
	return done, nil
}

// askRestore asks the source to restore an object.
func (t *taskRun) askRestore(ctx context.Context, src *store.Object, done *settled) (*settled, error) {
	from, ok := t.job.Source.(store.Restorer)
	if !ok {
		done.record.Reason += "; this kind of source cannot be asked to restore it"
		// A class of its own, so that nobody waits for it.
		done.record.Class, done.class = string(store.Permanent), string(store.Permanent)
		return done, nil
	}
	err := t.n.retry(ctx, t.lease, func() error { return from.Restore(ctx, src.Name(), t.job.RestoreDays, t.job.RestoreSpeed) })
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case isEnd(err):
		return nil, err
	case err != nil:
		return t.fail(src, string(store.ClassOf(err)), atSource(err).Error()), nil
	}
	done.record.Reason = fmt.Sprintf("archived: asked at %s to be restored for %d days", t.n.Now().UTC().Format(time.RFC3339), t.job.RestoreDays)
	return done, nil
}
