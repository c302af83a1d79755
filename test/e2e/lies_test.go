package e2e_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// lyingPage is how many keys a page of a lying server has at most.
const lyingPage = 10

// lies makes a rule that changes every page of a listing.
func lies(lie func(*faults.Listing)) faults.Rule {
	return faults.Rule{Ops: []s3op.Operation{s3op.ListObjects}, Fault: faults.Fault{PageSize: lyingPage, Lie: lie}}
}

// isFirst tells whether a page is the first of its listing.
func isFirst(l *faults.Listing) bool {
	return !l.Asked.Has("continuation-token") && !l.Asked.Has("start-after")
}

// tokenOf is a token that goes on behind a key; tokens with different numbers of "-" lead to the same page.
func tokenOf(after string, other int) string {
	return strings.Repeat("-", other) + hex.EncodeToString([]byte(after))
}

// A source that lies in its listings is found out, or everything arrives all the same: no object is missing from a job that says
// that it succeeded.
func TestSourceListingsThatLie(t *testing.T) {
	odd := []string{"a b", "a+b", "a%20b", "a&b<c>", "ü/€", "a%zz"}
	var round, pages atomic.Int64
	type row struct {
		lie  func(*faults.Listing)
		keys []string // besides forty usual ones
		fine bool     // all arrives
		want string   // else: what is said
	}
	begun := map[string]func(t *testing.T){}
	for name, c := range map[string]row{
		"the truth": {fine: true, keys: odd, lie: func(*faults.Listing) {}},
		"order within a page": {want: "list_order=none", lie: func(l *faults.Listing) {
			if len(l.Entries) > 3 {
				l.Entries[1], l.Entries[2] = l.Entries[2], l.Entries[1]
			}
		}},
		"order across pages": {want: "list_order=none", lie: func(l *faults.Listing) {
			if isFirst(l) && len(l.Entries) == lyingPage {
				second := l.From(l.Entries[lyingPage-1].Key)
				l.Entries, l.Token = second.Entries, tokenOf("", 1)
			}
		}},
		"a key twice": {want: "cannot be trusted", lie: func(l *faults.Listing) {
			if len(l.Entries) > 2 {
				l.Entries[1].Key = l.Entries[0].Key
			}
		}},
		"the first page again and again": {want: "cannot be trusted", lie: func(l *faults.Listing) {
			if l.Asked.Has("continuation-token") {
				l.Entries = l.From("").Entries
			}
			l.More, l.Token = true, tokenOf("x", int(round.Add(1)%50))
		}},
		"one token for ever": {want: "token repeats", lie: func(l *faults.Listing) {
			l.Entries, l.Count = nil, 0
			l.More, l.Token = true, tokenOf("k010", 0)
		}},
		"more announced, no token": {want: "no continuation token", lie: func(l *faults.Listing) { l.More, l.Token = true, "" }},
		"no more announced":        {fine: true, lie: func(l *faults.Listing) { l.More, l.Token = false, "" }},
		"a token, but no more":     {fine: true, lie: func(l *faults.Listing) { l.More = false }},
		"empty pages between": {fine: true, lie: func(l *faults.Listing) {
			if token := l.Asked.Get("continuation-token"); l.More && len(token)%2 == 0 { // every other time
				before := l.Asked.Get("start-after")
				if raw, err := hex.DecodeString(token); err == nil && token != "" {
					before = string(raw)
				}
				l.Entries, l.Count, l.Token = nil, 0, tokenOf(before, 1)
			}
		}},
		"empty pages for ever": {want: "empty pages", lie: func(l *faults.Listing) {
			l.Entries, l.Count, l.More, l.Token = nil, 0, true, tokenOf("", 1+int(pages.Add(1)%200))
		}},
		"fewer keys than announced": {want: "announces", lie: func(l *faults.Listing) {
			if len(l.Entries) > 5 {
				l.Entries = slices.Delete(l.Entries, 3, 4)
			}
		}},
		"more keys than announced": {fine: true, lie: func(l *faults.Listing) { l.Count /= 2 }},
		"keys outside the prefix": {want: "outside the prefix", lie: func(l *faults.Listing) {
			if len(l.Entries) > 0 {
				l.Entries[len(l.Entries)-1].Key = "zzz/outside"
			}
		}},
		"keys folded":           {want: "folded", lie: func(l *faults.Listing) { l.Extra = "<CommonPrefixes><Prefix>src/d/</Prefix></CommonPrefixes>" }},
		"encoded, and not said": {want: "outside the prefix", keys: odd, lie: func(l *faults.Listing) { l.Echo = "" }},
		"raw, and said so":      {fine: true, keys: odd, lie: func(l *faults.Listing) { l.Echo, l.Encoding = "", "" }},
		"raw, but not said":     {want: "", keys: []string{"a+b"}, lie: func(l *faults.Listing) { l.Encoding = "" }},
		"a key that is not there": {want: "has no object of that name", lie: func(l *faults.Listing) {
			for i := range l.Entries {
				if strings.HasSuffix(l.Entries[i].Key, "k007") {
					l.Entries[i].Key += "\ufffd"
				}
			}
		}},
		"other sizes": {fine: true, lie: func(l *faults.Listing) {
			for i := range l.Entries {
				l.Entries[i].Size += int64(i % 3)
			}
		}},
		"sizes below zero": {want: "size", lie: func(l *faults.Listing) {
			if len(l.Entries) > 0 {
				l.Entries[0].Size = -1
			}
		}},
	} {
		b := newBucket(t)
		want := map[string]bool{}
		for i := range 40 {
			want[fmt.Sprintf("d/k%03d", i)] = true
		}
		for _, key := range c.keys {
			want[key] = true
		}
		for key := range want {
			b.put(t, "src/"+key, "content of "+key)
		}
		b.behind(t).Add(lies(c.lie))
		cmd, to := command{env: b.env("SRC")}, t.TempDir()
		run := cmd.start(t, "import", b.location("src/"), to, "--json", "--yes") // all at once: what fails is tried for some seconds
		begun[name] = func(t *testing.T) { checkLied(t, run.wait(t), c.fine, c.want, want, to) }
	}
	for name, check := range begun {
		t.Run(name, check)
	}
}

// checkLied looks at what a run made of listings that lied.
func checkLied(t *testing.T, r result, fine bool, said string, keys map[string]bool, to string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(holdings(t, to)))
	if fine {
		r.want(t, 0)
		if all := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, all) {
			t.Errorf("%d keys arrived, want %d", len(got), len(all))
		}
		return
	}
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, said) {
		t.Errorf("exit %d, %d of %d keys arrived; want a failure that says %q\n%s\n%s", r.code, len(got), len(keys), said, tail(r.stdout), tail(r.stderr))
	}
}
