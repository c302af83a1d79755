//go:build !windows

package cluster

import (
	"errors"
	"os"
	"testing"
)

func TestReadKeyFileRefusesOpenModes(t *testing.T) {
	_, path := newKey(t)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); !errors.Is(err, ErrKeyExposed) {
			t.Errorf("mode %v: got %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(path); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
}
