package bos

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/bos"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// place is a bucket on a test server.
type place struct {
	url, bucket string
	account     bos.Options
}

// newPlace starts a server with one bucket.
func newPlace(t testing.TB) (*bos.Server, place) {
	t.Helper()
	return newPlaceWith(t, bos.Options{})
}

func newPlaceWith(t testing.TB, opts bos.Options) (*bos.Server, place) {
	t.Helper()
	server, account, at := bos.StartWith(t, opts)
	server.NewBucket("bucket")
	return server, place{url: at, bucket: "bucket", account: account}
}

// config opens a folder of the bucket; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	values := url.Values{"endpoint": {p.url}}
	for i := 0; i+1 < len(options); i += 2 {
		values.Set(options[i], options[i+1])
	}
	return store.Config{
		Location: store.Location{Scheme: "bos", Bucket: p.bucket, Path: path, Options: values}, Role: role,
		Credentials: store.Credentials{AccessKey: p.account.AccessKey, SecretKey: p.account.SecretKey, SessionToken: p.account.Token},
		Nonce:       "00112233445566778899aabbccddeeff", Concurrency: 16,
	}
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	s, err := open(cfg)
	if err != nil {
		t.Fatalf("open %s: %v", cfg.Location, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct{ path, token, multiAZ string }{
		"bucket": {"", "", "false"}, "prefix": {"some folder/ü+%/", "", "false"}, "session": {"a b/", "token-of/a session+", "false"}, "several zones": {"z/", "", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlaceWith(t, bos.Options{Token: c.token, MultiAZ: c.multiAZ == "true"})
			var n atomic.Int64
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				own := at
				own.bucket = fmt.Sprintf("bucket-%d", n.Add(1))
				server.NewBucket(own.bucket)
				return storetest.Harness{
					Store: openWith(t, own.config(c.path, store.RoleDestination, "multi_az", c.multiAZ)),
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, own.config(c.path, role, "multi_az", c.multiAZ))
					},
					ChecksSums: true,
				}
			})
		})
	}
}
