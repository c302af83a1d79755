package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// sendShared sends the parts that the owner of an upload handed out, and reports how that ended. What keeps it from
// sending them is for the owner to deal with: it meets the same, or can do it after all.
func (t *taskRun) sendShared(ctx context.Context) error {
	if err := t.n.Slots.Acquire(ctx, t.job.ID); err != nil {
		return context.Cause(ctx)
	}
	defer t.n.Slots.Release(t.job.ID)
	p := t.task.Parts
	c := &copier{n: t.n, job: t.job, task: t.task, lease: t.lease, ledger: t.ledger, key: p.Key, src: store.Object{Key: p.Key}}
	m := &multipart{copier: c, id: p.UploadID, onPart: func() { t.ledger.Progress(Counts{BytesMoved: c.sent.Load()}) }}
	r, err := t.sendRange(ctx, m)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case isEnd(err):
		return err
	case err != nil:
		r = PartsResult{Class: string(store.ClassOf(err)), Reason: err.Error()}
		t.n.Log.Warn("shared parts not sent, their owner will look at them", "job", t.job.ID, "task", t.task.ID, "key", p.Key, "error", err)
	}
	_, err = t.ledger.Advance(ctx, Advance{
		FromLine: t.task.Line, ToLine: t.task.EndLine, Done: true, Counts: Counts{BytesMoved: c.sent.Load()}, Parts: &r,
	})
	return err
}

// sendRange sends the task's parts and returns what the owner needs to know of them.
func (t *taskRun) sendRange(ctx context.Context, m *multipart) (r PartsResult, err error) {
	if err := t.prepareRange(ctx, m); err != nil {
		return r, err
	}
	m.stopping = t.stopping
	m.hand = func(ctx context.Context, first, end int) error {
		if end != int(t.task.EndLine) {
			return fmt.Errorf("%w: what is left does not reach the end", ErrSplitRefused)
		}
		err := t.ledger.Split(ctx, "", int64(first))
		if err == nil {
			t.task.EndLine = int64(first)
			m.lower(first)
		}
		return err
	}
	stop := t.serveHandOut(ctx, m)
	defer stop()
	for {
		if err := m.n.inParallel(ctx, m.lease, m.job.ID, m.plan.n, m.sendPart); err != nil {
			return r, err
		}
		if err := m.settleHandOut(ctx); err != nil {
			return r, err
		}
		if !m.any(partOpen) {
			break // and nothing is handed out any more
		}
		if t.stopping() {
			return r, ErrStopped
		}
	}
	if m.missing(int(t.task.Line), int(t.task.EndLine)) {
		return r, ErrStopped // before parts of an earlier holder were looked at
	}
	if err := m.recheck(ctx); err != nil {
		return r, err
	}
	return m.result(int(t.task.Line), int(t.task.EndLine)), nil
}

// prepareRange makes sure that the source still has the version that the upload is of, and lays out the parts.
func (t *taskRun) prepareRange(ctx context.Context, m *multipart) error {
	p := t.task.Parts
	to, ok := t.job.Destination.(store.Multiparter)
	plan := cutParts(p.Size, max(p.PartSize, 1))
	if !ok || t.task.Line < 0 || t.task.EndLine > int64(plan.n) || t.task.Line >= t.task.EndLine {
		return &store.Error{Op: "put", Key: p.Key, Class: store.Permanent, Err: errors.New("no such parts of this object")}
	}
	m.to = to
	now, err := m.statSource(ctx)
	if err != nil {
		return err
	}
	if now.Size != p.Size || versionOf(&now) != p.Version {
		return m.changed(fmt.Errorf("version %q is wanted, %q is there", p.Version, versionOf(&now)))
	}
	m.src = now
	if fresh, err := m.planNew(); err == nil {
		plan.sameParts = fresh.sameParts && fresh.part == plan.part
	}
	m.layOut(plan)
	if t.task.Takeover {
		if held, err := m.resume(ctx, &Upload{ID: p.UploadID}); err != nil {
			return err
		} else if !held {
			return errUploadGone
		}
		m.trust = false // nothing tells the sum of these parts, so each is held against the source
	}
	m.id = p.UploadID
	m.set(0, int(t.task.Line), partArrived)
	m.set(int(t.task.EndLine), plan.n, partArrived)
	m.lower(int(t.task.EndLine))
	return nil
}

// serveHandOut splits the task when its lease asks, until the function that it returns is called. A hand-out ends before
// that, or is one that found nothing.
func (t *taskRun) serveHandOut(ctx context.Context, m *multipart) (stop func()) {
	asks, ok := t.lease.(SplitLease)
	if !ok {
		return func() {}
	}
	requests := asks.SplitRequests()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-requests:
				if _, err := m.handOut(ctx); err != nil {
					return // the lease is lost, which every part finds out too
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// settleHandOut waits until it is known what was handed out. Afterwards nothing is, unless parts came back.
func (m *multipart) settleHandOut(ctx context.Context) error {
	m.handing.Lock()
	defer m.handing.Unlock()
	return m.settleDoubts(ctx)
}

// lower notes that the parts from end on are others' for good.
func (m *multipart) lower(end int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = min(m.end, end)
}

// missing tells whether a part of a range was not sent.
func (m *multipart) missing(first, end int) bool {
	for _, p := range m.parts[first:end] {
		if p.Number == 0 {
			return true
		}
	}
	return false
}

// result sums up a range of parts that were sent.
func (m *multipart) result(first, end int) PartsResult {
	parts := make([]store.Part, 0, end-first)
	sums := make([]store.Part, 0, end-first)
	for i := first; i < end; i++ {
		_, length := m.plan.span(i)
		parts = append(parts, store.Part{Number: i + 1, Size: length, ETag: m.parts[i].ETag})
		sums = append(sums, store.Part{Size: length, Sums: m.sums[i]})
	}
	whole := combineParts(sums)
	return PartsResult{
		Tags: []byte(tagsOf(parts)), CRC64: []byte(whole.CRC64NVME), CRC32C: []byte(whole.CRC32C), CRC64ECMA: []byte(whole.CRC64ECMA), Shown: shownBy(m.shown[first:end]),
	}
}
