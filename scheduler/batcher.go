package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// Bounds of one batch. The bytes are what fsm.JoinBatch allows: each command costs its length and at most three more.
const (
	batchCommands = 100
	batchDelay    = 50 * time.Millisecond
	batchInFlight = 8 // commits at once, so that a slow disk is not buried
	entryHeader   = 2
	entryPerPart  = 3
)

// applier commits one encoded entry and returns what the state machine answered.
type applier interface {
	Apply(ctx context.Context, entry []byte) (any, error)
}

// batcher gathers commands into log entries. A batch closes when the previous commit returns, or after batchDelay;
// with nothing in flight a command goes out at once. Commands of concurrent callers may be applied in any order.
type batcher struct {
	log    applier
	submit chan []*proposal
}

// proposal is one command on its way into the log.
type proposal struct {
	ctx  context.Context // of the caller: a proposal that nobody waits for any more is not sent
	data []byte
	done chan outcome // room for one
}

// outcome is an answer of the state machine, or the error that kept it from being known.
type outcome struct {
	result fsm.Result
	err    error
}

func newBatcher(log applier) *batcher {
	return &batcher{log: log, submit: make(chan []*proposal)}
}

// propose commits commands and waits for their outcomes, in order. Commands that cannot be encoded or exceed
// their bound fail alone. The outcome of a command whose ctx ended while it was committed is not known.
func (b *batcher) propose(ctx context.Context, stopped <-chan struct{}, cmds ...fsm.Command) []outcome {
	out := make([]outcome, len(cmds))
	proposals := make([]*proposal, len(cmds))
	var valid []*proposal
	for i, c := range cmds {
		data, err := fsm.Encode(c)
		if err == nil && entryHeader+entryPerPart+len(data) > fsm.MaxEntry {
			err = fmt.Errorf("encode %T: %w", c, fsm.ErrTooLarge)
		}
		if err != nil {
			out[i].err = err
			continue
		}
		proposals[i] = &proposal{ctx: ctx, data: data, done: make(chan outcome, 1)}
		valid = append(valid, proposals[i])
	}
	err := b.enqueue(ctx, stopped, valid)
	for i, p := range proposals {
		switch {
		case p == nil:
		case err != nil:
			out[i].err = err
		default:
			out[i] = p.wait(stopped)
		}
	}
	return out
}

func (b *batcher) enqueue(ctx context.Context, stopped <-chan struct{}, proposals []*proposal) error {
	if len(proposals) == 0 {
		return nil
	}
	select {
	case b.submit <- proposals:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-stopped:
		return ErrNotLeader
	}
}

// wait prefers an outcome that is there over the end of the leadership.
func (p *proposal) wait(stopped <-chan struct{}) outcome {
	select {
	case o := <-p.done:
		return o
	case <-p.ctx.Done():
		return outcome{err: context.Cause(p.ctx)}
	case <-stopped:
		select {
		case o := <-p.done:
			return o
		default:
			return outcome{err: ErrNotLeader}
		}
	}
}

// run gathers and commits until ctx ends, and returns once no commit is in flight.
func (b *batcher) run(ctx context.Context) {
	var (
		queue    []*proposal
		late     bool // the oldest in the queue waited long enough
		inFlight int
		commits  sync.WaitGroup
	)
	returned := make(chan struct{}, batchInFlight)
	delay := time.NewTimer(batchDelay)
	delay.Stop()
	defer delay.Stop()
	defer commits.Wait()
	for {
		for len(queue) > 0 && inFlight < batchInFlight && (inFlight == 0 || late) {
			var batch []*proposal
			batch, queue = cutBatch(queue)
			if len(batch) == 0 {
				break
			}
			inFlight++
			commits.Go(func() {
				b.commit(ctx, batch)
				returned <- struct{}{}
			})
		}
		if len(queue) == 0 {
			late = false
			delay.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case more := <-b.submit:
			if len(queue) == 0 {
				delay.Reset(batchDelay)
			}
			queue = append(queue, more...)
		case <-returned:
			inFlight--
			// The previous commit returned: the batch closes whatever else is in flight.
			late = len(queue) > 0
		case <-delay.C:
			late = true
		}
	}
}

// cutBatch takes from the queue what fits into one entry, leaving out what nobody waits for.
func cutBatch(queue []*proposal) (batch, rest []*proposal) {
	size := entryHeader
	for i, p := range queue {
		if p.ctx.Err() != nil {
			continue
		}
		if len(batch) == batchCommands || size+entryPerPart+len(p.data) > fsm.MaxEntry {
			return batch, queue[i:]
		}
		size += entryPerPart + len(p.data)
		batch = append(batch, p)
	}
	return batch, nil
}

// commit applies one batch and answers its proposals.
func (b *batcher) commit(ctx context.Context, batch []*proposal) {
	results, err := b.apply(ctx, batch)
	for i, p := range batch {
		if err != nil {
			p.done <- outcome{err: err}
			continue
		}
		p.done <- outcome{result: results[i]}
	}
}

func (b *batcher) apply(ctx context.Context, batch []*proposal) ([]fsm.Result, error) {
	entry := batch[0].data
	if len(batch) > 1 {
		parts := make([][]byte, len(batch))
		for i, p := range batch {
			parts[i] = p.data
		}
		var err error
		if entry, err = fsm.JoinBatch(parts); err != nil {
			return nil, err
		}
	}
	answer, err := b.log.Apply(ctx, entry)
	if err != nil {
		return nil, fmt.Errorf("commit %d commands: %w", len(batch), err)
	}
	switch r := answer.(type) {
	case fsm.Result:
		if len(batch) == 1 {
			return []fsm.Result{r}, nil
		}
	case []fsm.Result:
		if len(r) == len(batch) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("commit %d commands: unexpected answer %T", len(batch), answer)
}
