package kodo

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of Kodo.
const (
	maxKey       = 750     // bytes (https://developer.qiniu.com/kodo/1206/put-policy, scope)
	smallestPart = 1 << 20 // bytes, but for the last part (https://developer.qiniu.com/kodo/6366/upload-part)
	largestPart  = 1 << 30 // bytes
	mostParts    = 10000
	pageSize     = 1000 // keys or parts a page
)

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Multiparter, Copier,
// SumChooser, Single, Renewer, Fitter and Restorer.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options
	role   store.Role

	client  *wire.Client
	creds   atomic.Pointer[store.Credentials]
	domain  atomic.Pointer[url.URL] // where objects are read; nil until it is known
	markers atomic.Int32            // what is known of the form of markers
	now     func() time.Time
}

// Open opens the store that cfg names. It sends nothing.
func Open(_ context.Context, cfg store.Config) (store.Destination, error) { return open(cfg) }

func open(cfg store.Config) (*Store, error) {
	opts, err := parseOptions(cfg.Location)
	if err != nil {
		return nil, err
	}
	client, err := wire.Connect(cfg.Concurrency)
	if err != nil {
		return nil, err
	}
	creds, err := credentials(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	s := &Store{
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts, role: cfg.Role,
		client: client, now: time.Now,
	}
	s.creds.Store(&creds)
	s.domain.Store(opts.domain)
	return s, nil
}

// Renew implements store.Renewer.
func (s *Store) Renew(_ context.Context, c store.Credentials) error {
	c, err := credentials(c)
	if err != nil {
		return err
	}
	s.creds.Store(&c)
	return nil
}

// credentials takes those of the job, else those that tools for Kodo take from the environment.
func credentials(c store.Credentials) (store.Credentials, error) {
	c, err := wire.CredentialsOf(c, []string{"QINIU_ACCESS_KEY", "QINIU_SECRET_KEY"})
	if err != nil {
		return c, err
	}
	if c.SessionToken != "" {
		return c, &store.Error{Op: "open", Class: store.Misconfigured, Hint: "leave session_token out", Err: errors.New("kodo has no session tokens")}
	}
	return c, nil
}

// Abilities tells what every Kodo store can do.
func (s *Store) Abilities() store.Abilities {
	unit := putTimeUnit
	if s.opts.headByRead {
		unit = time.Second // of Last-Modified
	}
	a := store.Abilities{
		Sums:   []string{"qetag", "md5"},
		Scheme: "kodo", ConditionalCreate: true, Pinned: true, Metadata: true,
		ModTimeUnit: unit, MaxKey: maxKey, Classes: classes,
	}
	s.opts.listOrder.Declare(&a)
	return a
}

// Single implements store.Single: a path without a "/" at its end may be the key of one object.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		_, err := s.Stat(ctx, key)
		return err
	})
}

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials and region. Of a source it
// shows too that there is a domain to read from.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	header, err := s.read(ctx, s.listRequest("check", "", 1), &listing{})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	if s.role == store.RoleSource {
		if _, err := s.domainOf(ctx); err != nil {
			return time.Time{}, err
		}
	}
	return wire.Date(header.Get("Date")), nil // a proxy may leave it out
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
