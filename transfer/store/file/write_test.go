package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func body(text string) store.Body {
	return store.Body{Bytes: []byte(text), Size: int64(len(text))}
}

func wantClass(t *testing.T, what string, err error, want store.Class, words ...string) {
	t.Helper()
	if got := store.ClassOf(err); got != want {
		t.Errorf("%s: %v of class %q, want %q", what, err, got, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v does not name %s", what, err, w)
		}
	}
}

// paths returns everything below dir, directories with a "/" at the end.
func paths(t *testing.T, dir string) []string {
	t.Helper()
	found := []string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if e.IsDir() {
			name += "/"
		}
		found = append(found, name)
		return err
	}))
	return found
}

func TestPutKeepsTimeAndBytes(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	when := time.Date(2001, 2, 3, 4, 5, 6, 123456789, time.UTC)
	whole := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	for name, b := range map[string]store.Body{
		"bytes":    {Bytes: whole, Size: int64(len(whole))},
		"stream":   {Reader: bytes.NewReader(whole), Size: int64(len(whole))},
		"trickle":  {Reader: iotest.HalfReader(bytes.NewReader(whole)), Size: int64(len(whole))},
		"data+EOF": {Reader: iotest.DataErrReader(bytes.NewReader(whole)), Size: int64(len(whole))},
	} {
		o, err := dst.Put(t.Context(), "a/"+name, b, store.PutOptions{ModTime: when})
		must(t, err)
		stat, err := dst.Stat(t.Context(), "a/"+name)
		must(t, err)
		for what, got := range map[string]store.Object{"put": o, "stat": stat} {
			if !got.ModTime.Equal(when) || got.Size != int64(len(whole)) || got.Written.IsZero() || got.ETag != "" {
				t.Errorf("%s: %s = %+v, want %v", name, what, got, when)
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, "a", name)); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: %d bytes on disk, %v", name, len(got), err)
		}
	}
	if _, err := dst.Put(t.Context(), "none", store.Body{}, store.PutOptions{}); err != nil {
		t.Errorf("put of nothing: %v", err)
	}
}

func TestPutFailures(t *testing.T) {
	cause := errors.New("the cause")
	big := strings.Repeat("x", 3*bufferSize)
	canceled, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		ctx   context.Context
		body  store.Body
		opts  store.PutOptions
		class store.Class
		is    error
	}{
		"short":          {body: store.Body{Reader: strings.NewReader(big), Size: int64(len(big)) + 1}, class: store.Mismatch},
		"short bytes":    {body: store.Body{Bytes: []byte("x"), Size: 2}, class: store.Mismatch},
		"no body":        {body: store.Body{Size: 2}, class: store.Mismatch},
		"long":           {body: store.Body{Reader: strings.NewReader(big), Size: int64(len(big)) - 1}, class: store.Mismatch},
		"long from zero": {body: store.Body{Reader: strings.NewReader("x")}, class: store.Mismatch},
		"broken": {body: store.Body{Reader: io.MultiReader(strings.NewReader(big), iotest.ErrReader(&store.Error{Class: store.Changed, Err: cause})),
			Size: int64(len(big)) + 1}, class: store.Changed, is: cause},
		"broken at the end": {body: store.Body{Reader: io.MultiReader(strings.NewReader("x"), iotest.ErrReader(cause)), Size: 1},
			class: store.Transient, is: cause},
		"stopped": {body: body("x"), opts: store.PutOptions{BeforeCommit: func() error { return cause }}, class: store.Transient, is: cause},
		"canceled before commit": {ctx: canceled, body: body("x"),
			opts: store.PutOptions{BeforeCommit: func() error { cancel(); return nil }}, class: store.Canceled, is: context.Canceled},
		"kind": {body: body("x"), opts: store.PutOptions{Kind: store.KindSkipped}, class: store.Permanent},
	} {
		dir := t.TempDir()
		write(t, dir, "kept")
		dst := open(t, dir, store.RoleDestination)
		ctx := c.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		_, err := dst.Put(ctx, "kept", c.body, c.opts)
		wantClass(t, name, err, c.class)
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v does not wrap its cause", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || string(got) != "kept" {
			t.Errorf("%s: the old content became %q, %v", name, got, err)
		}
		if got := paths(t, dir); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("%s: left %q", name, got)
		}
	}
	cancel()
}

func TestKeysThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, filepath.Join(dir, "root"), store.RoleDestination)
	_, err := dst.Put(t.Context(), "first", body("x"), store.PutOptions{})
	must(t, err)
	before := paths(t, dir)
	long := strings.Repeat("n", 256)
	for key, reason := range map[string]string{
		"": "empty", "/a": "begins", "a//b": "//", "a/": "ends in", ".": `"."`, "..": `".."`, "../a": `".."`, "a/../b": `".."`,
		"a/./b": `"."`, "a\x00b": "NUL", long: "256 bytes", "a/" + long + "/b": "256 bytes", "//": "begins", "a//": "ends in",
		strings.Repeat("abc/", 1024) + "x":                 "longer than 4096",
		tempPrefix + testNonce + "-1.2.tmp":                "temporary files",
		"a/" + tempPrefix + testNonce + "-1.2.tmp":         "temporary files",
		strings.Repeat("é", 128):                           "256 bytes",
		"a/..":                                             `".."`,
		strings.Repeat("../", 10) + dir[1:] + "/elsewhere": `".."`,
	} {
		_, put := dst.Put(t.Context(), key, body("x"), store.PutOptions{})
		wantClass(t, fmt.Sprintf("put %.40q", key), put, store.Permanent, reason)
		_, ranged := dst.CreateRanged(t.Context(), key, 1, store.PutOptions{})
		wantClass(t, fmt.Sprintf("create %.40q", key), ranged, store.Permanent, reason)
		if strings.Contains(key, ".tmp") || strings.HasSuffix(key, "/") {
			continue // others may be read and deleted under such names
		}
		_, stat := dst.Stat(t.Context(), key)
		wantClass(t, fmt.Sprintf("stat %.40q", key), stat, store.Permanent, reason)
		_, _, opened := dst.Open(t.Context(), key, store.OpenOptions{Length: -1})
		wantClass(t, fmt.Sprintf("open %.40q", key), opened, store.Permanent, reason)
		wantClass(t, fmt.Sprintf("delete %.40q", key), dst.Delete(t.Context(), key), store.Permanent, reason)
	}
	for _, key := range []string{"a", "../a/", "/", "//", "./", "a//", ""} {
		_, err := dst.Put(t.Context(), key, store.Body{}, store.PutOptions{Kind: store.KindDir})
		wantClass(t, fmt.Sprintf("put directory %q", key), err, store.Permanent)
	}
	for _, target := range []string{"", "a\x00b"} {
		_, err := dst.Put(t.Context(), "link", store.Body{}, store.PutOptions{Kind: store.KindSymlink, Target: target})
		wantClass(t, fmt.Sprintf("link to %q", target), err, store.Permanent)
	}
	if diff := cmp.Diff(before, paths(t, dir)); diff != "" {
		t.Errorf("refused keys changed the disk (-before +after):\n%s", diff)
	}
	for _, key := range []string{"..a", "a..", "...", long[:255], "\xff\xfe", "new\nline", "-", tempPrefix + strings.Repeat("0", 32) + "-1.2.tmp"} {
		if _, err := dst.Put(t.Context(), key, body("x"), store.PutOptions{}); err != nil {
			t.Errorf("put %q: %v", key, err)
		}
	}
}

func TestNamesOfWindows(t *testing.T) {
	for name, refused := range map[string]bool{
		"con": true, "CON": true, "nul.txt": true, "aux .x": true, "COM1": true, "com¹": true, "LPT9.log": true, "CONIN$": true,
		"a:b": true, `a\b`: true, "a?": true, "a*": true, "a<": true, "a>": true, "a|": true, `a"`: true, "a\x01": true,
		"dot.": true, "space ": true,
		"console": false, "com": false, "com10": false, "lpt": false, "a.b": false, ".a": false, "ä": false, "nul_": false,
	} {
		if reason := badOnWindows(name); (reason != "") != refused {
			t.Errorf("%q: %q", name, reason)
		}
	}
}

// Nothing written, deleted or cleaned up may go through a symbolic link, neither out of the root nor inside it.
func TestWritesFollowNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	own := tempPrefix + testNonce + "-1.1.tmp"
	write(t, outside, "secret", own)
	write(t, dir, "real/inside", "real/"+own)
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, os.Symlink("../"+filepath.Base(outside), filepath.Join(dir, "up")))
	must(t, os.Symlink("real", filepath.Join(dir, "in")))
	before := append(paths(t, dir), paths(t, outside)...)
	for _, rule := range []string{"skip", "keep", "follow"} {
		dst := open(t, dir, store.RoleDestination, "links="+rule)
		for _, link := range []string{"out", "up", "in"} {
			key := link + "/secret"
			_, put := dst.Put(t.Context(), key, body("x"), store.PutOptions{})
			wantClass(t, "put "+key, put, store.Permanent, `"`+link+`" is a symbolic link`, key)
			_, deep := dst.Put(t.Context(), link+"/new/secret", body("x"), store.PutOptions{})
			wantClass(t, "put deeper", deep, store.Permanent)
			_, mkdir := dst.Put(t.Context(), link+"/d/", store.Body{}, store.PutOptions{Kind: store.KindDir})
			wantClass(t, "mkdir", mkdir, store.Permanent)
			_, ranged := dst.CreateRanged(t.Context(), key, 1, store.PutOptions{})
			wantClass(t, "create "+key, ranged, store.Permanent)
			wantClass(t, "delete "+key, dst.Delete(t.Context(), link+"/secret"), store.Permanent)
			must(t, dst.RemoveTemp(t.Context(), 1, []string{key}))
		}
	}
	dst := open(t, dir, store.RoleDestination)
	for _, key := range []string{"out/secret", "in/inside", "out/", "in/"} {
		_, err := dst.Stat(t.Context(), key)
		wantClass(t, "stat "+key, err, store.NotFound)
	}
	if diff := cmp.Diff(before, append(paths(t, dir), paths(t, outside)...)); diff != "" {
		t.Errorf("writes went through links (-before +after):\n%s", diff)
	}
	_, err := dst.Put(t.Context(), "out", body("now a file"), store.PutOptions{})
	must(t, err)
	if info, err := os.Lstat(filepath.Join(dir, "out")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a link was not replaced: %v, %v", info, err)
	}
}

func TestFileAndDirectoryOfOneName(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "dir/x")
	dst := open(t, dir, store.RoleDestination)
	for key, words := range map[string][]string{
		"file/b":     {`"file" is a file`, `"file/b"`},
		"file/b/c/d": {`"file" is a file`, `"file/b/c/d"`},
		"dir":        {`"dir/" is a directory`, `"dir"`},
	} {
		_, err := dst.Put(t.Context(), key, body("x"), store.PutOptions{})
		wantClass(t, "put "+key, err, store.Permanent, words...)
		_, err = dst.Put(t.Context(), key, body("x"), store.PutOptions{Condition: store.Condition{Absent: true}})
		wantClass(t, "put new "+key, err, store.Permanent, words...)
		_, err = dst.Put(t.Context(), key, store.Body{}, store.PutOptions{Kind: store.KindSymlink, Target: "t"})
		wantClass(t, "link "+key, err, store.Permanent, words...)
	}
	for _, key := range []string{"file/", "file/b/"} {
		_, err := dst.Put(t.Context(), key, store.Body{}, store.PutOptions{Kind: store.KindDir})
		wantClass(t, "put "+key, err, store.Permanent, `"file" is a file`, key)
	}
	_, err := dst.Stat(t.Context(), "file/b")
	wantClass(t, "stat below a file", err, store.NotFound)
	if got := paths(t, dir); !slices.Equal(got, []string{"dir/", "dir/x", "file"}) {
		t.Errorf("left %q", got)
	}
}

func TestPutOnlyIfAbsent(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	absent := store.PutOptions{Condition: store.Condition{Absent: true}}
	const writers = 20
	var wins, losses int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, err := dst.Put(t.Context(), "a/key", body(fmt.Sprint(i)), absent)
			mu.Lock()
			defer mu.Unlock()
			switch store.ClassOf(err) {
			case "":
				wins++
			case store.Precondition:
				losses++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wins != 1 || losses != writers-1 {
		t.Errorf("%d writers won, %d lost", wins, losses)
	}
	absent.Kind, absent.Target = store.KindSymlink, "x"
	_, err := dst.Put(t.Context(), "a/key", store.Body{}, absent)
	wantClass(t, "link over a file", err, store.Precondition)
	if got := paths(t, dir); !slices.Equal(got, []string{"a/", "a/key"}) {
		t.Errorf("left %q", got)
	}
}

// The ways to rename without replacing are tried one after the other; each must refuse alike.
func TestRenameByLink(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "temp", "taken")
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	tmp := &temp{dir: folder{Root: root}, name: "temp", base: "taken"}
	if err := tmp.linkNew(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	tmp.base = "free"
	must(t, tmp.linkNew())
	if got := paths(t, dir); !slices.Equal(got, []string{"free", "taken"}) {
		t.Errorf("left %q", got)
	}
}

func TestPutLinksAndDirectories(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "replaced", "there/x")
	dst := open(t, dir, store.RoleDestination, "links=keep")
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for key, target := range map[string]string{"a/up": "../../../etc/passwd", "replaced": "/nowhere", "b": "b"} {
		opts := store.PutOptions{Kind: store.KindSymlink, Target: target, ModTime: when}
		for range 2 { // the second replaces the link of the first
			o, err := dst.Put(t.Context(), key, store.Body{}, opts)
			if err != nil || o.Target != target || o.Kind != store.KindSymlink || o.Key != key {
				t.Errorf("put %q = %+v, %v", key, o, err)
			}
		}
		if got, err := os.Readlink(filepath.Join(dir, key)); err != nil || got != target {
			t.Errorf("%q leads to %q, %v", key, got, err)
		}
		if o, err := dst.Stat(t.Context(), key); err != nil || o.Target != target || !o.ModTime.Equal(when) {
			t.Errorf("stat %q = %+v, %v", key, o, err)
		}
	}
	for _, key := range []string{"new/deep/", "there/", "new/deep/"} {
		o, err := dst.Put(t.Context(), key, store.Body{}, store.PutOptions{Kind: store.KindDir, ModTime: when})
		if err != nil || o.Kind != store.KindDir || o.Key != key || !o.ModTime.Equal(when) {
			t.Errorf("put %q = %+v, %v", key, o, err)
		}
	}
	want := []string{"a/", "a/up", "b", "new/", "new/deep/", "replaced", "there/", "there/x"}
	if diff := cmp.Diff(want, paths(t, dir)); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "dir/x", "empty/")
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	dst := open(t, dir, store.RoleDestination)
	for _, c := range []struct {
		key   string
		class store.Class
	}{
		{"missing", ""}, {"missing/deep", ""}, {"file/below", ""}, {"dir", ""}, {"file/", ""}, {"dir/", store.Permanent},
		{"link", ""}, {"empty/", ""},
	} {
		wantClass(t, "delete "+c.key, dst.Delete(t.Context(), c.key), c.class)
	}
	if got := paths(t, dir); !slices.Equal(got, []string{"dir/", "dir/x", "file"}) {
		t.Errorf("left %q", got)
	}
	must(t, open(t, filepath.Join(dir, "nowhere"), store.RoleDestination).Delete(t.Context(), "x"))
}

func TestSourcesAreNeverWritten(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", tempPrefix+testNonce+"-1.1.tmp")
	src := open(t, dir, store.RoleSource)
	_, put := src.Put(t.Context(), "b", body("x"), store.PutOptions{})
	_, ranged := src.CreateRanged(t.Context(), "b", 1, store.PutOptions{})
	for what, err := range map[string]error{
		"put": put, "ranged": ranged, "delete": src.Delete(t.Context(), "a"), "clean": src.RemoveTemp(t.Context(), 1, []string{"a"}),
	} {
		wantClass(t, what, err, store.Permanent, "source")
	}
	if got := paths(t, dir); len(got) != 2 {
		t.Errorf("left %q", got)
	}
}

func TestRemoveTemp(t *testing.T) {
	dir := t.TempDir()
	name := func(nonce, n string) string { return tempPrefix + nonce + "-" + n + ".tmp" }
	other := strings.Repeat("e", 32)
	gone := []string{name(testNonce, "7.1"), "sub/" + name(testNonce, "7.99"), "sub/deep/" + name(testNonce, "7.3")}
	kept := []string{"a", name(testNonce, "8.1"), name(testNonce, "77.1"), name(other, "7.1"), "elsewhere/" + name(testNonce, "7.1"),
		name(testNonce, "7.x"), "sub/deep/b"}
	write(t, dir, append(slices.Clone(gone), kept...)...)
	must(t, os.Symlink("a", filepath.Join(dir, name(testNonce, "7.5"))))
	dst := open(t, dir, store.RoleDestination)
	must(t, dst.RemoveTemp(t.Context(), 7, []string{"a", "b", "sub/c", "sub/deep/b", "sub/deep/c", "missing/d", "a/below", "sub/deep/marker/"}))
	left := slices.DeleteFunc(paths(t, dir), func(p string) bool { return strings.HasSuffix(p, "/") })
	slices.Sort(kept)
	slices.Sort(left)
	if diff := cmp.Diff(kept, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	must(t, open(t, filepath.Join(dir, "nowhere"), store.RoleDestination).RemoveTemp(t.Context(), 7, []string{"a"}))
}

// The name of a temporary file that a dead owner left is passed over.
func TestTempNameTaken(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	taken := fmt.Sprintf("%s3.%d%s", dst.ownPrefix(), dst.counter.Load()+1, tempSuffix)
	write(t, dir, taken)
	_, err := dst.Put(t.Context(), "a", body("x"), store.PutOptions{Task: 3})
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(dir, taken)); err != nil || string(got) != taken {
		t.Errorf("the other's file became %q, %v", got, err)
	}
}

func TestFlush(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "put")
	dst := open(t, dir, store.RoleDestination)
	keys := []string{"a", "b/c/d", "b/c/e", "b/f/g", "h/"}
	for _, key := range keys {
		opts := store.PutOptions{}
		if strings.HasSuffix(key, "/") {
			opts.Kind = store.KindDir
		}
		_, err := dst.Put(t.Context(), key, store.Body{}, opts)
		must(t, err)
	}
	dirs := directoriesOf(keys)
	want := map[string]struct{}{"": {}, "b/": {}, "b/c/": {}, "b/f/": {}}
	if diff := cmp.Diff(want, dst.synced.pending(dirs)); diff != "" {
		t.Errorf("first flush syncs (-want +got):\n%s", diff)
	}
	must(t, dst.Flush(t.Context(), keys))
	if diff := cmp.Diff(map[string]struct{}{"b/c/": {}}, dst.synced.pending(map[string]struct{}{"b/c/": {}})); diff != "" {
		t.Errorf("second flush of a directory syncs (-want +got):\n%s", diff)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "b")))
	wantClass(t, "flush of what is gone", dst.Flush(t.Context(), keys), store.NotFound)
	_, err := dst.Put(t.Context(), "b/c/d", body("x"), store.PutOptions{})
	must(t, err)
	want = map[string]struct{}{"": {}, "b/": {}, "b/c/": {}}
	if diff := cmp.Diff(want, dst.synced.pending(map[string]struct{}{"b/c/": {}})); diff != "" {
		t.Errorf("flush of a directory made anew syncs (-want +got):\n%s", diff)
	}
	must(t, dst.Flush(t.Context(), nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantClass(t, "flush after cancel", dst.Flush(ctx, []string{"a"}), store.Canceled)
}

func TestSyncedDirsAreBounded(t *testing.T) {
	s := syncedDirs{known: map[string]struct{}{}}
	for i := range 3 * knownDirs {
		s.remember(map[string]struct{}{fmt.Sprintf("a/%d/", i): {}})
	}
	if len(s.known) > knownDirs {
		t.Errorf("%d directories remembered, want at most %d", len(s.known), knownDirs)
	}
}

func TestRangedRefusals(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	r, err := dst.CreateRanged(t.Context(), "a/big", 100, store.PutOptions{ModTime: time.Unix(5, 5)})
	must(t, err)
	for _, off := range []int64{-1, 95, 101} {
		_, err := r.WriteAt(make([]byte, 10), off)
		wantClass(t, fmt.Sprintf("write at %d", off), err, store.Mismatch)
	}
	for _, off := range []int64{0, 60, 40, 20, 20} {
		_, err := r.WriteAt(bytes.Repeat([]byte{1}, 20), off)
		must(t, err)
	}
	_, err = r.Commit(t.Context())
	wantClass(t, "commit with a gap", err, store.Mismatch, "byte 80")
	_, err = r.WriteAt(make([]byte, 20), 80)
	wantClass(t, "write after commit", err, store.Permanent)
	must(t, r.Abort())
	if got := paths(t, dir); !slices.Equal(got, []string{"a/"}) {
		t.Errorf("left %q", got)
	}
	r, err = dst.CreateRanged(t.Context(), "a/none", 0, store.PutOptions{ModTime: time.Unix(5, 5)})
	must(t, err)
	o, err := r.Commit(t.Context())
	if err != nil || !o.ModTime.Equal(time.Unix(5, 5)) || o.Size != 0 {
		t.Errorf("commit of no bytes = %+v, %v", o, err)
	}
	_, err = dst.CreateRanged(t.Context(), "a/x", -1, store.PutOptions{})
	wantClass(t, "negative size", err, store.Permanent)
}

func TestCoverage(t *testing.T) {
	for _, c := range []struct {
		spans   []span
		gap     int64
		missing bool
	}{
		{nil, 0, true},
		{[]span{{1, 10}}, 0, true},
		{[]span{{0, 10}}, 10, false},
		{[]span{{5, 10}, {0, 5}}, 10, false},
		{[]span{{0, 3}, {6, 10}, {2, 7}}, 10, false},
		{[]span{{0, 3}, {6, 10}, {4, 6}}, 3, true},
		{[]span{{8, 10}, {2, 4}, {0, 1}, {5, 7}, {0, 9}}, 10, false},
		{[]span{{0, 4}, {4, 4}, {2, 3}}, 4, true},
	} {
		var got coverage
		for _, s := range c.spans {
			got.add(s.from, s.to)
		}
		if gap, missing := got.gap(10); gap != c.gap || missing != c.missing {
			t.Errorf("%v: gap at %d %v, want %d %v", c.spans, gap, missing, c.gap, c.missing)
		}
	}
}
