package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/test/sink"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// limitedRun copies a synthetic bucket to a server that counts.
func limitedRun(t *testing.T, bucket, limit string, flags ...string) (*servers.Counted, result) {
	t.Helper()
	source := servers.Count(t, sink.New(sink.Options{}))
	to := servers.Count(t, sink.New(sink.Options{}))
	c := command{env: []string{
		"BRIGADE_SRC_ACCESS_KEY=a", "BRIGADE_SRC_SECRET_KEY=b", "BRIGADE_DST_ACCESS_KEY=a", "BRIGADE_DST_SECRET_KEY=b",
	}}
	at := "?region=us-east-1&path_style=true&endpoint="
	args := append([]string{"import", "s3://" + bucket + "/" + at + source.URL, "s3://to/" + at + to.URL,
		"--set", "limits.bandwidth=" + limit}, flags...)
	return to, c.run(t, args...)
}

// TestBandwidthLimit: an import keeps to its limit and makes use of it, whatever the sizes of its objects.
func TestBandwidthLimit(t *testing.T) {
	for _, tc := range []struct {
		name, bucket, limit string
		rate                float64
		bytes               int64
		flags               []string
	}{
		{"small objects", "syn3000-16384", "4M", 4 * mib, 3000 * 16 * kib, nil},
		{"objects of some MiB", "syn12-5000000", "5M", 5 * mib, 12 * 5000000, nil},
		{"one large object", "syn1-100000000", "8M", 8 * mib, 100000000, nil},
		{"few connections", "syn1-100000000", "9M", 9 * mib, 100000000, []string{"--concurrency", "2"}},
		{"a very low limit", "syn4-200000", "64K", 64 * kib, 4 * 200000, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			to, r := limitedRun(t, tc.bucket, tc.limit, append(tc.flags, "--json")...)
			if d := r.want(t, 0).document(t); d.Bytes["copied"] != tc.bytes {
				t.Errorf("%d bytes copied, want %d", d.Bytes["copied"], tc.bytes)
			}
			rate := float64(tc.bytes) / to.Span().Seconds()
			t.Logf("%.3f of the limit over %.1f s; within any 3 s at most %.3f", rate/tc.rate, to.Span().Seconds(), to.Busiest(3*time.Second)/tc.rate)
			if rate < 0.9*tc.rate || rate > 1.1*tc.rate {
				t.Errorf("%.0f bytes a second, the limit is %.0f", rate, tc.rate)
			}
			// What TCP buffers hold makes the way uneven, the headers of small objects are not counted against the limit.
			if most := to.Busiest(3 * time.Second); most > 1.25*tc.rate {
				t.Errorf("%.0f bytes a second within 3 s, the limit is %.0f", most, tc.rate)
			}
		})
	}
}

// TestJobFileWithLimit: a job file's timetable holds, and the progress tells of it.
func TestJobFileWithLimit(t *testing.T) {
	source, to := servers.Count(t, sink.New(sink.Options{})), servers.Count(t, sink.New(sink.Options{}))
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "examples", "limits.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	at := "?region=us-east-1&path_style=true&endpoint="
	lines := strings.NewReplacer(
		"s3://photos/2019/", "s3://syn30-2000000/"+at+source.URL, "s3://archive/photos/", "s3://to/"+at+to.URL,
	).Replace(string(text))
	file := filepath.Join(t.TempDir(), "limits.yaml")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	c := command{env: []string{"SRC_AK=a", "SRC_SK=b", "DST_AK=a", "DST_SK=b"}}
	c.run(t, "import", file, "--dry-run").want(t, 0)
	r := c.run(t, "import", file, "--set", "limits.bandwidth=4M").want(t, 0)
	if want := fmt.Sprintf("limit %s/s", "4.2 MB"); !strings.Contains(r.stderr, want) {
		t.Errorf("the progress does not tell of the %s: %s", want, tail(r.stderr))
	}
	if rate := 30 * 2000000 / to.Span().Seconds(); rate < 0.9*4*mib || rate > 1.1*4*mib {
		t.Errorf("%.0f bytes a second", rate)
	}
}

// TestLimitOfAnInterruptedRun: the same import may go on with another limit.
func TestLimitOfAnInterruptedRun(t *testing.T) {
	source, to := servers.Count(t, sink.New(sink.Options{})), servers.Count(t, sink.New(sink.Options{}))
	c := command{env: []string{
		"BRIGADE_SRC_ACCESS_KEY=a", "BRIGADE_SRC_SECRET_KEY=b", "BRIGADE_DST_ACCESS_KEY=a", "BRIGADE_DST_SECRET_KEY=b",
	}}
	at := "?region=us-east-1&path_style=true&endpoint="
	line := []string{"import", "s3://syn200-262144/" + at + source.URL, "s3://to/" + at + to.URL, "--json"}
	p := c.start(t, append(line, "--set", "limits.bandwidth=256K")...)
	for deadline := time.After(time.Minute); to.Total() < mib; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing is copied")
		}
	}
	p.signal(t, os.Interrupt)
	p.wait(t).want(t, 130)
	d := c.run(t, line...).want(t, 0).document(t)
	if d.Pass != 1 || d.Bytes["copied"] != 200*262144 {
		t.Errorf("pass %d, %d bytes copied", d.Pass, d.Bytes["copied"])
	}
	if most := to.Busiest(time.Second); most < 4*mib {
		t.Errorf("without a limit %.0f bytes a second", most)
	}
}
