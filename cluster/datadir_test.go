package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestOpenDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "job")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	if len(d.NodeID) != 32 {
		t.Errorf("node ID %q", d.NodeID)
	}
	if _, err := OpenDir(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second opening: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.NodeID != d.NodeID {
		t.Errorf("node ID changed from %s to %s", d.NodeID, again.NodeID)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := OpenDir(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	if other.NodeID == d.NodeID {
		t.Error("two directories have one node ID")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenDirRefuses(t *testing.T) {
	tests := map[string]struct {
		file, content string
		want          error
		names         string
	}{
		"newer version":   {"version", "2\n", ErrNewerVersion, "version 2, this binary reads 1"},
		"broken version":  {"version", "two\n", nil, "not a number"},
		"version zero":    {"version", "0\n", nil, "not a number"},
		"broken node ID":  {"node.json", "{", nil, "node.json"},
		"foreign node ID": {"node.json", `{"id": "host-7"}`, nil, "host-7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			if err := os.WriteFile(filepath.Join(path, test.file), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a refusal must give the lock back
				_, err := OpenDir(path)
				if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.names) || errors.Is(err, ErrLocked) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestHolderUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte("not a number"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := holder(f); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(target, []byte("x")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if err := writeFile(filepath.Join(dir, "missing", "file"), []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left: %v, %v", files, err)
	}
}
