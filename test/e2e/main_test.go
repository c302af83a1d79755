// Package e2e_test drives the real binary against real servers. Every test runs at a size that suits CI; tests named
// TestFigure run at full size with BRIGADE_FIGURES=1, which is how `make figures` measures what the product promises.
package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bucketbrigade/brigade/test/binary"
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
	if shared.binary, err = binary.Find(dir); err != nil {
		return 1, err
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

// size picks the full size, or the one for CI.
func size[T any](full, ci T) T {
	if shared.full {
		return full
	}
	return ci
}
