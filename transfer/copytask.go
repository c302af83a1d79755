package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// item is one key of a copy task, in order.
type item struct {
	src     *store.Object // nil: only the destination has the key
	dst     *store.Object
	verdict Verdict
	reason  string // why it is left out
	listed  bool   // src came from the task's own source listing
	line    int64  // of a list task: its line
	undo    string // class that an earlier attempt counted the key under
	gone    bool   // a retry found that the source no longer has it
	named   *named // a list named it, and neither side was looked at

	fare     *fare // what was paid for its bytes; nil where nothing limits the job
	slotless bool  // its slot of the node was given back
}

// key is the key that the item is about.
func (it *item) key() string {
	if it.src != nil {
		return it.src.Key
	}
	return it.dst.Key
}

// window bounds the keys dispatched but not yet advanced, and with them the memory of a task.
const window = advanceKeys + advanceKeys/2

// pipeline copies the keys of one task: the task's goroutine dispatches in order, one goroutine per key in flight works,
// and one settles finished keys in order and advances.
type pipeline struct {
	*taskRun
	lines   bool // bounds are line numbers
	byStore bool // the destination copies by itself
	split   *splitter
	// uploads of large objects, whose parts go to others where there are no keys left to hand out.
	uploads *uploads

	mu    sync.Mutex
	queue []*slot // dispatched, not yet taken by the settler; in order
	wake  chan struct{}
	room  chan struct{} // one token per key in the window
	err   error         // first failure that ends the task
	ended bool          // the dispatcher is done
	full  bool          // ended at the task's own end

	workers sync.WaitGroup
	outer   context.Context // the task's own, for what is committed after a failure
	cancel  context.CancelCauseFunc
	batch   *batch
}

// slot is the place of one key in the queue. When its work has ended done is set and the item is dropped: thousands may wait
// for one that takes long.
type slot struct {
	item item
	key  string
	line int64 // of a list task
	done *settled
}

func (t *taskRun) newPipeline(lines bool, split *splitter) *pipeline {
	p := &pipeline{taskRun: t, lines: lines, split: split, wake: make(chan struct{}, 1), room: make(chan struct{}, window)}
	p.batch = newBatch(t.task.From, t.task.Line, t.n.Now())
	if by, ok := t.job.Destination.(store.Copier); ok && t.job.Type == "copy" {
		p.byStore = by.CanCopyFrom(t.job.Source)
	}
	p.uploads = t.newUploads()
	split.instead = p.uploads.handOut
	return p
}

// run dispatches what next yields until it says the end, then waits for all that is in flight. next returns false at the
// end of the task.
func (p *pipeline) run(ctx context.Context, next func(context.Context) (item, bool, error)) error {
	p.outer = ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer p.split.close()
	defer cancel(nil)
	p.cancel = cancel
	settler := make(chan error, 1)
	go func() { settler <- p.settleAll(ctx) }()
	err := p.dispatch(ctx, next)
	if err != nil && !errors.Is(err, ErrStopped) {
		p.fail(err)
	}
	p.awaitWorkers(ctx)
	p.mu.Lock()
	p.ended, p.full = true, err == nil
	p.mu.Unlock()
	p.signal()
	settleErr := <-settler
	if cause := p.failure(); cause != nil {
		return cause
	}
	return errors.Join(err, settleErr)
}

// awaitWorkers waits for the work that was dispatched. Meanwhile parts of large objects may be handed out.
func (p *pipeline) awaitWorkers(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		p.workers.Wait()
		close(done)
	}()
	requests := p.split.requests
	if p.split.wanted > 0 { // asked before there was anything to go by
		if err := p.uploads.handOut(ctx); err != nil {
			p.fail(err)
		}
	}
	for {
		var err error
		select {
		case <-done:
			return
		case <-requests:
			err = p.uploads.handOut(ctx)
		case <-p.split.found: // whatever it is, no key is left to cut behind
			err = p.uploads.handOut(ctx)
		case <-p.uploads.offered:
			if asks, ok := p.lease.(SplitLease); ok {
				requests = asks.SplitRequests()
			}
			if p.uploads.wanted() {
				err = p.uploads.handOut(ctx)
			}
		}
		if err != nil {
			p.fail(err)
		}
	}
}

// dispatch starts the work on each key once a slot of the node is free.
func (p *pipeline) dispatch(ctx context.Context, next func(context.Context) (item, bool, error)) error {
	for {
		if p.stopping() {
			return ErrStopped
		}
		if err := p.split.serve(ctx); err != nil {
			return err
		}
		it, ok, err := next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := p.awaitRoom(ctx); err != nil {
			return err
		}
		s := &slot{key: it.key(), line: it.line}
		if done := p.settleAtOnce(&it); done != nil {
			s.done = done
			p.enqueue(s)
			continue
		}
		s.item = it
		s.item.fare = p.fareOf(&it)
		if err := p.awaitSlot(ctx, &s.item); err != nil {
			s.item.fare.end()
			return err
		}
		p.enqueue(s)
		p.workers.Add(1)
		go p.work(ctx, s)
	}
}

// awaitRoom waits until the window has room for one more key. Meanwhile the task may be split.
func (p *pipeline) awaitRoom(ctx context.Context) error {
	for {
		var err error
		select {
		case p.room <- struct{}{}:
			return nil
		case <-p.split.requests:
			err = p.split.ask(ctx)
		case found := <-p.split.found:
			err = p.split.take(ctx, found)
		case <-p.lease.Stopping():
			return ErrStopped // no room may come before an object ends that takes hours
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// awaitSlot waits until the job's limit lets one item more in, and then for a slot of the node. Meanwhile the task may be
// split, or asked to stop.
func (p *pipeline) awaitSlot(ctx context.Context, it *item) error {
	if it.fare == nil && p.n.Slots.TryAcquire(p.job.ID) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx) // not for the splits, whose searches outlive the wait
	defer cancel()
	acquired := make(chan error, 1)
	go func() {
		err := p.board(waiting, it)
		if err == nil {
			err = p.n.Slots.Acquire(waiting, p.job.ID)
		}
		acquired <- err
	}()
	for {
		var err error
		select {
		case err := <-acquired:
			return err
		case <-p.split.requests:
			err = p.split.ask(ctx)
		case found := <-p.split.found:
			err = p.split.take(ctx, found)
		case <-p.lease.Stopping():
			err = ErrStopped
		}
		if err != nil {
			if !errors.Is(err, ErrStopped) {
				p.fail(err)
			}
			cancel() // ends the wait too
			if <-acquired == nil {
				p.n.Slots.Release(p.job.ID)
			}
			return err
		}
	}
}

func (p *pipeline) enqueue(s *slot) {
	p.mu.Lock()
	p.queue = append(p.queue, s)
	p.mu.Unlock()
	p.signal()
}

// work settles one key; it holds one slot of the node.
func (p *pipeline) work(ctx context.Context, s *slot) {
	defer p.workers.Done()
	done, err := p.settleItem(ctx, &s.item)
	switch { // before the slot is free: the next key would take it
	case errors.Is(err, ErrStopped):
		p.halt() // what else is in flight may end
	case err != nil:
		p.fail(err)
	}
	if !s.item.slotless {
		p.n.Slots.Release(p.job.ID)
	}
	s.item.fare.end()
	if err != nil {
		return
	}
	p.progress(done.counts)
	s.item = item{}
	p.mu.Lock()
	s.done = done
	p.mu.Unlock()
	p.signal()
}

// fail ends the task with the first error.
func (p *pipeline) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.cancel(err)
	p.signal()
}

// halt notes that a key in flight was left as the task was asked to end: what is settled before it is all there will be.
func (p *pipeline) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = ErrStopped
	}
}

func (p *pipeline) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *pipeline) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// settleAll takes finished keys from the front of the queue, in order, and advances when it is time. After a failure
// what is settled is advanced still, so that the next attempt starts behind it.
func (p *pipeline) settleAll(ctx context.Context) error {
	ticker := newTicker(advanceEvery)
	defer ticker.stop()
	for {
		taken, over, full := p.takeFront()
		for i, s := range taken {
			taken[i] = nil // the queue behind it is one array; what was settled is not to stay in it
			// A full batch waits for the next key: if there is none, the task ends with it in one advance.
			if p.batch.due(advanceKeys, p.n.Now()) {
				if err := p.commit(ctx, false); err != nil {
					p.fail(err)
					return err
				}
			}
			p.batch.addItem(s)
			<-p.room
		}
		switch {
		case over:
			return p.commitRest(full)
		case len(taken) > 0:
			continue
		}
		select {
		case <-p.wake:
		case <-ticker.c:
			if p.batch.due(advanceKeys, p.n.Now()) {
				if err := p.commit(ctx, false); err != nil {
					p.fail(err)
					return err
				}
			}
		}
	}
}

// takeFront removes the finished keys at the front of the queue; over tells that nothing will follow.
func (p *pipeline) takeFront() (taken []*slot, over, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.queue) && p.queue[n].done != nil {
		n++
	}
	taken = p.queue[:n:n]
	p.queue = p.queue[n:]
	return taken, p.ended && (len(p.queue) == 0 || p.err != nil), p.full && p.err == nil
}

// commitRest advances what is left when the task ends; done if it ended at its own end. A failure within the task has
// cancelled its work, but what is settled still counts; nothing is done once the task itself was cancelled.
func (p *pipeline) commitRest(done bool) error {
	if err := p.outer.Err(); err != nil {
		return context.Cause(p.outer)
	}
	if !done && p.batch.empty() {
		return nil
	}
	return p.commit(p.outer, done)
}

// commit proves that what the batch wrote is there, makes it durable, and advances.
func (p *pipeline) commit(ctx context.Context, done bool) error {
	if err := p.lease.Check(); err != nil {
		return err
	}
	b := p.batch
	if done {
		b.to, b.toLine = p.task.To, p.task.EndLine
	}
	if err := p.flush(ctx, b); err != nil {
		return err
	}
	if err := p.checkWritten(ctx, b); err != nil {
		return err
	}
	if _, err := p.advance(ctx, b, done, nil); err != nil {
		return err
	}
	p.settledLive(b.counts)
	p.batch = newBatch(b.to, b.toLine, p.n.Now())
	return nil
}

// flush makes durable what the destination only acknowledged.
func (p *pipeline) flush(ctx context.Context, b *batch) error {
	f, ok := p.job.Destination.(store.Flusher)
	if !ok || len(b.wrote) == 0 {
		return nil
	}
	keys := make([]string, len(b.wrote))
	for i := range b.wrote {
		keys[i] = b.wrote[i].key
	}
	ended := p.n.began(p.job.Destination, opFlush)
	if err := ended(f.Flush(ctx, keys)); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// addItem counts a finished key and moves the bound behind it.
func (b *batch) addItem(s *slot) {
	b.add(s.done)
	if s.line > 0 {
		b.toLine = s.line
		return
	}
	b.to = store.Next(s.key)
}

// settleAtOnce settles keys that need no request.
func (p *pipeline) settleAtOnce(it *item) *settled {
	var done *settled
	switch {
	case it.src == nil:
		done = p.extraRecord(it.dst)
	case it.src.Err != nil:
		done = p.taskRun.fail(it.src, string(store.ClassOf(it.src.Err)), it.src.Err.Error())
	case it.gone:
		done = p.settle(it.src, Vanished, it.reason)
	case it.reason != "":
		done = p.settle(it.src, Filtered, it.reason)
	case p.job.Type == "verify" && it.verdict != Undecided:
		done = p.settleVerified(it.src, it.dst, it.verdict)
	case it.verdict == Equal:
		done = p.present(it.src, it.dst)
	default:
		return nil
	}
	p.account(it, done)
	p.progress(done.counts)
	return done
}

// account adds what the task's own listing and an earlier failure mean for the sums.
func (p *pipeline) account(it *item, done *settled) {
	done.undo = it.undo
	it.named.note(&done.record, it.src)
	if it.named != nil && it.undo == "" { // the list may not have told the size
		done.counts.BytesListed = done.counts.BytesFound - max(0, it.named.size)
	}
	if it.listed && it.src != nil {
		done.listed, done.entry = true, Entry(it.src)
	}
}

// settleItem works on a key that needs requests.
func (p *pipeline) settleItem(ctx context.Context, it *item) (*settled, error) {
	done, err := p.settleWork(ctx, it)
	switch {
	case err != nil:
	case done.record.Outcome == Vanished && it.named == nil:
		done, err = p.missing(ctx, it.src, done)
	case done.class == string(store.Archived):
		done, err = p.asArchived(ctx, it.src, done)
	}
	if err != nil {
		return nil, err
	}
	p.account(it, done)
	return done, nil
}

func (p *pipeline) settleWork(ctx context.Context, it *item) (*settled, error) {
	if it.named != nil {
		if done, err := p.lookUp(ctx, it); done != nil || err != nil {
			return done, err
		}
	}
	if p.job.Type == "verify" {
		return p.verify(ctx, it)
	}
	if it.verdict == Undecided {
		verdict, now, err := p.n.compareClosely(ctx, p.job, it.src, it.dst, p.lease)
		if done, err := p.refused(ctx, it.src, err); done != nil || err != nil {
			return done, err
		}
		it.verdict, it.dst = verdict, now
		if verdict == Equal {
			return p.present(it.src, now), nil
		}
		if err := p.boardLate(ctx, it); err != nil {
			return nil, err
		}
	}
	return p.copyItem(ctx, it)
}

// refused turns an error met while looking at a key into its outcome, or into the end of the task.
func (p *pipeline) refused(ctx context.Context, src *store.Object, err error) (*settled, error) {
	switch class := store.ClassOf(err); {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, ErrFenced):
		return nil, err
	case class == store.NotFound:
		return p.settle(src, Vanished, "gone from the source"), nil
	default:
		return p.taskRun.fail(src, string(class), err.Error()), nil
	}
}

// present settles a key that is there already. What an earlier holder of the task wrote in this pass counts as copied.
func (p *pipeline) present(src, dst *store.Object) *settled {
	if !p.task.Takeover || !p.job.writtenThisPass(dst) {
		return p.settle(src, Skipped, "")
	}
	done := p.settle(src, Copied, "")
	done.counts.Copied, done.counts.Recovered, done.counts.BytesCopied = 1, 1, src.Size
	done.record.Recovered, done.record.ETag, done.record.Listed = true, dst.ETag, true
	if _, known, by := src.Sums.Match(dst.Sums); known {
		done.record.Sent = by
	}
	return done
}

// writtenThisPass tells whether a destination object was stored since the pass began, by the destination's clock.
func (job *Job) writtenThisPass(dst *store.Object) bool {
	at := dst.Written
	if at.IsZero() {
		if job.Destination.Abilities().ExactModTime {
			return false // its times are the source's
		}
		at = dst.ModTime
	}
	began := job.PassStart.Add(job.Skew)
	if at.Nanosecond() == 0 {
		began = began.Truncate(time.Second)
	}
	return !at.Before(began)
}
