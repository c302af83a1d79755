package oss

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of OSS, https://www.alibabacloud.com/help/en/oss/product-overview/limits.
const (
	maxKey       = 1023      // bytes
	smallestPart = 100 << 10 // bytes, but for the last part
	largestPart  = 5 << 30   // bytes; also the largest object of one Put
	largestCopy  = 1 << 30   // bytes that a Copy takes at any time; larger ones only between like objects
	mostParts    = 10000
	maxMetadata  = 8 << 10 // bytes of names and values of user metadata
	pageSize     = 1000    // keys, uploads or parts a page
)

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Multiparter,
// Copier, SumChooser, Single and Renewer.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options
	role   store.Role

	base   url.URL // of the bucket
	client *wire.Client
	calls  wire.Caller
	creds  atomic.Pointer[store.Credentials]
	signer signer
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
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts, role: cfg.Role,
		base: wire.BucketURL(opts.endpoint, cfg.Location.Bucket, opts.pathStyle, opts.bound), client: client,
		signer: signer{bucket: cfg.Location.Bucket, region: opts.region, v1: opts.v1}, now: time.Now,
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
	return wire.CredentialsOf(c,
		[]string{"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"},
		[]string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"},
	)
}

// Abilities tells what every OSS store can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Scheme: "oss", ConditionalCreate: true, Pinned: true, Metadata: true, ModTimeUnit: time.Second, MaxKey: maxKey,
		Sums: []string{"crc64ecma", "md5"}, Classes: classes(), Tags: true, Access: true, Encryption: true,
	}
	s.opts.listOrder.Declare(&a)
	return a
}

func userMetadata() wire.MetaRules {
	return wire.MetaRules{Prefix: "X-Oss-Meta-", Most: maxMetadata, Store: "OSS"}
}

// Single implements store.Single: a path without a "/" at its end may be the key of one object.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		_, err := s.Stat(ctx, key)
		return err
	})
}

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials, region and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "check", Method: http.MethodGet, Bucket: true, Query: s.listQuery("", "", 1)})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	clock := wire.Date(resp.Header.Get("Date")) // a proxy may leave it out
	if _, err := wire.ReadPage(resp); err != nil {
		return time.Time{}, &store.Error{Op: "check", Class: store.Misconfigured, Hint: "check the endpoint", Err: err}
	}
	return clock, nil
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
