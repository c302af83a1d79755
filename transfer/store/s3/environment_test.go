package s3

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// childEndpoint tells the test binary to be a client of that endpoint instead of a test: system roots and proxies are
// read from the environment once in a process.
const childEndpoint = "BRIGADE_TEST_CHILD_ENDPOINT"

func TestMain(m *testing.M) {
	endpoint := os.Getenv(childEndpoint)
	if endpoint == "" {
		os.Exit(m.Run())
	}
	if err := beChild(endpoint); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// beChild lists objects, signed here, and uploads, by the SDK.
func beChild(endpoint string) error {
	s, err := open(context.Background(), fakeConfig(endpoint, ""))
	if err != nil {
		return err
	}
	if _, err := s.Check(context.Background()); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if keys, err := listAll(context.Background(), s.List(store.ListOptions{})); err != nil || len(keys) != 1 {
		return fmt.Errorf("listed %q: %w", keys, err)
	}
	if uploads, err := s.ListUploads(context.Background(), "k"); err != nil || len(uploads) != 0 {
		return fmt.Errorf("uploads %v: %w", uploads, err)
	}
	return nil
}

// startChild runs the client with only these certificate and proxy variables.
func startChild(t *testing.T, endpoint string, env ...string) error {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasSuffix(upper, "_PROXY"), upper == "AWS_CA_BUNDLE", upper == "SSL_CERT_FILE", upper == "SSL_CERT_DIR":
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	// Without any, the system's own would be searched.
	cmd.Env = append(cmd.Env, childEndpoint+"="+endpoint, "SSL_CERT_DIR="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

// tlsServer is an S3 server with a private CA, and the file of it.
func tlsServer(t *testing.T) (server *httptest.Server, ca string) {
	t.Helper()
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("uploads") {
			_, _ = io.WriteString(w, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
			return
		}
		_, _ = io.WriteString(w, listing(entries("a")))
	}))
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, ca
}

func TestCertificatesOfTheEnvironment(t *testing.T) {
	server, ca := tlsServer(t)
	other := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(other, otherCA(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		fail string
	}{
		"none":                      {nil, "SSL_CERT_FILE"},
		"SSL_CERT_FILE":             {[]string{"SSL_CERT_FILE=" + ca}, ""},
		"AWS_CA_BUNDLE":             {[]string{"AWS_CA_BUNDLE=" + ca}, ""},
		"both":                      {[]string{"SSL_CERT_FILE=" + ca, "AWS_CA_BUNDLE=" + ca}, ""},
		"bundle adds to the system": {[]string{"SSL_CERT_FILE=" + ca, "AWS_CA_BUNDLE=" + other}, ""},
		"another CA":                {[]string{"SSL_CERT_FILE=" + other}, "SSL_CERT_FILE"},
		"missing bundle":            {[]string{"AWS_CA_BUNDLE=" + other + "-missing"}, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			err := startChild(t, server.URL, c.env...)
			if c.fail == "" && err != nil {
				t.Errorf("error %v", err)
			}
			if c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) {
				t.Errorf("error %v, want %q in it", err, c.fail)
			}
		})
	}
}

// otherCA is a certificate that signed nothing here.
func otherCA(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func TestProxiesOfTheEnvironment(t *testing.T) {
	server, ca := tlsServer(t)
	target := strings.TrimPrefix(server.URL, "https://")
	var tunnels atomic.Int32
	proxy := tunnelTo(t, target, &tunnels)
	// No resolver knows this name: only the proxy can reach it. The server's certificate is for example.com.
	const endpoint = "https://example.com"
	for _, variable := range []string{"HTTPS_PROXY", "https_proxy"} {
		before := tunnels.Load()
		if err := startChild(t, endpoint, "SSL_CERT_FILE="+ca, variable+"=http://"+proxy); err != nil {
			t.Errorf("%s: %v", variable, err)
		}
		if tunnels.Load() == before {
			t.Errorf("%s: the proxy was not used", variable)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := startChild(t, endpoint, "HTTPS_PROXY=http://"+dead); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY") {
		t.Errorf("dead proxy: %v, want it named", err)
	}
}

// tunnelTo is a proxy that opens every tunnel to one address, whatever it is asked for.
func tunnelTo(t *testing.T, target string, tunnels *atomic.Int32) (addr string) {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" {
			http.Error(w, "not for me", http.StatusBadRequest)
			return
		}
		tunnels.Add(1)
		up, err := net.Dial("tcp", target)
		if err != nil {
			http.Error(w, "unreachable", http.StatusBadGateway)
			return
		}
		down, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			_ = up.Close()
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		var wg sync.WaitGroup
		for _, pair := range [][2]net.Conn{{up, down}, {down, up}} {
			wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			})
		}
		wg.Wait()
	}))
	t.Cleanup(proxy.Close)
	return strings.TrimPrefix(proxy.URL, "http://")
}
