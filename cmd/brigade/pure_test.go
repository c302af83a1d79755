package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

func parse(t *testing.T, url string) store.Location {
	t.Helper()
	l, err := store.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return canonical(l)
}

func TestOverlapOfURLs(t *testing.T) {
	const ep = "?endpoint=http://H:80"
	for _, tc := range []struct{ src, dst, want string }{
		{"s3://b/", "s3://b/", "the same place"},
		{"s3://b/a/", "s3://b/", "the source s3://b/a/ lies inside the destination"},
		{"s3://b/", "s3://b/a/", "the destination s3://b/a/ lies inside the source"},
		{"s3://b/a", "s3://b/a/", "the same place"},
		{"s3://b/a/", "s3://b/ab/", ""},
		{"s3://b/a/", "s3://b/c/", ""},
		{"s3://b/", "s3://c/", ""},
		{"s3://b/" + ep, "s3://b/?endpoint=http://h", "the same place"},
		{"s3://b/?endpoint=https://h:443&region=x", "s3://b/a/?endpoint=h", "lies inside the source"},
		{"s3://b/?endpoint=http://localhost:1", "s3://b/?endpoint=http://127.0.0.1:1", "the same place"},
		{"s3://b/?endpoint=http://h:1", "s3://b/?endpoint=http://h:2", ""},
		{"s3://b/?endpoint=http://h:1", "s3://b/", ""},
		{"s3://b/x/", "/b/x/", ""},
		{"obs://b/?region=cn-north-4", "s3://b/a/?endpoint=obs.cn-north-4.myhuaweicloud.com", "lies inside the source"},
		{"obs://b/?region=cn-north-4", "obs://b/a/?region=cn-north-1", ""},
		{"ks3://b/?region=cn-beijing", "ks3://b/?endpoint=https://ks3-cn-beijing.ksyuncs.com", "the same place"},
		{"oss://b/x/?region=cn-hangzhou", "oss://b/?endpoint=oss-cn-hangzhou-internal.aliyuncs.com", "lies inside the destination"},
		{"azblob://con/x/?account=acc", "azblob://con/?endpoint=https://acc.blob.core.windows.net", "lies inside the destination"},
		{"azblob://con/?account=acc", "azblob://con/?account=other", ""},
		{"oss://b/?region=cn-hangzhou", "oss://c/?region=cn-hangzhou", ""},
		{"gs://b/x/", "gs://b/?endpoint=https://storage.me-central2.rep.googleapis.com", "lies inside the destination"},
		{"gs://b/", "gs://b/?endpoint=http://127.0.0.1:4443", ""},
		{"oss://b/?endpoint=http://h:1", "oss://b/?endpoint=http://h:2", ""},
		{"cos://b-1250000000/x/?region=ap-beijing", "cos://b-1250000000/?endpoint=cos-internal.ap-beijing.tencentcos.cn", "lies inside the destination"},
		{"cos://b-1250000000/?region=ap-beijing", "cos://b-1250000000/?region=accelerate", "the same place"},
		{"cos://b-1250000000/?region=ap-beijing", "cos://c-1250000000/?region=ap-beijing", ""},
		{"cos://b-1250000000/?endpoint=http://h:1", "cos://b-1250000000/?endpoint=http://h:2", ""},
		{"oss://b/?endpoint=http://h:1", "s3://b/?endpoint=http://h:1", ""},
		{"bos://b/x/?region=bj", "bos://b/?endpoint=bj.bcebos.com", "lies inside the destination"},
		{"bos://b/?region=bj", "bos://c/?region=bj", ""},
	} {
		err := overlap(parse(t, tc.src), parse(t, tc.dst))
		checkError(t, tc.src+" to "+tc.dst, err, tc.want)
	}
}

func TestOverlapOfFiles(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"src/sub", "srcs", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "src/file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "src"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ src, dst, want string }{
		{"src", "src", "the same place"},
		{"src", "src/", "the same place"},
		{"src", "src/sub", "lies inside the source"},
		{"src", "src/new/deep", "lies inside the source"},
		{"src/sub", "src", "lies inside the destination"},
		{"src", "srcs", ""},
		{"src", "new/deep", ""},
		{"src", "other/../src/sub", "lies inside the source"},
		{"src", "link/new", "lies inside the source"},
		{"link", "src", "the same place"},
		{"src/file", "other", ""},
		{"src/file", "src/sub", ""},
		{"src/file", "src", "the same place"},
		{"src/file", "src/file", "lies inside the source"},
	} {
		err := overlap(parse(t, filepath.Join(dir, tc.src)), parse(t, filepath.Join(dir, tc.dst)))
		checkError(t, tc.src+" to "+tc.dst, err, tc.want)
	}
}

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: got error %v, want %q", name, err, want)
	}
}

func TestDefaultID(t *testing.T) {
	// SHA-256 of "copy\nfile:///a\ns3://b/p", first 12 hexadecimal digits.
	if got, want := defaultID("copy", "file:///a", "s3://b/p"), "import-d1273a14422a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if defaultID("copy", "a", "b") == defaultID("verify", "a", "b") {
		t.Error("the type does not count")
	}
}

func TestCanonical(t *testing.T) {
	for a, b := range map[string]string{
		"/data/x/": "/data/x", "file:///data//x/./": "/data/x", "s3://b": "s3://b/", "S3://b/p?region=r&endpoint=e": "s3://b/p?endpoint=e&region=r",
	} {
		if x, y := parse(t, a).String(), parse(t, b).String(); x != y {
			t.Errorf("%s is %s, but %s is %s", a, x, b, y)
		}
	}
}

func TestPaths(t *testing.T) {
	home := t.TempDir()
	a := &app{getenv: func(name string) string {
		return map[string]string{"XDG_STATE_HOME": home}[name]
	}}
	p, err := a.pathsOf("", "photos")
	want := jobPaths{dir: filepath.Join(home, "brigade/jobs/photos"), key: filepath.Join(home, "brigade/jobs/photos.key")}
	if err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	if _, err := a.pathsOf("", "photos.key"); codeOf(err) != codeMisuse {
		t.Errorf("an ID that is another job's key file: got %v", err)
	}
	p, err = a.pathsOf(filepath.Join(home, "x"), "photos")
	if err != nil || p.dir != filepath.Join(home, "x/jobs/photos") {
		t.Errorf("--state-dir: got %+v, %v", p, err)
	}
}

func codeOf(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return -1
}

func specFor(t *testing.T, change func(*fsm.Spec)) fsm.Spec {
	t.Helper()
	s := fsm.Spec{
		Version: fsm.SpecVersion, ID: "j", Type: "copy", Source: fsm.Side{URL: "file:///a"},
		Destination: &fsm.Side{URL: "s3://b/"}, Compare: "default", Verify: "checksum",
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestDecide(t *testing.T) {
	job := func(state fsm.JobState, pass uint64) *fsm.Job {
		text, err := json.Marshal(specFor(t, func(s *fsm.Spec) { s.Source.Sealed = map[string][]byte{"secret_key": {1}} }))
		if err != nil {
			t.Fatal(err)
		}
		return &fsm.Job{ID: "j", State: state, Pass: pass, Spec: text}
	}
	options := func(s *fsm.Spec) { s.Verify = "size" }
	source := func(s *fsm.Spec) { s.Source.URL = "file:///c" }
	for _, tc := range []struct {
		name   string
		job    *fsm.Job
		change func(*fsm.Spec)
		want   action
		diffs  string
	}{
		{"none", nil, nil, submit, ""},
		{"pending", job(fsm.Pending, 0), nil, resubmit, ""},
		{"paused before it began", job(fsm.Paused, 0), nil, resubmit, ""},
		{"running", job(fsm.Running, 1), nil, resume, ""},
		{"paused", job(fsm.Paused, 1), nil, unpause, ""},
		{"succeeded", job(fsm.Succeeded, 1), nil, startPass, ""},
		{"failed", job(fsm.Failed, 2), nil, startPass, ""},
		{"canceled", job(fsm.Canceled, 1), nil, resubmit, ""},
		{"finished, other options", job(fsm.Succeeded, 1), options, resubmit, "verify was checksum, now size"},
		{"running, other limits", job(fsm.Running, 1), func(s *fsm.Spec) { s.Limits.Bandwidth = "1M" }, resume, ""},
		{"finished, other limits", job(fsm.Succeeded, 1), func(s *fsm.Spec) { s.Limits.Bandwidth = "1M" }, startPass, ""},
		{"running, other options", job(fsm.Running, 1), options, startOver, "verify was checksum, now size"},
		{"running, other source", job(fsm.Running, 1), source, startOver, "source was file:///a, now file:///c"},
		{"finished, other source", job(fsm.Succeeded, 1), source, startOver, "source was file:///a, now file:///c"},
		{"other type", job(fsm.Succeeded, 1), func(s *fsm.Spec) { s.Type, s.Destination = "list", nil }, startOver,
			"type was copy, now list; destination was s3://b/, now none"},
		{"other filter", job(fsm.Running, 1), func(s *fsm.Spec) { s.Filter.Include = []string{"*.jpg"} }, startOver,
			`filter was {}, now {"include":["*.jpg"]}`},
	} {
		got, diffs, err := decide(tc.job, specFor(t, tc.change))
		if err != nil || got != tc.want || clauses(diffs) != tc.diffs {
			t.Errorf("%s: got %d, %q, %v, want %d, %q", tc.name, got, clauses(diffs), err, tc.want, tc.diffs)
		}
	}
	newer := job(fsm.Running, 1)
	newer.Spec = []byte(`{"version": 99}`)
	if _, _, err := decide(newer, specFor(t, nil)); err == nil {
		t.Error("a spec of a newer version was accepted")
	}
}

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name string
		job  fsm.Job
		want int
	}{
		{"done", fsm.Job{Type: "copy", State: fsm.Succeeded}, codeDone},
		{"failed objects", fsm.Job{Type: "copy", State: fsm.Failed, Counts: fsm.Counts{Failed: 1}}, codeFailed},
		{"lost ranges", fsm.Job{Type: "copy", State: fsm.Failed, TasksLost: 1}, codeFailed},
		{"never 0 after a failure", fsm.Job{Type: "copy", State: fsm.Succeeded, Counts: fsm.Counts{Failed: 1}}, codeFailed},
		{"paused", fsm.Job{Type: "copy", State: fsm.Paused, Counts: fsm.Counts{Failed: 1}}, codeRefused},
		{"canceled", fsm.Job{Type: "copy", State: fsm.Canceled}, codeRefused},
		{"extra keys in a copy", fsm.Job{Type: "copy", State: fsm.Succeeded, Counts: fsm.Counts{Extra: 1}}, codeDone},
		{"verified", fsm.Job{Type: "verify", State: fsm.Succeeded}, codeDone},
		{"missing", fsm.Job{Type: "verify", State: fsm.Failed, Classes: map[string]int64{"missing": 1}, Counts: fsm.Counts{Failed: 1}}, codeDiffers},
		{"differs and errors", fsm.Job{Type: "verify", State: fsm.Failed, Classes: map[string]int64{"differs": 1, "auth": 1}, Counts: fsm.Counts{Failed: 2}}, codeDiffers},
		{"extra", fsm.Job{Type: "verify", State: fsm.Succeeded, Counts: fsm.Counts{Extra: 1}}, codeDiffers},
		{"only errors", fsm.Job{Type: "verify", State: fsm.Failed, Classes: map[string]int64{"auth": 1}, Counts: fsm.Counts{Failed: 1}}, codeFailed},
	} {
		if got := exitOf(&tc.job); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestLimits(t *testing.T) {
	if got := limitsOf(fsm.Spec{}); !reflect.DeepEqual(got, fsm.JobLimits{}) {
		t.Errorf("default: got %+v", got)
	}
	got := limitsOf(fsm.Spec{MaxFailures: 7})
	if got.MaxFailures != 7 || got.MaxFailuresPercent <= 0 || got.MaxFailuresPercent > 1e-6 {
		t.Errorf("7: got %+v, want 7 whatever the share", got)
	}
	got = limitsOf(fsm.Spec{Limits: fsm.LimitsSpec{Bandwidth: "Mon-08:00,1M Mon-19:00,off"}})
	day := 24 * 60
	if want := []fsm.RateSlot{{From: day + 480, Rate: 1 << 20}, {From: day + 1140}}; !slices.Equal(got.Bandwidth, want) {
		t.Errorf("timetable: got %+v, want %+v", got.Bandwidth, want)
	}
}

func TestDocumentFields(t *testing.T) {
	job := &fsm.Job{
		ID: "photos", State: fsm.Failed, Reason: "r", Pass: 2, TasksDone: 3, TasksLost: 1,
		Started: 1_700_000_000_000_000_000, Finished: 1_700_000_001_000_000_000,
		Counts: fsm.Counts{Listed: 21, Copied: 1, Skipped: 2, Filtered: 3, Vanished: 4, Changed: 5, Failed: 6, Recovered: 7,
			Verified: 8, Extra: 9, Deleted: 10, Lossy: 1, BytesListed: 11, BytesFound: 12, BytesCopied: 13, BytesSkipped: 14, BytesMoved: 15},
	}
	errs := []api.KeyError{api.NewKeyError("a\xff", "auth", "no"), api.NewKeyError("b", "missing", "gone")}
	text, err := json.Marshal(documentOf(job, runStats{elapsed: 2e9, bytes: 30, objects: 4}, errs))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	const expected = `{"id": "photos", "state": "failed", "reason": "r", "pass": 2, "listing_done": true,
	 "objects": {"listed": 21, "found": 21, "copied": 1, "skipped": 2, "filtered": 3, "vanished": 4, "changed": 5, "failed": 6,
	             "recovered": 7, "verified": 8, "extra": 9, "deleted": 10, "lossy": 1},
	 "bytes": {"listed": 11, "found": 12, "copied": 13, "skipped": 14, "moved": 15},
	 "rate": {"bytes_per_second": 15, "objects_per_second": 2}, "eta_seconds": null,
	 "tasks": {"pending": 0, "running": 0, "failed": 1, "done": 3},
	 "errors": [{"key": "a�", "key_base64": "Yf8=", "class": "auth", "reason": "no"}, {"key": "b", "class": "missing", "reason": "gone"}],
	 "started_at": "2023-11-14T22:13:20Z", "finished_at": "2023-11-14T22:13:21Z", "next_pass_at": null}`
	if err := json.Unmarshal([]byte(expected), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document differs (-want +got):\n%s", diff)
	}
	empty, err := json.Marshal(documentOf(&fsm.Job{ID: "x", State: fsm.Pending}, runStats{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(empty), `"errors":[]`) || !strings.Contains(string(empty), `"listing_done":false`) {
		t.Errorf("an empty job: %s", empty)
	}
}
