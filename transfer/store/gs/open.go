package gs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of Cloud Storage (https://cloud.google.com/storage/quotas).
const (
	maxKey       = 1024    // bytes
	smallestPart = 5 << 20 // bytes, but for the last part
	largestPart  = 5 << 30 // bytes
	mostParts    = 10000
	maxMetadata  = 8 << 10 // bytes of names and values of user metadata
	pageSize     = 1000    // keys, uploads or parts a page
)

// Store is a bucket, or a folder of one. It implements store.Destination and its optional abilities Copier, SumChooser, Single,
// Renewer, Fitter and Detailer; Parallel is one that takes parts as well.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options
	local  bool // STORAGE_EMULATOR_HOST named the endpoint: credentials that were not meant for it are not looked for

	base   url.URL
	client *wire.Client
	tokens atomic.Pointer[tokens]
	now    func() time.Time
}

// Parallel is a Store that takes one object in numbered parts: it implements store.Multiparter.
type Parallel struct{ *Store }

// Open opens the store that cfg names. It sends nothing.
func Open(_ context.Context, cfg store.Config) (store.Destination, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	if s.opts.takesParts(&s.base) {
		return &Parallel{s}, nil
	}
	return s, nil
}

func open(cfg store.Config) (*Store, error) {
	opts, err := parseOptions(cfg.Location)
	if err != nil {
		return nil, err
	}
	endpoint, emulated, err := opts.address()
	if err != nil {
		return nil, misconfigured(err)
	}
	client, err := wire.Connect(cfg.Concurrency)
	if err != nil {
		return nil, err
	}
	s := &Store{
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts,
		local: emulated, base: *endpoint, client: client, now: time.Now,
	}
	return s, s.take(cfg.Credentials)
}

// take uses credentials from now on.
func (s *Store) take(c store.Credentials) error {
	anonymous := s.opts.anonymous || s.local && c == (store.Credentials{})
	t, err := newTokens(c, anonymous, &http.Client{Transport: s.client.Transport, Timeout: tokenTimeout})
	if err != nil {
		return err
	}
	if t.sends() && s.base.Scheme == "http" && !isLoopback(s.base.Hostname()) {
		return misconfigured(errors.New("access tokens are not sent over plain HTTP; write the endpoint with https://, or anonymous=true"))
	}
	s.tokens.Store(t)
	return nil
}

// Renew implements store.Renewer.
func (s *Store) Renew(_ context.Context, c store.Credentials) error { return s.take(c) }

// Abilities tells what every store of the vendor can do.
func (s *Store) Abilities() store.Abilities {
	a := store.Abilities{
		Sums:   []string{"crc32c", "md5"},
		Scheme: "gs", Conditional: true, ConditionalCreate: true, Pinned: true, Metadata: true,
		ModTimeUnit: time.Second, MaxKey: maxKey,
		Classes: classes(), Access: true, Encryption: true,
	}
	s.opts.listOrder.Declare(&a)
	return a
}

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds { return store.SumKinds{CRC32C: true} }

// Single implements store.Single: a path without a "/" at its end may be the name of one object.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		_, err := s.Stat(ctx, key)
		return err
	})
}

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	var page listPage
	r := request{op: "check", method: http.MethodGet, path: s.objectsPath(), query: s.listQuery("", "", 1)}
	h, err := s.readJSON(ctx, r, &page)
	if err != nil {
		var e *store.Error
		if errors.As(err, &e) && e.Code == codeNonsense {
			e.Class, e.Hint = store.Misconfigured, "check the endpoint"
		}
		return time.Time{}, wire.FirstContact(err)
	}
	return wire.Date(h.Get("Date")), nil // a proxy may leave it out
}

// Close drops the connections that nothing uses.
func (s *Store) Close() error {
	s.client.Transport.CloseIdleConnections()
	return nil
}
