package uss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// walk reads a listing to its end or first error.
func walk(ctx context.Context, l store.Lister) (all []store.Object, err error) {
	for {
		page, err := l.Next(ctx)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, page...)
	}
}

func keysOf(objects []store.Object) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys
}

// tree fills a service with files and the folders that they are in.
func tree(t *testing.T, b *memory.Bucket, keys ...string) {
	t.Helper()
	for i, key := range keys {
		if !strings.HasSuffix(key, "/") {
			put(t, b, key, "x", http.Header{"Content-Type": {"text/plain"}})
			b.Get(key).Modified = sometime.Add(time.Duration(len(keys)-i) * time.Second)
		}
		for at := strings.IndexByte(key, '/'); at >= 0; {
			if err := b.Put(&memory.Object{Key: key[:at+1], Type: "folder", Modified: sometime}, nil); err != nil {
				t.Fatal(err)
			}
			next := strings.IndexByte(key[at+1:], '/')
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
}

// asked counts the pages of folders that a server is asked for, by path.
type asked map[string]int

func TestListings(t *testing.T) {
	server, at := newPlace(t)
	tree(t, server.NewBucket(at.bucket), "b", "a/2", "a/1", "a-", "a0", "a/sub/x", "c/empty/", "z/deep/er/1", "ä/ü")
	pages := asked{}
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		pages[r.URL.Path]++
		return false
	})
	for name, c := range map[string]struct {
		path    string
		role    store.Role
		empty   string
		opts    store.ListOptions
		want    []string
		folders int // asked for
	}{
		"source":    {role: store.RoleSource, want: []string{"a-", "a/1", "a/2", "a/sub/x", "a0", "b", "z/deep/er/1", "ä/ü"}, folders: 9},
		"empty too": {role: store.RoleSource, empty: "true", want: []string{"a-", "a/1", "a/2", "a/sub/x", "a0", "b", "c/empty/", "z/deep/er/1", "ä/ü"}, folders: 9},
		"destination": {
			role: store.RoleDestination, folders: 9,
			want: []string{"a-", "a/", "a/1", "a/2", "a/sub/", "a/sub/x", "a0", "b", "c/", "c/empty/", "z/", "z/deep/", "z/deep/er/", "z/deep/er/1", "ä/", "ä/ü"},
		},
		"of a folder": {path: "a/", role: store.RoleSource, want: []string{"1", "2", "sub/x"}, folders: 2},
		"nothing":     {path: "none/", role: store.RoleSource, folders: 1},
		"from":        {role: store.RoleSource, opts: store.ListOptions{From: store.Next("a/2")}, want: []string{"a/sub/x", "a0", "b", "z/deep/er/1", "ä/ü"}, folders: 9},
		"from and to": {role: store.RoleSource, opts: store.ListOptions{From: store.Next("a/sub/x"), To: "b"}, want: []string{"a0"}, folders: 3},
		"one by one":  {role: store.RoleSource, opts: store.ListOptions{Page: 1, To: "z"}, want: []string{"a-", "a/1", "a/2", "a/sub/x", "a0", "b"}, folders: 5},
	} {
		t.Run(name, func(t *testing.T) {
			clear(pages)
			s := openWith(t, at.config(c.path, c.role, "empty_dirs", c.empty))
			l := s.List(c.opts)
			all, err := walk(t.Context(), l)
			if err != nil || !slices.Equal(keysOf(all), c.want) {
				t.Errorf("%q, %v; want %q", keysOf(all), err, c.want)
			}
			if len(pages) != c.folders {
				t.Errorf("asked for %v, want %d folders", pages, c.folders)
			}
			for _, o := range all {
				if isMarker(o.Key) != (o.Kind == store.KindDir) || o.ModTime.Before(sometime) || o.ETag != "" || o.Meta != nil {
					t.Errorf("%+v", o)
				}
			}
			if got := l.(store.Advancer).Advanced(); got < 1 && name != "nothing" {
				t.Errorf("advanced by %d", got)
			}
		})
	}
}

// crowd answers as a service with folders of many files, in the order of nothing, does.
type crowd struct {
	folders, files int
	fail           func(n int) int // status of request n, 0 for an answer
	requests       int
}

func (c *crowd) serve(w http.ResponseWriter, r *http.Request) bool {
	c.requests++
	if c.fail != nil {
		if status := c.fail(c.requests); status != 0 {
			w.WriteHeader(status)
			return true
		}
	}
	var first int
	if iter := r.Header.Get("X-List-Iter"); iter != "" {
		_, _ = fmt.Sscan(iter, &first)
	}
	page, total := folderPage{Files: &[]row{}, Iter: lastIter}, c.files
	root := strings.Count(r.URL.Path, "/") == 2
	if root {
		total = c.folders
	}
	for i := first; i < total && len(*page.Files) < 1000; i++ {
		n := i * 7919 % total // each once, as 7919 is a prime that divides none of the totals here
		e := row{Name: fmt.Sprintf("%07d", n), Type: "text/plain", Length: int64(n), Modified: int64(1e9 + n)}
		if root {
			e.Type = typeFolder
		}
		*page.Files = append(*page.Files, e)
	}
	if end := first + len(*page.Files); end < total {
		page.Iter = fmt.Sprint(end)
	}
	_ = json.NewEncoder(w).Encode(page)
	return true
}

// TestLargeFolders are sorted within bounds of memory: runs go to disk, and copying starts with the first folder.
func TestLargeFolders(t *testing.T) {
	server, at := newPlace(t)
	c := &crowd{folders: 3, files: 20_000}
	server.OnRequest(c.serve)
	s := openWith(t, at.config("", store.RoleSource))
	s.limit = 100 << 10
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	l := s.List(store.ListOptions{Page: 1000})
	first, err := l.Next(t.Context())
	if err != nil || len(first) != 1000 || first[0].Key != "0000000/0000000" {
		t.Fatalf("%d objects, %v", len(first), err)
	}
	if c.requests != 1+20 {
		t.Errorf("%d requests before the first page, want those of the first folder only", c.requests)
	}
	rest, err := walk(t.Context(), l)
	all := slices.Concat(first, rest)
	if err != nil || len(all) != 60_000 || !slices.IsSorted(keysOf(all)) {
		t.Fatalf("%d objects, %v; sorted: %v", len(all), err, slices.IsSorted(keysOf(all)))
	}
	for i, o := range all {
		if n := int64(i % 20_000); o.Size != n || o.ModTime.Unix() != 1e9+n {
			t.Fatalf("%+v", o)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestThrottledListingsGoOn where they failed: nothing is asked for twice but what was refused.
func TestThrottledListingsGoOn(t *testing.T) {
	server, at := newPlace(t)
	c := &crowd{folders: 3, files: 10_000, fail: func(n int) int {
		if n%3 == 0 {
			return http.StatusTooManyRequests
		}
		return 0
	}}
	server.OnRequest(c.serve)
	l := openWith(t, at.config("", store.RoleSource)).List(store.ListOptions{})
	if r, ok := l.(store.Resumer); !ok || !r.Resumes() {
		t.Fatal("does not go on")
	}
	var all []store.Object
	refused := 0
	for {
		page, err := walk(t.Context(), l)
		all = append(all, page...)
		if err == nil {
			break
		}
		if store.ClassOf(err) != store.Throttled {
			t.Fatal(err)
		}
		refused++
	}
	if l.(store.Advancer).Advanced() != 31 {
		t.Errorf("advanced by %d", l.(store.Advancer).Advanced())
	}
	if len(all) != 30_000 || !slices.IsSorted(keysOf(all)) || refused == 0 || c.requests != 31+refused {
		t.Errorf("%d objects, %d requests, %d refused", len(all), c.requests, refused)
	}
}

// TestCanceledListingsGoOn: a call that ran out of time is no end.
func TestCanceledListingsGoOn(t *testing.T) {
	server, at := newPlace(t)
	tree(t, server.NewBucket(at.bucket), "a/1", "b/2")
	l := openWith(t, at.config("", store.RoleSource)).List(store.ListOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Next(ctx); store.ClassOf(err) != store.Canceled {
		t.Errorf("canceled: %v", err)
	}
	if all, err := walk(t.Context(), l); err != nil || !slices.Equal(keysOf(all), []string{"a/1", "b/2"}) {
		t.Errorf("afterwards: %q, %v", keysOf(all), err)
	}
}

// TestFoldersThatVanish while they are walked are empty.
func TestFoldersThatVanish(t *testing.T) {
	server, at := newPlace(t)
	b := server.NewBucket(at.bucket)
	tree(t, b, "a/1", "b/2", "c/3")
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/service/a/" {
			b.Delete("b/2")
			b.Delete("b/")
		}
		return false
	})
	all, err := walk(t.Context(), openWith(t, at.config("", store.RoleSource)).List(store.ListOptions{}))
	if err != nil || !slices.Equal(keysOf(all), []string{"a/1", "c/3"}) {
		t.Errorf("%q, %v", keysOf(all), err)
	}
}

// TestListingsAreDistrusted: answers that make no sense end in an error, and never in a listing that lacks something.
func TestListingsAreDistrusted(t *testing.T) {
	file := func(name string, more ...any) string {
		size, at := any(1), any(5)
		if len(more) == 2 {
			size, at = more[0], more[1]
		}
		return fmt.Sprintf(`{"type":"text/plain","name":%q,"length":%v,"last_modified":%v}`, name, size, at)
	}
	answer := func(iter string, files ...string) string {
		return fmt.Sprintf(`{"files":[%s],"iter":%q}`, strings.Join(files, ","), iter)
	}
	for name, c := range map[string]struct {
		answers []string // the last one again and again
		class   store.Class
		want    []string
	}{
		"whole":                    {answers: []string{answer("1", file("b")), answer(lastIter, file("a"))}, want: []string{"a", "b"}},
		"a page without entries":   {answers: []string{answer("1"), answer("2", file("a")), answer(lastIter)}, want: []string{"a"}},
		"replaced meanwhile":       {answers: []string{answer("1", file("a", 1, 5)), answer(lastIter, file("a", 2, 9), file("b"))}, want: []string{"a", "b"}},
		"the same page again":      {answers: []string{answer("1", file("a")), answer(lastIter, file("a"))}, class: store.Transient},
		"does not go on":           {answers: []string{answer("1", file("a"))}, class: store.Permanent},
		"goes on nowhere":          {answers: []string{answer("", file("a"))}, class: store.Permanent},
		"no end":                   {answers: nil, class: store.Permanent},
		"a place with end of line": {answers: []string{answer("1\nX: y", file("a"))}, class: store.Permanent},
		"HTML":                     {answers: []string{"<html>"}, class: store.Transient},
		"cut off":                  {answers: []string{answer(lastIter, file("a"))[:30]}, class: store.Transient},
		"JSON of a file":           {answers: []string{`{"iter":"g2gCZAAEbmV4dGQAA2VvZg"}`}, class: store.Permanent},
		"a name that is a path":    {answers: []string{answer(lastIter, file("a/b"))}, class: store.Permanent},
		"no name":                  {answers: []string{answer(lastIter, file(""))}, class: store.Permanent},
		"a negative size":          {answers: []string{answer(lastIter, file("a", -1, 5))}, class: store.Permanent},
		"a size beyond bounds":     {answers: []string{answer(lastIter, file("a", "99999999999999999999", 5))}, class: store.Transient},
		"names that paths eat":     {answers: []string{answer(lastIter, file(".."), file("."), file("c"))}, want: []string{".", "..", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				n++
				if c.answers == nil {
					_, _ = io.WriteString(w, answer(fmt.Sprint(n)))
					return
				}
				_, _ = io.WriteString(w, c.answers[min(n, len(c.answers))-1])
			})
			l := s.List(store.ListOptions{})
			all, err := walk(t.Context(), l)
			if again, twice := l.Next(t.Context()); c.class == store.Permanent && (len(again) > 0 || !errors.Is(twice, err) || l.(store.Resumer).Resumes()) {
				t.Errorf("goes on after %v: %q, %v", err, keysOf(again), twice)
			}
			if store.ClassOf(err) != c.class || !slices.Equal(keysOf(all), c.want) {
				t.Errorf("%q, %v; want %q, class %q", keysOf(all), err, c.want, c.class)
			}
			if name == "replaced meanwhile" && (len(all) == 0 || all[0].Size != 2) {
				t.Errorf("not the later one: %+v", all)
			}
			for _, o := range all {
				if (o.Kind == store.KindSkipped) != strings.HasPrefix(o.Key, ".") || (o.Err != nil) != (o.Kind == store.KindSkipped) {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

// TestRepeatedPagesAreNotGoneOnFrom: a name that came twice is not lost when the caller tries again.
func TestRepeatedPagesAreNotGoneOnFrom(t *testing.T) {
	n := 0
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		next := "1"
		if n%2 == 0 {
			next = lastIter
		}
		_, _ = fmt.Fprintf(w, `{"files":[{"type":"a/b","name":"a","length":1,"last_modified":5},{"type":"a/b","name":"%d","length":1,"last_modified":5}],"iter":%q}`, n, next)
	})
	l := s.List(store.ListOptions{})
	all, err := walk(t.Context(), l)
	if store.ClassOf(err) != store.Transient || !slices.Equal(keysOf(all), []string{"1", "2"}) || l.(store.Resumer).Resumes() {
		t.Fatalf("%q, %v", keysOf(all), err)
	}
	if again, twice := l.Next(t.Context()); len(again) > 0 || !errors.Is(twice, err) {
		t.Errorf("goes on: %q, %v", keysOf(again), twice)
	}
}

// TestUnreadableFolders are counted as failed, and the listing goes on; what ends all of it is not one of them.
func TestUnreadableFolders(t *testing.T) {
	server, at := newPlace(t)
	tree(t, server.NewBucket(at.bucket), "a/1", "b/2", "c/3")
	status, code := 0, 0
	server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/service/b/" {
			return false
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"msg":"no","code":%d,"id":"1"}`, code)
		return true
	})
	for role, kind := range map[store.Role]store.Kind{store.RoleSource: store.KindSkipped, store.RoleDestination: store.KindDir} {
		status, code = 403, 40300002
		all, err := walk(t.Context(), openWith(t, at.config("", role)).List(store.ListOptions{}))
		i := slices.IndexFunc(all, func(o store.Object) bool { return o.Key == "b/" })
		if err != nil || i < 0 || all[i].Kind != kind || all[i].Err == nil || !slices.Contains(keysOf(all), "c/3") {
			t.Errorf("%s: %+v, %v", role, all, err)
		}
	}
	status, code = 401, 40100007
	all, err := walk(t.Context(), openWith(t, at.config("", store.RoleSource)).List(store.ListOptions{}))
	var e *store.Error
	if !errors.As(err, &e) || e.Class != store.Auth || len(all) != 1 {
		t.Errorf("%q, %v", keysOf(all), err)
	}
}
