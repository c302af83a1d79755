package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/sink"
)

// listing is a job over a flat bucket of names that were never written, behind a latency.
type listing struct {
	kind    string // of names, as package sink knows them
	join    bool   // a copy where all is at the destination already: both sides are listed
	keys    int64
	latency time.Duration
	sides   [2]*sink.Server
	urls    [2]string
}

// listed is what one run of it took.
type listed struct {
	took     time.Duration // from the submission to the end of the job
	requests int64         // listings of one page or less
}

const listers = 4 // of each node

// TestListingScales: a flat prefix is listed faster by four nodes than by one, with few more requests than pages, and
// every key is counted once. The short form is too short, and the machines it runs on too busy, for a figure: the package
// scheduler has it in simulated time. LISTING_KIND chooses one kind of names.
func TestListingScales(t *testing.T) {
	l, ratio, most := listing{keys: 100_000, latency: 100 * time.Millisecond}, 0.0, 2.2
	kinds := []string{"uuid"}
	if shared.long {
		l.keys, l.latency, ratio, most = 1_000_000, 200*time.Millisecond, 3, 1.2
		kinds = []string{"", "hex", "date", "skew", "uuid"}
	}
	if only := os.Getenv("LISTING_KIND"); only != "" {
		kinds = []string{only}
	}
	for _, kind := range kinds {
		for _, join := range []bool{false, true} {
			l.kind, l.join = kind, join
			t.Run(fmt.Sprintf("%s, both sides %v", l.bucket(), join), func(t *testing.T) {
				l.serve(t)
				one, four := l.run(t, 1), l.run(t, 4)
				got := float64(one.took) / float64(four.took)
				pages := (l.keys + 999) / 1000
				if l.join {
					pages *= 2
				}
				t.Logf("1 node: %v, %d requests; 4 nodes: %v, %d requests; %d pages; ratio %.2f",
					one.took, one.requests, four.took, four.requests, pages, got)
				want := ratio
				if kind == "skew" || kind == "date" {
					want = min(want, 2.5)
				}
				if got < want {
					t.Errorf("four nodes are %.2f times as fast as one, want %.2f", got, want)
				}
				if n := float64(four.requests) / float64(pages); n > most {
					t.Errorf("%.2f times as many requests as pages, want at most %.2f", n, most)
				}
			})
		}
	}
}

func (l *listing) bucket() string { return fmt.Sprintf("syn%s%d-0", l.kind, l.keys) }

// serve starts both sides, and has them make their names.
func (l *listing) serve(t *testing.T) {
	t.Helper()
	for i := range l.sides {
		l.sides[i] = sink.New(sink.Options{Latency: l.latency})
		front := httptest.NewServer(l.sides[i])
		t.Cleanup(front.Close)
		l.urls[i] = front.URL
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/"+l.bucket()+"?list-type=2&max-keys=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 unchecked")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("list one key: %s", resp.Status)
		}
	}
}

// requests is how many listings both sides were asked for so far.
func (l *listing) requests() (n int64) {
	for _, s := range l.sides {
		n += s.Stats().Requests["ListObjects"]
	}
	return n
}

// run lists with so many nodes and checks what the job says.
func (l *listing) run(t *testing.T, nodes int) listed {
	t.Helper()
	c := startCluster(t, nodes)
	defer func() {
		for _, n := range c.nodes {
			n.kill(t)
		}
	}()
	c.nodes[0].must(t, "ctl", "set", fmt.Sprintf("max-worker-num=%d", listers))
	before := l.requests()
	begin := time.Now()
	stop := l.watch(t)
	l.submit(t, c.nodes[0])
	d := l.wait(t, c.nodes[0])
	r := listed{took: time.Since(begin), requests: l.requests() - before}
	stop()
	o := d.Objects
	if d.State != "succeeded" || o["found"] != l.keys || o["listed"] != l.keys || o["skipped"] != l.keys {
		t.Errorf("%d nodes: the job is %s, of %d keys it says %v", nodes, d.State, l.keys, o)
	}
	return r
}

// watch logs the requests of each second.
func (l *listing) watch(t *testing.T) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var rates []int64
		for seen := l.requests(); ; {
			select {
			case <-quit:
				t.Logf("requests in each second: %v", rates)
				return
			case <-tick.C:
			}
			n := l.requests()
			rates, seen = append(rates, n-seen), n
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func (l *listing) submit(t *testing.T, at *node) {
	t.Helper()
	side := func(url string) string {
		return fmt.Sprintf(`{url: "s3://%s/?endpoint=%s&region=us-east-1", access_key: "a", secret_key: "s"}`, l.bucket(), url)
	}
	text := fmt.Sprintf("id: list\ntype: list\nsource: %s\n", side(l.urls[0]))
	if l.join {
		text = fmt.Sprintf("id: list\ntype: copy\nsource: %s\ndestination: %s\n", side(l.urls[0]), side(l.urls[1]))
	}
	path := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.must(t, "ctl", "add", path, "--yes") // with both sides, the destination is full
}

// wait waits for the end of the job.
func (l *listing) wait(t *testing.T, at *node) (d document) {
	t.Helper()
	eventually(t, 10*time.Minute, "the job ends", func() bool {
		out, err := at.brigade("ctl", "status", "--jobID=list", "--json")
		if err != nil {
			return false
		}
		if err := json.Unmarshal(out, &d); err != nil {
			t.Fatalf("read job: %v: %s", err, out)
		}
		return d.State == "succeeded" || d.State == "failed" || d.State == "paused"
	})
	return d
}
