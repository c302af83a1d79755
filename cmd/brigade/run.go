package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// importer is one run of import, from its state on.
type importer struct {
	app   *app
	flags *importFlags
	job   *conf.Job
	ends  sides
	paths jobPaths
	want  fsm.Spec
	list  *localList // nil where no file of this machine names the keys

	engine *engine
	stop   *stopper
	began  bool // a pass is under way or done: the state is worth keeping

	mu     sync.Mutex
	hashed bool // the destination's sums are of the bytes before the write
}

// say tells the user something on stderr; with --json only errors are told.
func (im *importer) say(format string, args ...any) {
	if !im.flags.json {
		_, _ = fmt.Fprintf(im.app.err, format+"\n", args...)
	}
}

// run opens the state, runs the job from where it stands, and reports.
func (im *importer) run(ctx context.Context) error {
	im.stop = watchSignals(ctx, im.app.signals)
	defer im.stop.close()
	err := im.throughEngine()
	return im.stop.or(err)
}

// throughEngine runs the job on an engine that it starts and closes.
func (im *importer) throughEngine() (err error) {
	if err := im.start(); err != nil {
		return err
	}
	defer func() {
		if im.stop.hard.Err() != nil {
			return // at once: the state is safe whenever the process ends
		}
		closed := im.engine.end(im.paths, im.began)
		if err == nil && closed != nil {
			err = refused(fmt.Errorf("close state: %w", closed))
		}
	}()
	if err := im.begin(im.stop.soft); err != nil {
		return err
	}
	return im.passes()
}

// start starts the engine; with --restart on an empty state.
func (im *importer) start() error {
	err := im.startEngine()
	if err != nil || !im.flags.restart {
		return err
	}
	if im.engine.job(im.want.ID) == nil {
		return nil
	}
	return im.startOver()
}

func (im *importer) startEngine() (err error) {
	im.engine, err = im.app.startEngine(im.stop.hard, engineConfig{
		paths: im.paths, concurrency: im.flags.concurrency, memory: im.flags.memoryBytes, open: im.open,
		archivedEvery: im.app.archivedEvery,
	})
	if err != nil {
		return refused(err)
	}
	im.began = im.engine.job(im.want.ID) != nil
	return nil
}

// startOver aborts the uploads that the state records, removes it, and starts the engine anew.
func (im *importer) startOver() error {
	im.abortUploads()
	if err := im.engine.discard(im.paths); err != nil {
		return refused(err)
	}
	return im.startEngine()
}

// begin brings the job to where a pass is running.
func (im *importer) begin(ctx context.Context) error {
	job := im.engine.job(im.want.ID)
	act, diffs, err := decide(job, im.want)
	if err != nil {
		return refused(err)
	}
	if act == startOver {
		if !im.mayStartOver(diffs) {
			return startOverError(im.want.ID, diffs)
		}
		if err := im.startOver(); err != nil {
			return err
		}
		act = submit
	}
	if act == resume || act == unpause || act == startPass {
		if err := im.newLimits(ctx, job); err != nil {
			return refused(err)
		}
	}
	switch act {
	case resume:
		im.sayResuming(job)
		return nil
	case unpause:
		im.sayResuming(job)
		return refusedOr(im.engine.propose(ctx, fsm.ContinueJob{Job: job.ID, Nonce: job.Nonce}))
	case resubmit:
		if err := im.engine.propose(ctx, fsm.RemoveJob{Job: job.ID, Nonce: job.Nonce}); err != nil {
			return refused(err)
		}
		fallthrough
	case submit:
		if err := im.submit(ctx); err != nil {
			return err
		}
	}
	if _, err := im.engine.leader.RequestPass(ctx, im.want.ID); err != nil {
		return refused(err)
	}
	im.began = true
	return nil
}

// newLimits gives a job that goes on the limits that are wanted now: they are no part of what it does.
func (im *importer) newLimits(ctx context.Context, job *fsm.Job) error {
	cmd, changes, err := limitsChange(job, im.want.Limits)
	if err != nil || !changes {
		return err
	}
	return im.engine.propose(ctx, cmd)
}

func refusedOr(err error) error {
	if err != nil {
		return refused(err)
	}
	return nil
}

// mayStartOver asks whether to forget another job's state, where somebody can answer.
func (im *importer) mayStartOver(diffs []difference) bool {
	if im.flags.yes || im.flags.json || !im.app.interactive() {
		return false
	}
	return im.app.confirm(fmt.Sprintf("Job %s exists with another description: %s.\nForget its state and start over?",
		im.want.ID, clauses(diffs)))
}

func (im *importer) sayResuming(job *fsm.Job) {
	c := job.Counts
	atLeast := ""
	if job.Listing > 0 {
		atLeast = "at least "
	}
	im.say("resuming pass %d: %s of %s%s settled, %s moved", job.Pass, humanize.Comma(c.Found()), atLeast,
		count(c.Listed, "object", "objects"), bytesOf(c.BytesMoved))
}

// submit puts the job into the state, credentials sealed.
func (im *importer) submit(ctx context.Context) error {
	if err := im.list.keep(ctx, im.engine.spool.Put); err != nil {
		return refused(err)
	}
	nonce, err := newNonce()
	if err != nil {
		return refused(err)
	}
	spec, err := im.sealed(nonce)
	if err != nil {
		return refused(err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return refused(fmt.Errorf("encode spec: %w", err))
	}
	cmd := fsm.SubmitJob{ID: spec.ID, Nonce: nonce, Kind: spec.Type, Spec: text, Limits: limitsOf(spec)}
	if err := im.engine.propose(ctx, cmd); errors.Is(err, fsm.ErrTooLarge) {
		return misuse(fmt.Errorf("the job's description with its credentials is too large: %w", err))
	} else if err != nil {
		return refused(err)
	}
	return nil
}

// sealed is the spec with credentials encrypted.
func (im *importer) sealed(nonce []byte) (fsm.Spec, error) {
	spec := im.want
	sealer, err := sealerAt(im.paths.key)
	if err != nil {
		return fsm.Spec{}, err
	}
	seal := func(s *side) map[string][]byte {
		return sealing{sealer, spec.ID, nonce, s}.seal(s.creds)
	}
	spec.Source.Sealed = seal(im.ends.source)
	if im.ends.destination != nil {
		d := *spec.Destination
		d.Sealed = seal(im.ends.destination)
		spec.Destination = &d
	}
	return spec, nil
}

// open opens both sides of the job; the worker calls it before a pass.
func (im *importer) open(ctx context.Context, job *fsm.Job, spool *cluster.Spool) (*transfer.Job, scheduler.Preflight, error) {
	spec, err := decodeSpec(job)
	if err != nil {
		return nil, scheduler.Preflight{}, err
	}
	ends, err := im.withCredentials(job, spec)
	if err != nil {
		return nil, scheduler.Preflight{}, err
	}
	open, err := im.app.openSides(ctx, ends, hex.EncodeToString(job.Nonce), im.flags.concurrency)
	if err != nil {
		return nil, scheduler.Preflight{}, err
	}
	if d := open.destination; d != nil {
		im.mu.Lock()
		im.hashed = d.store.Abilities().HashedBeforeWrite
		im.mu.Unlock()
	}
	work, err := im.app.jobOf(ctx, open, ends, spec, spool)
	if err != nil {
		return nil, scheduler.Preflight{}, errors.Join(err, open.close())
	}
	return work, open.preflight(), nil
}

// withCredentials takes the credentials that are sealed in the state where none are given now.
func (im *importer) withCredentials(job *fsm.Job, spec fsm.Spec) (ends sides, err error) {
	take := func(s *side, kept *fsm.Side) (*side, error) {
		if s == nil || kept == nil || len(kept.Sealed) == 0 || s.creds != (store.Credentials{}) {
			return s, nil
		}
		sealer, err := sealerAt(im.paths.key)
		if err != nil {
			return nil, err
		}
		own := *s
		own.creds, err = sealing{sealer, job.ID, job.Nonce, s}.open(*kept)
		return &own, err
	}
	if ends.source, err = take(im.ends.source, &spec.Source); err != nil {
		return sides{}, err
	}
	ends.destination, err = take(im.ends.destination, spec.Destination)
	return ends, err
}

// passes waits for the end of the pass, reports, and runs it on as often as a retry is wanted.
func (im *importer) passes() error {
	for {
		start := time.Now()
		before := im.engine.job(im.want.ID).Counts
		job, err := im.wait(before)
		if err != nil {
			return err
		}
		run := runStats{
			elapsed: time.Since(start), bytes: job.Counts.BytesMoved - before.BytesMoved,
			objects: job.Counts.Found() - before.Found(),
		}
		retry, err := im.finish(job, run)
		if err != nil || !retry {
			return err
		}
		if err := im.engine.propose(im.stop.soft, fsm.RetryJob{Job: job.ID, Nonce: job.Nonce}); err != nil {
			return refused(err)
		}
	}
}

// standsStill tells whether nothing more will happen to a job by itself.
func standsStill(job *fsm.Job) bool {
	switch job.State {
	case fsm.Succeeded, fsm.Paused, fsm.Canceled:
		return true
	case fsm.Failed:
		return job.RetryAt == 0
	}
	return false
}

// wait shows progress until the job stands still, or a signal comes: then tasks settle what is in flight.
func (im *importer) wait(before fsm.Counts) (*fsm.Job, error) {
	ctx, cancel := context.WithCancelCause(im.stop.soft)
	defer cancel(nil)
	var watchers sync.WaitGroup
	if !im.flags.json {
		s := &sampler{moved: before.BytesMoved - im.engine.mover.Meter.BytesWritten.Load()}
		watchers.Go(func() { im.app.showProgress(ctx, s, func() tally { return im.engine.tally(im.want.ID) }) })
	}
	watchers.Go(func() {
		select {
		case err := <-im.engine.failed:
			cancel(err)
		case <-ctx.Done():
		}
	})
	told := int64(0)
	job, err := im.engine.leader.Wait(ctx, im.want.ID, func(job *fsm.Job) bool {
		if job.State == fsm.Failed && job.RetryAt != told {
			told = job.RetryAt
			if told != 0 {
				im.say("%s: %s", job.ID, printable(job.Reason))
			}
		}
		return standsStill(job)
	})
	cancel(nil)
	watchers.Wait()
	if err == nil {
		return job, nil
	}
	if im.stop.soft.Err() == nil {
		return nil, refused(err)
	}
	im.say("stopping: what is in flight is settled, at most %s; another signal stops at once", stopPatience)
	im.engine.settle(im.stop.hard)
	return im.interrupted()
}

// interrupted is the job after a signal: done after all, or to be resumed.
func (im *importer) interrupted() (*fsm.Job, error) {
	job := im.engine.job(im.want.ID)
	if im.stop.hard.Err() == nil && standsStill(job) {
		return job, nil
	}
	if im.flags.json {
		if err := json.NewEncoder(im.app.out).Encode(documentOf(job, runStats{}, nil)); err != nil {
			return nil, refused(fmt.Errorf("print: %w", err))
		}
	}
	return nil, interrupted(im.want.ID)
}

// abortUploads aborts the multipart uploads that the state records. What cannot be aborted is logged: starting over must
// not depend on it.
func (im *importer) abortUploads() {
	job := im.engine.job(im.want.ID)
	uploads := uploadsOf(im.engine.machine, im.want.ID)
	if len(uploads) == 0 || im.ends.destination == nil {
		return
	}
	ctx, cancel := context.WithTimeout(im.stop.soft, stopPatience)
	defer cancel()
	if err := im.abort(ctx, job, uploads); err != nil {
		im.engine.log.Warn("uploads of the old state not aborted", "error", err)
	}
}

func (im *importer) abort(ctx context.Context, job *fsm.Job, uploads []*fsm.Upload) error {
	spec, err := decodeSpec(job)
	if err != nil {
		return err
	}
	if urlOf(spec.Destination) != im.ends.destination.at.String() {
		return fmt.Errorf("they are at another destination, %s", urlOf(spec.Destination))
	}
	ends, err := im.withCredentials(job, spec)
	if err != nil {
		return err
	}
	dst, err := im.app.openSide(ctx, ends.destination, hex.EncodeToString(job.Nonce), im.flags.concurrency)
	if err != nil {
		return err
	}
	return abortAt(ctx, dst.store, uploads)
}

// abortsAtOnce is how many uploads are aborted at a time.
const abortsAtOnce = 16

// abortAt aborts uploads and closes their store.
func abortAt(ctx context.Context, dst store.Destination, uploads []*fsm.Upload) error {
	m, ok := dst.(store.Multiparter)
	if !ok {
		return dst.Close()
	}
	errs := make([]error, len(uploads), len(uploads)+1)
	room := make(chan struct{}, abortsAtOnce)
	var aborting sync.WaitGroup
	for i, u := range uploads {
		room <- struct{}{}
		aborting.Go(func() {
			defer func() { <-room }()
			planned := transfer.Upload{Key: string(u.Key), ID: u.ID, Known: u.Known, Planned: time.Unix(0, u.Planned)}
			if err := transfer.AbortUpload(ctx, m, planned); err != nil {
				errs[i] = fmt.Errorf("upload of %q: %w", u.Key, err)
			}
		})
	}
	aborting.Wait()
	return errors.Join(append(errs, dst.Close())...)
}

// uploadsOf are the multipart uploads that the state records of a job, those of ranges that were given up included.
func uploadsOf(machine *fsm.Machine, id string) (uploads []*fsm.Upload) {
	machine.Read(func(s *fsm.State) {
		for t := range s.TasksOf(id) {
			uploads = append(uploads, t.Uploads...)
		}
		if job := s.Job(id); job != nil {
			for i := range job.LostRanges {
				uploads = append(uploads, job.LostRanges[i].Task.Uploads...)
			}
		}
	})
	return uploads
}
