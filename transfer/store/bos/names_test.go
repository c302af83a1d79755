package bos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/bos"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestByTheirNames: the bucket as a sub-domain, in the path, and behind a domain of the owner's, each over TLS and without: the
// server finds the bucket and agrees with the signature.
func TestByTheirNames(t *testing.T) {
	account := bos.Options{
		AccessKey: "test-access-key", SecretKey: "secret-of-the-test", Token: "token", Region: "gz", Domain: "gz.bcebos.com",
		Bound: map[string]string{"example.com": "photos"},
	}
	server := bos.New(account)
	server.NewBucket("photos")
	plain, secure := httptest.NewServer(server), httptest.NewTLSServer(server)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, query := range []string{
		"region=gz", "endpoint=http://gz.bcebos.com", "region=gz&path_style=true", "endpoint=example.com&bound_domain=true",
		"endpoint=http://example.com:8080&bound_domain=true",
	} {
		options, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		s := openWith(t, store.Config{
			Location:    store.Location{Scheme: "bos", Bucket: "photos", Path: "folder/", Options: options},
			Credentials: store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey, SessionToken: account.Token}, Concurrency: 1,
		})
		to, asked := plain.Listener.Addr().String(), ""
		if s.base.Scheme == "https" {
			to = secure.Listener.Addr().String()
		}
		s.client.Transport.Proxy = nil
		s.client.Transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			asked = addr
			return new(net.Dialer).DialContext(ctx, network, to)
		}
		// The test server's certificate is for example.com; what is asked for is looked at below.
		s.client.Transport.TLSClientConfig = &tls.Config{ServerName: "example.com", RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		s.client.Transport.TLSClientConfig.RootCAs.AddCert(secure.Certificate())
		if _, err := s.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		put(t, s, "a +ü", "x", store.Metadata{})
		host, _, err := net.SplitHostPort(asked)
		if err != nil || host != s.base.Hostname() {
			t.Errorf("%s: asked for %q, want %s", query, asked, s.base.Hostname())
		}
		if o := server.NewBucket("photos").Get("folder/a +ü"); o == nil {
			t.Errorf("%s: nothing arrived", query)
		}
		if err := s.Delete(t.Context(), "a +ü"); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}
