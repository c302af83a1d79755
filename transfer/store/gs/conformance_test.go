package gs

import (
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/gcs"
	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// shared is fake-gcs-server for all tests.
var shared servers.SharedGCS

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop fake-gcs-server:", err)
		code = 1
	}
	os.Exit(code)
}

// openAt opens a place at a server without credentials, with options NAME, VALUE, ...
func openAt(t testing.TB, server, bucket, path string, role store.Role, more ...string) store.Destination {
	t.Helper()
	opts := url.Values{"endpoint": {server}, "anonymous": {"true"}}
	for i := 0; i < len(more); i += 2 {
		opts.Set(more[i], more[i+1])
	}
	loc := store.Location{Scheme: "gs", Bucket: bucket, Path: path, Options: opts}
	d, err := Open(t.Context(), store.Config{Location: loc, Role: role, Concurrency: 32})
	if err != nil {
		t.Fatalf("open %s: %v", loc, err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// oddPrefix is one that escaping may break.
const oddPrefix = "pre fix/+ü%41&=?#/"

func TestConformance(t *testing.T) {
	t.Run("root", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Harness {
			s := shared.FakeGCS(t)
			bucket := s.NewBucket(t)
			return storetest.Harness{
				NewStore:   func(role store.Role) store.Destination { return openAt(t, s.URL, bucket, "", role) },
				ChecksSums: true,
				// A rewrite of this server leaves the class as it was. All is encrypted, which nobody needs to be told.
				Forgets: []string{"class", "encryption"},
			}
		})
	})
}

// TestConformanceWithParts runs the suite with tokens and uploads in parts, which fake-gcs-server lacks and the front has.
func TestConformanceWithParts(t *testing.T) {
	t.Run("prefix", func(t *testing.T) {
		behind := shared.FakeGCS(t)
		front := gcs.Start(t, behind)
		storetest.Run(t, func(t *testing.T) storetest.Harness {
			bucket := behind.NewBucket(t)
			open := func(role store.Role) store.Destination {
				return openFront(t, front, bucket, oddPrefix, role)
			}
			return storetest.Harness{NewStore: open, ChecksSums: true, Forgets: []string{"encryption"}}
		})
	})
}

// openFront opens a place at a front with the service account's key, taking parts.
func openFront(t testing.TB, front *gcs.Server, bucket, path string, role store.Role, more ...string) store.Destination {
	t.Helper()
	d, err := Open(t.Context(), configAt(front, store.Credentials{SecretKey: front.Key(t)}, bucket, path, role, more...))
	if err != nil {
		t.Fatalf("open gs://%s/%s: %v", bucket, path, err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func configAt(front *gcs.Server, c store.Credentials, bucket, path string, role store.Role, more ...string) store.Config {
	opts := url.Values{"endpoint": {front.URL}, "multipart": {"true"}}
	for i := 0; i < len(more); i += 2 {
		opts.Set(more[i], more[i+1])
	}
	return store.Config{
		Location: store.Location{Scheme: "gs", Bucket: bucket, Path: path, Options: opts}, Role: role, Concurrency: 32, Credentials: c,
	}
}
