package e2e_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// linksOfAFile is how many names one file has in a large folder: an inode takes only so many, and files cost more than names.
const linksOfAFile = 50_000

// flatFolder makes a folder of n names, "0000000.bin" and up, in no order.
func flatFolder(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "flat")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	first := ""
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%07d.bin", i*7919%n))
		var err error
		if i%linksOfAFile == 0 {
			first, err = name, os.WriteFile(name, []byte("content"), 0o644)
		} else {
			err = os.Link(first, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A folder with millions of files in it is read once by the scan of a pass, in memory that does not depend on how many they are.
func TestFigureFlatDirectory(t *testing.T) {
	files := size(2_000_000, 50_000)
	source := flatFolder(t, files)
	picked := int64(files / 10_000)
	args := []string{"import", source, filepath.Join(t.TempDir(), "to"), "--include", "*0000.bin", "--json", "--yes"}
	check := func(r result) {
		d := r.want(t, 0).document(t)
		if d.Objects["listed"] != int64(files) || d.Objects["copied"]+d.Objects["skipped"] != picked || d.Objects["filtered"] != int64(files)-picked {
			t.Errorf("%v", d.Objects)
		}
	}
	var plain command
	r := plain.run(t, args...)
	check(r)

	trace := filepath.Join(t.TempDir(), "trace")
	reads := "not counted, as strace is missing"
	once := true
	if strace, err := exec.LookPath("strace"); err == nil {
		counted := command{wrap: []string{strace, "-f", "--seccomp-bpf", "-qq", "-e", "trace=getdents64", "-o", trace}}
		check(counted.run(t, args...))
		times := float64(direntBytes(t, trace)) / float64(files*direntSize)
		once = times >= 1 && times < 1.05 // the pre-flight looks at some names, and there are other folders
		reads = fmt.Sprintf("%.2f times", times)
	}
	record(t, !t.Failed() && once && r.maxRSS < maxMemory, fmt.Sprintf("a pass over one folder of %d files", files),
		"its names are read once; < 256 MiB", fmt.Sprintf("read: %s; %d MiB, %.0f s", reads, r.maxRSS>>20, r.elapsed.Seconds()))
}

// direntSize is what the kernel tells of one name of eleven letters, in bytes: its head, the name and its end, in steps of eight.
const direntSize = (19 + 11 + 1 + 7) / 8 * 8

// direntBytes sums up what a trace says that getdents64 gave.
func direntBytes(t *testing.T, path string) (sum int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, got, _ := strings.Cut(lines.Text(), ") = ")
		n, err := strconv.ParseInt(strings.TrimSpace(got), 10, 64)
		if err == nil {
			sum += n
		}
	}
	return sum
}
