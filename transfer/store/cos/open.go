package cos

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"os"
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
	transport, err := wire.NewTransport(cfg.Concurrency)
	if err != nil {
		return nil, &store.Error{Op: "open", Class: store.Misconfigured, Err: err}
	}
	creds, err := credentials(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	s := &Store{
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts,
		base: baseOf(opts, cfg.Location.Bucket), client: wire.NewClient(transport), now: time.Now,
	}
	s.creds.Store(&creds)
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
	if c != (store.Credentials{}) {
		return c, nil
	}
	for _, names := range [][]string{
		{"COS_SECRET_ID", "COS_SECRET_KEY", "COS_SESSION_TOKEN"},
		{"COS_SECRETID", "COS_SECRETKEY", "COS_TOKEN"},
		{"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"},
	} {
		c = store.Credentials{AccessKey: os.Getenv(names[0]), SecretKey: os.Getenv(names[1])}
		for _, name := range names[2:] {
			c.SessionToken = cmp.Or(c.SessionToken, os.Getenv(name))
		}
		if c.AccessKey != "" && c.SecretKey != "" {
			return c, nil
		}
	}
	what := wire.RuleOfFailure(wire.ErrCredentials)
	return c, &store.Error{Op: "open", Class: what.Class, Hint: what.Hint, Err: wire.ErrCredentials}
}

// baseOf is the URL of the bucket.
func baseOf(o options, bucket string) url.URL {
	u := *o.endpoint
	switch {
	case o.bound:
	case o.pathStyle:
		u.Path = "/" + bucket
	default:
		u.Host = bucket + "." + u.Host
	}
	return u
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
	resp, err := s.do(ctx, request{op: "check", method: http.MethodGet, bucket: true, query: s.listQuery("", 1)})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	clock, dateErr := http.ParseTime(resp.Header.Get("Date"))
	if _, err := wire.ReadPage(resp); err != nil {
		return time.Time{}, &store.Error{Op: "check", Class: store.Misconfigured, Hint: "check the endpoint", Err: err}
	}
	if dateErr != nil {
		return time.Time{}, nil // a proxy may leave it out
	}
	return clock.UTC(), nil
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
