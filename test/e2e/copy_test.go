package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// Real files go to a real S3 server and back; the system's diff and an independent client look at both copies.
func TestFigureRoundTrip(t *testing.T) {
	source, back, b := goTree(t), filepath.Join(t.TempDir(), "back"), newBucket(t)
	var up, down command
	up.env, down.env = b.env("DST"), b.env("SRC")
	want := holdings(t, source)

	doc := up.start(t, "import", source, b.location("go/"), "--json", "--yes").wait(t).want(t, 0).document(t)
	if n := int64(len(want)); doc.Objects["copied"] != n || doc.Objects["found"] != n {
		t.Errorf("copied %v, want %d", doc.Objects, n)
	}
	same(t, b.holdings(t, "go/"), want)
	same(t, b.listedSums(t, "go/"), want)

	down.run(t, "import", b.location("go/"), back, "--yes").want(t, 0)
	diff(t, source, back)
	noTemporary(t, back)
	record(t, !t.Failed(), "Go's source tree to a real S3 server and back to disk",
		"diff -r finds nothing; another client sees the same keys, sizes, MD5s", fmt.Sprintf("%d files, no difference", len(want)))
}

// What is there already is found equal and left alone, by one request a page of the listings.
func TestSecondRunSkipsEverything(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 500, 700)
	p := b.behind(t)
	c := command{env: b.env("DST")}
	args := []string{"import", source, b.location("copy/"), "--json", "--yes"}
	c.run(t, args...).want(t, 0)
	puts := p.Count(s3op.PutObject)

	doc := c.run(t, args...).want(t, 0).document(t)
	if doc.Objects["skipped"] != 500 || doc.Objects["copied"] != 0 || doc.Pass != 2 {
		t.Errorf("second run: pass %d, %v", doc.Pass, doc.Objects)
	}
	if n := p.Count(s3op.PutObject); n != puts {
		t.Errorf("second run sent %d objects", n-puts)
	}

	// Without the first run's state the listings must be enough.
	var fresh command
	fresh.env = c.env
	doc = fresh.run(t, args...).want(t, 0).document(t)
	if doc.Objects["skipped"] != 500 || p.Count(s3op.PutObject) != puts {
		t.Errorf("run with fresh state: %v, %d objects sent", doc.Objects, p.Count(s3op.PutObject)-puts)
	}

	// One file changed, one is new: these two and no other.
	writeFile(t, filepath.Join(source, "d000", "f000007"), 700, 99)
	writeFile(t, filepath.Join(source, "new"), 5, 98)
	doc = c.run(t, args...).want(t, 0).document(t)
	if doc.Objects["copied"] != 2 || doc.Objects["skipped"] != 499 {
		t.Errorf("run after two changes: %v", doc.Objects)
	}
	same(t, b.holdings(t, "copy/"), holdings(t, source))
}

// A read-only tree can be copied, and its copy removed.
func TestReadOnlyTreeIsRemovable(t *testing.T) {
	root := t.TempDir()
	source, copied := filepath.Join(root, "source"), filepath.Join(root, "copy")
	writeFiles(t, source, 10, 100)
	if err := os.Chmod(filepath.Join(source, "d000", "f000001"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(source, "d000"), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(source, "d000"), 0o755) })
	var c command
	c.run(t, "import", source, copied, "--yes").want(t, 0)
	diff(t, source, copied)
	for _, path := range []string{"d000", "d000/f000001"} {
		info, err := os.Stat(filepath.Join(copied, path))
		if err != nil || info.Mode().Perm()&0o200 == 0 {
			t.Errorf("%s of the copy: mode %v, %v; want it writable by its owner", path, info.Mode(), err)
		}
	}
}

// Parts are 16 MiB, and only objects of 64 MiB and more are sent in parts; what is at the edges arrives equal.
func TestFigureSizesAtTheEdges(t *testing.T) {
	const mib = 1 << 20
	sizes := []int64{0, 1, 16*mib - 1, 16 * mib, 16*mib + 1, 64*mib - 1, 64 * mib, 64*mib + 1, 80 * mib}
	if shared.full {
		sizes = append(sizes, 5<<30+1)
	}
	root, b := t.TempDir(), newBucket(t)
	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	for i, n := range sizes {
		writeFile(t, filepath.Join(source, fmt.Sprintf("%02d-%d", i, n)), n, uint64(i))
	}
	up, down := command{env: b.env("DST")}, command{env: b.env("SRC")}
	up.run(t, "import", source, b.location("s/"), "--yes").want(t, 0)
	want := holdings(t, source)
	same(t, b.holdings(t, "s/"), want)
	b.noUploads(t)
	down.run(t, "import", b.location("s/"), back, "--yes").want(t, 0)
	same(t, holdings(t, back), want)
	noTemporary(t, back)
	record(t, !t.Failed(), "objects of 0 bytes, of the part size and around it"+size(", of 5 GiB + 1", ""), "arrive equal",
		fmt.Sprintf("%d sizes there and back, equal", len(sizes)))
}

// Metadata travels with an object, and the modification time with a file.
func TestMetadataAndTimesAreKept(t *testing.T) {
	root, from, to := t.TempDir(), newBucket(t), newBucket(t)
	putWithMetadata(t, from, "page")
	c := command{env: append(from.env("SRC"), to.env("DST")...)}
	c.run(t, "import", from.location(""), to.location(""), "--yes").want(t, 0)
	wantMetadata(t, to, "page")

	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	writeFile(t, filepath.Join(source, "f"), 10, 1)
	c = command{env: to.env("DST")}
	c.run(t, "import", source, to.location("files/"), "--yes").want(t, 0)
	c = command{env: to.env("SRC")}
	c.run(t, "import", to.location("files/"), back, "--yes").want(t, 0)
	a, err := os.Stat(filepath.Join(source, "f"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := os.Stat(filepath.Join(back, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if !a.ModTime().Equal(z.ModTime()) {
		t.Errorf("modified %v, came back as %v", a.ModTime(), z.ModTime())
	}
}

// The report says in plain words what was done.
func TestReport(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "source")
	writeFiles(t, source, 12, 100)
	var c command
	r := c.run(t, "import", source, filepath.Join(root, "copy"), "--yes").want(t, 0)
	all := r.stdout + r.stderr
	for _, pattern := range []string{`(?i)copied\D+12`, `(?i)1[.]2\s?k`} {
		if !regexp.MustCompile(pattern).MatchString(all) {
			t.Errorf("the report lacks %q:\n%s", pattern, all)
		}
	}
	r = c.run(t, "import", source, filepath.Join(root, "copy"), "--yes").want(t, 0)
	if !regexp.MustCompile(`(?i)skipped\D+12`).MatchString(r.stdout + r.stderr) {
		t.Errorf("the second report lacks 12 skipped:\n%s%s", r.stdout, r.stderr)
	}
}
