package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// concurrency is how many requests a node has in flight at most, by default.
const concurrency = 64

// partSize is what parts have by default, in bytes.
const partSize = 16 << 20

// seeded returns a source of random numbers and says how to get the same ones again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// passed waits until a proxy saw so many more bytes of bodies than now, or the process ended.
func passed(t *testing.T, p *faults.Proxy, run *process, more int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if err := p.WaitBody(ctx, p.BodyBytes()+more); err != nil {
		t.Fatalf("nothing moves: %v\nstderr: %s", err, tail(run.stderr.String()))
	}
}

// Killed at random moments, the same command continues; nothing is sent again but what was in flight, nothing is left.
func TestFigureKilledAndResumed(t *testing.T) {
	kills, files := size(10, 3), size(20_000, 2_000)
	bigSize := size[int64](2<<30, 256<<20)
	rng := seeded(t)
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, files, 4096)
	writeFile(t, filepath.Join(source, "d000", "zz-big"), bigSize, 1)
	total := int64(files)*4096 + bigSize
	p := b.behind(t)
	c := command{env: b.env("DST")}
	args := []string{"import", source, b.location("k/"), "--json", "--yes"}
	for i := range kills {
		run := c.start(t, args...)
		passed(t, p, run, rng.Int64N(total/int64(kills+1)))
		run.kill(t)
		t.Logf("kill %d after %d objects, %d parts", i+1, p.Count(s3op.PutObject), p.Count(s3op.UploadPart))
	}
	doc := c.run(t, args...).want(t, 0).document(t)
	if doc.Objects["found"] != int64(files)+1 || doc.Objects["failed"] != 0 || doc.Bytes["found"] != total {
		t.Errorf("sums: %v %v, want %d objects, %d bytes", doc.Objects, doc.Bytes, files+1, total)
	}
	if doc.Objects["copied"]+doc.Objects["skipped"] != int64(files)+1 {
		t.Errorf("copied and skipped do not make all: %v", doc.Objects)
	}
	same(t, b.holdings(t, "k/"), holdings(t, source))
	b.noUploads(t)

	puts, parts := p.Count(s3op.PutObject), p.Count(s3op.UploadPart)
	mostPuts, mostParts := files+kills*concurrency, int(bigSize/partSize)+kills*concurrency
	record(t, !t.Failed() && puts <= mostPuts && parts <= mostParts,
		fmt.Sprintf("kill -9 at %d random moments, %d files and one of %d MiB", kills, files, bigSize>>20),
		fmt.Sprintf("exit 0, equal, <= %d PUTs, <= %d parts, sums add up, nothing left", mostPuts, mostParts),
		fmt.Sprintf("%d PUTs, %d parts, equal, nothing left", puts, parts))
}

// The same towards disk: no temporary file stays behind.
func TestKilledTowardsDisk(t *testing.T) {
	rng := seeded(t)
	root, b := t.TempDir(), newBucket(t)
	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	writeFiles(t, source, 1000, 10_000)
	writeFile(t, filepath.Join(source, "big"), 128<<20, 1)
	up := command{env: b.env("DST")}
	up.run(t, "import", source, b.location(""), "--yes").want(t, 0)
	p := b.behind(t)
	down := command{env: b.env("SRC")}
	args := []string{"import", b.location(""), back, "--yes", "--json"}
	for range 3 {
		run := down.start(t, args...)
		ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
		if err := p.Wait(ctx, s3op.GetObject, p.Count(s3op.GetObject)+1+rng.IntN(250)); err != nil {
			t.Fatal(err)
		}
		cancel()
		run.kill(t)
	}
	down.run(t, args...).want(t, 0).document(t)
	diff(t, source, back)
	noTemporary(t, back)
}

// Ctrl-C and SIGTERM end a run in good order, and the same command continues.
func TestInterruptedAndResumed(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
			writeFiles(t, source, 2000, 4096)
			writeFile(t, filepath.Join(source, "big"), 96<<20, 1)
			p := b.behind(t)
			// Slow enough that the signal meets work under way.
			p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 20 * time.Millisecond}})
			c := command{env: b.env("DST")}
			args := []string{"import", source, b.location(""), "--json", "--yes"}
			run := c.start(t, args...)
			ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
			defer cancel()
			if err := p.Wait(ctx, s3op.PutObject, 200); err != nil {
				t.Fatal(err)
			}
			run.signal(t, s)
			run.wait(t).want(t, 130)
			sent := p.Count(s3op.PutObject)
			if sent >= 2000 {
				t.Errorf("all %d objects were sent before the signal was heeded", sent)
			}
			p.Clear()
			c.run(t, args...).want(t, 0).document(t)
			same(t, b.holdings(t, ""), holdings(t, source))
			b.noUploads(t)
			if n := p.Count(s3op.PutObject); n > 2000+concurrency {
				t.Errorf("%d PUTs, want at most %d", n, 2000+concurrency)
			}
		})
	}
}
