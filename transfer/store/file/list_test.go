package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// write makes files below dir, each with its own path as content, and the directories that they need. A path that ends
// in "/" is an empty directory.
func write(t *testing.T, dir string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if strings.HasSuffix(p, "/") {
			must(t, os.MkdirAll(full, 0o777))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o777))
		must(t, os.WriteFile(full, []byte(p), 0o666))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listAll reads a listing to its end and checks that its keys increase.
func listAll(t *testing.T, s store.Source, opts store.ListOptions) ([]store.Object, int) {
	t.Helper()
	l := s.List(opts)
	all, err := drain(t.Context(), l)
	if err != nil {
		t.Fatalf("list %+v: %v", opts, err)
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Key >= all[i].Key {
			t.Errorf("list %+v: %q before %q", opts, all[i-1].Key, all[i].Key)
		}
	}
	must(t, l.Close())
	return all, l.(interface{ DirectoriesRead() int }).DirectoriesRead()
}

func drain(ctx context.Context, l store.Lister) (all []store.Object, err error) {
	for {
		page, err := l.Next(ctx)
		all = append(all, page...)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func keysOf(objects []store.Object) []string {
	keys := []string{}
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// brief writes an entry as "key kind reason-or-target".
func brief(objects []store.Object) []string {
	kinds := map[store.Kind]string{store.KindObject: "object", store.KindDir: "dir", store.KindSymlink: "link", store.KindSkipped: "skipped"}
	rows := []string{}
	for _, o := range objects {
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", o.Key, kinds[o.Kind], o.Reason, o.Target)))
	}
	return rows
}

func TestListOrderIsThatOfS3(t *testing.T) {
	dir := t.TempDir()
	want := []string{"a-", "a.txt", "a/b-", "a/b/x", "a/b0", "a0", "a\xff\xfe", "é"}
	write(t, dir, want...)
	for _, page := range []int{0, 1, 2, 3} {
		got, _ := listAll(t, open(t, dir, store.RoleSource), store.ListOptions{Page: page})
		if diff := cmp.Diff(want, keysOf(got)); diff != "" {
			t.Errorf("page %d (-want +got):\n%s", page, diff)
		}
	}
}

// tree makes a random tree of names that sort around "/" and returns its keys and how many directories hold them.
func tree(t *testing.T, dir string, rng *rand.Rand) (keys []string, dirs map[string]bool) {
	letters := []string{"a", "b", "-", ".", "0", "~", " ", "\xff", "\x01", "é"}
	dirs = map[string]bool{"": true}
	prefixes := []string{""}
	seen := map[string]bool{}
	for range 5 + rng.IntN(60) {
		prefix := prefixes[rng.IntN(len(prefixes))]
		name := "n"
		for range 1 + rng.IntN(3) {
			name += letters[rng.IntN(len(letters))]
		}
		if rng.IntN(2) == 0 {
			name = strings.TrimPrefix(name, "n")
		}
		if name == "." || name == ".." || seen[prefix+name] {
			continue
		}
		seen[prefix+name] = true
		if rng.IntN(3) == 0 {
			must(t, os.Mkdir(filepath.Join(dir, prefix)+"/"+name, 0o777))
			prefixes = append(prefixes, prefix+name+"/")
			dirs[prefix+name+"/"] = true
			continue
		}
		must(t, os.WriteFile(filepath.Join(dir, prefix)+"/"+name, []byte("x"), 0o666))
		keys = append(keys, prefix+name)
	}
	sort.Strings(keys)
	return keys, dirs
}

func TestListRandomTrees(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			keys, dirs := tree(t, dir, rng)
			src := open(t, dir, store.RoleSource)
			src.sortLimit = 1 + rng.IntN(200)
			got, reads := listAll(t, src, store.ListOptions{Page: 1 + rng.IntN(10)})
			if diff := cmp.Diff(keys, keysOf(got), cmp.Comparer(slices.Equal[[]string])); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if reads != len(dirs) {
				t.Errorf("%d directories read, there are %d", reads, len(dirs))
			}
			checkBounds(t, dir, rng, keys, dirs)
		})
	}
}

// checkBounds lists random ranges, on a source and on a destination, and checks that nothing outside is read.
func checkBounds(t *testing.T, dir string, rng *rand.Rand, keys []string, dirs map[string]bool) {
	all := slices.Clone(keys)
	for d := range dirs {
		if d != "" {
			all = append(all, d)
		}
	}
	sort.Strings(all)
	bound := func() string {
		if len(all) == 0 || rng.IntN(5) == 0 {
			return ""
		}
		return store.Next(all[rng.IntN(len(all))])
	}
	for range 10 {
		opts := store.ListOptions{From: bound(), To: bound(), Page: 1 + rng.IntN(5)}
		inside := func(k string) bool { return k >= opts.From && (opts.To == "" || k < opts.To) }
		for role, names := range map[store.Role][]string{store.RoleSource: keys, store.RoleDestination: all} {
			want := slices.DeleteFunc(slices.Clone(names), func(k string) bool { return !inside(k) })
			got, reads := listAll(t, open(t, dir, role), opts)
			if !slices.Equal(want, keysOf(got)) {
				t.Errorf("%s %+v: %q, want %q", role, opts, keysOf(got), want)
			}
			most := 0
			for d := range dirs {
				if (d >= opts.From || strings.HasPrefix(opts.From, d)) && (opts.To == "" || d < opts.To) {
					most++
				}
			}
			if reads > most {
				t.Errorf("%s %+v: %d directories read, %d can hold such keys", role, opts, reads, most)
			}
		}
	}
}

func TestListLeavesOutWhatVanishes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "b", "c", "d/x", "e", "f/y")
	l := open(t, dir, store.RoleSource).List(store.ListOptions{Page: 1})
	page, err := l.Next(t.Context())
	if err != nil || page[0].Key != "a" {
		t.Fatalf("first page %q, %v", keysOf(page), err)
	}
	must(t, os.Remove(filepath.Join(dir, "b")))
	must(t, os.RemoveAll(filepath.Join(dir, "d")))
	must(t, os.Remove(filepath.Join(dir, "e"))) // a directory takes its place
	must(t, os.Mkdir(filepath.Join(dir, "e"), 0o777))
	must(t, os.RemoveAll(filepath.Join(dir, "f"))) // and a link this one's
	must(t, os.Symlink("/", filepath.Join(dir, "f")))
	rest, err := drain(t.Context(), l)
	if err != nil || !slices.Equal(keysOf(rest), []string{"c"}) {
		t.Errorf("rest %q, %v; want only c", keysOf(rest), err)
	}
}

func TestListSourceMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	src := open(t, dir, store.RoleSource)
	_, listErr := src.List(store.ListOptions{}).Next(t.Context())
	_, checkErr := src.Check(t.Context())
	_, statErr := src.Stat(t.Context(), "a")
	for what, err := range map[string]error{"list": listErr, "check": checkErr, "stat": statErr} {
		if store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "source directory missing: "+dir) {
			t.Errorf("%s: %v of class %q", what, err, store.ClassOf(err))
		}
	}
	if got, _ := listAll(t, open(t, dir, store.RoleDestination), store.ListOptions{}); len(got) != 0 {
		t.Errorf("a missing destination lists %q", keysOf(got))
	}
}

func TestListCanceled(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "b")
	l := open(t, dir, store.RoleSource).List(store.ListOptions{Page: 1})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := l.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := l.Next(ctx); store.ClassOf(err) != store.Canceled {
		t.Errorf("next after cancel: %v", err)
	}
	must(t, l.Close())
	must(t, l.Close())
	if _, err := l.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("next after close: %v", err)
	}
}

func TestListLinks(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "far/deep")
	dir := t.TempDir()
	write(t, dir, "file", "dir/x", "dir-", "loop-", "out-")
	for name, target := range map[string]string{
		"to-file": "file", "broken": "nowhere", "self": "self", "dir/loop": "..", "loop": ".", "out": outside,
		"out-file": filepath.Join(outside, "far", "deep"),
	} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for rule, want := range map[string][]string{
		"skip": {"broken skipped symlink", "dir- object", "dir/loop skipped symlink", "dir/x object", "file object", "loop skipped symlink",
			"loop- object", "out skipped symlink", "out- object", "out-file skipped symlink", "self skipped symlink", "to-file skipped symlink"},
		"follow": {"broken skipped broken symlink", "dir- object", "dir/loop skipped symlink loop", "dir/x object", "file object",
			"loop skipped symlink loop", "loop- object", "out- object", "out-file object", "out/far/deep object",
			"self skipped symlink loop", "to-file object"},
		"keep": {"broken link nowhere", "dir- object", "dir/loop link ..", "dir/x object", "file object", "loop link .", "loop- object",
			"out link " + outside, "out- object", "out-file link " + outside + "/far/deep", "self link self", "to-file link file"},
	} {
		src := open(t, dir, store.RoleSource, "links="+rule)
		got, _ := listAll(t, src, store.ListOptions{})
		if diff := cmp.Diff(want, brief(got)); diff != "" {
			t.Errorf("links=%s (-want +got):\n%s", rule, diff)
		}
		for _, o := range got {
			if o.Reason == "symlink loop" && o.Key != "self" {
				continue // only a walk can tell: by itself the link leads to a directory
			}
			checkAgrees(t, src, o)
		}
	}
}

// checkAgrees holds Stat and Open of a key against what the listing said.
func checkAgrees(t *testing.T, src *disk, o store.Object) {
	t.Helper()
	stat, err := src.Stat(t.Context(), o.Key)
	stat.Meta = nil
	if diff := cmp.Diff(o, stat); err != nil || diff != "" {
		t.Errorf("stat %q: %v (-listed +stat):\n%s", o.Key, err, diff)
	}
	r, opened, err := src.Open(t.Context(), o.Key, store.OpenOptions{Length: -1})
	if o.Kind != store.KindObject {
		if store.ClassOf(err) != store.Permanent {
			t.Errorf("open %q: %v, want a permanent error", o.Key, err)
		}
		return
	}
	if err != nil {
		t.Errorf("open %q: %v", o.Key, err)
		return
	}
	opened.Meta = nil
	if diff := cmp.Diff(o, opened); diff != "" {
		t.Errorf("open %q (-listed +opened):\n%s", o.Key, diff)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != o.Size {
		t.Errorf("read %q: %d bytes, %v; want %d", o.Key, len(b), err, o.Size)
	}
	must(t, r.Close())
}

func TestFollowedTargetGivesSizeAndTime(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "target")
	when := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
	must(t, os.Chtimes(filepath.Join(dir, "target"), when, when))
	must(t, os.Symlink("target", filepath.Join(dir, "link")))
	got, _ := listAll(t, open(t, dir, store.RoleSource, "links=follow"), store.ListOptions{To: "m"})
	if len(got) != 1 || got[0].Size != 6 || !got[0].ModTime.Equal(when) {
		t.Errorf("listed %+v, want the target's 6 bytes of %v", got, when)
	}
}

func TestListEmptyDirs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/", "b/c/", "d/x", "a-", "a0")
	for _, c := range []struct {
		role store.Role
		opt  string
		want []string
	}{
		{store.RoleSource, "empty_dirs=false", []string{"a- object", "a0 object", "d/x object"}},
		{store.RoleSource, "empty_dirs=true", []string{"a- object", "a/ dir", "a0 object", "b/c/ dir", "d/x object"}},
		{store.RoleDestination, "empty_dirs=false", []string{"a- object", "a/ dir", "a0 object", "b/ dir", "b/c/ dir", "d/ dir", "d/x object"}},
	} {
		s := open(t, dir, c.role, c.opt)
		got, _ := listAll(t, s, store.ListOptions{})
		if diff := cmp.Diff(c.want, brief(got)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.role, c.opt, diff)
		}
		for _, o := range got {
			if stat, err := s.Stat(t.Context(), o.Key); err != nil || stat.Kind != o.Kind || !stat.ModTime.Equal(o.ModTime) {
				t.Errorf("%s %s: stat %q = %+v, %v; listed %+v", c.role, c.opt, o.Key, stat, err, o)
			}
		}
	}
}

// A directory that could not be listed must not turn into a mere marker when it is looked at again.
func TestStatOfSourceDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "full/x", "empty/", "file")
	for _, c := range []struct {
		key, opt string
		want     store.Class
	}{
		{"full/", "empty_dirs=true", store.Permanent},
		{"full/", "empty_dirs=false", store.Permanent},
		{"empty/", "empty_dirs=true", ""},
		{"empty/", "empty_dirs=false", store.NotFound},
		{"missing/", "empty_dirs=true", store.NotFound},
		{"file/", "empty_dirs=true", store.NotFound},
		{"full", "empty_dirs=true", store.NotFound},
	} {
		if _, err := open(t, dir, store.RoleSource, c.opt).Stat(t.Context(), c.key); store.ClassOf(err) != c.want {
			t.Errorf("stat %q with %s: %v, want class %q", c.key, c.opt, err, c.want)
		}
	}
}

func TestListTemporaryFiles(t *testing.T) {
	own, foreign := tempPrefix+testNonce+"-7.12.tmp", tempPrefix+strings.Repeat("f", 32)+"-7.12.tmp"
	alike := []string{tempPrefix + testNonce + "-7.tmp", tempPrefix + testNonce + "-x.1.tmp", tempPrefix + testNonce + "-7.1x.tmp",
		tempPrefix + testNonce + "-7.12.tmpx", tempPrefix + testNonce + "7.12.tmp"}
	dir := t.TempDir()
	write(t, dir, append(alike, own, foreign, "sub/"+own)...)
	visible := append(slices.Clone(alike), foreign)
	sort.Strings(visible)
	got, _ := listAll(t, open(t, dir, store.RoleDestination), store.ListOptions{})
	if diff := cmp.Diff(append(visible, "sub/"), keysOf(got)); diff != "" {
		t.Errorf("destination (-want +got):\n%s", diff)
	}
	visible = append(visible, own, "sub/"+own)
	sort.Strings(visible)
	got, _ = listAll(t, open(t, dir, store.RoleSource), store.ListOptions{})
	if diff := cmp.Diff(visible, keysOf(got)); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
}

func TestSingleFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one", "other", "sub/x")
	must(t, os.Symlink("one", filepath.Join(dir, "latest")))
	for _, name := range []string{"one", "latest"} {
		src := open(t, filepath.Join(dir, name), store.RoleSource)
		if key, ok, err := src.Single(t.Context()); key != name || !ok || err != nil {
			t.Errorf("single = %q, %v, %v; want %q", key, ok, err, name)
		}
		if _, err := src.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
		got, _ := listAll(t, src, store.ListOptions{})
		if len(got) != 1 || got[0].Key != name || got[0].Kind != store.KindObject {
			t.Errorf("listed %q, want only %q", brief(got), name)
			continue
		}
		checkAgrees(t, src, got[0])
		if got, _ := listAll(t, src, store.ListOptions{From: store.Next(name)}); len(got) != 0 {
			t.Errorf("listed %q behind the only key", keysOf(got))
		}
		for _, key := range []string{"other", "sub/x", "sub/"} {
			if _, err := src.Stat(t.Context(), key); store.ClassOf(err) != store.NotFound {
				t.Errorf("stat %q beside the only file: %v", key, err)
			}
		}
	}
	if _, ok, err := open(t, dir, store.RoleSource).Single(t.Context()); ok || err != nil {
		t.Errorf("a directory is single: %v, %v", ok, err)
	}
	for role, path := range map[store.Role]string{store.RoleSource: filepath.Join(dir, "one") + "/", store.RoleDestination: filepath.Join(dir, "one")} {
		if _, err := open(t, path, role).Check(t.Context()); store.ClassOf(err) != store.Misconfigured {
			t.Errorf("check of %s as %s: %v", path, role, err)
		}
	}
}
