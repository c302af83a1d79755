// Package e2e_test drives the real binary against real servers. Every test runs at a size that suits CI; tests named
// TestFigure run at full size with BRIGADE_FIGURES=1, which is how `make figures` measures what the product promises.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bucketbrigade/brigade/test/servers"
)

// suite is what the tests of this package share. It is set once, before any of them runs.
type suite struct {
	binary  string
	full    bool // run at full size
	gateway servers.Shared
	figures figures
}

var shared suite

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "brigade-e2e-")
	if err != nil {
		return 1, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	// Another user runs the binary in the tests of missing permissions.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, fmt.Errorf("open folder: %w", err)
	}
	shared.full = os.Getenv("BRIGADE_FIGURES") == "1"
	if shared.binary = os.Getenv("BRIGADE_BIN"); shared.binary == "" {
		shared.binary = filepath.Join(dir, "brigade")
		if err := build(shared.binary); err != nil {
			return 1, err
		}
	}
	defer func() {
		if serr := shared.gateway.Stop(); err == nil {
			err = serr
		}
	}()
	code = m.Run()
	if shared.full {
		if err := shared.figures.save(filepath.Join("..", "..", "figures")); err != nil {
			return 1, err
		}
	}
	return code, nil
}

func build(path string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/brigade")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return nil
}

// size picks the full size, or the one for CI.
func size[T any](full, ci T) T {
	if shared.full {
		return full
	}
	return ci
}
