package file

import (
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

const testNonce = "00112233445566778899aabbccddeeff"

// open opens dir with options given as "name=value".
func open(t *testing.T, dir string, role store.Role, opts ...string) *disk {
	t.Helper()
	loc := store.Location{Scheme: "file", Path: dir, Options: url.Values{}}
	for _, o := range opts {
		name, value, _ := strings.Cut(o, "=")
		loc.Options.Set(name, value)
	}
	s, err := Open(t.Context(), store.Config{Location: loc, Role: role, Nonce: testNonce})
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close %s: %v", dir, err)
		}
	})
	return s.(*disk)
}

// temporaries returns the paths of all temporary files below dir.
func temporaries(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if isMissing(err) {
			return nil
		}
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatalf("walk %s: %v", dir, err)
	}
	return found
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		dir := filepath.Join(t.TempDir(), "made", "later")
		s := open(t, dir, store.RoleDestination)
		return storetest.Harness{
			Store:     s,
			NewStore:  func(role store.Role) store.Destination { return open(t, dir, role) },
			LeftOvers: func() []string { return temporaries(t, dir) },
			Refuses:   func(key string) string { return s.badName(strings.TrimSuffix(key, "/")) },
		}
	})
}
