//go:build linux

package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/sink"
)

const (
	narrowLine   = 8_000_000 // bits a second, each way
	narrowObject = 128 << 10 // bytes
)

// TestNetFiveNarrowNodes compares the rate of five nodes behind narrow lines with that of one. The short form compares
// it with that of one line, which one node can only fall short of, and where getting to work and coming to an end are a
// large part of the whole.
func TestNetFiveNarrowNodes(t *testing.T) {
	if !shared.long {
		const objects, want = 720, 2.5
		took := moveNarrow(t, 5, objects)
		one := time.Duration(objects * narrowObject * 8 / float64(narrowLine) * float64(time.Second))
		checkFaster(t, one, took, want)
		return
	}
	const objects, want = 3600, 4.5
	one := moveNarrow(t, 1, objects)
	if one < 300*time.Second {
		t.Errorf("one node takes %v: the job is too small to tell", one)
	}
	checkFaster(t, one, moveNarrow(t, 5, objects), want)
}

func checkFaster(t *testing.T, one, five time.Duration, want float64) {
	t.Helper()
	times := one.Seconds() / five.Seconds()
	t.Logf("one: %v, five: %v, %.2f times as fast", one, five, times)
	if times < want {
		t.Errorf("five nodes are %.2f times as fast as one, want %.1f", times, want)
	}
}

// moveNarrow copies so many objects from one bucket to another with some nodes, and returns how long it took.
func moveNarrow(t *testing.T, nodes, objects int) time.Duration {
	t.Helper()
	var took time.Duration
	t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
		c := startNetCluster(t, nodes, "--concurrency", "16")
		source, store := sink.New(sink.Options{}), sink.New(sink.Options{}) // one alone could copy by itself
		for _, n := range c.nodes {
			c.host(n).Limit(t, narrowLine)
		}
		text := fmt.Sprintf(`id: move
source: {url: "s3://syn%d-%d/?endpoint=%s&region=us-east-1", access_key: any, secret_key: thing}
destination: {url: "s3://there/?endpoint=%s&region=us-east-1", access_key: any, secret_key: thing}
`, objects, narrowObject, c.serve(t, source), c.serve(t, store))
		path := filepath.Join(t.TempDir(), "job.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var before []int64
		for _, n := range c.nodes {
			before = append(before, c.host(n).Sent(t))
		}
		begin := time.Now()
		c.nodes[0].must(t, "ctl", "add", path)
		j := &job{id: "move"}
		var d document
		eventually(t, 10*time.Minute, "the job ends", func() bool {
			got, ok := j.status(t, c.nodes[0])
			if ok {
				d = got
			}
			return ok && got.State != "running" && got.State != "pending"
		})
		took = time.Since(begin)
		if n := int64(objects); d.State != "succeeded" || d.Objects["copied"] != n || d.Objects["found"] != n || store.Stats().Objects != n {
			t.Errorf("%d objects, of which the store has %d: %+v", n, store.Stats().Objects, d)
		}
		if in := store.Stats().BytesIn; in < int64(objects)*narrowObject {
			t.Errorf("%d bytes went to the store, want %d", in, int64(objects)*narrowObject)
		}
		for i, n := range c.nodes {
			sent := c.host(n).Sent(t) - before[i]
			t.Logf("%s sent %d bytes", n.name, sent)
			if sent < int64(objects)*narrowObject/int64(2*nodes) {
				t.Errorf("%s sent %d bytes, which is less than half of its share", n.name, sent)
			}
		}
		t.Logf("%d nodes moved %d bytes in %v", nodes, store.Stats().BytesIn, took)
	})
	return took
}
