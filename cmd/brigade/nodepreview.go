package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// What bounds a look at the destination of a job that may be added.
const (
	lookPatience = 8 * time.Second
	lookObjects  = 10_000
)

// Preview implements api.Jobs: it tells whether there is a job of that ID, and if not, what stands at the destination of a job
// that would write to it.
func (d *jobDesk) Preview(ctx context.Context, text []byte) (*api.Preview, error) {
	job, ends, err := d.parse(ctx, text)
	if err != nil {
		return nil, api.InvalidJob(err)
	}
	p := &api.Preview{ID: job.ID}
	var known *fsm.Job
	d.machine.Read(func(s *fsm.State) { known = s.Job(job.ID) })
	switch {
	case known != nil:
		p.Exists, p.State, p.Same = true, string(known.State), d.same(known, job, ends)
		return p, nil
	case job.Type != "copy":
		return p, nil
	}
	p.Destination = ends.destination.at.String()
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	if err := d.look(ctx, ends.destination, p); err != nil {
		p.Problem = oneLine(err.Error())
	}
	return p, nil
}

// same tells whether a description is the one that a job was submitted with, credentials included. One that cannot be opened
// is not known to be the same.
func (d *jobDesk) same(known *fsm.Job, job *conf.Job, ends sides) bool {
	before, spec, err := d.sidesOf(known)
	now := specOf(job, ends)
	return err == nil && len(compareSpecs(spec, now)) == 0 && spec.Limits == now.Limits && slices.Equal(spec.Notify.Mail, now.Notify.Mail) &&
		sameCredentials(before.source, ends.source) && sameCredentials(before.destination, ends.destination)
}

func sameCredentials(a, b *side) bool {
	return a == nil && b == nil || a != nil && b != nil && a.creds == b.creds
}

// look lists a destination as far as patience and the bound on objects go.
func (d *jobDesk) look(ctx context.Context, s *side, p *api.Preview) (err error) {
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	o, err := d.app.openSide(ctx, s, hex.EncodeToString(nonce), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.store.Close()) }()
	p.Local = o.place != nil
	err = transfer.Walk(ctx, o.store, func(o *store.Object) error {
		if p.Objects == lookObjects {
			return errEnough
		}
		countObject(p, o)
		return nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errEnough), p.Objects > 0: // what was seen is enough to ask
		p.More = true
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the listing of the %s %s takes longer than %v", s.role, s.at, lookPatience)
	}
	return fmt.Errorf("list the %s %s: %w", s.role, s.at, err)
}

// countObject counts what stands at a destination. Folders alone are nothing that could be overwritten.
func countObject(p *api.Preview, o *store.Object) {
	if o.Kind == store.KindDir {
		return
	}
	p.Objects++
	p.Bytes += o.Size
	if len(p.First) < firstKeys {
		p.First = append(p.First, api.NewKey(o.Key))
	}
}
