package uss

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits. The vendor has error codes for names that are too long and publishes no figures: here is refused what no server takes.
// Those of parts: https://help.upyun.com/knowledge-base/rest_api/, resumable uploads.
const (
	maxKey       = 1024 // bytes of a whole name
	maxName      = 255  // bytes between two "/"
	smallestPart = 1 << 20
	largestPart  = 50 << 20
	partUnit     = 1 << 20
	mostParts    = 10000
	maxMetadata  = 4 << 10 // bytes of names and values of user metadata: no limit is published, that of headers is about 8 KiB
	pageSize     = 4096    // entries a page of a folder: the most that the vendor's SDKs ask for
)

// Store is a service of USS, or a folder of one. It implements store.Destination and its optional abilities Multiparter, Copier,
// SumChooser, Single, Renewer and Fitter.
type Store struct {
	bucket string
	prefix string // "" or ending in "/"
	path   string // of the location, as given
	opts   options
	role   store.Role

	base   url.URL // of the service
	client *wire.Client
	calls  wire.Caller
	key    atomic.Pointer[signingKey]
	now    func() time.Time
	limit  int // bytes of memory for sorting one folder
	heads  headState
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
	key, err := keyOf(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	base := *opts.endpoint
	base.Path = "/" + cfg.Location.Bucket
	s := &Store{
		bucket: cfg.Location.Bucket, path: cfg.Location.Path, prefix: wire.Folder(cfg.Location.Path), opts: opts, role: cfg.Role,
		base: base, client: client, now: time.Now, limit: sortLimit,
	}
	s.key.Store(key)
	s.calls = s.caller()
	return s, nil
}

// Renew implements store.Renewer.
func (s *Store) Renew(_ context.Context, c store.Credentials) error {
	key, err := keyOf(c)
	if err == nil {
		s.key.Store(key)
	}
	return err
}

// keyOf takes the operator of the job, else that of the environment.
func keyOf(c store.Credentials) (*signingKey, error) {
	if c == (store.Credentials{}) {
		c = fromEnvironment()
	}
	switch {
	case c.SessionToken != "":
		return nil, &store.Error{
			Op: "open", Class: store.Misconfigured, Hint: "give access_key and secret_key only", Err: errors.New("operators of USS have no session tokens"),
		}
	case c.AccessKey == "" || c.SecretKey == "":
		return nil, wire.NoCredentials()
	}
	sum := md5.Sum([]byte(c.SecretKey))
	return &signingKey{operator: c.AccessKey, key: hex.EncodeToString(sum[:])}, nil
}

// fromEnvironment takes an operator as the vendor's examples name it.
func fromEnvironment() store.Credentials {
	name := os.Getenv("UPYUN_OPERATOR")
	if name == "" {
		name = os.Getenv("UPYUN_USERNAME")
	}
	return store.Credentials{AccessKey: name, SecretKey: os.Getenv("UPYUN_PASSWORD")}
}

// Abilities tells what every service of USS can do.
func (s *Store) Abilities() store.Abilities {
	return store.Abilities{Scheme: "uss", Sums: []string{"md5"}, Order: store.OrderBytes, Metadata: true, ModTimeUnit: time.Second, MaxKey: maxKey}
}

// WantSums implements store.SumChooser: what is sent with its MD5 is refused where another content arrives.
func (s *Store) WantSums() store.SumKinds { return store.SumKinds{MD5: true} }

// Single implements store.Single: a path without a "/" at its end may be the name of one file.
func (s *Store) Single(ctx context.Context) (key string, ok bool, err error) {
	return wire.Single(s.path, &s.prefix, func(key string) error {
		_, err := s.Stat(ctx, key)
		return err
	})
}

// Check implements store.Source: one entry of the folder shows service, operator and clock. A source's folder must exist; a
// destination's is made by the first write.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	const op = "check"
	_, h, err := s.folderPage(ctx, op, s.prefix, "", 1)
	if store.ClassOf(err) == store.NotFound && h != nil && (s.role == store.RoleDestination || s.prefix == "") {
		err = nil
	}
	if err != nil {
		var e *store.Error
		if errors.As(err, &e) && e.Class == store.NotFound {
			e.Class, e.Hint = store.Misconfigured, "the service has no folder "+s.prefix+"; check the path"
			return time.Time{}, e
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
