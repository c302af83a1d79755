package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/sink"
)

// newSink starts a synthetic server in this process that keeps contents, with one bucket.
func newSink(t *testing.T) *bucket {
	t.Helper()
	server := httptest.NewServer(sink.New(sink.Options{Keep: 64 << 20}))
	t.Cleanup(server.Close)
	return &bucket{name: "bucket", access: "ak", secret: "sk", url: server.URL, client: clientOf(server.URL, "ak", "sk")}
}

// forgetful starts a synthetic server that keeps no contents, in a process of its own so that its memory is not ours. Flags are
// those of the command.
func forgetful(t *testing.T, name string, flags ...string) *bucket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sink")
	build := exec.Command("go", "build", "-o", path, "./test/sink/cmd")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build sink: %v\n%s", err, out)
	}
	cmd := exec.Command(path, flags...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read address of sink: %v", err)
	}
	url := strings.TrimSpace(line)
	return &bucket{name: name, access: "ak", secret: "sk", url: url, client: clientOf(url, "ak", "sk")}
}

// maxMemory is what a run may use with default settings, in bytes.
const maxMemory = 256 << 20

// Memory does not depend on how much there is to copy, and neither does the replicated state.
func TestFigureMemoryIsBounded(t *testing.T) {
	for _, c := range []struct {
		objects int
		bytes   int64
	}{
		{size(200_000, 20_000), 1 << 10},
		{1, size[int64](5<<30, 1<<30)},
	} {
		name := fmt.Sprintf("%d objects of %d bytes", c.objects, c.bytes)
		t.Run(name, func(t *testing.T) {
			from, to := forgetful(t, fmt.Sprintf("syn%d-%d", c.objects, c.bytes)), forgetful(t, "to")
			cmd := command{env: append(from.env("SRC"), to.env("DST")...)}
			r := cmd.run(t, "import", from.location(""), to.location(""), "--json", "--yes").want(t, 0)
			if doc := r.document(t); doc.Objects["copied"] != int64(c.objects) || doc.Bytes["copied"] != int64(c.objects)*c.bytes {
				t.Errorf("copied %v, %v", doc.Objects, doc.Bytes)
			}
			if n := len(to.keys(t)); n != c.objects {
				t.Errorf("%d objects arrived, want %d", n, c.objects)
			}
			record(t, !t.Failed() && r.maxRSS < maxMemory, name+", S3 to S3, default settings", "< 256 MiB of resident memory",
				fmt.Sprintf("%d MiB at most, in %.0f s", r.maxRSS>>20, r.elapsed.Seconds()))
		})
	}
}

// The replicated state holds decisions: ten times the objects must not make it grow.
func TestFigureStateDoesNotGrow(t *testing.T) {
	small, large := size(20_000, 2_000), size(200_000, 20_000)
	last, most := map[int]int{}, map[int]int{}
	for _, n := range []int{small, large} {
		from, to := forgetful(t, fmt.Sprintf("syn%d-1024", n)), forgetful(t, "to")
		cmd := command{env: append(from.env("SRC"), to.env("DST")...)}
		cmd.run(t, "import", from.location(""), to.location(""), "--yes").want(t, 0)
		last[n], most[n] = stateBytes(t, cmd.state)
	}
	// Each finished cut leaves the name of one segment, about 100 bytes; objects leave nothing.
	record(t, last[large]-last[small] < 200*(large-small)/10_000+4<<10, fmt.Sprintf("replicated state after %d objects, and after %d", small, large),
		"does not grow with the objects done (200 bytes for 10,000)",
		fmt.Sprintf("%d bytes, and %d; at most %d, and %d while running", last[small], last[large], most[small], most[large]))
}

// A whole import of ten files takes less than a second, and the cluster of one is up before the first byte is missed.
func TestFigureStartIsFast(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 10, 1000)
	p := b.behind(t)
	// CI machines are shared: there the limits are only held against hanging.
	maxWhole, maxFirst := size(time.Second, 10*time.Second), size(300*time.Millisecond, 5*time.Second)
	var whole, first []time.Duration
	for range 5 {
		var c command
		c.env = b.env("DST")
		began := time.Now()
		run := c.start(t, "import", source, b.location(fmt.Sprintf("%d/", len(whole))), "--yes")
		ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
		if err := p.Wait(ctx, s3op.PutObject, p.Count(s3op.PutObject)+1); err != nil {
			t.Fatal(err)
		}
		cancel()
		first = append(first, time.Since(began))
		whole = append(whole, run.wait(t).want(t, 0).elapsed)
	}
	w, f := middle(whole), middle(first)
	record(t, w < maxWhole, "a whole import of ten files to S3", fmt.Sprintf("< %v", maxWhole), fmt.Sprintf("%v, the middle of 5", w.Round(time.Millisecond)))
	record(t, f < maxFirst, "from start to the first byte moved, embedded cluster and all", fmt.Sprintf("<= %v", maxFirst), fmt.Sprintf("%v, the middle of 5", f.Round(time.Millisecond)))
}

func middle(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

// Descriptors in use stay below what requests in flight explain.
func TestDescriptorsAreBounded(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 1500, 2000)
	p := b.behind(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 10 * time.Millisecond}})
	c := command{env: b.env("DST")}
	run := c.start(t, "import", source, b.location(""), "--yes")
	most := 0
	for n := 100; n <= 1400; n += 100 {
		ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
		if err := p.Wait(ctx, s3op.PutObject, n); err != nil {
			t.Fatal(err)
		}
		cancel()
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", run.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(entries))
	}
	run.wait(t).want(t, 0)
	// A file and a connection for each request in flight, and some for the node itself.
	if limit := 2*concurrency + 64; most > limit {
		t.Errorf("%d descriptors open, want at most %d", most, limit)
	}
}
