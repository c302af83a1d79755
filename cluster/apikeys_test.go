package cluster

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"
)

func testAPIIdentity(t *testing.T, name string, keys ...Key) *APIIdentity {
	t.Helper()
	id, err := NewAPIIdentity([]string{name, "10.0.0.9"}, time.Now(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// known verifies a certificate as a client does that knows the authorities in a PEM file.
func (id *APIIdentity) known(t *testing.T, authorities []byte, name string) error {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range id.Certificate.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		t.Fatal("no authority in the PEM")
	}
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}

func TestAPIIdentity(t *testing.T) {
	k := makeKey(t)
	a, b, other := testAPIIdentity(t, "api", k), testAPIIdentity(t, "api", k), testAPIIdentity(t, "api", makeKey(t))
	if a.Authority != b.Authority || !bytes.Equal(a.PEM, b.PEM) {
		t.Error("two nodes with one key show different authorities")
	}
	if a.Authority == other.Authority || bytes.Equal(a.Certificate.Certificate[0], b.Certificate.Certificate[0]) {
		t.Error("two keys share an authority, or two nodes a certificate")
	}
	block, rest := pem.Decode(a.PEM)
	if block == nil || len(rest) > 0 {
		t.Fatal("the PEM is not the authority alone")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil || sha256.Sum256(ca.RawSubjectPublicKeyInfo) != a.Authority {
		t.Errorf("the PEM is of another authority: %v", err)
	}
	for name, want := range map[string]bool{"api": true, "10.0.0.9": true, "other": false, "10.0.0.8": false} {
		if err := a.known(t, b.PEM, name); (err == nil) != want {
			t.Errorf("the certificate as %s: %v", name, err)
		}
	}
	if err := a.known(t, other.PEM, "api"); err == nil {
		t.Error("an authority of another key knows the certificate")
	}
	leaf := a.Certificate.Leaf
	if leaf.PublicKeyAlgorithm != x509.ECDSA || leaf.SignatureAlgorithm != x509.ECDSAWithSHA256 || leaf.NotAfter.Sub(leaf.NotBefore) > 825*24*time.Hour {
		t.Errorf("browsers do not take a certificate of %v, signed by %v, for %v", leaf.PublicKeyAlgorithm, leaf.SignatureAlgorithm, leaf.NotAfter.Sub(leaf.NotBefore))
	}
}

// TestAPIIdentityOfTwoKeys is the time of a change of keys: clients know the authority of one key or of the other.
func TestAPIIdentityOfTwoKeys(t *testing.T) {
	before, after := makeKey(t), makeKey(t)
	was, is := testAPIIdentity(t, "api", before), testAPIIdentity(t, "api", after)
	for name, keys := range map[string][]Key{"before": {before, after}, "after": {after, before}} {
		id := testAPIIdentity(t, "api", keys...)
		if want := map[string][32]byte{"before": was.Authority, "after": is.Authority}[name]; id.Authority != want {
			t.Errorf("%s the switch tokens are made for another authority", name)
		}
		for known, authorities := range map[string][]byte{"old": was.PEM, "new": is.PEM, "both": id.PEM} {
			if err := id.known(t, authorities, "api"); err != nil {
				t.Errorf("%s the switch, to a client that knows the %s authority: %v", name, known, err)
			}
		}
	}
	if err := is.known(t, was.PEM, "api"); err == nil {
		t.Error("the old authority is still good after the change")
	}
	if _, err := NewAPIIdentity([]string{"api"}, time.Now()); err == nil {
		t.Error("an identity without a key")
	}
}

// TestAPIIdentityKnowsTheFirstAuthority has a client that knows what the first version's tokens named.
func TestAPIIdentityKnowsTheFirstAuthority(t *testing.T) {
	k := makeKey(t)
	nodes, _, err := k.authority()
	if err != nil {
		t.Fatal(err)
	}
	id := testAPIIdentity(t, "api", k)
	for _, der := range id.Certificate.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(cert.RawSubjectPublicKeyInfo, nodes.RawSubjectPublicKeyInfo) {
			if err := id.known(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "api"); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("it is not in the chain")
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
		"a node":  {node.certs[0], true},
		"the API": {testAPIIdentity(t, "node", k).Certificate, false},
	} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- tls.Server(server, node.server()).HandshakeContext(t.Context())
			server.Close()
		}()
		conf := node.client("node")
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &test.shown, nil }
		c := tls.Client(client, conf)
		_ = c.HandshakeContext(t.Context()) // in TLS 1.3 it ends before the server has judged
		_, _ = c.Read(make([]byte, 1))
		if err := <-done; (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
}
