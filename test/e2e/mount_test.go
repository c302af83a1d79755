package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// mountPoint makes a folder and an empty directory to mount it at.
func mountPoint(t *testing.T) (folder, point string) {
	t.Helper()
	root := t.TempDir()
	folder, point = filepath.Join(root, "folder"), filepath.Join(root, "point")
	for _, dir := range []string{folder, point} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder, point
}

// seeing is the same command where folder is mounted at point, in a mount namespace of its own.
func (c command) seeing(folder, point string) *command {
	c.wrap = []string{"unshare", "--mount", "--propagation", "private"}
	if os.Getuid() != 0 {
		c.wrap = append(c.wrap, "--map-root-user")
	}
	c.wrap = append(c.wrap, "sh", "-c", `mount --bind "$1" "$2" && shift 2 && exec "$@"`, "sh", folder, point)
	return &c
}

// told checks that a run was refused since a side is not what it was, and that it says what there was and what to do.
func (r result) told(t *testing.T, side string) {
	t.Helper()
	r.want(t, 1)
	for _, words := range []string{side + ": ", "mounted at", "--restart"} {
		if !strings.Contains(r.stdout+r.stderr, words) {
			t.Errorf("exit 1, but it does not say %q:\n%s%s", words, r.stdout, r.stderr)
		}
	}
}

// A source that is not mounted when the job is resumed, or run again, must not look like an empty one.
func TestSourceNotMounted(t *testing.T) {
	folder, point := mountPoint(t)
	b := newBucket(t)
	writeFiles(t, folder, 500, 1000)
	p := b.behind(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 200 * time.Millisecond}})
	bare := command{env: b.env("DST"), state: filepath.Join(t.TempDir(), "state")}
	args := []string{"import", point, b.location(""), "--json", "--yes", "--concurrency", "8"}
	run := bare.seeing(folder, point).start(t, args...)
	passed(t, p, run, 50_000)
	run.kill(t)
	p.Clear()

	bare.run(t, args...).told(t, "source")
	doc := bare.seeing(folder, point).run(t, args...).want(t, 0).document(t)
	if doc.Objects["found"] != 500 || doc.Objects["copied"]+doc.Objects["skipped"] != 500 || doc.Objects["vanished"] != 0 {
		t.Errorf("sums: %v", doc.Objects)
	}
	same(t, b.holdings(t, ""), holdings(t, folder))

	bare.run(t, args...).told(t, "source")
	bare.seeing(folder, point).run(t, args...).want(t, 0)
	doc = bare.run(t, append(args, "--restart")...).want(t, 0).document(t)
	if doc.Objects["found"] != 0 {
		t.Errorf("started over with the bare directory, which is empty, it found %v", doc.Objects)
	}
}

// A destination that is not mounted takes nothing: not when the job is resumed, and not when it is run again.
func TestDestinationNotMounted(t *testing.T) {
	folder, point := mountPoint(t)
	b := newBucket(t)
	source := filepath.Join(t.TempDir(), "source")
	writeFiles(t, source, 500, 1000)
	up := command{env: b.env("DST")}
	up.run(t, "import", source, b.location(""), "--yes").want(t, 0)
	p := b.behind(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Fault: faults.Fault{Latency: 200 * time.Millisecond}})
	bare := command{env: b.env("SRC"), state: filepath.Join(t.TempDir(), "state")}
	args := []string{"import", b.location(""), filepath.Join(point, "made"), "--json", "--yes", "--concurrency", "8"}
	run := bare.seeing(folder, point).start(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if err := p.Wait(ctx, s3op.GetObject, 50); err != nil {
		t.Fatal(err)
	}
	run.signal(t, syscall.SIGTERM)
	run.wait(t).want(t, 130)
	p.Clear()

	empty := func() {
		t.Helper()
		if left, err := os.ReadDir(point); err != nil || len(left) != 0 {
			t.Errorf("the bare mount point holds %v, %v", left, err)
		}
	}
	bare.run(t, args...).told(t, "destination")
	empty()
	bare.seeing(folder, point).run(t, args...).want(t, 0)
	same(t, holdings(t, filepath.Join(folder, "made")), holdings(t, source))
	bare.run(t, args...).told(t, "destination")
	empty()
}

// What a user replaces between two passes, on the same file system, is no other place.
func TestDirectoryReplacedBetweenPasses(t *testing.T) {
	root := t.TempDir()
	source, dst := filepath.Join(root, "source"), filepath.Join(root, "dst")
	c := command{state: filepath.Join(t.TempDir(), "state")}
	for range 2 {
		writeFiles(t, source, 20, 100)
		c.run(t, "import", source, dst, "--yes").want(t, 0)
		same(t, holdings(t, dst), holdings(t, source))
		for _, dir := range []string{source, dst} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(dst, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
