package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3Server is a running S3 server with an account that may do everything.
type S3Server struct {
	URL       string // http://127.0.0.1:PORT
	AccessKey string
	SecretKey string
	Region    string
	Dir       string // the buckets are folders in it
	process   *process
}

// S3Options change how an S3 server is started; the zero value is the default.
type S3Options struct {
	Dir      string // buckets live here; "" makes a temporary folder
	ReadOnly bool   // refuse every write
}

// StartVersityGW starts versitygw (github.com/versity/versitygw), an S3 server over a folder, and ends it with the test.
func StartVersityGW(t testing.TB) *S3Server {
	t.Helper()
	return StartVersityGWWith(t, S3Options{})
}

// StartVersityGWWith is StartVersityGW with options.
func StartVersityGWWith(t testing.TB, opts S3Options) *S3Server {
	t.Helper()
	s, err := startVersityGW(t.TempDir(), opts)
	if err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	t.Cleanup(func() {
		if err := s.process.stop(); err != nil {
			t.Errorf("stop versitygw: %v", err)
		}
	})
	return s
}

// Start starts versitygw outside a test; everything that it keeps is below dir. Stop ends it.
func Start(dir string) (*S3Server, error) { return startVersityGW(dir, S3Options{}) }

// Stop ends the server; what it keeps stays.
func (s *S3Server) Stop() error { return s.process.stop() }

// startAttempts covers the port being taken between finding it and listening on it.
const startAttempts = 5

func startVersityGW(dir string, opts S3Options) (*S3Server, error) {
	path, err := findTool("versitygw", "BRIGADE_VERSITYGW")
	if err != nil {
		return nil, err
	}
	if opts.Dir == "" {
		opts.Dir = filepath.Join(dir, "data")
	}
	iam, versions := filepath.Join(dir, "iam"), filepath.Join(dir, "versions")
	for _, d := range []string{opts.Dir, iam, versions} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
	}
	s := &S3Server{AccessKey: "brigade" + rand.Text()[:8], SecretKey: rand.Text(), Region: "us-east-1", Dir: opts.Dir}
	if err := attempt(func() error { return s.start(path, iam, versions, opts.ReadOnly) }); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *S3Server) start(path, iam, versions string, readOnly bool) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	// Without an IAM folder an unknown access key answers 404 instead of 403.
	args := []string{"--port", addr, "--region", s.Region, "--health", "/healthz", "--quiet", "--keep-alive", "--iam-dir", iam}
	if readOnly {
		args = append(args, "--readonly")
	}
	args = append(args, "posix", "--versioning-dir", versions, s.Dir)
	p, err := startProcess(path, args, []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey})
	if err != nil {
		return err
	}
	if err := p.waitHealthy("http://" + addr + "/healthz"); err != nil {
		return errors.Join(err, p.stop())
	}
	s.URL, s.process = "http://"+addr, p
	return nil
}

// PID is the server's process, for tests that stop or measure it.
func (s *S3Server) PID() int { return s.process.cmd.Process.Pid }

// NewBucket makes a bucket of its own for a test and returns its name.
func (s *S3Server) NewBucket(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:12])
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL), Region: s.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
	return name
}

// Shared is one S3 server for all tests of a binary, started by the first that asks. TestMain holds it and calls Stop.
type Shared struct {
	once   sync.Once
	dir    string
	server *S3Server
	err    error
}

// VersityGW returns the server.
func (s *Shared) VersityGW(t testing.TB) *S3Server {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "brigade-versitygw-"); s.err == nil {
			s.server, s.err = startVersityGW(s.dir, S3Options{})
		}
	})
	if s.err != nil {
		t.Fatalf("start versitygw: %v", s.err)
	}
	return s.server
}

// Stop ends the server, if one was started, and removes its folders.
func (s *Shared) Stop() error {
	var err error
	if s.server != nil {
		err = s.server.process.stop()
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// User is an account of a server besides its first one, which may do everything as well.
type User struct{ AccessKey, SecretKey string }

// NewUser makes an account.
func (s *S3Server) NewUser(t testing.TB) User {
	t.Helper()
	u := User{"user" + rand.Text()[:8], rand.Text()}
	s.admin(t, "create-user", "--access", u.AccessKey, "--secret", u.SecretKey, "--role", "admin")
	return u
}

// RemoveUser takes an account away: from now on the server refuses its keys.
func (s *S3Server) RemoveUser(t testing.TB, u User) {
	t.Helper()
	s.admin(t, "delete-user", "--access", u.AccessKey)
}

// admin runs versitygw's own client.
func (s *S3Server) admin(t testing.TB, args ...string) {
	t.Helper()
	path, err := findTool("versitygw", "BRIGADE_VERSITYGW")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"admin", "--endpoint-url", s.URL, "--region", s.Region}, args...)...)
	cmd.Env = append(os.Environ(), "ADMIN_ACCESS_KEY="+s.AccessKey, "ADMIN_SECRET_KEY="+s.SecretKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("versitygw admin %s: %v: %s", args[0], err, out)
	}
}
