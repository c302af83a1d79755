package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// finish reports on a job that stands still. It returns whether a retry is wanted, else the run's exit.
func (im *importer) finish(job *fsm.Job, run runStats) (retry bool, err error) {
	r := &report{job: job, run: run, hashedBefore: im.hashedBefore(), colored: im.app.colored(),
		lostBy: filepath.Join(im.paths.dir, lostList)}
	ctx := im.stop.hard
	if r.failures, r.files, err = collectFailures(ctx, im.engine.spool, job, im.paths.dir); err != nil {
		return false, refused(err)
	}
	if r.evidence, r.records, err = collectEvidence(ctx, im.engine.spool, job, im.paths.dir); err != nil {
		return false, refused(err)
	}
	if err := im.print(ctx, r); err != nil {
		return false, refused(fmt.Errorf("print report: %w", err))
	}
	if job.State == fsm.Paused {
		return false, im.paused(job)
	}
	if im.wantsRetry(job) {
		return true, nil
	}
	return false, ended(exitOf(job))
}

func (im *importer) hashedBefore() bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.hashed
}

// print writes the listing of a list job, then the document or the text.
func (im *importer) print(ctx context.Context, r *report) error {
	if r.job.Type == "list" {
		if err := im.printKeys(ctx, r.job); err != nil {
			return err
		}
	}
	if im.flags.json {
		return json.NewEncoder(im.app.out).Encode(documentOf(r.job, r.run, r.failures.errors))
	}
	to := im.app.out
	if r.job.Type == "list" {
		to = im.app.err // stdout holds the keys and nothing else
	}
	return r.write(to)
}

// listedKey is one object of a list job, with --json.
type listedKey struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"`
	Size      int64  `json:"size"`
}

// printKeys prints what a list job listed: "key TAB size", keys as in key lists.
func (im *importer) printKeys(ctx context.Context, job *fsm.Job) error {
	out := bufio.NewWriterSize(im.app.out, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := records(ctx, im.engine.spool, job.Audit, func(r *transfer.Record) error {
		if r.Outcome != transfer.Skipped {
			return nil
		}
		if im.flags.json {
			return enc.Encode(listedKey{r.Key, r.KeyBase64, r.Size})
		}
		return listLine(out, r)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

func listLine(w io.Writer, r *transfer.Record) error {
	_, err := fmt.Fprintf(w, "%s\t%d\n", transfer.EncodeKey(r.ExactKey()), r.Size)
	return err
}

// paused is the end of a run that the job's rules or a side stopped.
func (im *importer) paused(job *fsm.Job) error {
	return refused(fmt.Errorf("%s is paused: %s; its state is kept, the same command goes on", job.ID, printable(job.Reason)))
}

// wantsRetry offers a retry of failed objects where somebody can answer.
func (im *importer) wantsRetry(job *fsm.Job) bool {
	if job.State != fsm.Failed || job.Type != "copy" || im.flags.yes || im.flags.json || !im.app.interactive() ||
		im.stop.soft.Err() != nil {
		return false
	}
	what := count(job.Counts.Failed, "failed object", "failed objects")
	if job.Counts.Failed == 0 {
		what = count(job.TasksLost, "key range", "key ranges") + " given up"
	}
	return im.app.confirm("Retry the " + what + "?")
}
