package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// pauseLimit is how soon after `ctl pause` the last write must have ended, and pauseWatch how long it is looked for later ones.
const (
	pauseLimit = 2 * time.Second
	pauseWatch = 6 * time.Second
)

// until waits at the proxy for what shall not happen, and fails if it does before the time is up.
func (j *job) until(t *testing.T, deadline time.Time, what string, wait func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestPauseStopsWrites pauses a job of three nodes while they send large objects, whole and in parts, and small ones. The
// server sees the last byte within two seconds, and no request after that. Then the job goes on.
func TestPauseStopsWrites(t *testing.T) {
	beside(t)
	j := newJob(t)
	random := newRandom(t)
	j.files(t, random, 300)
	for i := range 6 {
		j.file(t, random, fmt.Sprintf("d%03d/whole", i), wholeSize)
	}
	j.file(t, random, "parts", 200<<20)
	c := startCluster(t, 3)
	_, others := c.leader(t)
	large := func(key string) bool { return strings.HasSuffix(key, "whole") }
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Match: large, Fault: faults.Fault{Bandwidth: 1 << 20}})
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.UploadPart}, Fault: faults.Fault{Bandwidth: 1 << 20}})
	j.slow(time.Second)
	j.add(t, c.nodes[0], 4)
	eventually(t, startLimit, "all kinds of writes are under way at every node", func() bool {
		m, ok := others[0].machines(t)
		return ok && j.proxy.Count(s3op.UploadPart) > 0 && j.proxy.KeyCount(s3op.PutObject, "d000/whole") > 0 &&
			!slices.ContainsFunc(c.nodes, func(n *node) bool { return m.busy(n.id(t)) == 0 })
	})

	asked := time.Now()
	others[0].must(t, "ctl", "pause", j.id)
	t.Logf("ctl pause took %v", time.Since(asked))
	j.until(t, asked.Add(pauseLimit), "waiting for two seconds to pass", func(ctx context.Context) error {
		return j.proxy.WaitBody(ctx, 1<<60)
	})
	writes, bytes := j.writes(), j.proxy.BodyBytes()
	j.until(t, asked.Add(pauseLimit+pauseWatch), "a byte was sent more than two seconds after the pause", func(ctx context.Context) error {
		return j.proxy.WaitBody(ctx, bytes+1)
	})
	if now := j.writes(); now != writes {
		t.Errorf("%d writes were asked for more than two seconds after the pause", now-writes)
	}
	if d, ok := j.status(t, others[0]); !ok || d.State != "paused" || d.Tasks["running"] != 0 || d.Objects["found"] >= int64(len(j.want)) {
		t.Errorf("the job is %s, and found %v", d.State, d.Objects)
	}
	j.proxy.Clear()
	others[1].must(t, "ctl", "continue", j.id)
	j.finish(t, others[0], 2*time.Minute)
}

// TestRedoOutlivesLateWrites pauses and redoes a job while a node that is suspended has a write under way that the network
// keeps. The source changes meanwhile. What arrives late is refused, and so are the results of the node when it wakes.
func TestRedoOutlivesLateWrites(t *testing.T) {
	beside(t)
	j := newJob(t)
	random := newRandom(t)
	j.files(t, random, 50)
	const key = "d000/late"
	j.file(t, random, key, 100<<10)
	c := startCluster(t, 3)
	holder := c.takesAll(t, false)
	arrives := make(chan struct{})
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Key: key, Times: 1, Fault: faults.Fault{Until: arrives}})
	j.add(t, c.nodes[0], 1000)
	eventually(t, startLimit, "the write is under way", func() bool { return j.proxy.KeyCount(s3op.PutObject, key) == 1 })
	j.waitAllButOne(t)
	holder.signal(t, syscall.SIGSTOP)

	witness := c.otherThan(holder)
	witness.must(t, "ctl", "pause", j.id)
	j.file(t, random, key, 90<<10)
	if err := os.Chtimes(filepath.Join(j.source, key), time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	witness.must(t, "ctl", "redo", j.id)
	for _, n := range c.nodes {
		if n != holder {
			eventually(t, startLimit, "a drained node gets work again", func() bool { _, err := n.brigade("node", "undrain"); return err == nil })
		}
	}
	redone := time.Now()
	var d document
	eventually(t, time.Minute, "the job is done afresh", func() bool {
		got, ok := j.status(t, witness)
		d = got
		return ok && got.State == "succeeded"
	})
	t.Logf("done afresh %v after the redo", time.Since(redone))
	if d.Objects["copied"] != 1 || d.Objects["skipped"] != int64(len(j.want))-1 || d.Pass != 1 {
		t.Errorf("the job counts %v in pass %d", d.Objects, d.Pass)
	}
	close(arrives)
	holder.signal(t, syscall.SIGCONT)
	c.waitWhole(t)
	eventually(t, startLimit, "the node that woke holds nothing", func() bool {
		m, ok := holder.machines(t)
		return ok && !m.Stale && m.busy(holder.id(t)) == 0
	})
	j.checkContent(t)
	if now, ok := j.status(t, witness); !ok || now.Objects["copied"] != 1 || now.State != "succeeded" {
		t.Errorf("after the node woke the job is %s and counts %v", now.State, now.Objects)
	}
}

// waitAllButOne waits until the bucket has all objects but one.
func (j *job) waitAllButOne(t *testing.T) {
	t.Helper()
	eventually(t, startLimit, "all else is there", func() bool {
		out, err := j.client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &j.bucket})
		return err == nil && len(out.Contents) == len(j.want)-1
	})
}

// TestRemoveAbortsItsUploads removes a job with uploads open, one of them created by a request whose answer got lost. Its
// uploads are gone then, those of others stay, at the same keys too, and no object is deleted.
func TestRemoveAbortsItsUploads(t *testing.T) {
	beside(t)
	j := newJob(t)
	random := newRandom(t)
	j.files(t, random, 20)
	for _, key := range []string{"big", "lost"} {
		j.file(t, random, key, partsSize)
	}
	c := startCluster(t, 3)
	_, others := c.leader(t)
	foreign := map[string]string{}
	for _, key := range []string{"big", "lost", "elsewhere"} {
		out, err := j.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &j.bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		foreign[aws.ToString(out.UploadId)] = key
	}

	// The server creates the upload of one key and the node does not learn of it; its look for what it left behind is held.
	held, listings := make(chan struct{}), 0
	defer close(held)
	afterPlans := func(string) bool { listings++; return listings > 2 } // each upload is planned by one
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.ListMultipartUploads}, Match: afterPlans, Fault: faults.Fault{Until: held}})
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.CreateMultipartUpload}, Key: "lost", Times: 1, Fault: faults.Fault{DropAnswer: true}})
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.UploadPart}, Fault: faults.Fault{Bandwidth: 1 << 20}})
	j.add(t, c.nodes[0], 1000)
	eventually(t, startLimit, "uploads are open", func() bool {
		return len(j.uploads(t)) == len(foreign)+2 && j.proxy.Count(s3op.UploadPart) > 0
	})
	eventually(t, startLimit, "all small objects are there", func() bool {
		out, err := j.client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &j.bucket})
		return err == nil && len(out.Contents) == 20
	})
	others[0].must(t, "ctl", "pause", j.id)
	j.proxy.Clear()
	if out := string(others[0].must(t, "ctl", "rm", j.id)); !strings.Contains(out, "move is removed") {
		t.Errorf("rm says %s", out)
	}
	if got := j.uploads(t); !maps.Equal(got, foreign) {
		t.Errorf("uploads %q are open, %q are of others", got, foreign)
	}
	delete(j.want, "big")
	delete(j.want, "lost")
	for id, key := range foreign {
		if _, err := j.client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &j.bucket, Key: &key, UploadId: &id}); err != nil {
			t.Errorf("the upload of %q is not there any more: %v", key, err)
		}
	}
	j.checkContent(t)
	if n := j.proxy.Count(s3op.DeleteObject); n > 0 {
		t.Errorf("%d deletions were asked for", n)
	}
}

// uploads are the keys of all open uploads by their IDs.
func (j *job) uploads(t *testing.T) map[string]string {
	t.Helper()
	out, err := j.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &j.bucket})
	if err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	all := map[string]string{}
	for _, u := range out.Uploads {
		all[aws.ToString(u.UploadId)] = aws.ToString(u.Key)
	}
	return all
}
