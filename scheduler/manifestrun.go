package scheduler

import (
	"context"
	"fmt"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// runEngine works on a task. The lines of a task made of a manifest (failed keys to be retried) are those of the
// segments that it names, one after the other; each is a list of its own to the engine.
func (w *Worker) runEngine(ctx context.Context, job *transfer.Job, t *taskRun) error {
	task, err := taskOf(&t.task)
	if err != nil {
		return err
	}
	if t.task.Segment == nil || !t.task.Segment.Manifest {
		return w.cfg.Runner.Run(ctx, job, task, t, t)
	}
	segments, err := readManifest(ctx, w.cfg.Spool, *t.task.Segment)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, s := range segments {
		total += s.Lines
	}
	if task.EndLine > total {
		return fmt.Errorf("task ends at line %d, its manifest at line %d", task.EndLine, total)
	}
	base := int64(0)
	for _, s := range segments {
		end := min(base+s.Lines, task.EndLine)
		if end > task.Line {
			part := &partLedger{taskRun: t, base: base, last: end == task.EndLine}
			if err := w.runPart(ctx, job, task, s, part, end); err != nil || !part.done {
				return err
			}
			task.Line = end
		}
		base += s.Lines
	}
	return nil
}

// runPart works on the lines of one segment, from the first that is not settled up to end.
func (w *Worker) runPart(ctx context.Context, job *transfer.Job, task transfer.Task, s fsm.Segment, l *partLedger, end int64) error {
	var err error
	if task.Segment, err = segmentOf(s); err != nil {
		return err
	}
	task.Line -= l.base
	task.EndLine = end - l.base
	return w.cfg.Runner.Run(ctx, job, task, l.taskRun, l)
}

// partLedger is the ledger of one segment of a manifest: it counts lines from the manifest's start, and ends the task
// with its last segment only.
type partLedger struct {
	*taskRun
	base int64 // lines before this segment
	last bool
	done bool // this segment is
}

// Advance implements transfer.Ledger.
func (l *partLedger) Advance(ctx context.Context, a transfer.Advance) (yield bool, err error) {
	ends := a.Done
	a.FromLine += l.base
	a.ToLine += l.base
	a.Done = ends && l.last
	if ends && !l.last && a.FromLine == a.ToLine && a.Counts == (transfer.Counts{}) {
		l.done = true // all of it was settled before
		return l.yield.Load(), nil
	}
	if yield, err = l.taskRun.Advance(ctx, a); err == nil {
		l.done = ends
	}
	return yield, err
}
