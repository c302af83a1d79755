package cos

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of COS, https://www.tencentcloud.com/document/product/436/14518.
const (
	maxKey       = 850     // bytes
	smallestPart = 1 << 20 // bytes, but for the last part
	largestPart  = 5 << 30 // bytes; also the largest object of one Put and of one Copy
	mostParts    = 10000
	pageSize     = 1000 // keys, uploads or parts a page
)

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Multiparter, Copier,
// SumChooser, Single, Renewer, Fitter, Detailer and Restorer.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options

	base       url.URL // of the bucket
	client     *wire.Client
	calls      wire.Caller
	creds      atomic.Pointer[store.Credentials]
	now        func() time.Time
	etagOpaque atomic.Bool // an answer showed that the ETags of this bucket need not be MD5s
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
		base: wire.BucketURL(opts.endpoint, cfg.Location.Bucket, opts.pathStyle, opts.bound), client: client, now: time.Now,
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

// credentials takes those of the job, else those that the vendor's tools and SDKs take from the environment: its examples for
// COS have the first names, those for all products the others.
func credentials(c store.Credentials) (store.Credentials, error) {
	return wire.CredentialsOf(c,
		[]string{"COS_SECRET_ID", "COS_SECRET_KEY", "COS_SESSION_TOKEN"},
		[]string{"COS_SECRETID", "COS_SECRETKEY", "COS_TOKEN"},
		[]string{"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"},
	)
}

// Abilities tells what every COS store can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Scheme: "cos", ConditionalCreate: true, Pinned: true, Metadata: true,
		ModTimeUnit: time.Second, MaxKey: maxKey,
		Sums: []string{"crc64ecma", "md5"}, Classes: s.classes(), Tags: true, Access: true, Encryption: true,
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

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials, region and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "check", Method: http.MethodGet, Bucket: true, Query: s.listQuery("", 1)})
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
