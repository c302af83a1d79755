package e2e_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// object is what a place holds under a key.
type object struct {
	size int64
	md5  string
}

// writeFile makes a file of pseudo-random content, with its folders.
func writeFile(t *testing.T, path string, size int64, seed uint64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s [32]byte
	for i := range 8 {
		s[i] = byte(seed >> (8 * i))
	}
	if _, err := io.CopyN(f, rand.NewChaCha8(s), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeFiles makes n files of size bytes, a thousand to a folder.
func writeFiles(t *testing.T, dir string, n int, size int64) {
	t.Helper()
	for i := range n {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("d%03d/f%06d", i/1000, i)), size, uint64(i))
	}
}

// holdings reads a folder by a way of its own: keys, sizes, MD5s.
func holdings(t *testing.T, dir string) map[string]object {
	t.Helper()
	all := map[string]object{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := md5.New()
		n, err := io.Copy(h, f)
		all[filepath.ToSlash(key)] = object{n, hex.EncodeToString(h.Sum(nil))}
		return err
	})
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	return all
}

// same compares what two places hold.
func same(t *testing.T, got, want map[string]object) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	var differ []string
	for key, o := range want {
		if g, ok := got[key]; !ok {
			differ = append(differ, fmt.Sprintf("%q is missing", key))
		} else if g != o {
			differ = append(differ, fmt.Sprintf("%q is %v, want %v", key, g, o))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			differ = append(differ, fmt.Sprintf("%q is too many", key))
		}
	}
	slices.Sort(differ)
	t.Errorf("%d keys differ: %s", len(differ), strings.Join(differ[:min(10, len(differ))], ", "))
}

// diff compares two folders by the system's own diff.
func diff(t *testing.T, a, b string) {
	t.Helper()
	out, err := exec.Command("diff", "-r", a, b).CombinedOutput()
	if err != nil {
		t.Errorf("diff -r %s %s: %v\n%s", a, b, err, out[:min(len(out), 2000)])
	}
}

// noTemporary fails the test if temporary files were left anywhere below a folder.
func noTemporary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".brigade-") {
			t.Errorf("temporary file left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Errorf("look for temporary files: %v", err)
	}
}

// goRoot is where Go's own source stands.
func goRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	// Debian's root holds symlinks to where the files are.
	dir, err := filepath.EvalSymlinks(filepath.Join(string(bytes.TrimSpace(out)), "src"))
	if err != nil {
		t.Fatalf("find Go's source: %v", err)
	}
	return dir
}

// goTree is a tree of real files: all of Go's source, or a part of it for CI.
func goTree(t *testing.T) string {
	t.Helper()
	if shared.full {
		return goRoot(t)
	}
	dir := filepath.Join(t.TempDir(), "go")
	for _, part := range []string{"encoding", "net", "os"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(goRoot(t), part))); err != nil {
			t.Fatalf("copy Go's source: %v", err)
		}
	}
	return dir
}
