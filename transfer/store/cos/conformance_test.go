package cos

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/cos"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// place is a bucket on a test server.
type place struct {
	url, bucket string
	account     cos.Options
}

// newPlace starts a server with one bucket.
func newPlace(t testing.TB) (*cos.Server, place) {
	t.Helper()
	server, account, at := cos.Start(t)
	server.NewBucket("bucket-1250000000")
	return server, place{url: at, bucket: "bucket-1250000000", account: account}
}

// config opens a folder of the bucket; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	options = append([]string{"endpoint", p.url}, options...)
	return storetest.Config(store.Location{Scheme: "cos", Bucket: p.bucket, Path: path}, role, store.Credentials{AccessKey: p.account.AccessKey, SecretKey: p.account.SecretKey, SessionToken: p.account.Token}, options...)
}

// foreign is a bucket of another account.
var foreign = cos.Kind{Foreign: true}

// openVirtual opens a bucket by the vendor's own host name of a region; every connection goes to the test server.
func openVirtual(t testing.TB, at place, region string) *Store {
	t.Helper()
	s := openWith(t, at.config("", store.RoleDestination, "endpoint", "http://cos."+region+".myqcloud.com"))
	s.client.Transport.Proxy = nil
	s.client.Transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(at.url, "http://"))
	}
	return s
}

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, open, cfg)
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		folder string
		kind   cos.Kind
		zones  string
	}{
		"bucket": {}, "prefix": {folder: "some folder/ü+%/"}, "several zones": {folder: "z/", kind: cos.Kind{ManyZones: true}, zones: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			var n atomic.Int64
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				own := at
				own.bucket = fmt.Sprintf("bucket%d-1250000000", n.Add(1))
				server.NewBucketOf(own.bucket, c.kind)
				return storetest.Harness{
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, own.config(c.folder, role, "multi_az", c.zones))
					},
					ChecksSums: true,
					Refuses: func(key string) string {
						if err := checkKey(c.folder + key); err != nil {
							return err.Error()
						}
						return ""
					},
				}
			})
		})
	}
}
