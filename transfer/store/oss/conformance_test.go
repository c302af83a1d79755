package oss

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/oss"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// place is a bucket on a test server.
type place struct {
	url, bucket string
	account     oss.Options
}

// newPlace starts a server with one bucket.
func newPlace(t testing.TB) (*oss.Server, place) {
	t.Helper()
	server, account, at := oss.Start(t)
	server.NewBucket("bucket")
	return server, place{url: at, bucket: "bucket", account: account}
}

// config opens a folder of the bucket; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	options = append([]string{"endpoint", p.url, "region", p.account.Region}, options...)
	return storetest.Config(store.Location{Scheme: "oss", Bucket: p.bucket, Path: path}, role, store.Credentials{AccessKey: p.account.AccessKey, SecretKey: p.account.SecretKey, SessionToken: p.account.Token}, options...)
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, open, cfg)
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct{ path, signature, order string }{
		"bucket": {"", "v4", ""}, "prefix": {"some folder/ü+%/", "v4", "bytes"}, "signature V1": {"a b/", "v1", ""},
		"listings sorted here": {"c/", "v4", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			var n atomic.Int64
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				own := at
				own.bucket = fmt.Sprintf("bucket-%d", n.Add(1))
				server.NewBucket(own.bucket)
				at := func(role store.Role) store.Destination {
					return openWith(t, own.config(c.path, role, "signature", c.signature, "list_order", c.order))
				}
				return storetest.Harness{NewStore: at, ChecksSums: true}
			})
		})
	}
}
