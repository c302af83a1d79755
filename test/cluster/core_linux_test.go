package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
)

// permissive starts a program in a folder, where it may leave a core file however large.
func permissive(dir string) []string {
	return []string{"env", "GOTRACEBACK=crash", "sh", "-c", `cd "$0" && ulimit -c unlimited && exec "$@"`, dir}
}

// TestNoCoreFile aborts a node and an import that copy with credentials, where the system and its user allow core files: both
// hold every secret in memory, and leave none on the disk.
func TestNoCoreFile(t *testing.T) {
	beside(t)
	t.Run("node", func(t *testing.T) {
		j := newJob(t)
		j.files(t, newRandom(t), 200)
		c := newCluster(t, 1)
		n, dir := c.nodes[0], t.TempDir()
		n.wrap = permissive(dir)
		n.start(t)
		c.waitWhole(t)
		j.slow(300 * time.Millisecond)
		j.add(t, n, 10)
		j.waitWrites(t, 10, startLimit)
		n.signal(t, syscall.SIGABRT)
		n.waitEnd(t)
		checkNoCore(t, dir, ofCluster(t, c, j))
	})
	t.Run("import", func(t *testing.T) {
		j := newJob(t)
		j.files(t, newRandom(t), 200)
		dir := t.TempDir()
		line := append(permissive(dir), shared.binary, "import", j.jobFile(t, 10), "--yes", "--state-dir", filepath.Join(t.TempDir(), "state"))
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(binary.Environment(), "GOTRACEBACK=crash")
		j.slow(300 * time.Millisecond)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		j.waitWrites(t, 10, startLimit)
		if err := cmd.Process.Signal(syscall.SIGABRT); err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(stopLimit):
			t.Errorf("the import does not end: %v", cmd.Process.Kill())
			<-ended
		}
		checkNoCore(t, dir, secrets{"access key": j.gateway.AccessKey, "secret key": j.gateway.SecretKey})
	})
	t.Run("control", func(t *testing.T) {
		dir := t.TempDir()
		line := append(permissive(dir), "sh", "-c", "kill -ABRT $$")
		if err := exec.Command(line[0], line[1:]...).Run(); err == nil {
			t.Error("a shell that aborted ended well")
		}
		if left := readFiles(t, dir); len(left) == 0 {
			pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
			t.Logf("this machine puts core files elsewhere (%q, %v), or makes none: not much is shown", pattern, err)
		}
	})
}

func checkNoCore(t *testing.T, dir string, secret secrets) {
	t.Helper()
	for path, text := range readFiles(t, dir) {
		t.Errorf("it left %s of %d bytes", path, len(text))
		secret.absent(t, path, text)
	}
}
