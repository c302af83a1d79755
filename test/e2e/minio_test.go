//go:build minio

package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/servers"
)

// newMinIO starts MinIO with one bucket.
func newMinIO(t *testing.T) *bucket {
	t.Helper()
	s := servers.StartMinIO(t)
	b := &bucket{name: s.NewBucket(t), access: s.AccessKey, secret: s.SecretKey, url: s.URL}
	b.client = clientOf(s.URL, s.AccessKey, s.SecretKey)
	return b
}

// A key that MinIO takes, gives, and does not list is failed by the job that wrote it, and by every later one: nobody could find it
// by its listing.
func TestMinIOHidesAKeyThatWasWritten(t *testing.T) {
	from, to := newSink(t), newMinIO(t)
	for _, key := range []string{"a", "a/b", "c", "d/e"} {
		from.put(t, key, "content of "+key)
	}
	c := command{env: append(from.env("SRC"), to.env("DST")...)}
	for pass := 1; pass <= 2; pass++ {
		doc := c.run(t, "import", from.location(""), to.location("p/"), "--json", "--yes").want(t, 3).document(t)
		if keys := doc.errorKeys(); !slices.Equal(keys, []string{"a/b"}) {
			t.Errorf("pass %d: failed %q", pass, keys)
		}
		for _, e := range doc.Errors {
			if !strings.Contains(e.Reason, "does not list it") {
				t.Errorf("pass %d: %q: %s", pass, e.Key, e.Reason)
			}
		}
	}
}

// A whole tree to MinIO and back, with objects in parts.
func TestMinIORoundTrip(t *testing.T) {
	root, b := t.TempDir(), newMinIO(t)
	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	writeFiles(t, source, 300, 3000)
	writeFile(t, filepath.Join(source, "big"), 70<<20, 1)
	up, down := command{env: b.env("DST")}, command{env: b.env("SRC")}
	up.run(t, "import", source, b.location("x y/"), "--yes").want(t, 0)
	b.noUploads(t)
	down.run(t, "import", b.location("x y/"), back, "--yes").want(t, 0)
	diff(t, source, back)
}
