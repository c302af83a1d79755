package kodo

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/kodo"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// place is a bucket on a test server.
type place struct {
	url, bucket, domain string
	account             kodo.Options
}

// newPlace starts a server with one bucket and a domain of it.
func newPlace(t testing.TB) (*kodo.Server, place) {
	t.Helper()
	server, account, at := kodo.Start(t)
	server.NewBucket("bucket")
	return server, place{url: at, bucket: "bucket", domain: server.StartDomain(t, "bucket"), account: account}
}

// config opens a folder of the bucket; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	options = append([]string{"endpoint", p.url, "domain", p.domain}, options...)
	return storetest.Config(store.Location{Scheme: "kodo", Bucket: p.bucket, Path: path}, role, store.Credentials{AccessKey: p.account.AccessKey, SecretKey: p.account.SecretKey}, options...)
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, open, cfg)
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		path    string
		options []string
		public  bool
	}{
		"bucket": {path: ""}, "prefix": {path: "some folder/ü+%/"}, "described by the domain": {path: "a b/", options: []string{"meta", "head"}},
		"public": {path: "p/", options: []string{"private", "false"}, public: true},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			var n atomic.Int64
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				own := at
				own.bucket = fmt.Sprintf("bucket-%d", n.Add(1))
				server.NewBucket(own.bucket)
				own.domain = server.StartDomain(t, own.bucket)
				if c.public {
					server.SetPublic(own.bucket)
				}
				var forgets []string
				if slices.Contains(c.options, "head") {
					forgets = []string{"class"} // the domain tells none
				}
				return storetest.Harness{
					Forgets: forgets,
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, own.config(c.path, role, c.options...))
					},
					Refuses: func(key string) string {
						if len(c.path+key) > maxKey {
							return "too long for Kodo"
						}
						return ""
					},
					HidesUploads: true, CopiesAsIs: true,
				}
			})
		})
	}
}
