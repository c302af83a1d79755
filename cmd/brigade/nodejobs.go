package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// jobDesk knows what is in the descriptions of a node's jobs: it takes them in, and opens their stores.
type jobDesk struct {
	app         *app
	sealer      *cluster.Sealer
	machine     *fsm.Machine
	spool       transfer.Spool
	concurrency int
	away        func(ctx context.Context) []string // members that do not answer now
	rates       *rateKeeper                        // nil: what jobs move is not counted
}

// Submission makes the command of a description, credentials sealed.
func (d *jobDesk) Submission(ctx context.Context, text, nonce []byte) (fsm.SubmitJob, error) {
	job, ends, err := d.parse(ctx, text)
	if err == nil {
		err = refuseMasks(job, ends)
	}
	if err != nil {
		return fsm.SubmitJob{}, api.InvalidJob(err)
	}
	spec := specOf(job, ends)
	seal := func(s *side) map[string][]byte { return sealing{d.sealer, spec.ID, nonce, s}.seal(s.creds) }
	spec.Source.Sealed = seal(ends.source)
	if ends.destination != nil {
		spec.Destination.Sealed = seal(ends.destination)
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		return fsm.SubmitJob{}, fmt.Errorf("encode spec: %w", err)
	}
	return fsm.SubmitJob{ID: spec.ID, Nonce: nonce, Kind: spec.Type, Spec: encoded, Limits: limitsOf(spec), Priority: spec.Priority}, nil
}

// parse reads and checks a description as it was sent.
func (d *jobDesk) parse(ctx context.Context, text []byte) (*conf.Job, sides, error) {
	job, err := conf.Parse("job", text)
	if err != nil {
		return nil, sides{}, err
	}
	if err := job.Validate(); err != nil {
		return nil, sides{}, err
	}
	for key, url := range map[string]string{"source.url": job.Source.URL, "destination.url": job.Destination.URL} {
		if url != "" && !strings.Contains(url, "://") && !strings.HasPrefix(url, store.ListScheme+":") && !filepath.IsAbs(url) {
			return nil, sides{}, job.Fail(key, fmt.Sprintf("%q is relative to a directory that a node does not know", url), "an absolute path, or a URL")
		}
	}
	ends, err := d.app.locateWith(job, literalCredentials)
	if err != nil {
		return nil, sides{}, err
	}
	if err := d.app.checkClassOf(ctx, job, ends); err != nil {
		return nil, sides{}, err
	}
	list, err := listOf(job, ends)
	if err != nil {
		return nil, sides{}, err
	}
	if list != nil && list.local() && job.List == "" {
		return nil, sides{}, job.Fail(list.key, "is a file that this node does not have", "a URL, such as file:///shared/list.txt; ctl add uploads files")
	}
	if job.ID == "" {
		nameJob(job, ends)
		job.ID = "job-" + strings.TrimPrefix(job.ID, "import-")
	}
	return job, ends, nil
}

// literalCredentials are the credentials that a description brings itself. What refers to the variables or files of a
// node is refused: whoever may submit jobs could read them that way.
func literalCredentials(job *conf.Job, side string, s conf.Side, _ string) (store.Credentials, error) {
	var c store.Credentials
	for _, f := range []struct {
		field string
		from  conf.Secret
		to    *string
	}{{fieldAccessKey, s.AccessKey, &c.AccessKey}, {fieldSecretKey, s.SecretKey, &c.SecretKey}, {fieldSessionToken, s.SessionToken, &c.SessionToken}} {
		if f.from.IsZero() {
			continue
		}
		if f.from.IsReference() {
			return store.Credentials{}, job.Fail(side+"."+f.field, "refers to a variable or file, which a node does not read", "the value itself; ctl add resolves references")
		}
		value, err := f.from.Reveal()
		if err != nil {
			return store.Credentials{}, job.Fail(side+"."+f.field, err.Error(), "")
		}
		*f.to = value
	}
	return c, nil
}

// Description is a job's description, secrets masked.
func (d *jobDesk) Description(job *fsm.Job) (any, error) {
	spec, err := decodeSpec(job)
	if err != nil {
		return nil, err
	}
	return describeSpec(spec), nil
}

// AbortUploads aborts the uploads that the state records of a job.
func (d *jobDesk) AbortUploads(ctx context.Context, job *fsm.Job) error {
	uploads := uploadsOf(d.machine, job.ID)
	if len(uploads) == 0 {
		return nil
	}
	ends, _, err := d.sidesOf(job)
	if err != nil {
		return err
	}
	if ends.destination == nil {
		return nil
	}
	dst, err := d.app.openSide(ctx, ends.destination, hex.EncodeToString(job.Nonce), d.concurrency)
	if err != nil {
		return err
	}
	return abortAt(ctx, dst.store, uploads)
}

// sidesOf finds both ends of a job in its description.
func (d *jobDesk) sidesOf(job *fsm.Job) (sides, fsm.Spec, error) {
	spec, err := decodeSpec(job)
	if err != nil {
		return sides{}, fsm.Spec{}, err
	}
	end := func(role store.Role, kept *fsm.Side) (*side, error) {
		if kept == nil {
			return nil, nil
		}
		s, err := keptSide(job, role, kept)
		if err != nil {
			return nil, err
		}
		if s.creds, err = (sealing{d.sealer, job.ID, job.Nonce, s}).open(*kept); err != nil {
			return nil, err
		}
		return s, nil
	}
	var ends sides
	if ends.source, err = end(store.RoleSource, &spec.Source); err != nil {
		return sides{}, fsm.Spec{}, err
	}
	ends.destination, err = end(store.RoleDestination, spec.Destination)
	return ends, spec, err
}

// keptSide finds an end of a job in its description, without credentials.
func keptSide(job *fsm.Job, role store.Role, kept *fsm.Side) (*side, error) {
	at, err := store.Parse(kept.URL)
	if err != nil {
		return nil, fmt.Errorf("%s of job %s: %w", role, job.ID, err)
	}
	return &side{role: role, at: canonical(at)}, nil
}

// open opens both sides of a job and proves that this node can use them.
func (d *jobDesk) open(ctx context.Context, job *fsm.Job) (*transfer.Job, scheduler.Preflight, error) {
	ends, spec, err := d.sidesOf(job)
	if err != nil {
		return nil, scheduler.Preflight{}, err
	}
	open, err := d.app.openSides(ctx, ends, hex.EncodeToString(job.Nonce), d.concurrency)
	if err != nil {
		return nil, scheduler.Preflight{}, err
	}
	work, err := d.app.jobOf(ctx, open, ends, spec, d.spool)
	if err != nil {
		return nil, scheduler.Preflight{}, errors.Join(err, open.close())
	}
	work.Traffic = d.rates.follow(job, ends)
	return work, open.preflight(), nil
}
