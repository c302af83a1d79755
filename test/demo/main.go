// Command demo shows what a cluster does: three nodes on this machine copy Go's own source tree to a real S3 server, a
// fourth joins, the leader is killed, and an independent client checks what arrived. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
)

// lasts is about how long the copy is made to last.
const lasts = 40 * time.Second

func main() {
	binary := flag.String("brigade", "bin/brigade", "the binary to show")
	out := flag.String("out", "demo-out", "folder for everything that the demo makes; emptied first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run makes the places, tells the story, and ends everything that it started.
func run(ctx context.Context, binary, out string) (err error) {
	source, err := goSource(ctx)
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := emptyFolder(out); err != nil {
		return err
	}
	server, err := servers.Start(filepath.Join(out, "s3"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	files, err := readTree(source)
	if err != nil {
		return err
	}
	d := &demo{binary: binary, out: out, source: source, files: files, server: server, began: time.Now()}
	defer d.stopAll()
	return d.tell(ctx)
}

// goSource is the folder of the Go standard library. Debian's is behind a symbolic link.
func goSource(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("ask Go for its root: %w", err)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(strings.TrimSpace(string(root)), "src"))
	if err != nil {
		return "", fmt.Errorf("find Go's source tree: %w", err)
	}
	return path, nil
}

// mark is the file that says that a folder is a demo's own, so that no other is ever emptied.
const mark = "made-by-make-demo"

func emptyFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(path, mark)); err != nil {
			return fmt.Errorf("%s is there and was not made by this demo: move it away first", path)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, mark), nil, 0o644)
}
