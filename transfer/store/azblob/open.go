package azblob

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of Blob Storage, https://learn.microsoft.com/azure/storage/blobs/scalability-targets.
const (
	maxKey       = 1024       // characters
	maxSegments  = 254        // parts of a name between slashes
	smallestPart = 1          // byte
	largestPart  = 4000 << 20 // bytes of one Put Block
	largestPut   = 5000 << 20 // bytes of one Put Blob
	mostParts    = 50000 - 1  // blocks of a blob, but for the one that marks an upload
	maxMetadata  = 8 << 10    // bytes of names and values of user metadata
	maxTags      = 10
	pageSize     = 5000 // names a page
)

// Store is a container, or a folder of one. It implements store.Destination and its optional abilities Multiparter,
// SumChooser, Single, Renewer, Fitter, Detailer and Restorer.
type Store struct {
	account   string
	container string
	prefix    string // "" or ending in "/"
	path      string // of the location, as given
	opts      options
	role      store.Role

	base   url.URL // of the container
	client *wire.Client
	calls  wire.Caller
	env    environment
	secret atomic.Pointer[secret]
	now    func() time.Time
	random io.Reader // for the names of uploads
	sums   sumState
	clock  clock
	gone   aborted
}

// Open opens the store that cfg names. It sends nothing.
func Open(_ context.Context, cfg store.Config) (store.Destination, error) { return open(cfg, getenv) }

func open(cfg store.Config, env environment) (*Store, error) {
	opts, err := parseOptions(cfg.Location)
	if err != nil {
		return nil, err
	}
	client, err := wire.Connect(cfg.Concurrency)
	if err != nil {
		return nil, err
	}
	with, err := secretOf(cfg.Credentials, &opts, env)
	if err != nil {
		return nil, err
	}
	base := opts.base
	base.Path += "/" + cfg.Location.Bucket
	s := &Store{
		account: opts.account, container: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path),
		opts: opts, role: cfg.Role, base: base, client: client, env: env, now: time.Now, random: rand.Reader,
	}
	s.secret.Store(&with)
	s.calls = s.caller()
	return s, nil
}

// Renew implements store.Renewer.
func (s *Store) Renew(_ context.Context, c store.Credentials) error {
	with, err := secretOf(c, &s.opts, s.env)
	if err != nil {
		return err
	}
	s.secret.Store(&with)
	return nil
}

// Abilities tells what every store of Azure can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Sums:   []string{"md5"},
		Scheme: "azblob", Conditional: true, Pinned: true, Metadata: true,
		ModTimeUnit: time.Second, MaxKey: maxKey * 3,
		Classes: classes(), Tags: true, Encryption: true,
	}
	s.opts.listOrder.Declare(&a)
	a.ListsByKeys = a.ListsByKeys && s.opts.startFrom()
	return a
}

// Single implements store.Single: a path without a "/" at its end may be the name of one blob.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		o, err := s.Stat(ctx, key)
		if err == nil && o.Kind == store.KindSkipped {
			return &store.Error{Op: "stat", Key: key, Class: store.NotFound}
		}
		return err
	})
}

// Check implements store.Source: one name of the listing under the prefix shows container, credentials, version and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "check", Method: http.MethodGet, Bucket: true, Query: s.listQuery("", "", 1)})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	clock := wire.Date(resp.Header.Get("Date")) // a proxy may leave it out
	if _, err := readPage(resp); err != nil {
		return time.Time{}, &store.Error{Op: "check", Class: store.Misconfigured, Hint: "check the endpoint", Err: err}
	}
	return clock, nil
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}

// clock is how far the store's clock is ahead of this machine's, as the latest answer told.
type clock struct {
	known atomic.Bool
	ahead atomic.Int64 // nanoseconds; the store rounds down to seconds
}

// learn takes the date of an answer.
func (c *clock) learn(h http.Header, now time.Time) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.ahead.Store(int64(date.Sub(now)))
		c.known.Store(true)
	}
}

// at gives the store's time for one of this machine, no earlier than the store would and at most two seconds later.
func (c *clock) at(now time.Time) time.Time {
	return now.Add(time.Duration(c.ahead.Load())).Truncate(time.Second).Add(time.Second)
}

// document reads an answer in XML, and closes it.
func document(resp *http.Response, into any) error {
	defer wire.Finish(resp.Body)
	return xml.NewDecoder(wire.Bounded(resp.Body)).Decode(into)
}
