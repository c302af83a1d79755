package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// foldRetry is the pause after a fold that failed: the spool may be full.
const foldRetry = 10 * time.Second

// foldWork is a list of segments that is due.
type foldWork struct {
	job      *fsm.Job
	failed   bool // the list of failed keys instead of audit records
	segments []fsm.Segment
}

// fold keeps the lists of segments short, one after the other: it reads and writes the spool, and must not hold up
// dispatching.
func (r *reign) fold(ctx context.Context) {
	for {
		changed := r.cfg.Machine.Changed()
		var retry <-chan time.Time
		for _, w := range r.foldable() {
			if err := r.foldOne(ctx, w); err != nil {
				if ctx.Err() != nil {
					return
				}
				r.cfg.Logger.Warn("segments not folded, will retry", "job", w.job.ID, "error", err)
				timer := time.NewTimer(foldRetry)
				defer timer.Stop()
				retry, changed = timer.C, nil
			}
		}
		select {
		case <-changed:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}

// foldable are the lists longer than fsm.MaxSegments.
func (r *reign) foldable() (work []foldWork) {
	r.cfg.Machine.Read(func(state *fsm.State) {
		for _, job := range state.Jobs() {
			if len(job.Audit) > fsm.MaxSegments {
				work = append(work, foldWork{job, false, job.Audit})
			}
			if len(job.Failed) > fsm.MaxSegments {
				work = append(work, foldWork{job, true, job.Failed})
			}
		}
	})
	return work
}

// foldOne writes the manifest and puts it in the place of the segments. Manifests among them are read and taken in, so
// that a list never nests.
func (r *reign) foldOne(ctx context.Context, w foldWork) error {
	var flat []fsm.Segment
	lines := int64(0)
	for _, seg := range w.segments {
		lines += seg.Lines
		if !seg.Manifest {
			flat = append(flat, seg)
			continue
		}
		inner, err := readManifest(ctx, r.cfg.Spool, seg)
		if err != nil {
			return err
		}
		flat = append(flat, inner...)
	}
	data, err := EncodeManifest(flat)
	if err != nil {
		return err
	}
	name, err := r.cfg.Spool.Put(ctx, data)
	if err != nil {
		return fmt.Errorf("spool manifest: %w", err)
	}
	o := r.propose(ctx, fsm.FoldSegments{
		Job: w.job.ID, Nonce: w.job.Nonce, Failed: w.failed, First: w.segments[0].Name, Count: len(w.segments),
		Manifest: fsm.Segment{Name: name[:], Lines: lines, Manifest: true},
	})[0]
	if o.err != nil {
		return fmt.Errorf("fold segments: %w", o.err)
	}
	if o.result.Err != nil {
		return fmt.Errorf("fold segments: %w", o.result.Err)
	}
	return nil
}
