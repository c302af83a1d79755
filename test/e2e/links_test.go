package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// Links that are kept survive the way to a bucket and back, and are known again by the next pass and by a verify job.
func TestLinksAreKept(t *testing.T) {
	root, b := t.TempDir(), newBucket(t)
	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	writeFile(t, filepath.Join(source, "file"), 100, 1)
	if err := os.MkdirAll(filepath.Join(source, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	targets := map[string]string{"link": "file", "dir/up": "../file", "dangling": "nowhere/ä b"}
	for name, target := range targets {
		if err := os.Symlink(target, filepath.Join(source, name)); err != nil {
			t.Fatal(err)
		}
	}
	from := "file://" + source + "?links=keep"
	up, down := command{env: b.env("DST")}, command{env: b.env("SRC")}
	for _, want := range [][2]int64{{4, 0}, {0, 4}} { // copied, then skipped
		for _, doc := range []document{
			up.run(t, "import", from, b.location(""), "--json", "--yes").want(t, 0).document(t),
			down.run(t, "import", b.location(""), back, "--json", "--yes").want(t, 0).document(t),
		} {
			if got := [2]int64{doc.Objects["copied"], doc.Objects["skipped"]}; got != want {
				t.Errorf("%s: copied and skipped %v, want %v", doc.ID, got, want)
			}
		}
	}
	for name, target := range targets {
		if got, err := os.Readlink(filepath.Join(back, name)); err != nil || got != target {
			t.Errorf("%s points at %q, want %q: %v", name, got, target, err)
		}
	}
	up.run(t, "import", "--type", "verify", from, b.location(""), "--yes").want(t, 0)
	if err := os.Remove(filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("dir", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	up.run(t, "import", "--type", "verify", from, b.location(""), "--yes").want(t, 4)
}
