package s3

import (
	"net/url"
	"testing"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// openAt opens a place on a test server.
func openAt(t testing.TB, server *servers.S3Server, bucket, path string, role store.Role) *Store {
	t.Helper()
	return openConfig(t, configAt(server, bucket, path, role))
}

func openConfig(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	s, err := open(t.Context(), cfg)
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

func configAt(server *servers.S3Server, bucket, path string, role store.Role) store.Config {
	return store.Config{
		Location: store.Location{Scheme: "s3", Bucket: bucket, Path: path, Options: url.Values{
			"endpoint": {server.URL}, "region": {server.Region},
		}},
		Role:        role,
		Credentials: store.Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey},
		Nonce:       "00112233445566778899aabbccddeeff", Concurrency: 16,
	}
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct{ path, order string }{
		"bucket": {"", ""}, "prefix": {"some folder/ü+%/", "bytes"}, "listings sorted here": {"a b/", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, servers.StartVersityGW(t), c.path, c.order)
		})
	}
}

// conform runs the suite in buckets of its own on a server.
func conform(t *testing.T, server *servers.S3Server, path, order string) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		bucket := server.NewBucket(t)
		at := func(role store.Role) store.Destination {
			cfg := configAt(server, bucket, path, role)
			cfg.Location.Options.Set("list_order", order)
			return openConfig(t, cfg)
		}
		return storetest.Harness{
			Store: at(store.RoleDestination), NewStore: at, ChecksSums: true,
			// It takes these headers and answers as if they had not been there; fidelity_test.go looks at what is sent.
			Forgets: []string{"class", "access", "encryption"},
		}
	})
}
