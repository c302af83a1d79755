package transfer

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// refusedInRow is how many reads, or writes, in a row a side may refuse for want of permission before the job stops.
const refusedInRow = 100

// writes is what a node saw of one job's copies so far.
type writes struct {
	took    atomic.Int64 // objects that the destination took
	refused atomic.Int64 // writes refused in a row for want of permission
	unread  atomic.Int64 // reads refused in a row by a store for want of permission
}

// stop returns a *JobError where the outcome of one copy means that no other can succeed: the destination is full or
// read-only, is not what the job takes it for, or refuses to be written to; or the source refuses to be read.
func (w *writes) stop(res *Result) error {
	if res.Err == nil {
		if res.Outcome == Copied {
			w.took.Add(1)
			w.refused.Store(0)
			w.unread.Store(0)
		}
		return nil
	}
	var atSource *sourceError
	if errors.As(res.Err, &atSource) {
		return w.stopReading(res.Err)
	}
	switch class := store.ClassOf(res.Err); class {
	case store.Full, store.Misconfigured:
		return &JobError{Class: class, Err: fmt.Errorf("destination: %w", res.Err)}
	case store.Auth:
		if n := w.refused.Add(1); w.took.Load() == 0 || n >= refusedInRow {
			return &JobError{Class: class, Err: fmt.Errorf("destination: %w", res.Err)}
		}
	}
	return nil
}

// stopReading returns a *JobError where a source refuses one object after the other: the keys that it was asked with ended.
// Files are no such source, as each has permissions of its own; only stores name a code.
func (w *writes) stopReading(err error) error {
	var e *store.Error
	if store.ClassOf(err) != store.Auth || !errors.As(err, &e) || e.Code == "" {
		return nil
	}
	if w.unread.Add(1) < refusedInRow {
		return nil
	}
	return &JobError{Class: store.Auth, Err: err}
}

// ticker wakes the settler of a task that waits for slow objects.
type ticker struct {
	c    <-chan time.Time
	stop func()
}

func newTicker(d time.Duration) ticker {
	t := time.NewTicker(d)
	return ticker{t.C, t.Stop}
}
