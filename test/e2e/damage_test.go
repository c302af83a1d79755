package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

func writes() []s3op.Operation {
	return []s3op.Operation{s3op.PutObject, s3op.CompleteMultipartUpload}
}

// A destination that damages what it took is found out, and the key is named.
func TestFigureDamageIsFound(t *testing.T) {
	const bad = "d000/f000033"
	for _, c := range []struct {
		name, promise string
		fault         faults.Fault
	}{
		{"corrupted on the wire", "a destination that stores one bit wrong, and says so by its ETag", faults.Fault{CorruptOnWire: true}},
		{"corrupted at rest", "a destination that acknowledges, then holds one bit wrong", faults.Fault{CorruptAtRest: true}},
		{"lost", "a destination that loses a key after acknowledging it", faults.Fault{Lose: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
			writeFiles(t, source, 100, 3000)
			b.behind(t).Add(faults.Rule{Ops: writes(), Key: "x/" + bad, Fault: c.fault})
			cmd := command{env: b.env("DST")}
			args := []string{"import", source, b.location("x/"), "--yes"}
			r := cmd.run(t, args...).want(t, 3)
			if !strings.Contains(r.stdout+r.stderr, bad) {
				t.Errorf("the report does not name %s:\n%s\n%s", bad, r.stdout, r.stderr)
			}
			got := b.holdings(t, "x/")
			want := holdings(t, source)
			delete(got, bad)
			delete(want, bad)
			same(t, got, want)
			record(t, !t.Failed(), c.promise, "exit 3, the key named", "exit 3, "+bad+" named")
		})
	}
}

// The same for an object that is sent in parts.
func TestDamageOfALargeObjectIsFound(t *testing.T) {
	for name, rule := range map[string]faults.Rule{
		"part corrupted on the wire": {Ops: []s3op.Operation{s3op.UploadPart}, Key: "big", Fault: faults.Fault{CorruptOnWire: true}},
		"lost":                       {Ops: writes(), Key: "big", Fault: faults.Fault{Lose: true}},
	} {
		t.Run(name, func(t *testing.T) {
			source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
			writeFile(t, filepath.Join(source, "big"), 70<<20, 1)
			writeFile(t, filepath.Join(source, "small"), 10, 2)
			b.behind(t).Add(rule)
			cmd := command{env: b.env("DST")}
			doc := cmd.run(t, "import", source, b.location(""), "--yes", "--json").want(t, 3).document(t)
			if keys := doc.errorKeys(); !slices.Equal(keys, []string{"big"}) {
				t.Errorf("named %q, want big alone", keys)
			}
			b.noUploads(t)
		})
	}
}

// What passes is no failure: the job retries and ends well.
func TestPassingFaultsAreRetried(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 60, 2000)
	writeFile(t, filepath.Join(source, "big"), 70<<20, 1)
	p := b.behind(t)
	for _, f := range []struct {
		key   string
		times int
		fault faults.Fault
	}{
		{"d000/f000001", 2, faults.Fault{Status: 503, Code: "SlowDown"}},
		{"d000/f000002", 2, faults.Fault{Status: 429, Code: "TooManyRequests"}},
		{"d000/f000003", 2, faults.Fault{Status: 500, Code: "InternalError"}},
		{"d000/f000004", 2, faults.Fault{Reset: true}},
		{"d000/f000005", 1, faults.Fault{DropAnswer: true}},
		{"d000/f000006", 1, faults.Fault{CutRequest: 100}},
		{"d000/f000007", 1, faults.Fault{CorruptOnWire: true}},
		{"big", 2, faults.Fault{CutRequest: 1 << 20}},
	} {
		p.Add(faults.Rule{Ops: append(writes(), s3op.UploadPart), Key: f.key, Times: f.times, Fault: f.fault})
	}
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.ListObjects}, Times: 2, Fault: faults.Fault{Status: 503, Code: "SlowDown"}})
	cmd := command{env: b.env("DST")}
	cmd.run(t, "import", source, b.location(""), "--yes").want(t, 0)
	same(t, b.holdings(t, ""), holdings(t, source))
	b.noUploads(t)
}

// A source that breaks off in the middle of a body is read again.
func TestBrokenReadsAreRetried(t *testing.T) {
	root, b := t.TempDir(), newBucket(t)
	source, back := filepath.Join(root, "source"), filepath.Join(root, "back")
	writeFiles(t, source, 20, 50_000)
	writeFile(t, filepath.Join(source, "big"), 70<<20, 1)
	up := command{env: b.env("DST")}
	up.run(t, "import", source, b.location(""), "--yes").want(t, 0)
	p := b.behind(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Times: 5, Fault: faults.Fault{CutResponse: 20_000}})
	down := command{env: b.env("SRC")}
	down.run(t, "import", b.location(""), back, "--yes").want(t, 0)
	diff(t, source, back)
	noTemporary(t, back)
}
