package file

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestValidate(t *testing.T) {
	for raw, words := range map[string]string{
		"file:///dir/":                           "",
		"/dir":                                   "",
		"file:///dir?links=keep&empty_dirs=true": "",
		"file:///dir?links=follow":               "",
		"file:///dir?empty_dirs=false":           "",
		"file:///dir?link=keep":                  `"links"`,
		"file:///dir?emptydirs=true":             `"empty_dirs"`,
		"file:///dir?region=x":                   `unknown option "region"`,
		"file:///dir?links=copy":                 "skip, follow or keep",
		"file:///dir?links=":                     "skip, follow or keep",
		"file:///dir?empty_dirs=yes":             "true or false",
		"file:///d%00ir":                         "not an absolute file path",
	} {
		loc, err := store.Parse(raw)
		must(t, err)
		err = Validate(loc)
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", raw, err, words)
		}
		if _, openErr := Open(t.Context(), store.Config{Location: loc}); (openErr == nil) != (err == nil) {
			t.Errorf("%s: open %v, validate %v", raw, openErr, err)
		}
	}
	if err := Validate(store.Location{Scheme: "file", Path: "relative"}); err == nil {
		t.Error("a relative path is taken")
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "there/x", "file", "empty/")
	must(t, os.Symlink("there", filepath.Join(dir, "link")))
	for _, c := range []struct {
		path string
		role store.Role
		want store.Class
	}{
		{"there", store.RoleSource, ""},
		{"empty", store.RoleSource, ""},
		{"link", store.RoleSource, ""},
		{"file", store.RoleSource, ""},
		{"missing", store.RoleSource, store.Misconfigured},
		{"there", store.RoleDestination, ""},
		{"missing", store.RoleDestination, ""},
		{"missing/deep/below", store.RoleDestination, ""},
		{"link/new", store.RoleDestination, ""},
		{"file", store.RoleDestination, store.Misconfigured},
		{"file/below", store.RoleDestination, store.Misconfigured},
	} {
		s, err := Open(t.Context(), store.Config{Location: store.Location{Scheme: "file", Path: filepath.Join(dir, c.path)}, Role: c.role})
		if err == nil {
			_, err = s.Check(t.Context())
			must(t, s.Close())
		}
		wantClass(t, c.path+" as "+string(c.role), err, c.want)
	}
	if got := paths(t, dir); !slices.Equal(got, []string{"empty/", "file", "link", "there/", "there/x"}) {
		t.Errorf("checks left %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open(t, dir, store.RoleSource).Check(ctx)
	wantClass(t, "check after cancel", err, store.Canceled)
	must(t, os.Symlink("nowhere", filepath.Join(dir, "broken")))
	_, err = Open(t.Context(), store.Config{Location: store.Location{Scheme: "file", Path: filepath.Join(dir, "broken")}, Role: store.RoleDestination})
	wantClass(t, "broken root", err, store.Misconfigured, "broken symbolic link")
}

// Links in the root's own path are resolved when the store is opened, and not again.
func TestRootThroughLink(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "real/", "other/")
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("real", link))
	dst := open(t, filepath.Join(link, "new"), store.RoleDestination)
	must(t, os.Remove(link))
	must(t, os.Symlink("other", link))
	_, err := dst.Put(t.Context(), "a", body("x"), store.PutOptions{})
	must(t, err)
	if got := paths(t, dir); !slices.Equal(got, []string{"link", "other/", "real/", "real/new/", "real/new/a"}) {
		t.Errorf("on disk: %q", got)
	}
}

func TestOpenRanges(t *testing.T) {
	dir := t.TempDir()
	whole := strings.Repeat("0123456789", 200_000) // over readAhead
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte(whole), 0o666))
	src := open(t, dir, store.RoleSource)
	for _, c := range []struct {
		off, n int64
		want   string
	}{
		{0, -1, whole}, {5, -1, whole[5:]}, {0, 0, ""}, {3, 4, "3456"}, {1_999_998, 10, "89"}, {2_000_000, -1, ""}, {2_000_000, 5, ""},
	} {
		r, o, err := src.Open(t.Context(), "f", store.OpenOptions{Offset: c.off, Length: c.n})
		must(t, err)
		b, err := io.ReadAll(r)
		if err != nil || string(b) != c.want || o.Size != int64(len(whole)) || o.Meta == nil {
			t.Errorf("[%d, +%d): %d bytes, %v, of %+v", c.off, c.n, len(b), err, o)
		}
		must(t, r.Close())
	}
	for _, off := range []int64{-1, 2_000_001} {
		_, _, err := src.Open(t.Context(), "f", store.OpenOptions{Offset: off, Length: 1})
		wantClass(t, "open behind the end", err, store.Changed)
	}
	_, _, err := src.Open(t.Context(), "f", store.OpenOptions{Length: -1, IfMatch: "x"})
	wantClass(t, "open with IfMatch", err, store.Precondition)
	for _, key := range []string{"missing", "missing/x", "f/x"} {
		_, _, err = src.Open(t.Context(), key, store.OpenOptions{Length: -1})
		wantClass(t, "open "+key, err, store.NotFound, key)
	}
}

func TestReadStopsWithContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f")
	cause := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, _, err := open(t, dir, store.RoleSource).Open(ctx, "f", store.OpenOptions{Length: -1})
	must(t, err)
	cancel(cause)
	_, err = io.ReadAll(r)
	wantClass(t, "read after cancel", err, store.Canceled)
	if !errors.Is(err, cause) {
		t.Errorf("%v does not wrap the cause", err)
	}
	must(t, r.Close())
}

func TestClosedStore(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f")
	dst := open(t, dir, store.RoleDestination)
	must(t, dst.Close())
	_, err := dst.Put(t.Context(), "g", body("x"), store.PutOptions{})
	wantClass(t, "put after close", err, store.Permanent)
	if got := paths(t, dir); len(got) != 1 {
		t.Errorf("left %q", got)
	}
}
