package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// taskRun is one task being worked on.
type taskRun struct {
	n      *Node
	job    *Job
	task   *Task
	lease  Lease
	ledger Ledger

	mu   sync.Mutex
	live Counts // done since the last advance, settled or not
}

// Run works on one task until it is done, the lease is lost (an error that wraps ErrFenced), it is asked to stop
// (ErrStopped), the ledger asks it to yield (nil), or it fails. What it settled is advanced before it returns; with nil
// and no yield the last advance said Done.
func (n *Node) Run(ctx context.Context, job *Job, task Task, lease Lease, ledger Ledger) error {
	t := &taskRun{n: n, job: job, task: &task, lease: lease, ledger: ledger}
	if err := lease.Check(); err != nil {
		return err
	}
	defer n.endpoints.use(job)()
	switch task.Kind {
	case Scan:
		return t.scan(ctx)
	case Range:
		return t.copyRange(ctx)
	case List:
		return t.copyList(ctx)
	case Relist:
		return t.relist(ctx)
	case Parts:
		return t.sendShared(ctx)
	}
	return fmt.Errorf("unknown kind of task %q", task.Kind)
}

// stopping tells whether the task was asked to end early.
func (t *taskRun) stopping() bool { return stopped(t.lease) }

// stopped tells whether the task that a lease is of was asked to end early.
func stopped(lease Lease) bool {
	select {
	case <-lease.Stopping():
		return true
	default:
		return false
	}
}

// progress adds to the live counts and passes them on.
func (t *taskRun) progress(c Counts) {
	t.job.Traffic.settled(c)
	t.mu.Lock()
	t.live = t.live.plus(c)
	live := t.live
	t.mu.Unlock()
	t.ledger.Progress(live)
}

// settledLive takes what an advance committed out of the live counts.
func (t *taskRun) settledLive(c Counts) {
	t.mu.Lock()
	t.live = t.live.plus(c.negative())
	live := t.live
	t.mu.Unlock()
	t.ledger.Progress(live)
}

func (c Counts) negative() Counts {
	return Counts{
		-c.Listed, -c.Copied, -c.Skipped, -c.Filtered, -c.Vanished, -c.Changed, -c.Failed, -c.Recovered, -c.Verified,
		-c.Extra, -c.Deleted, -c.Lossy, -c.BytesListed, -c.BytesFound, -c.BytesCopied, -c.BytesSkipped, -c.BytesMoved,
	}
}

// relist lists a range once more and reports what it holds.
func (t *taskRun) relist(ctx context.Context) error {
	src, _ := t.job.sides()
	p := t.n.newPager(src, store.ListOptions{From: t.task.From, To: t.task.To, Whole: true}, t.lease)
	defer p.close()
	a := Advance{From: t.task.From, To: t.task.To, Done: true}
	for {
		if t.stopping() {
			return ErrStopped
		}
		err := p.fill(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		for i := range p.page {
			a.Objects++
			a.Bytes += p.page[i].Size
			a.Digest = a.Digest.Add(Entry(&p.page[i]))
		}
		p.page = nil
	}
	_, err := t.ledger.Advance(ctx, a)
	return err
}

// settle makes the count and record of a key that needs no copying.
func (t *taskRun) settle(o *store.Object, outcome Outcome, reason string) *settled {
	s := &settled{record: t.record(o), counts: Counts{BytesFound: o.Size}}
	s.record.Outcome, s.record.Reason = outcome, reason
	switch outcome {
	case Skipped:
		s.counts.Skipped, s.counts.BytesSkipped = 1, o.Size
	case Filtered:
		s.counts.Filtered = 1
	case Vanished:
		s.counts.Vanished = 1
	case Changed:
		s.counts.Changed = 1
	case Failed:
		s.counts.Failed = 1
	}
	return s
}

// fail makes a failed key.
func (t *taskRun) fail(o *store.Object, class, reason string) *settled {
	s := t.settle(o, Failed, reason)
	s.record.Class, s.class = class, class
	return s
}

func (t *taskRun) record(o *store.Object) Record {
	r := Record{
		Size: o.Size, ModTime: o.ModTime, Version: o.ETag, Task: t.task.ID, Epoch: t.task.Epoch,
		Node: t.n.Name, Nonce: t.job.Nonce, At: t.n.Now().UTC().Truncate(time.Millisecond),
	}
	r.SetKey(o.Key)
	return r
}

// Classes of failures that are no errors of a store.
const (
	classMissing = "missing" // verify: not at the destination
	classDiffers = "differs" // verify: not equal
)

// outcomeExtra marks the record of a destination key that the source lacks; it is no outcome of a source object.
const outcomeExtra Outcome = "extra"

// extraRecord notes a destination key that the source lacks.
func (t *taskRun) extraRecord(o *store.Object) *settled {
	s := &settled{record: t.record(o), counts: Counts{Extra: 1}}
	s.record.Outcome = outcomeExtra
	return s
}
