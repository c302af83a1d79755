package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// A job file says the same as a command line, and takes secrets from where it is told.
func TestJobFile(t *testing.T) {
	root, b := t.TempDir(), newBucket(t)
	source := filepath.Join(root, "source")
	for _, name := range []string{"a.jpg", "b.txt", "tmp/c.jpg", "deep/d.jpg"} {
		writeFile(t, filepath.Join(source, name), 2000, 1)
	}
	secret := filepath.Join(root, "secret")
	if err := os.WriteFile(secret, []byte(b.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(root, "job.yaml")
	text := `id: photos
source: {url: "` + source + `"}
destination: {url: "` + b.location("p/") + `", access_key: "env:PHOTOS_KEY", secret_key: "file:` + secret + `"}
filter: {include: ["*.jpg"], exclude: ["tmp/**"]}
task: {objects: 100, bytes: 1MB}
`
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := command{env: []string{"PHOTOS_KEY=" + b.access}}
	doc := c.run(t, "import", job, "--json", "--yes").want(t, 0).document(t)
	if doc.ID != "photos" || doc.Objects["copied"] != 2 || doc.Objects["filtered"] != 2 {
		t.Errorf("job %s: %v", doc.ID, doc.Objects)
	}
	if keys := b.keys(t); !slices.Equal(keys, []string{"p/a.jpg", "p/deep/d.jpg"}) {
		t.Errorf("the bucket holds %q", keys)
	}
}

// A verify job copies nothing and ends with 4 where something differs, is missing or is too many.
func TestVerifyJob(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 50, 1000)
	p := b.behind(t)
	c := command{env: b.env("DST")}
	c.run(t, "import", source, b.location("v/"), "--yes").want(t, 0)
	verify := []string{"import", "--type", "verify", source, b.location("v/"), "--yes"}
	c.run(t, verify...).want(t, 0)

	b.put(t, "v/d000/f000001", "other content")
	b.put(t, "v/extra", "extra")
	writeFile(t, filepath.Join(source, "missing"), 10, 1)
	puts := p.Count(s3op.PutObject)
	r := c.run(t, verify...).want(t, 4)
	for _, key := range []string{"d000/f000001", "missing"} {
		if !strings.Contains(r.stdout+r.stderr, key) {
			t.Errorf("the report does not name %s:\n%s%s", key, r.stdout, r.stderr)
		}
	}
	if n := p.Count(s3op.PutObject) - puts; n != 0 {
		t.Errorf("verifying wrote %d objects", n)
	}
}

// A list job names what is there.
func TestListJob(t *testing.T) {
	b := newBucket(t)
	b.put(t, "l/one", "1")
	b.put(t, "l/two/three", "123")
	c := command{env: b.env("SRC")}
	r := c.run(t, "import", "--type", "list", b.location("l/"), "--yes").want(t, 0)
	if got := strings.Fields(r.stdout); !slices.Equal(got, []string{"one", "1", "two/three", "3"}) {
		t.Errorf("listed %q", got)
	}
}

// A dry run writes nothing and leaves the real run everything to do.
func TestDryRun(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 20, 100)
	p := b.behind(t)
	c := command{env: b.env("DST")}
	args := []string{"import", source, b.location(""), "--yes"}
	r := c.run(t, append(args, "--dry-run")...).want(t, 0)
	if !strings.Contains(r.stdout+r.stderr, "20") {
		t.Errorf("the dry run does not tell that 20 objects would be copied:\n%s%s", r.stdout, r.stderr)
	}
	for _, op := range append(writes(), s3op.CreateMultipartUpload, s3op.DeleteObject) {
		if n := p.Count(op); n != 0 {
			t.Errorf("the dry run sent %d %v", n, op)
		}
	}
	doc := c.run(t, append(args, "--json")...).want(t, 0).document(t)
	if doc.Objects["copied"] != 20 {
		t.Errorf("after the dry run: %v", doc.Objects)
	}
}

// Nothing at the destination is deleted or written but the keys that the job maps to.
func TestForeignKeysAreLeftAlone(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 5, 100)
	b.put(t, "other/key", "foreign")
	b.put(t, "x/extra", "too many")
	before := b.holdings(t, "")
	c := command{env: b.env("DST")}
	c.run(t, "import", source, b.location("x/"), "--yes").want(t, 0)
	after := b.holdings(t, "")
	for key, o := range before {
		if after[key] != o {
			t.Errorf("%s changed", key)
		}
	}
	if len(after) != len(before)+5 {
		t.Errorf("the bucket holds %d objects, want %d", len(after), len(before)+5)
	}
}
