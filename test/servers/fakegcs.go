package servers

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// GCSServer is a running fake-gcs-server, which keeps everything in memory and asks nobody for credentials.
type GCSServer struct {
	URL     string // http://127.0.0.1:PORT
	process *process
}

// StartFakeGCS starts fake-gcs-server (github.com/fsouza/fake-gcs-server), a server of Cloud Storage's JSON API and of the reads of its
// XML API, and ends it with the test.
func StartFakeGCS(t testing.TB) *GCSServer {
	t.Helper()
	s, err := startFakeGCS()
	if err != nil {
		t.Fatalf("start fake-gcs-server: %v", err)
	}
	t.Cleanup(func() {
		if err := s.process.stop(); err != nil {
			t.Errorf("stop fake-gcs-server: %v", err)
		}
	})
	return s
}

func startFakeGCS() (*GCSServer, error) {
	path, err := findTool("fake-gcs-server", "BRIGADE_FAKE_GCS_SERVER")
	if err != nil {
		return nil, err
	}
	var failures error
	for range startAttempts {
		s := &GCSServer{}
		err := s.start(path)
		if err == nil {
			return s, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

func (s *GCSServer) start(path string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	// Without the public host it takes no paths of the XML API.
	args := []string{
		"-scheme", "http", "-host", host, "-port", port, "-public-host", addr, "-external-url", "http://" + addr, "-backend", "memory",
		"-log-level", "error",
	}
	p, err := startProcess(path, args, nil)
	if err != nil {
		return err
	}
	if err := p.waitHealthy("http://" + addr + "/_internal/healthcheck"); err != nil {
		return errors.Join(err, p.stop())
	}
	s.URL, s.process = "http://"+addr, p
	return nil
}

// NewBucket makes a bucket of its own for a test and returns its name.
func (s *GCSServer) NewBucket(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:12])
	doc, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/storage/v1/b?project=test", bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("create bucket %s: %s %s, %v", name, resp.Status, answer, err)
	}
	return name
}

// SharedGCS is one server for all tests of a binary, started by the first that asks. TestMain holds it and calls Stop.
type SharedGCS struct {
	once   sync.Once
	server *GCSServer
	err    error
}

// FakeGCS returns the server.
func (s *SharedGCS) FakeGCS(t testing.TB) *GCSServer {
	t.Helper()
	s.once.Do(func() { s.server, s.err = startFakeGCS() })
	if s.err != nil {
		t.Fatalf("start fake-gcs-server: %v", s.err)
	}
	return s.server
}

// Stop ends the server, if one was started.
func (s *SharedGCS) Stop() error {
	if s.server == nil {
		return nil
	}
	return s.server.process.stop()
}
