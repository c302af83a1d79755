package transfer

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// refusedInRow is how many reads, or writes, in a row a side may refuse for want of permission before the job stops.
const refusedInRow = 100

// writes is what a node saw of one job's copies so far.
type writes struct {
	mu      sync.Mutex
	begun   int64 // copies
	took    int64 // objects that the destination took
	refused row   // writes refused for want of permission
	unread  row   // reads refused by a store for want of permission
}

// row counts refusals in a row. Copies overlap: one that began before the first refusal of the row came, and ends well after
// it, says nothing of what is refused since, and does not end the row.
type row struct {
	n     int
	since int64 // copies begun when the first of them came
}

func (r *row) add(begun int64) int {
	if r.n == 0 {
		r.since = begun
	}
	r.n++
	return r.n
}

func (r *row) end(began int64) {
	if began > r.since {
		r.n = 0
	}
}

// begin counts a copy that begins; stop wants its number.
func (w *writes) begin() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	return w.begun
}

// stop returns a *JobError where the outcome of one copy means that no other can succeed: the destination is full or
// read-only, is not what the job takes it for, or refuses to be written to; or the source refuses to be read.
func (w *writes) stop(began int64, res *Result) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if res.Err == nil {
		if res.Outcome == Copied {
			w.took++
			w.refused.end(began)
			w.unread.end(began)
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
		if n := w.refused.add(w.begun); w.took == 0 || n >= refusedInRow {
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
	if w.unread.add(w.begun) < refusedInRow {
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
