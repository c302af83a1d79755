package cluster_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/sink"
)

// pipe is a store that takes so many bytes a second in all, from however many connections, and counts them by bucket.
type pipe struct {
	store     *sink.Server
	perSecond float64

	mu    sync.Mutex
	next  time.Time // when the next piece may pass
	taken map[string]int64
}

// startPipe serves a pipe until the end of the test, and returns its address.
func startPipe(t *testing.T, perSecond int) (*pipe, string) {
	p := &pipe{store: sink.New(sink.Options{}), perSecond: float64(perSecond), taken: map[string]int64{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

func (p *pipe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		r.Body = &pipedBody{ReadCloser: r.Body, pipe: p, bucket: bucket}
	}
	p.store.ServeHTTP(w, r)
}

// pipedBody is a body on its way through the pipe.
type pipedBody struct {
	io.ReadCloser
	pipe   *pipe
	bucket string
}

// Read lets a piece pass when it is its turn.
func (b *pipedBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf[:min(len(buf), 16<<10)])
	if n > 0 {
		b.pipe.pass(b.bucket, n)
	}
	return n, err
}

// pass waits for the turn of n bytes, then counts them.
func (p *pipe) pass(bucket string, n int) {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / p.perSecond * float64(time.Second)))
	turn := time.NewTimer(p.next.Sub(now))
	p.mu.Unlock()
	<-turn.C
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken[bucket] += int64(n)
}

// counts returns what each bucket took so far.
func (p *pipe) counts(buckets ...string) (out []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range buckets {
		out = append(out, p.taken[b])
	}
	return out
}

// half is one of two jobs that share a pipe: so many objects of one size.
type half struct {
	id            string
	objects, size int64
	task          int // objects of a task
}

func (h *half) bucket() string { return "to-" + h.id }

// add submits the job.
func (h *half) add(t *testing.T, at *node, from, to string) {
	t.Helper()
	text := fmt.Sprintf(`id: %s
type: copy
source: {url: "s3://syn%d-%d/?endpoint=%s&region=us-east-1", access_key: k, secret_key: s}
destination: {url: "s3://%s/?endpoint=%s&region=us-east-1", access_key: k, secret_key: s}
task: {objects: %d, bytes: 64MiB}
`, h.id, h.objects, h.size, from, h.bucket(), to, h.task)
	path := filepath.Join(t.TempDir(), h.id+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.must(t, "ctl", "add", path)
}

// settleTime is how long a job that comes later may take to get its share: a full node is asked for a task after 5 s, and
// tells when that is settled.
const settleTime = 25 * time.Second

// TestTwoJobsShareTheBytes: two jobs of one priority get the same bytes at the store, in each window of time, on one node
// and on several, the second of them coming when the first holds every slot.
func TestTwoJobsShareTheBytes(t *testing.T) {
	beside(t)
	window, windows, low, high := 8*time.Second, 3, 0.4, 0.6 // a task more or less shows in so short a time
	if shared.long {
		window, windows, low, high = time.Minute, 3, 0.45, 0.55
	}
	for name, test := range map[string]struct {
		nodes         int
		first, second half
	}{
		"equal, one node":    {1, half{"a", 400000, 128 << 10, 150}, half{"b", 400000, 128 << 10, 150}},
		"equal, three nodes": {3, half{"a", 400000, 128 << 10, 150}, half{"b", 400000, 128 << 10, 150}},
	} {
		t.Run(name, func(t *testing.T) {
			// The source is another server, or the destination would copy by itself.
			from := httptest.NewServer(sink.New(sink.Options{}))
			t.Cleanup(from.Close)
			p, to := startPipe(t, 16<<20)
			c := startCluster(t, test.nodes)
			test.first.add(t, c.nodes[0], from.URL, to)
			buckets := []string{test.first.bucket(), test.second.bucket()}
			eventually(t, startLimit, "the first job fills the pipe", func() bool { return p.counts(buckets...)[0] > 32<<20 })
			test.second.add(t, c.nodes[0], from.URL, to)
			begin := time.Now()
			eventually(t, startLimit, "the second job works", func() bool { return p.counts(buckets...)[1] > 1<<20 })
			t.Logf("the second job moved bytes %v after it was submitted", time.Since(begin))
			<-time.NewTimer(settleTime).C
			var shares []float64
			for range windows {
				before := p.counts(buckets...)
				<-time.NewTimer(window).C
				after := p.counts(buckets...)
				a, b := after[0]-before[0], after[1]-before[1]
				shares = append(shares, float64(a)/float64(a+b))
			}
			t.Logf("%s: share of the first job in %d windows of %v: %.3f", name, windows, window, shares)
			if slices.Min(shares) < low || slices.Max(shares) > high {
				t.Errorf("shares %.3f, want %.2f to %.2f", shares, low, high)
			}
			for _, n := range c.nodes {
				n.stop(t)
			}
		})
	}
}
