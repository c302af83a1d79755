package bos

import (
	"fmt"
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
	options = append([]string{"endpoint", p.url}, options...)
	return storetest.Config(store.Location{Scheme: "bos", Bucket: p.bucket, Path: path}, role, store.Credentials{AccessKey: p.account.AccessKey, SecretKey: p.account.SecretKey, SessionToken: p.account.Token}, options...)
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, open, cfg)
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
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, own.config(c.path, role, "multi_az", c.multiAZ))
					},
					ChecksSums: true,
				}
			})
		})
	}
}
