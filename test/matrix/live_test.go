//go:build live

package matrix_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// TestLive runs the conformance suite in buckets of real vendors, for whoever has keys: BRIGADE_LIVE_COS names a folder by its URL
// (cos://bucket-appid/folder/?region=...), BRIGADE_LIVE_COS_ACCESS_KEY, _SECRET_KEY and _SESSION_TOKEN whose it is, and likewise for
// the other schemes. Each case gets a folder of its own in it, which is emptied afterwards. `make live` runs it.
func TestLive(t *testing.T) {
	some := false
	for _, p := range places() {
		name := "BRIGADE_LIVE_" + strings.ToUpper(p.scheme)
		raw := os.Getenv(name)
		if raw == "" {
			continue
		}
		some = true
		l, err := store.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := &stand{p, spot{
			bucket: l.Bucket, root: l.Path, options: l.Options,
			account: store.Credentials{
				AccessKey: os.Getenv(name + "_ACCESS_KEY"), SecretKey: os.Getenv(name + "_SECRET_KEY"), SessionToken: os.Getenv(name + "_SESSION_TOKEN"),
			},
		}}
		t.Run(p.scheme, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				folder := "brigade-test-" + strings.ToLower(rand.Text()[:12])
				t.Cleanup(func() { empty(t, s, folder) })
				return storetest.Harness{
					Store:    s.open(t, folder, store.RoleDestination),
					NewStore: func(role store.Role) store.Destination { return s.open(t, folder, role) },
				}
			})
		})
	}
	if !some {
		t.Fatal("no place is named: set BRIGADE_LIVE_S3, BRIGADE_LIVE_OSS, ... to URLs of folders")
	}
}

// empty removes what a case left in its folder.
func empty(t *testing.T, s *stand, folder string) {
	d := s.open(t, folder, store.RoleDestination)
	ctx := context.WithoutCancel(t.Context()) // the case has ended
	for l := d.List(store.ListOptions{}); ; {
		page, err := l.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("list what is left in %s: %v", folder, err)
			return
		}
		for _, o := range page {
			if err := d.Delete(ctx, o.Key); err != nil {
				t.Errorf("remove %s/%s: %v", folder, o.Key, err)
			}
		}
	}
}
