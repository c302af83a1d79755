package servers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersityGWStartsAndServes(t *testing.T) {
	s := StartVersityGW(t)
	bucket := s.NewBucket(t)
	if info, err := os.Stat(filepath.Join(s.Dir, bucket)); err != nil || !info.IsDir() {
		t.Errorf("bucket %s is no folder of %s: %v", bucket, s.Dir, err)
	}
	if s.PID() <= 0 {
		t.Errorf("PID() = %d", s.PID())
	}
}

func TestSharedStartsOnceAndCleansUp(t *testing.T) {
	var shared Shared
	first, second := shared.VersityGW(t), shared.VersityGW(t)
	if first != second {
		t.Error("the second test got another server")
	}
	if err := shared.Stop(); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	select {
	case <-first.process.exited:
	default:
		t.Error("the server still runs after Stop")
	}
	if _, err := os.Stat(shared.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", shared.dir, err)
	}
}

func TestMissingToolNamesTheMakeTarget(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := findTool("no-such-server", "BRIGADE_NO_SUCH_SERVER"); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("error = %v, want the make target", err)
	}
	t.Setenv("BRIGADE_NO_SUCH_SERVER", "/nonexistent/server")
	if _, err := findTool("no-such-server", "BRIGADE_NO_SUCH_SERVER"); err == nil || !strings.Contains(err.Error(), "BRIGADE_NO_SUCH_SERVER") {
		t.Errorf("error = %v, want the variable", err)
	}
}
