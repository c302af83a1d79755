package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// side is one end of a job: where it is, and what opens it.
type side struct {
	role  store.Role
	at    store.Location // canonical
	creds store.Credentials
}

// sides are both ends of a job; a list job has no destination.
type sides struct {
	source      *side
	destination *side
}

// credentialSource finds the credentials of a side; prefix starts the names of its variables.
type credentialSource func(job *conf.Job, side string, s conf.Side, prefix string) (store.Credentials, error)

// locate reads both URLs, with what this process has of credentials.
func (a *app) locate(job *conf.Job) (sides, error) { return a.locateWith(job, a.credentialsOf) }

// locateWith reads both URLs and refuses what they alone show to be wrong.
func (a *app) locateWith(job *conf.Job, credentials credentialSource) (sides, error) {
	var s sides
	var err error
	if s.source, err = a.sideOf(job, store.RoleSource, job.Source, "BRIGADE_SRC_", credentials); err != nil {
		return sides{}, err
	}
	if job.Type == "list" {
		return s, nil
	}
	if s.destination, err = a.sideOf(job, store.RoleDestination, job.Destination, "BRIGADE_DST_", credentials); err != nil {
		return sides{}, err
	}
	if err := overlap(s.source.at, s.destination.at); err != nil {
		return sides{}, misuse(err)
	}
	return s, nil
}

func (a *app) sideOf(job *conf.Job, role store.Role, c conf.Side, prefix string, credentials credentialSource) (*side, error) {
	key := string(role) + ".url"
	at, err := store.Parse(c.URL)
	if err != nil {
		return nil, misuse(job.Fail(key, err.Error(), ""))
	}
	if err := a.stores.Validate(at); err != nil {
		return nil, misuse(job.Fail(key, err.Error(), ""))
	}
	if role == store.RoleDestination && a.stores[at.Scheme].SourceOnly {
		return nil, misuse(job.Fail(key, at.Scheme+" is a source only", "a store that can be written to"))
	}
	creds, err := credentials(job, string(role), c, prefix)
	if err != nil {
		return nil, err
	}
	return &side{role: role, at: canonical(at), creds: creds}, nil
}

// opened is one side with its store open and checked.
type opened struct {
	store  store.Destination
	clock  time.Time       // the store's; zero where it tells none
	asked  time.Time       // our clock halfway through the question
	single *string         // the source is this one object
	place  *store.Identity // nil where it is the same place for every machine
}

// sideError is a failure of one side.
type sideError struct {
	side *side
	err  error
}

// Error names side, URL and what failed.
func (e *sideError) Error() string { return fmt.Sprintf("%s %s: %v", e.side.role, e.side.at, e.err) }

// Unwrap gives the cause.
func (e *sideError) Unwrap() error { return e.err }

// Side tells which side it is, for the node's pre-flight.
func (e *sideError) Side() string { return string(e.side.role) }

// openSide opens a store and proves that it can be used. Errors name side, URL, what failed and what can be done.
func (a *app) openSide(ctx context.Context, s *side, nonce string, concurrency int) (*opened, error) {
	fail := func(err error) error { return &sideError{s, err} }
	st, err := a.stores.Open(ctx, store.Config{
		Location: s.at, Role: s.role, Credentials: s.creds, Nonce: nonce, Concurrency: concurrency,
	})
	if err != nil {
		return nil, fail(err)
	}
	o := &opened{store: st}
	if err := o.check(ctx, s.role); err != nil {
		return nil, fail(errors.Join(err, st.Close()))
	}
	return o, nil
}

func (o *opened) check(ctx context.Context, role store.Role) error {
	if s, ok := o.store.(store.Single); ok && role == store.RoleSource {
		var key string
		var single bool
		err := transfer.Retry(ctx, func() (err error) {
			key, single, err = s.Single(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if single {
			o.single = &key
		}
	}
	err := transfer.Retry(ctx, func() error {
		before := time.Now()
		clock, err := o.store.Check(ctx)
		if err != nil {
			return err
		}
		o.clock, o.asked = clock, before.Add(time.Since(before)/2)
		return nil
	})
	if err != nil {
		return err
	}
	return o.identify(ctx)
}

// identify notes what the side is on this machine, where it could be another place on another one.
func (o *opened) identify(ctx context.Context) error {
	s, ok := o.store.(store.Identifier)
	if !ok {
		return nil
	}
	id, err := s.Identity(ctx)
	o.place = &id
	return err
}

// placeOf is what a side is; nil where there is none, or nothing to tell.
func (o *opened) placeOf() *store.Identity {
	if o == nil {
		return nil
	}
	return o.place
}

// clockOffset is what to add to our clock to get the store's.
func (o *opened) clockOffset() time.Duration {
	if o == nil || o.clock.IsZero() {
		return 0
	}
	return o.clock.Sub(o.asked)
}

// stores are both sides open; a list job has no destination.
type stores struct {
	source      *opened
	destination *opened
}

// openSides opens both stores.
func (a *app) openSides(ctx context.Context, s sides, nonce string, concurrency int) (*stores, error) {
	src, err := a.openSide(ctx, s.source, nonce, concurrency)
	if err != nil {
		return nil, err
	}
	if s.destination == nil {
		return &stores{source: src}, nil
	}
	dst, err := a.openSide(ctx, s.destination, nonce, concurrency)
	if err != nil {
		return nil, errors.Join(err, src.store.Close())
	}
	return &stores{source: src, destination: dst}, nil
}

// preflight is what opening both sides showed.
func (s *stores) preflight() scheduler.Preflight {
	return scheduler.Preflight{
		SourceClockOffset: s.source.clockOffset(), DestinationClockOffset: s.destination.clockOffset(),
		Source: s.source.placeOf(), Destination: s.destination.placeOf(),
	}
}

// close closes what is open.
func (s *stores) close() error {
	if s == nil {
		return nil
	}
	err := s.source.store.Close()
	if s.destination != nil {
		err = errors.Join(err, s.destination.store.Close())
	}
	return err
}
