package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
)

func testAPIIdentity(t *testing.T, k Key, name string) *APIIdentity {
	t.Helper()
	id, err := k.APIIdentity(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAPIIdentity(t *testing.T) {
	k := makeKey(t)
	a, b, other := testAPIIdentity(t, k, "api"), testAPIIdentity(t, k, "api"), testAPIIdentity(t, makeKey(t), "api")
	if a.Authority != b.Authority || !bytes.Equal(a.PEM, b.PEM) {
		t.Error("two nodes with one key show different authorities")
	}
	if a.Authority == other.Authority || bytes.Equal(a.Certificate.Certificate[0], b.Certificate.Certificate[0]) {
		t.Error("two keys share an authority, or two nodes a certificate")
	}
	block, rest := pem.Decode(a.PEM)
	if block == nil || len(rest) > 0 || !bytes.Equal(block.Bytes, a.Certificate.Certificate[1]) {
		t.Fatal("the PEM is not the authority")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.PEM)
	leaf, err := x509.ParseCertificate(a.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "api"}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "other"}); err == nil {
		t.Error("the certificate holds for another name")
	}
}

// TestAPIIdentityIsNoNode shows a certificate of the API on the peer port: it opens nothing there.
func TestAPIIdentityIsNoNode(t *testing.T) {
	k := makeKey(t)
	node, err := newIdentity([]Key{k}, "node")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		shown tls.Certificate
		ok    bool
	}{
		"a node":  {node.cert, true},
		"the API": {testAPIIdentity(t, k, "node").Certificate, false},
	} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- tls.Server(server, node.server()).HandshakeContext(t.Context())
			server.Close()
		}()
		conf := node.client("node")
		conf.Certificates = []tls.Certificate{test.shown}
		c := tls.Client(client, conf)
		_ = c.HandshakeContext(t.Context()) // in TLS 1.3 it ends before the server has judged
		_, _ = c.Read(make([]byte, 1))
		if err := <-done; (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
}
