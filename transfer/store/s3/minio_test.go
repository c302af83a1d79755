//go:build minio

package s3

import (
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestMinIOConformance holds the provider against a second real server.
func TestMinIOConformance(t *testing.T) {
	server := servers.StartMinIO(t)
	for name, c := range map[string]struct{ path, order string }{
		"bucket": {"", ""}, "prefix": {"some folder/ü+%/", "bytes"}, "listings sorted here": {"a b/", "none"},
	} {
		t.Run(name, func(t *testing.T) { conform(t, server, c.path, c.order) })
	}
}

// TestMinIOHidesKeys: it takes "a" and "a/b", gives both, and lists one. If it does so no longer, what is said of it is to be changed.
func TestMinIOHidesKeys(t *testing.T) {
	server := servers.StartMinIO(t)
	s := openAt(t, server, server.NewBucket(t), "", store.RoleDestination)
	for _, key := range []string{"a", "a/b", "c"} {
		if _, err := s.Put(t.Context(), key, store.Body{Bytes: []byte(key), Size: int64(len(key))}, store.PutOptions{}); err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); err != nil {
			t.Errorf("stat %q: %v", key, err)
		}
	}
	if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err != nil || !slices.Equal(keys, []string{"a", "c"}) {
		t.Errorf("listed %q, %v", keys, err)
	}
}

// TestMinIORefusesOddKeys: what it does not take is the key's failure, never another key's content.
func TestMinIORefusesOddKeys(t *testing.T) {
	server := servers.StartMinIO(t)
	s := openAt(t, server, server.NewBucket(t), "", store.RoleDestination)
	for _, key := range []string{"x//y", strings.Repeat("n", 300)} {
		_, err := s.Put(t.Context(), key, store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
		if class := store.ClassOf(err); class != store.Permanent {
			t.Errorf("put %.20q: %v of class %q", key, err, class)
		}
	}
	// This one it takes, and cleans: the listing tells.
	if _, err := s.Put(t.Context(), "/lead", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{}); err != nil {
		t.Errorf("put: %v", err)
	}
	if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err != nil || !slices.Equal(keys, []string{"lead"}) {
		t.Errorf("listed %q, %v", keys, err)
	}
}

// TestMinIOCompletedTwice: its answer to a repeated Complete is NoSuchUpload, which the caller settles by looking.
func TestMinIOCompletedTwice(t *testing.T) {
	server := servers.StartMinIO(t)
	s := openAt(t, server, server.NewBucket(t), "", store.RoleDestination)
	id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.UploadPart(t.Context(), "k", id, 1, store.Body{Bytes: []byte("part"), Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), "k", id, []store.Part{part}, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), "k", id, []store.Part{part}, store.PutOptions{}); store.ClassOf(err) != store.NotFound {
		t.Errorf("completed again: %v of class %q", err, store.ClassOf(err))
	}
}
