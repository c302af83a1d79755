package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// keyList is the list that names a job's objects, line by line.
type keyList struct {
	ref  string // absolute path of a file, or URL
	key  string // of the job file, that names it
	urls bool   // its lines are URLs
}

// local tells whether it is a file of the machine where the job is described; a URL means the same on every node.
func (l *keyList) local() bool { return !strings.Contains(l.ref, "://") }

// listOf finds the list of a job, nil if it has none.
func listOf(job *conf.Job, ends sides) (*keyList, error) {
	urls := ends.source.at.Scheme == store.ListScheme
	switch {
	case urls && job.Filter.KeysFrom != "":
		return nil, misuse(job.Fail("filter.keys_from", "does not go with a source that is a list of URLs", ""))
	case urls:
		return &keyList{ref: ends.source.at.Path, key: "source.url", urls: true}, nil
	case job.Filter.KeysFrom == "":
		return nil, nil
	}
	l := &keyList{ref: job.Filter.KeysFrom, key: "filter.keys_from"}
	if !l.local() {
		return l, nil
	}
	abs, err := filepath.Abs(l.ref)
	if err != nil {
		return nil, refused(fmt.Errorf("make %q absolute: %w", l.ref, err))
	}
	l.ref = abs
	return l, nil
}

// listIn is the same of a job that was submitted.
func listIn(spec fsm.Spec, ends sides) *keyList {
	switch {
	case ends.source.at.Scheme == store.ListScheme:
		return &keyList{ref: ends.source.at.Path, urls: true}
	case spec.Filter.KeysFrom != "":
		return &keyList{ref: spec.Filter.KeysFrom}
	}
	return nil
}

// localList is a list in a file that was read and found good.
type localList struct {
	path string
	name [32]byte // of the segment that lists its segments
}

// readList checks a list that is a file of this machine, and notes in the job what it will be called once it is uploaded.
func readList(ctx context.Context, job *conf.Job, ends sides) (*localList, error) {
	list, err := listOf(job, ends)
	if err != nil || list == nil || !list.local() || job.List != "" {
		return nil, err
	}
	if job.Filter.KeysFrom != "" {
		job.Filter.KeysFrom = list.ref
	}
	text := &transfer.KeyList{Text: transfer.FileText(filepath.FromSlash(list.ref)), URLs: list.urls}
	sum, err := text.Check(ctx, "")
	var bad *transfer.ListError
	switch {
	case errors.As(err, &bad):
		return nil, misuse(fmt.Errorf("%s: %w", list.ref, bad))
	case err != nil:
		return nil, refused(err)
	case sum.Lines == 0:
		return nil, misuse(fmt.Errorf("%s: the list names nothing", list.ref))
	}
	l := &localList{path: list.ref}
	l.name, err = l.pack(ctx, func(_ context.Context, data []byte) ([32]byte, error) { return sha256.Sum256(data), nil })
	if err != nil {
		return nil, refused(err)
	}
	job.List = listReference(l.name[:])
	return l, nil
}

func (l *localList) pack(ctx context.Context, put func(context.Context, []byte) ([32]byte, error)) (name [32]byte, err error) {
	text := transfer.FileText(filepath.FromSlash(l.path))
	_, version, err := text.Stat(ctx)
	if err != nil {
		return name, err
	}
	r, err := text.Open(ctx, version, 0)
	if err != nil {
		return name, err
	}
	defer r.Close()
	return transfer.PackText(ctx, r, put)
}

// keep puts the list where the nodes find it. It does nothing where there is none.
func (l *localList) keep(ctx context.Context, put func(context.Context, []byte) ([32]byte, error)) error {
	if l == nil {
		return nil
	}
	name, err := l.pack(ctx, put)
	if err != nil {
		return fmt.Errorf("upload the list %s: %w", l.path, err)
	}
	if name != l.name {
		return fmt.Errorf("upload the list %s: it changed while it was read; start again", l.path)
	}
	return nil
}

// listReference is how a description names an uploaded list.
func listReference(name []byte) string {
	if len(name) == 0 {
		return ""
	}
	return conf.ListPrefix + hex.EncodeToString(name)
}

// uploadedList is the name in such a reference, which the reader of the description checked.
func uploadedList(reference string) []byte {
	name, err := hex.DecodeString(strings.TrimPrefix(reference, conf.ListPrefix))
	if err != nil || len(name) == 0 {
		return nil
	}
	return name
}

// shortName tells lists apart in messages.
func shortName(name []byte) string {
	if len(name) == 0 {
		return "none"
	}
	return hex.EncodeToString(name[:6])
}

// listSegments adds the segments of uploaded lists to those in use.
func listSegments(ctx context.Context, machine *fsm.Machine, spool transfer.Spool, used map[[32]byte]bool) error {
	var jobs []*fsm.Job
	machine.Read(func(s *fsm.State) { jobs = s.Jobs() })
	for _, job := range jobs {
		spec, err := decodeSpec(job)
		if err != nil {
			return err
		}
		if len(spec.List) != sha256.Size {
			continue
		}
		name := [32]byte(spec.List)
		parts, err := transfer.TextSegments(ctx, spool, name)
		if err != nil {
			return err
		}
		used[name] = true
		for _, part := range parts {
			used[part] = true
		}
	}
	return nil
}

// jobOf is the job as the engine works on it, with its list.
func (a *app) jobOf(ctx context.Context, open *stores, ends sides, spec fsm.Spec, spool transfer.Spool) (*transfer.Job, error) {
	job := transferJob(open, spec)
	if open.destination != nil && spec.Type == "copy" {
		if err := checkClass(ends.destination, open.destination.store, job.Keep.Class); err != nil {
			return nil, err
		}
	}
	job.SourceEndpoint, job.DestinationEndpoint = ends.source.endpoint(), ends.destination.endpoint()
	list := listIn(spec, ends)
	if list == nil {
		return job, nil
	}
	if job.SingleKey != nil {
		return nil, &store.Error{Op: "open", Class: store.Misconfigured, Err: errors.New("filter.keys_from does not go with a source that is one object")}
	}
	job.List = &transfer.KeyList{URLs: list.urls}
	switch {
	case len(spec.List) == sha256.Size && spool != nil:
		job.List.Text = transfer.SpoolText(spool, [32]byte(spec.List))
		return job, nil
	case list.local():
		job.List.Text = transfer.FileText(filepath.FromSlash(list.ref))
		return job, nil
	}
	return job, a.openList(ctx, job.List, list, ends.source)
}

// openList opens a list that is an object of a store, and checks it: a job does not begin with a list that is wrong.
func (a *app) openList(ctx context.Context, to *transfer.KeyList, list *keyList, source *side) error {
	fail := func(err error) error { return &sideError{source, fmt.Errorf("list %s: %w", list.ref, err)} }
	text, err := a.storedList(ctx, list, source)
	if err != nil {
		return fail(err)
	}
	to.Text = text
	var sum transfer.ListSummary
	err = transfer.Retry(ctx, func() (err error) {
		sum, err = to.Check(ctx, "")
		var bad *transfer.ListError
		if errors.As(err, &bad) {
			err = &store.Error{Op: "check", Class: store.Misconfigured, Err: bad}
		}
		return err
	})
	if err == nil && sum.Lines == 0 {
		err = &store.Error{Op: "check", Class: store.Misconfigured, Err: errors.New("the list names nothing")}
	}
	if err != nil {
		return fail(errors.Join(err, text.Close()))
	}
	return nil
}

// storedList opens the store that a list is in. The credentials of the source are for the store that holds its list as
// well, unless the list is one of URLs and they are for the hosts in it.
func (a *app) storedList(ctx context.Context, list *keyList, source *side) (transfer.Text, error) {
	cfg := store.Config{Role: store.RoleSource, Concurrency: 1}
	at, err := store.Parse(list.ref)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "http" || at.Scheme == "https" {
		cfg.Location = store.Location{Scheme: store.ListScheme, Path: list.ref}
		if list.urls {
			cfg.Location.Options, cfg.Credentials = source.at.Options, source.creds
		}
		s, err := a.stores.Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return transfer.StoreText(s, list.ref), nil
	}
	cfg.Location = canonical(at)
	if list.urls && !source.at.Options.Has("auth_host") || at.Scheme == source.at.Scheme {
		cfg.Credentials = source.creds
	}
	s, err := a.stores.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	single, ok := s.(store.Single)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s holds no lists", at.Scheme), s.Close())
	}
	key, is, err := single.Single(ctx)
	if err == nil && !is {
		err = &store.Error{Op: "open", Class: store.Misconfigured, Err: errors.New("there is no such object, or it is a folder")}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return transfer.StoreText(s, key), nil
}
