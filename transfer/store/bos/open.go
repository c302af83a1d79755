package bos

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of BOS (https://cloud.baidu.com/doc/BOS/s/3kc5v4qs0, https://cloud.baidu.com/doc/BOS/s/Njwvyseb4).
const (
	maxKey       = 1023      // bytes; the documents name 1023 and 1024
	smallestPart = 100 << 10 // bytes, but for the last part
	largestPart  = 5 << 30   // bytes; also the largest object of one Put or Copy
	mostParts    = 10000
	maxMetadata  = 2 << 10 // bytes of names and values of user metadata
	pageSize     = 1000    // keys, uploads or parts a page
)

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Multiparter,
// Copier, SumChooser, Single, Renewer, Fitter, Detailer and Restorer.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options

	base   url.URL // of the bucket
	client *wire.Client
	calls  wire.Caller
	creds  atomic.Pointer[store.Credentials]
	rules  wire.MetaRules
	now    func() time.Time
	sums   sumState
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
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts,
		base: wire.BucketURL(opts.endpoint, cfg.Location.Bucket, opts.pathStyle, opts.bound), client: client, rules: rulesOf(opts), now: time.Now,
	}
	s.creds.Store(&creds)
	s.calls = s.caller()
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

// credentials takes those of the job, else those that the vendor's tools take from the environment.
func credentials(c store.Credentials) (store.Credentials, error) {
	return wire.CredentialsOf(c, []string{"BCE_ACCESS_KEY_ID", "BCE_SECRET_ACCESS_KEY", "BCE_SESSION_TOKEN"})
}

// Abilities tells what every BOS store can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Sums:   []string{"crc64ecma", "md5"},
		Scheme: "bos", Conditional: true, ConditionalCreate: true, Pinned: true, Metadata: true,
		ModTimeUnit: time.Second, MaxKey: maxKey, Classes: s.rules.Classes, Tags: true, Access: true, Encryption: true,
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

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "check", Method: http.MethodGet, Bucket: true, Query: s.listQuery("", 1)})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	clock := wire.Date(resp.Header.Get("Date")) // a proxy may leave it out
	if _, err := readListing(resp); err != nil {
		return time.Time{}, &store.Error{Op: "check", Class: store.Misconfigured, Hint: "check the endpoint", Err: err}
	}
	return clock, nil
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
