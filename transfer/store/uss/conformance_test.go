package uss

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// place is a service on a test server.
type place struct {
	url, bucket string
	account     uss.Options
}

// newPlace starts a server with one service.
func newPlace(t testing.TB) (*uss.Server, place) {
	t.Helper()
	return newPlaceWith(t, uss.Options{Operator: "operator1", Password: "password-of-the-test"})
}

func newPlaceWith(t testing.TB, opts uss.Options) (*uss.Server, place) {
	t.Helper()
	server, account, at := uss.StartWith(t, opts)
	server.NewBucket("service")
	return server, place{url: at, bucket: "service", account: account}
}

// config opens a folder of the service; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	options = append([]string{"endpoint", p.url}, options...)
	return storetest.Config(store.Location{Scheme: "uss", Bucket: p.bucket, Path: path}, role, store.Credentials{AccessKey: p.account.Operator, SecretKey: p.account.Password}, options...)
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, open, cfg)
}

func TestConformance(t *testing.T) {
	for name, path := range map[string]string{"service": "", "prefix": "some folder/ü+%/"} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			var n atomic.Int64
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				own := at
				own.bucket = fmt.Sprintf("service-%d", n.Add(1))
				server.NewBucket(own.bucket)
				return storetest.Harness{
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, own.config(path, role))
					},
					ChecksSums: true, KeepsUploads: true,
				}
			})
		})
	}
}
