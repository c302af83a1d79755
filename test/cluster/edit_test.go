package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
)

// as submits the job with the keys of an account.
func (j *job) as(t *testing.T, u servers.User, at *node, objects int) {
	t.Helper()
	gateway := *j.gateway
	gateway.AccessKey, gateway.SecretKey = u.AccessKey, u.SecretKey
	own := *j
	own.gateway = &gateway
	own.add(t, at, objects)
}

// renew gives a side of the running or paused job the keys of another account, and returns what ctl printed.
func (j *job) renew(t *testing.T, side string, u servers.User, at *node) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{"access": u.AccessKey, "secret": u.SecretKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(at.must(t, "ctl", "edit", j.id, "--set", side+".access_key=file:"+filepath.Join(dir, "access"),
		"--set", side+".secret_key=file:"+filepath.Join(dir, "secret")))
}

// TestNewCredentialsMidJob replaces the keys of a job that runs on three nodes, and then has the server refuse the old ones:
// no object fails, and no part of a large one.
func TestNewCredentialsMidJob(t *testing.T) {
	beside(t)
	files := 600
	if shared.long {
		files = 10000
	}
	j := newJob(t)
	random := newRandom(t)
	j.files(t, random, files)
	j.file(t, random, "big", 200<<20)
	first, second := j.gateway.NewUser(t), j.gateway.NewUser(t)
	c := startCluster(t, 3)
	_, others := c.leader(t)
	const latency = 300 * time.Millisecond
	j.slow(latency)
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.UploadPart}, Fault: faults.Fault{Bandwidth: 4 << 20}})
	j.as(t, first, c.nodes[0], 10)
	j.waitWrites(t, 60, startLimit)
	eventually(t, startLimit, "parts are sent", func() bool { return j.proxy.Count(s3op.UploadPart) > 0 })

	if out := j.renew(t, "destination", second, others[0]); !strings.Contains(out, "has changed: destination.access_key, destination.secret_key") {
		t.Fatalf("edit says %s", out)
	}
	for _, n := range c.nodes {
		n.waitSaid(t, "requests go by it from now on", "job="+j.id)
	}
	// What was signed with the old keys ends as it began: the server has it when as many writes as can be in flight came after.
	j.waitWrites(t, 3*8+1, startLimit)
	j.waitSettledParts(t)
	j.gateway.RemoveUser(t, first)
	if d, ok := j.status(t, others[0]); !ok || d.State != "running" || d.Objects["found"] >= int64(len(j.want)) {
		t.Fatalf("the job is %q when the old keys end: it was too short", d.State)
	}
	j.proxy.Clear()
	j.finish(t, others[0], time.Minute)
	for _, n := range c.nodes {
		for _, secret := range []string{first.SecretKey, second.SecretKey, first.AccessKey, second.AccessKey} {
			if strings.Contains(n.said(t), secret) {
				t.Errorf("%s logged a credential", n.name)
			}
		}
	}
}

// waitSettledParts waits until the parts that were under way now have arrived.
func (j *job) waitSettledParts(t *testing.T) {
	t.Helper()
	under := j.proxy.Count(s3op.UploadPart)
	eventually(t, time.Minute, "the parts under way arrive", func() bool {
		out, err := j.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &j.bucket})
		if err != nil {
			t.Fatal(err)
		}
		parts := 0
		for _, u := range out.Uploads {
			list, err := j.client.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &j.bucket, Key: u.Key, UploadId: u.UploadId})
			if err != nil {
				t.Fatal(err)
			}
			parts += len(list.Parts)
		}
		return parts >= under
	})
}

// TestCredentialsEndMidJob has the server refuse a running job's keys, brings new ones, and lets the job go on: what failed
// meanwhile is retried, and nothing is lost.
func TestCredentialsEndMidJob(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	first, second := j.gateway.NewUser(t), j.gateway.NewUser(t)
	c := startCluster(t, 3)
	j.slow(100 * time.Millisecond)
	j.as(t, first, c.nodes[0], 10)
	j.waitWrites(t, 60, startLimit)

	j.outlive(t, c, "destination", first, second)
	j.finish(t, c.nodes[0], time.Minute)
}

// outlive has the server refuse the keys of a side, waits until the job pauses for that, brings new ones and lets it go on. It
// returns when no object is left that failed.
func (j *job) outlive(t *testing.T, c *cluster, side string, first, second servers.User) {
	t.Helper()
	_, others := c.leader(t)
	j.gateway.RemoveUser(t, first)
	var d document
	state := func(states ...string) func() bool {
		return func() bool {
			got, ok := j.status(t, others[0])
			d = got
			return ok && !got.Stale && slices.Contains(states, got.State)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the job is %s: %s: %v", d.State, d.Reason, d.Objects)
		}
	})
	eventually(t, startLimit, "the job is paused", state("paused"))
	if !strings.Contains(d.Reason, side+":") || !strings.Contains(d.Reason, "InvalidAccessKeyId") {
		t.Errorf("the job is paused for %q", d.Reason)
	}
	j.proxy.Clear()
	j.renew(t, side, second, others[1])
	others[0].must(t, "ctl", "continue", j.id)
	eventually(t, time.Minute, "the pass ends", state("succeeded", "failed"))
	t.Logf("%d objects were refused before the job paused", d.Objects["failed"])
	if d.State == "succeeded" {
		return
	}
	if d.NextRetryAt == "" {
		t.Errorf("%d objects failed for keys that were replaced, and no retry is planned: %s", d.Objects["failed"], d.Reason)
	}
	others[0].must(t, "ctl", "retry", j.id) // now, instead of then
	eventually(t, time.Minute, "the retry ends", state("succeeded", "failed"))
}

// TestSourceCredentialsEndMidJob is the same for the keys that objects are read with.
func TestSourceCredentialsEndMidJob(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 1500)
	j.fill(t)
	first, second := j.gateway.NewUser(t), j.gateway.NewUser(t)
	c := startCluster(t, 3)
	_, others := c.leader(t)
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Fault: faults.Fault{Latency: 100 * time.Millisecond}})
	to := t.TempDir()
	path := filepath.Join(t.TempDir(), "job.yaml")
	text := fmt.Sprintf("id: %s\nsource: {url: \"s3://%s/?endpoint=%s&region=%s\", access_key: %q, secret_key: %q}\ndestination: {url: \"file://%s/\"}\ntask: {objects: 10}\n",
		j.id, j.bucket, j.proxy.URL, j.gateway.Region, first.AccessKey, first.SecretKey, to)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].must(t, "ctl", "add", path)
	eventually(t, startLimit, "objects are read", func() bool { return j.proxy.Count(s3op.GetObject) > 60 })

	j.outlive(t, c, "source", first, second)
	d, ok := j.status(t, others[0])
	if !ok || d.State != "succeeded" {
		t.Fatalf("the job is %s: %s", d.State, d.Reason)
	}
	j.checkSums(t, d)
	for key := range j.want {
		want, err := os.ReadFile(filepath.Join(j.source, key))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, key)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not as at the source: %v", key, err)
		}
	}
}

// fill puts the files into the bucket.
func (j *job) fill(t *testing.T) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for key := range j.want {
		g.Go(func() error {
			f, err := os.Open(filepath.Join(j.source, key))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = j.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &j.bucket, Key: &key, Body: f})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestEditFromAnyNode edits a job at a node that does not lead, by ctl and as scripts do, and finds the change at all nodes.
func TestEditFromAnyNode(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 600)
	c := startCluster(t, 3)
	_, others := c.leader(t)
	j.slow(500 * time.Millisecond)
	j.add(t, others[0], 10)
	j.waitWrites(t, 10, startLimit)
	for i, n := range c.nodes {
		limit := []string{"50M", "60M", "70M"}[i]
		n.must(t, "ctl", "edit", j.id, "--set", "limits.bandwidth="+limit)
		for _, other := range c.nodes {
			var d struct {
				Limits      struct{ Bandwidth string }
				Destination map[string]string
			}
			if err := json.Unmarshal(other.must(t, "ctl", "look", j.id, "--json"), &d); err != nil {
				t.Fatal(err)
			}
			if d.Limits.Bandwidth != limit || d.Destination["secret_key"] != "***" {
				t.Errorf("after an edit at %s, %s shows %+v", n.name, other.name, d)
			}
		}
	}
	eventually(t, startLimit, "the limit is shared out", func() bool {
		d, ok := j.status(t, others[0])
		return ok && d.Limits.Bandwidth == 70<<20
	})
	_, err := others[0].brigade("ctl", "edit", j.id, "--set", "source.url=/elsewhere")
	if err == nil || !strings.Contains(err.Error(), "source.url cannot be changed: job \"move\" is running") {
		t.Errorf("edit of the source: %v", err)
	}
	j.proxy.Clear()
	j.finish(t, others[0], time.Minute)
}
