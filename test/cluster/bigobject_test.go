package cluster_test

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/test/sink"
)

const (
	bigKey = "big"
	bigMiB = 1 << 20
	// bigPart is the part size of sources that tell none.
	bigPart = 16 * bigMiB
	// What one node can send: so many parts at once, each at this rate.
	bigConnections = 4
	bigRate        = 4 << 20
)

// bigObject is one sparse file of which every MiB is another, and a server that hashes what it is sent, behind a proxy
// that lets each connection have little bandwidth.
type bigObject struct {
	job
	parts int
	etag  string // of the parts' MD5s, in order
	sink  *sink.Server
}

func newBigObject(t *testing.T, size int64) *bigObject {
	t.Helper()
	b := &bigObject{sink: sink.New(sink.Options{})}
	server := httptest.NewServer(b.sink)
	t.Cleanup(server.Close)
	target := faults.Target{URL: server.URL, Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}
	b.job = job{
		id: "move", source: t.TempDir(), bucket: "dst", proxy: faults.Start(t, target),
		gateway: &servers.S3Server{URL: target.URL, Region: target.Region, AccessKey: target.AccessKey, SecretKey: target.SecretKey},
		client: s3.New(s3.Options{BaseEndpoint: &target.URL, Region: target.Region, UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider(target.AccessKey, target.SecretKey, "")}),
	}
	b.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.UploadPart}, Fault: faults.Fault{Bandwidth: bigRate}})
	b.write(t, size)
	return b
}

// write makes the file, with its number at the start of every MiB, and computes the ETag of its parts.
func (b *bigObject) write(t *testing.T, size int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(b.source, bigKey))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); at < size; at += bigMiB {
		if _, err := f.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(at)+1), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	whole := md5.New()
	for at := int64(0); at < size; at += bigPart {
		h := md5.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, at, bigPart)); err != nil {
			t.Fatal(err)
		}
		whole.Write(h.Sum(nil))
		b.parts++
	}
	b.etag = fmt.Sprintf("%s-%d", hex.EncodeToString(whole.Sum(nil)), b.parts)
	b.want = map[string]object{bigKey: {size: size}}
}

// finishBig waits for the end of the job and checks its sums and what the server was sent.
func (b *bigObject) finishBig(t *testing.T, at *node, within time.Duration) document {
	t.Helper()
	d := b.succeed(t, at, within)
	key := bigKey
	got, err := b.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	if aws.ToString(got.ETag) != `"`+b.etag+`"` || aws.ToInt64(got.ContentLength) != b.want[bigKey].size {
		t.Errorf("%d bytes with ETag %s arrived, want %d with %s", aws.ToInt64(got.ContentLength), aws.ToString(got.ETag), b.want[bigKey].size, b.etag)
	}
	if st := b.sink.Stats(); st.Uploads != 0 || st.Objects != 1 {
		t.Errorf("%d uploads are open, %d objects there", st.Uploads, st.Objects)
	}
	return d
}

// startNarrow starts a cluster of three nodes that have few connections each.
func startNarrow(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		i := slices.Index(n.args, "--concurrency")
		n.args[i+1] = fmt.Sprint(bigConnections)
		n.start(t)
	}
	c.waitWhole(t)
	// Two tasks keep so few connections busy.
	c.nodes[0].must(t, "ctl", "set", "max-worker-num=2")
	return c
}

// TestOneObjectBySeveralNodes: three nodes move one object at more than twice the speed that one of them could, whatever
// it does; each part goes over the wire once.
func TestOneObjectBySeveralNodes(t *testing.T) {
	const size = 2048*bigMiB + 12345
	b := newBigObject(t, size)
	c := startNarrow(t)
	begin := time.Now()
	b.add(t, c.nodes[0], 1000)
	b.finishBig(t, c.nodes[0], 3*time.Minute)
	took := time.Since(begin)
	alone := size * time.Second / (bigConnections * bigRate)
	t.Logf("%v, one node takes %v at least: %.2f times as fast", took.Round(time.Millisecond), alone.Round(time.Millisecond),
		float64(alone)/float64(took))
	if took > alone/2 {
		t.Errorf("one object took %v, one node alone takes %v at least", took, alone)
	}
	if n := b.proxy.Count(s3op.UploadPart); n != b.parts {
		t.Errorf("%d parts were sent %d times", b.parts, n)
	}
}

// TestOneObjectOutlivesNodes kills the node that opened the upload and one that helps it, one after the other, in the
// middle: the object arrives equal, and nothing is left open.
func TestOneObjectOutlivesNodes(t *testing.T) {
	beside(t)
	const size = 1280*bigMiB + 12345
	b := newBigObject(t, size)
	c := startNarrow(t)
	owner := c.takesAll(t, false)
	b.add(t, c.nodes[0], 1000)
	b.waitParts(t, 1)
	var helper *node
	for _, n := range c.nodes {
		if n != owner {
			n.must(t, "node", "undrain")
		}
	}
	leader, _ := c.leader(t)
	for _, n := range c.nodes {
		if n != owner && n != leader {
			helper = n
		}
	}
	eventually(t, startLimit, "others help", func() bool {
		m, ok := leader.machines(t)
		return ok && m.busy(helper.id(t)) > 0 && m.busy(leader.id(t)) > 0
	})
	b.waitParts(t, b.proxy.Count(s3op.UploadPart)+4)
	helper.kill(t)
	b.waitParts(t, b.proxy.Count(s3op.UploadPart)+8)
	helper.start(t)
	b.waitParts(t, b.proxy.Count(s3op.UploadPart)+4)
	if d, ok := b.status(t, leader); !ok || d.State != "running" {
		t.Fatalf("the job is %q before the owner is killed", d.State)
	}
	owner.kill(t)
	b.finishBig(t, leader, 3*time.Minute)
	t.Logf("%d parts were sent %d times", b.parts, b.proxy.Count(s3op.UploadPart))
	if n := b.proxy.Count(s3op.UploadPart); n >= 2*b.parts {
		t.Errorf("%d parts were sent %d times", b.parts, n)
	}
	if n := b.proxy.Count(s3op.CreateMultipartUpload); n != 1 {
		t.Errorf("%d uploads were made", n)
	}
}

func (b *bigObject) waitParts(t *testing.T, n int) {
	t.Helper()
	eventually(t, startLimit, fmt.Sprintf("%d parts are asked for", n), func() bool { return b.proxy.Count(s3op.UploadPart) >= n })
}
