package cluster_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
)

// object is what a place holds under a key.
type object struct {
	size int64
	md5  string
}

// job is a copy of a folder to a bucket behind a proxy.
type job struct {
	id      string
	source  string
	want    map[string]object
	bucket  string
	gateway *servers.S3Server
	session string // token that goes with the credentials; "" is none
	proxy   *faults.Proxy
	client  *s3.Client // goes past the proxy
}

// newJob makes an empty folder and an empty bucket. The seed of all content is printed.
func newJob(t *testing.T) *job {
	t.Helper()
	gw := shared.gateway.VersityGW(t)
	j := &job{id: "move", source: t.TempDir(), want: map[string]object{}, bucket: gw.NewBucket(t), gateway: gw}
	j.proxy = faults.Start(t, faults.Target{URL: gw.URL, Region: gw.Region, AccessKey: gw.AccessKey, SecretKey: gw.SecretKey})
	j.client = s3.New(s3.Options{
		BaseEndpoint: &gw.URL, Region: gw.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(gw.AccessKey, gw.SecretKey, ""),
	})
	return j
}

// newRandom makes the source of a test's random choices, and prints its seed.
func newRandom(t *testing.T) *rand.ChaCha8 {
	t.Helper()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	t.Logf("seed %x", seed)
	return rand.NewChaCha8(seed)
}

// file makes a file of random content in the source.
func (j *job) file(t *testing.T, from io.Reader, key string, size int64) {
	t.Helper()
	path := filepath.Join(j.source, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), from, size); err != nil {
		t.Fatal(err)
	}
	j.want[key] = object{size, hex.EncodeToString(h.Sum(nil))}
}

// files makes n small files in folders of a hundred.
func (j *job) files(t *testing.T, from io.Reader, n int) {
	t.Helper()
	for i := range n {
		j.file(t, from, fmt.Sprintf("d%03d/f%05d", i/100, i), int64(1+i*37%4096))
	}
}

// slow makes every write take a time, until proxy.Clear.
func (j *job) slow(latency time.Duration) {
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: latency}})
}

// refusing is a store that does not take some keys.
func refusing(match func(key string) bool) faults.Rule {
	return faults.Rule{
		Ops: []s3op.Operation{s3op.PutObject}, Match: match, Fault: faults.Fault{Status: 400, Code: "InvalidRequest"},
	}
}

// add submits the job at a node, in tasks of so many objects.
func (j *job) add(t *testing.T, at *node, objects int) {
	t.Helper()
	at.must(t, "ctl", "add", j.jobFile(t, objects))
}

// jobFile writes the job's description.
func (j *job) jobFile(t *testing.T, objects int) string {
	t.Helper()
	session := ""
	if j.session != "" {
		session = fmt.Sprintf(", session_token: %q", j.session)
	}
	text := fmt.Sprintf(`id: %s
type: copy
source: {url: "file://%s/"}
destination: {url: "s3://%s/?endpoint=%s&region=%s", access_key: %q, secret_key: %q%s}
task: {objects: %d}
`, j.id, j.source, j.bucket, j.proxy.URL, j.gateway.Region, j.gateway.AccessKey, j.gateway.SecretKey, session, objects)
	path := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// standing is what the document says of a node.
type standing struct {
	ID     string `json:"id"`
	Ready  bool   `json:"ready"`
	Side   string `json:"side"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
}

// document is what `ctl status --jobID --json` prints.
type document struct {
	ID          string           `json:"id"`
	State       string           `json:"state"`
	Reason      string           `json:"reason"`
	Pass        int              `json:"pass"`
	ListingDone bool             `json:"listing_done"`
	Objects     map[string]int64 `json:"objects"`
	Bytes       map[string]int64 `json:"bytes"`
	Tasks       map[string]int64 `json:"tasks"`
	Stale       bool             `json:"stale"`
	NextRetryAt string           `json:"next_retry_at"`
	Nodes       []standing       `json:"nodes"`
	Limits      struct {
		Bandwidth int64 `json:"bandwidth"`
	} `json:"limits"`
	Errors []struct {
		Key    string `json:"key"`
		Class  string `json:"class"`
		Reason string `json:"reason"`
	} `json:"errors"`
}

// status asks a node for the job; false if it does not answer now.
func (j *job) status(t *testing.T, at *node) (d document, ok bool) {
	t.Helper()
	out, err := at.brigade("ctl", "status", "--jobID="+j.id, "--json")
	if err != nil {
		return d, false
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("read job: %v: %s", err, out)
	}
	return d, true
}

// waitWrites waits until n more writes than now were asked for.
func (j *job) waitWrites(t *testing.T, n int, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), within, fmt.Errorf("no %d writes within %v", n, within))
	defer cancel()
	if err := j.proxy.Wait(ctx, s3op.PutObject, j.proxy.Count(s3op.PutObject)+n); err != nil {
		t.Fatal(err)
	}
}

// finish waits for the end of the job and checks everything: its state, its sums, and the destination by an independent
// reader.
func (j *job) finish(t *testing.T, at *node, within time.Duration) document {
	t.Helper()
	d := j.succeed(t, at, within)
	j.checkContent(t)
	return d
}

// succeed waits for the end of the job and checks its state and its sums.
func (j *job) succeed(t *testing.T, at *node, within time.Duration) document {
	t.Helper()
	var d document
	defer func() {
		if t.Failed() {
			m, _ := at.machines(t)
			t.Logf("the job: %+v\nthe machines: %+v", d, m)
		}
	}()
	eventually(t, within, "the job ends", func() bool {
		got, ok := j.status(t, at)
		if ok {
			d = got
		}
		return ok && !got.Stale && (got.State == "succeeded" || got.State == "failed" || got.State == "paused")
	})
	if d.State != "succeeded" {
		t.Fatalf("the job is %s: %s: %v", d.State, d.Reason, d)
	}
	j.checkSums(t, d)
	return d
}

func (j *job) checkSums(t *testing.T, d document) {
	t.Helper()
	var sum, size int64
	for _, name := range []string{"copied", "skipped", "filtered", "vanished", "changed", "failed"} {
		sum += d.Objects[name]
	}
	for _, o := range j.want {
		size += o.size
	}
	if n := int64(len(j.want)); d.Objects["found"] != n || d.Objects["listed"] != n || sum != n || d.Objects["copied"] != n {
		t.Errorf("%d objects, but the job says %v", n, d.Objects)
	}
	if d.Bytes["found"] != size || d.Bytes["listed"] != size {
		t.Errorf("%d bytes, but the job says %v", size, d.Bytes)
	}
	if !d.ListingDone || d.Tasks["pending"]+d.Tasks["running"]+d.Tasks["failed"] != 0 {
		t.Errorf("at the end listing done is %v, tasks are %v", d.ListingDone, d.Tasks)
	}
}

// checkContent compares the bucket with the source, and looks for uploads left open.
func (j *job) checkContent(t *testing.T) {
	t.Helper()
	got := map[string]object{}
	for p := s3.NewListObjectsV2Paginator(j.client, &s3.ListObjectsV2Input{Bucket: &j.bucket}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range page.Contents {
			got[aws.ToString(o.Key)] = j.read(t, aws.ToString(o.Key))
		}
	}
	if !maps.Equal(got, j.want) {
		t.Errorf("the bucket differs from the source: %s", difference(got, j.want))
	}
	out, err := j.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &j.bucket})
	if err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	for _, u := range out.Uploads {
		t.Errorf("upload of %q left open", aws.ToString(u.Key))
	}
}

func (j *job) read(t *testing.T, key string) object {
	t.Helper()
	out, err := j.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &j.bucket, Key: &key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	h := md5.New()
	n, err := io.Copy(h, out.Body)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return object{n, hex.EncodeToString(h.Sum(nil))}
}

// difference names the first keys that differ.
func difference(got, want map[string]object) (text string) {
	const most = 5
	n := 0
	for key, o := range want {
		if g, ok := got[key]; !ok || g != o {
			if n++; n <= most {
				text += fmt.Sprintf("%q is %v, want %v; ", key, g, o)
			}
		}
	}
	return fmt.Sprintf("%s%d of %d differ, %d are there", text, n, len(want), len(got))
}
