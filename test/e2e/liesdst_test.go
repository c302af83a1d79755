package e2e_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// at changes one entry of a listing.
func at(suffix string, change func(*faults.Entry)) func(*faults.Listing) {
	return func(l *faults.Listing) {
		for i := range l.Entries {
			if strings.HasSuffix(l.Entries[i].Key, suffix) {
				change(&l.Entries[i])
			}
		}
	}
}

// A destination whose listing does not show what it acknowledged is found out key by key, and one whose listing cannot be
// believed at all ends the job.
func TestDestinationListingsThatLie(t *testing.T) {
	type row struct {
		rules  []faults.Rule
		before bool     // half of the keys are there before
		failed []string // keys; nil: the job ends without counting any
		want   string
	}
	begun := map[string]func(t *testing.T){}
	for name, c := range map[string]row{
		"a key hidden": {failed: []string{"k007"}, want: "does not list it", rules: []faults.Rule{lies(func(l *faults.Listing) {
			l.Entries = slices.DeleteFunc(l.Entries, func(e faults.Entry) bool { return strings.HasSuffix(e.Key, "k007") })
			l.Count = len(l.Entries)
		})}},
		"a key under another name": {failed: []string{"k007"}, want: "does not list it", rules: []faults.Rule{lies(at("k007", func(e *faults.Entry) { e.Key += "x" }))}},
		"another size":             {failed: []string{"k007"}, want: "the destination lists 0", rules: []faults.Rule{lies(at("k007", func(e *faults.Entry) { e.Size = 0 }))}},
		"another ETag": {failed: []string{"k007"}, want: "the destination lists another", rules: []faults.Rule{lies(at("k007", func(e *faults.Entry) {
			e.ETag = strings.Repeat("0", 32)
		}))}},
		"out of order": {before: true, want: "list_order=none", rules: []faults.Rule{lies(func(l *faults.Listing) { slices.Reverse(l.Entries) })}},
		"refused behind a page": {before: true, want: "AccessDenied", rules: []faults.Rule{
			{Ops: []s3op.Operation{s3op.ListObjects}, Times: 2, Fault: faults.Fault{PageSize: 5}},
			{Ops: []s3op.Operation{s3op.ListObjects}, Fault: faults.Fault{Status: 403, Code: "AccessDenied"}},
		}},
	} {
		b, source := newBucket(t), filepath.Join(t.TempDir(), "source")
		for i := range 30 {
			writeFile(t, filepath.Join(source, fmt.Sprintf("k%03d", i)), 100, uint64(i))
			if c.before && i%2 == 0 {
				b.put(t, fmt.Sprintf("dst/k%03d", i), "something else")
			}
		}
		past := *b
		p := b.behind(t)
		for _, r := range c.rules {
			p.Add(r)
		}
		cmd := command{env: b.env("DST")}
		run := cmd.start(t, "import", source, b.location("dst/"), "--json", "--yes")
		begun[name] = func(t *testing.T) {
			r := run.wait(t)
			if r.code == 0 || !strings.Contains(r.stdout+r.stderr, c.want) {
				t.Fatalf("exit %d, want a failure that says %q\n%s\n%s", r.code, c.want, tail(r.stdout), tail(r.stderr))
			}
			if c.failed == nil {
				return
			}
			if keys := r.want(t, 3).document(t).errorKeys(); !slices.Equal(keys, c.failed) {
				t.Errorf("failed %q, want %q", keys, c.failed)
			}
			got, want := past.holdings(t, "dst/"), holdings(t, source)
			for _, key := range c.failed {
				delete(got, key)
				delete(want, key)
			}
			same(t, got, want)
		}
	}
	for name, check := range begun {
		t.Run(name, check)
	}
}

// Keys that the real server cleans, hides or refuses are failed keys. What is said to be copied is there, under its own name.
func TestKeysThatAServerAlters(t *testing.T) {
	from, to := newSink(t), newBucket(t)
	altered := []string{"x//y", "/lead", "x/./y", "x/../z", "trail/", "n/" + strings.Repeat("n", 300), "f", "f/below"}
	for i, key := range append([]string{"plain", "x/y", "x/z", "dir/a", "ü €+%&"}, altered...) {
		from.put(t, key, fmt.Sprintf("content %d", i))
	}
	c := command{env: append(from.env("SRC"), to.env("DST")...)}
	for pass := 1; pass <= 2; pass++ {
		doc := c.run(t, "import", from.location(""), to.location("p/"), "--json", "--yes").want(t, 3).document(t)
		failed := map[string]bool{}
		for _, key := range doc.errorKeys() {
			failed[key] = true
			if !slices.Contains(altered, key) {
				t.Errorf("pass %d: %q failed: %+v", pass, key, doc.Errors)
			}
		}
		t.Logf("pass %d: failed %q", pass, slices.Sorted(maps.Keys(failed)))
		if !failed["x//y"] || !failed["trail/"] || failed["f"] == failed["f/below"] {
			t.Errorf("pass %d: failed %q of %q", pass, slices.Sorted(maps.Keys(failed)), altered)
		}
		want, got := from.holdings(t, ""), to.holdings(t, "p/")
		for key, o := range want {
			if !failed[key] && got[key] != o {
				t.Errorf("pass %d: %q is said to be there: %v, want %v", pass, key, got[key], o)
			}
		}
		if n := doc.Objects["copied"] + doc.Objects["skipped"]; n != int64(len(want)-len(failed)) || doc.Objects["vanished"] != 0 {
			t.Errorf("pass %d: %v", pass, doc.Objects)
		}
	}
}

// Characters that the real server replaces in its listing are in keys that nobody can read by that listing: they fail.
func TestKeysThatAServerListsOtherwise(t *testing.T) {
	from, b, to := newSink(t), newBucket(t), t.TempDir()
	for _, key := range []string{"a", "c\x01d", "z"} {
		from.put(t, key, "content of "+key)
		b.put(t, key, "content of "+key)
	}
	up := command{env: append(from.env("SRC"), b.env("DST")...)}
	sent := up.run(t, "import", from.location(""), b.location("p/"), "--json", "--yes").want(t, 3).document(t)
	if keys := sent.errorKeys(); !slices.Equal(keys, []string{"c\x01d"}) {
		t.Errorf("failed %q as they were written", keys)
	}
	c := command{env: b.env("SRC")}
	doc := c.run(t, "import", b.location(""), to, "--exclude", "p/**", "--json", "--yes").want(t, 3).document(t)
	if doc.Objects["failed"] != 1 || doc.Objects["copied"] != 2 || doc.Objects["vanished"] != 0 || !strings.Contains(doc.Errors[0].Reason, "U+FFFD") {
		t.Errorf("%v, %+v", doc.Objects, doc.Errors)
	}
}

// An upload that the server does not know any more when it is completed was completed before, or not: looking tells.
func TestCompleteOfAnUploadThatIsGone(t *testing.T) {
	complete := []s3op.Operation{s3op.CompleteMultipartUpload}
	unknown := faults.Rule{Ops: complete, Times: 1, Fault: faults.Fault{Status: 404, Code: "NoSuchUpload"}}
	for name, c := range map[string]struct {
		rules   []faults.Rule
		uploads int
	}{
		"completed, and the answer was lost": {[]faults.Rule{{Ops: complete, Times: 1, Fault: faults.Fault{DropAnswer: true}}, unknown}, 1},
		"never completed":                    {[]faults.Rule{unknown}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, source := newBucket(t), filepath.Join(t.TempDir(), "source")
			writeFile(t, filepath.Join(source, "big"), 70<<20, 1)
			p := b.behind(t)
			for _, r := range c.rules {
				p.Add(r)
			}
			cmd := command{env: b.env("DST")}
			cmd.run(t, "import", source, b.location(""), "--yes").want(t, 0)
			same(t, b.holdings(t, ""), holdings(t, source))
			if n := p.Count(s3op.CreateMultipartUpload); n != c.uploads {
				t.Errorf("%d uploads were begun, want %d", n, c.uploads)
			}
			if p.KeyCount(s3op.HeadObject, "big") == 0 {
				t.Error("nobody looked at the object")
			}
		})
	}
}
