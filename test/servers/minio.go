package servers

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// StartMinIO starts MinIO (github.com/minio/minio), an S3 server over a folder that is not like others in much: it holds "a" and "a/b" and
// lists only one of them. It takes minutes to build, so only the tests behind `make minio` use it. It ends with the test.
func StartMinIO(t testing.TB) *S3Server {
	t.Helper()
	path, err := findTool("minio", "BRIGADE_MINIO")
	if err != nil {
		t.Fatalf("%v (`make minio` builds it)", err)
	}
	s := &S3Server{AccessKey: "brigade" + rand.Text()[:8], SecretKey: rand.Text(), Region: "us-east-1", Dir: filepath.Join(t.TempDir(), "data")}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := attempt(func() error { return s.startMinIO(path) }); err != nil {
		t.Fatalf("start minio: %v", err)
	}
	t.Cleanup(func() {
		if err := s.process.stop(); err != nil {
			t.Errorf("stop minio: %v", err)
		}
	})
	return s
}

func (s *S3Server) startMinIO(path string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	home := filepath.Join(filepath.Dir(s.Dir), "home") // it keeps certificates below, and must not find any
	env := []string{
		"HOME=" + home, "MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off",
	}
	p, err := startProcess(path, []string{"server", s.Dir, "--address", addr, "--quiet", "--certs-dir", filepath.Join(home, "certs")}, env)
	if err != nil {
		return err
	}
	if err := p.waitHealthy("http://" + addr + "/minio/health/cluster"); err != nil {
		return errors.Join(err, p.stop())
	}
	s.URL, s.process = "http://"+addr, p
	return nil
}

// attempt starts something up to startAttempts times.
func attempt(start func() error) error {
	var failures error
	for range startAttempts {
		err := start()
		if err == nil {
			return nil
		}
		failures = errors.Join(failures, err)
	}
	return fmt.Errorf("%d attempts: %w", startAttempts, failures)
}
