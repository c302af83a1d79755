//go:build linux

package netlab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// etc is where ip finds files that stand in for those of /etc in a namespace.
const etc = "/etc/netns/"

// Know makes names lead to an address, for programs that Command starts on the host from now on. All other names lead nowhere.
func (h *Host) Know(t testing.TB, address string, names ...string) {
	t.Helper()
	dir := filepath.Join(etc, h.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("netlab: %v", err)
	}
	for file, text := range map[string]string{
		"hosts":         "127.0.0.1 localhost\n" + address + " " + strings.Join(names, " ") + "\n",
		"resolv.conf":   "",
		"nsswitch.conf": "hosts: files\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatalf("netlab: %v", err)
		}
	}
}

// forget removes what Know made.
func forget(name string) error { return os.RemoveAll(filepath.Join(etc, name)) }
