package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const full = `# a comment
id: photos
type: copy
source:      {url: "s3://photos/2019/?endpoint=http://h:1", access_key: "env:SRC_AK", secret_key: "file:/run/secrets/src"}
destination:
  url: /data/photos
filter:
  include: ["*.jpg", "{a,b}/*.png"]
  exclude:
    - "tmp/**"
  since: 2024-01-01T00:00:00Z
  min_size: 64KiB
compare: size
verify: none
task: {objects: 500, bytes: 1GB}
preserve: {metadata: false, tags: false, acl: false, storage_class: keep}
max_failures: 7
priority: -3
`

func TestParseFull(t *testing.T) {
	for _, eol := range []string{"\n", "\r\n"} {
		j, err := Parse("photos.yaml", []byte("\xef\xbb\xbf"+strings.ReplaceAll(full, "\n", eol)))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Validate(); err != nil {
			t.Fatal(err)
		}
		want := &Job{
			ID: "photos", Type: "copy",
			Source: Side{URL: "s3://photos/2019/?endpoint=http://h:1",
				AccessKey: Secret{"env:SRC_AK"}, SecretKey: Secret{"file:/run/secrets/src"}},
			Destination: Side{URL: "/data/photos"},
			Filter: Filter{Include: []string{"*.jpg", "{a,b}/*.png"}, Exclude: []string{"tmp/**"},
				Since: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), MinSize: 65536},
			Compare: "size", Verify: "none", Task: Task{500, 1_000_000_000}, MaxFailures: 7, Priority: -3,
			Preserve: Preserve{StorageClass: ClassKeep, MTime: "auto"}, Archived: "fail", Restore: Restore{Days: 3},
		}
		if diff := cmp.Diff(want, j, cmpopts.IgnoreUnexported(Job{}), cmp.AllowUnexported(Secret{})); diff != "" {
			t.Errorf("line ends %q: job differs (-want +got):\n%s", eol, diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	j, err := Parse("j", []byte("source: {url: /a}\ndestination: {url: /b}\nfilter:\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Validate(); err != nil {
		t.Fatal(err)
	}
	want := New("")
	want.Source.URL, want.Destination.URL = "/a", "/b"
	if diff := cmp.Diff(want, j, cmpopts.IgnoreUnexported(Job{}), cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

// sides is a valid pair of sides, on two lines.
const sides = "source: {url: /a}\ndestination: {url: /b}\n"

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", `job.yaml:1:1: the file has no keys; allowed: a job file in YAML with at least source and destination`},
		{"only comment", "# nothing\n", `job.yaml:1:1: the file has no keys; allowed: a job file in YAML with at least source and destination`},
		{"not a mapping", "- a\n", `job.yaml:1:1: the file is a list, not a mapping; allowed: key: value lines`},
		{"broken", "id: [a\n", `job.yaml:1:5: is not YAML: `},
		{"tab", "source:\n\turl: /a\n", `job.yaml:2:1: is not YAML: `},
		{"not text", "id: \xff\n", `job.yaml:1:1: is not text in UTF-8; allowed: a job file in YAML`},
		{"old format", "# c\njobName=x\nsrcType=local\n", `job.yaml:2:1: this looks like a job.cfg of ossimport or osstransfer (key=value), which is not supported by this version; allowed: a job file in YAML`},
		{"unknown key", sides + "compar: size\n", `job.yaml:3:1: compar: unknown key, did you mean "compare"?; allowed: id, type, source, destination, filter, compare, verify, task, preserve, archived, restore, max_failures`},
		{"unknown nested", "source: {ur: /a}\n", `job.yaml:1:10: source.ur: unknown key, did you mean "url"?; allowed: url, access_key, secret_key, session_token`},
		{"misplaced", "include: [a]\n", `job.yaml:1:1: include: unknown key, did you mean "filter.include"?; allowed: id,`},
		{"far from all", "zzzzzzzz: 1\n", `job.yaml:1:1: zzzzzzzz: unknown key; allowed: id,`},
		{"schedule", sides + "schedule: {every: 24h}\n", `job.yaml:3:1: schedule: is not supported by this version`},
		{"delete", "delete: {mode: off}\n", `job.yaml:1:1: delete: is not supported by this version`},
		{"limits", "limits: {requests: 5}\n", `job.yaml:1:10: limits.requests: is not supported by this version`},
		{"notify", "notify: {mail: [a]}\n", `job.yaml:1:10: notify.mail: "a" is no mail address; allowed: a list of mail addresses, such as [ops@example.com]`},
		{"notify with a line break", "notify: {mail: \"a@b.c\\r\\nBcc: d@e.f\"}\n", `is no mail address`},
		{"priority", "priority: 1001\n", `job.yaml:1:1: priority: 1001 is out of range; allowed: a whole number from -1000 to 1000`},
		{"tags", "preserve: {tags: yes please}\n", `job.yaml:1:12: preserve.tags: "yes please" is neither true nor false; allowed: true, false`},
		{"tag", "preserve: {tag: true}\n", `job.yaml:1:12: preserve.tag: unknown key, did you mean "tags"?; allowed: metadata, tags, acl, storage_class, encryption, mtime, md5`},
		{"storage class", "preserve:\n  storage_class: I A\n", `job.yaml:2:3: preserve.storage_class: "I A" is no storage class; allowed: keep, default, or a storage class`},
		{"mtime", "preserve: {mtime: never}\n", `job.yaml:1:12: preserve.mtime: "never" is not known; allowed: auto, always`},
		{"archived", "archived: wait\n", `job.yaml:1:1: archived: "wait" is not known, did you mean "fail"?; allowed: fail, skip, restore`},
		{"restore days", "restore: {days: 0}\n", `job.yaml:1:11: restore.days: 0 is out of range; allowed: a whole number from 1 to 365`},
		{"reread", "verify: reread\n", `job.yaml:1:1: verify: "reread" is not supported by this version; allowed: none, size, checksum`},
		{"sample", "verify: sample:1%\n", `job.yaml:1:1: verify: "sample:1%" is not supported by this version; allowed: none, size, checksum`},
		{"compare", "compare: sise\n", `job.yaml:1:1: compare: "sise" is not known, did you mean "size"?; allowed: default, always, missing, size, mtime, etag, checksum`},
		{"type", "type: move\n", `job.yaml:1:1: type: "move" is not known; allowed: copy, verify, list`},
		{"type list of words", "type: [copy]\n", `job.yaml:1:1: type: is a list, a single value is wanted; allowed: copy, verify, list`},
		{"no value", "type:\n", `job.yaml:1:1: type: has no value; allowed: copy, verify, list`},
		{"id", "id: a/b\n", `job.yaml:1:1: id: "a/b" is not an ID; allowed: 1 to 128 characters of a-z A-Z 0-9 . _ -`},
		{"id dots", "id: ..\n", `job.yaml:1:1: id: ".." is not an ID; allowed: 1 to 128 characters of a-z A-Z 0-9 . _ -`},
		{"id long", "id: " + strings.Repeat("x", 129) + "\n", `is not an ID; allowed: 1 to 128 characters`},
		{"twice", "id: a\ntype: copy\nid: b\n", `job.yaml:3:1: `},
		{"mapping wanted", "source: s3://b/\n", `job.yaml:1:1: source: is a single value, a mapping is wanted; allowed: url, access_key, secret_key, session_token`},
		{"alias", "filter: {include: [*.jpg]}\n", `job.yaml:1:`},
		{"alias scalar", "filter:\n  include: *.jpg\n", `job.yaml:2:`},
		{"anchor", "id: &a x\n", `job.yaml:1:5: a YAML Anchor has no place in a job file; allowed: plain keys and values`},
		{"two documents", "id: a\n---\nid: b\n", `job.yaml:3:1: a second document; allowed: one document a file`},
		{"since", "filter: {since: yesterday}\n", `job.yaml:1:10: filter.since: "yesterday" is not a time; allowed: a time such as 2024-01-31T12:00:00Z, or a date such as 2024-01-31 (UTC)`},
		{"size", "filter: {min_size: -1}\n", `job.yaml:1:10: filter.min_size: "-1" is not a size; allowed: a size such as 500, 64KiB, 1GB (decimal) or 1GiB`},
		{"objects", "task: {objects: 0}\n", `job.yaml:1:8: task.objects: 0 is out of range; allowed: a whole number from 1 to 10000000`},
		{"objects word", "task: {objects: many}\n", `job.yaml:1:8: task.objects: "many" is not a whole number; allowed: a whole number from 1 to 10000000`},
		{"bytes", "task: {bytes: 0}\n", `job.yaml:1:8: task.bytes: "0" is too small; allowed: 1 bytes and more`},
		{"metadata", "preserve: {metadata: maybe}\n", `job.yaml:1:12: preserve.metadata: "maybe" is neither true nor false; allowed: true, false`},
		{"pattern", "filter: {include: ['[']}\n", `job.yaml:1:10: filter.include: malformed pattern "["; allowed: patterns such as`},
		{"pattern entry", "filter: {exclude: [[a]]}\n", `job.yaml:1:10: filter.exclude: an entry is a list, a single value is wanted; allowed: a list of patterns`},
		{"patterns long", "filter: {exclude: [" + strings.Repeat("a", maxPatterns+1) + "]}\n", `the patterns are too long; allowed: 16384 bytes together`},
		{"secret ref", "source: {url: /a, secret_key: 'env:'}\n", `job.yaml:1:19: source.secret_key: names nothing after env:; allowed: the value itself, env:NAME or file:PATH`},
		{"deep flow", strings.Repeat("[", 100000), `nests too deep; allowed: 32 levels`},
		{"deep dashes", strings.Repeat("- ", 100000), `nests too deep; allowed: 32 levels`},
		{"large", strings.Repeat("#", MaxFile+1), `job.yaml: is too large for a job file; allowed: 1048576 bytes`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("job.yaml", []byte(tc.text))
			if err == nil {
				t.Fatalf("no error, want %q", tc.want)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is not an *Error", err)
			}
		})
	}
}

func TestValidateErrors(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"no source", "destination: {url: /b}\n", `j:1:1: source.url: is missing; allowed: a store URL such as s3://bucket/prefix, or a path`},
		{"no destination", "source: {url: /b}\n", `j:1:1: destination.url: is missing; allowed: a store URL such as s3://bucket/prefix, or a path`},
		{"list with destination", sides + "type: list\n", `j:2:15: destination.url: does not go with type list, which only reads the source`},
		{"list with compare", "source: {url: /a}\ntype: list\ncompare: size\n", `j:3:1: compare: does not go with type list, which only reads the source`},
		{"half a pair", "source: {url: /a, access_key: k}\ndestination: {url: /b}\n", `j:1:19: source.access_key: stands without source.secret_key; allowed: both, or neither`},
		{"other half", "source: {url: /a, secret_key: k}\ndestination: {url: /b}\n", `j:1:19: source.secret_key: stands without source.access_key; allowed: both, or neither`},
		{"token alone", "source: {url: /a}\ndestination: {url: /b, session_token: k}\n", `j:2:24: destination.session_token: stands without destination.access_key; allowed: all three, or none`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j, err := Parse("j", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			err = j.Validate()
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	j := New("command line")
	for _, a := range []string{
		"source.url=/a", "destination.url=s3://b/?endpoint=http://h:1", "filter.include=*.jpg,{a,b}/*.png,[x,y]*",
		"task.objects=5", "source.access_key=env:AK", "preserve.metadata=false",
	} {
		if err := j.Assign(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.SetFlagList("exclude", "filter.exclude", []string{"a,b", "c"}); err != nil {
		t.Fatal(err)
	}
	if err := j.SetFlag("min-size", "filter.min_size", "1k"); err != nil {
		t.Fatal(err)
	}
	want := New("")
	want.Source = Side{URL: "/a", AccessKey: Secret{"env:AK"}}
	want.Destination.URL = "s3://b/?endpoint=http://h:1"
	want.Filter = Filter{Include: []string{"*.jpg", "{a,b}/*.png", "[x,y]*"}, Exclude: []string{"a,b", "c"}, MinSize: 1000}
	want.Task.Objects, want.Preserve.Metadata = 5, false
	if diff := cmp.Diff(want, j, cmpopts.IgnoreUnexported(Job{}), cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("job differs (-want +got):\n%s", diff)
	}
	if !j.Written("task.objects") || j.Written("task.bytes") {
		t.Error("Written does not tell given keys from filled in ones")
	}
}

func TestFlagErrors(t *testing.T) {
	for _, tc := range []struct{ assignment, want string }{
		{"compare", `flag --set: an assignment has no "="; allowed: key=value, such as compare=size`},
		{"compare=sise", `flag --set: compare: "sise" is not known, did you mean "size"?; allowed: default,`},
		{"source.key=x", `flag --set: source.key: unknown key`},
		{"source=/a", `flag --set: source: is a single value, a mapping is wanted; allowed: url,`},
		{"limits.requests=1", `flag --set: limits.requests: is not supported by this version`},
		{"limits.bandwidth=512", `flag --set: limits.bandwidth: "512" is too small: 512 bytes a second, 1024 and more are allowed; allowed: off, a rate`},
		{"limits.bandwidth=08:00,fast", `flag --set: limits.bandwidth: "fast" is no rate; allowed: off, a rate`},
		{"source.secret_key=hunter2", `flag --set: source.secret_key: a secret does not belong on the command line, where every user can read it; allowed: env:NAME or file:PATH`},
	} {
		err := New("command line").Assign(tc.assignment)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.assignment, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Error("the error shows the secret")
		}
	}
	err := New("x").SetFlag("compare", "compare", "sise")
	if err == nil || !strings.HasPrefix(err.Error(), "flag --compare: compare: ") {
		t.Errorf("SetFlag: got %v", err)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(name, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, err := ReadFile(name); err != nil || j.ID != "photos" {
		t.Errorf("got %v, %v", j, err)
	}
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: got %v", err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "500": 500, "9223372036854775807": 1<<63 - 1, "64KiB": 65536, "1GB": 1e9, "1 GiB": 1 << 30, "1.5MiB": 3 << 19, "2k": 2000,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GB", "-1", "1,000", "1XB", "1e3", "9EiB", "99999EB", " 1", "1.2.3GB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2024-01-31":                     "2024-01-31T00:00:00Z",
		"2024-01-31T12:00:00+02:00":      "2024-01-31T10:00:00Z",
		"2024-01-31T12:00:00.123456789Z": "2024-01-31T12:00:00.123456789Z",
	} {
		got, err := ParseTime(text)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "24h", "2024-13-01", "1969-12-31", "2262-01-01", "2024-01-31 12:00:00"} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("? ? ? a\n")
	f.Add("id: !!binary x\n<<: {a: b}\n")
	f.Fuzz(func(t *testing.T, text string) {
		j, err := Parse("f", []byte(text))
		if (j == nil) == (err == nil) {
			t.Errorf("job %v with error %v", j, err)
		}
		if err != nil && fmt.Sprint(err) == "" {
			t.Error("an error without text")
		}
	})
}

// TestListOfKeys: keys_from takes a path or URL, list only what ctl add fills in.
func TestListOfKeys(t *testing.T) {
	const start = "source: {url: s3://a/}\ndestination: {url: s3://b/}\n"
	name := ListPrefix + strings.Repeat("0a", 32)
	j, err := Parse("job.yaml", []byte(start+"filter: {keys_from: keys.txt}\nlist: \""+name+"\"\n"))
	if err != nil || j.Filter.KeysFrom != "keys.txt" || j.List != name {
		t.Errorf("%+v, %v", j, err)
	}
	for _, bad := range []string{"x", "segment:", "segment:0a", "segment:" + strings.Repeat("zz", 32), strings.Repeat("0a", 32)} {
		if _, err := Parse("job.yaml", []byte(start+"list: \""+bad+"\"\n")); err == nil || !strings.Contains(err.Error(), "names no list") {
			t.Errorf("list %q: %v", bad, err)
		}
	}
}

func TestNotify(t *testing.T) {
	j, err := Parse("job.yaml", []byte("notify: {mail: [Ops <ops@example.com>, dba@example.com, ops@example.com]}\n"))
	if err != nil || !slices.Equal(j.Notify.Mail, []string{"ops@example.com", "dba@example.com"}) {
		t.Errorf("%v, %v", j, err)
	}
	if err := j.Assign("notify.mail=a@b.c,d@e.f"); err != nil || !slices.Equal(j.Notify.Mail, []string{"a@b.c", "d@e.f"}) {
		t.Errorf("%v, %v", j.Notify, err)
	}
	many := "notify: {mail: ["
	for i := range maxAddresses + 1 {
		many += fmt.Sprintf("a%d@example.com, ", i)
	}
	if _, err := Parse("job.yaml", []byte(many+"]}\n")); err == nil || !strings.Contains(err.Error(), "21 addresses") {
		t.Errorf("too many: %v", err)
	}
}
