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
	s, err := open(t.Context(), configAt(server, bucket, path, role))
	if err != nil {
		t.Fatalf("open s3://%s/%s: %v", bucket, path, err)
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
	for name, path := range map[string]string{"bucket": "", "prefix": "some folder/ü+%/"} {
		t.Run(name, func(t *testing.T) {
			server := servers.StartVersityGW(t)
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				bucket := server.NewBucket(t)
				return storetest.Harness{
					Store:      openAt(t, server, bucket, path, store.RoleDestination),
					NewStore:   func(role store.Role) store.Destination { return openAt(t, server, bucket, path, role) },
					ChecksSums: true,
					// It takes these headers and answers as if they had not been there; fidelity_test.go looks at what is sent.
					Forgets: []string{"class", "access", "encryption"},
				}
			})
		})
	}
}
