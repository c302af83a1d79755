package cluster

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// ErrNoKey is what a peer is refused for that was not made with this cluster's key.
var ErrNoKey = errors.New("does not have this cluster's key")

const gossipKeySize = 32 // AES-256

// Certificates are valid for as long as anybody cares: whoever holds the key can sign new ones at any time, so that an
// end would protect nobody, while a machine with a wrong clock would lose its cluster.
var (
	certsFrom = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	certsTo   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// identity is what a node shows on its peer port, and what it accepts there.
type identity struct {
	cert tls.Certificate
	pool *x509.CertPool
}

// newIdentity makes a random key for a node and signs it with the authority of the first cluster key. The authorities of
// all keys are accepted.
func newIdentity(keys []Key, nodeID string) (*identity, error) {
	if len(keys) == 0 {
		return nil, errors.New("make identity: no cluster key")
	}
	id := &identity{pool: x509.NewCertPool()}
	for i, k := range keys {
		ca, signer, err := k.authority()
		if err != nil {
			return nil, fmt.Errorf("make identity: %w", err)
		}
		id.pool.AddCert(ca)
		if i > 0 {
			continue
		}
		if id.cert, err = signNode(ca, signer, nodeID); err != nil {
			return nil, fmt.Errorf("make identity: %w", err)
		}
	}
	return id, nil
}

// authority derives the certificate authority. All nodes derive the same, so that none has to be handed out.
func (k Key) authority() (*x509.Certificate, crypto.Signer, error) {
	seed, err := k.derive("peer authority", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	signer := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brigade cluster"},
		NotBefore: certsFrom, NotAfter: certsTo,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign authority: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read authority: %w", err)
	}
	return ca, signer, nil
}

func signNode(ca *x509.Certificate, signer crypto.Signer, nodeID string) (tls.Certificate, error) {
	return signFor(ca, signer, nodeID, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

// signFor makes a random key and signs it for a name.
func signFor(ca *x509.Certificate, signer crypto.Signer, name string, uses ...x509.ExtKeyUsage) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: certsFrom, NotAfter: certsTo,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, public, signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign node key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// server is the TLS configuration of the peer port.
func (id *identity) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: id.pool,
		SessionTicketsDisabled: true,
	}
}

// client is the TLS configuration for calling one node: only that node may answer, whoever has its address now.
func (id *identity) client(nodeID string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert}, RootCAs: id.pool, ServerName: nodeID,
	}
}

// peerOf reads the node ID that a verified certificate names.
func peerOf(state tls.ConnectionState) (string, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates[0].DNSNames) != 1 {
		return "", errors.New("the certificate names no node")
	}
	return state.PeerCertificates[0].DNSNames[0], nil
}

// explain makes ErrNoKey of the errors that a handshake between different keys ends with, on either side.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var op *net.OpError
	if errors.As(err, &unknown) || errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return err
}

// gossipKeys derives the keys of the gossip: the first encrypts, all decrypt.
func gossipKeys(keys []Key) ([][]byte, error) {
	var all [][]byte
	for _, k := range keys {
		secret, err := k.derive("gossip", gossipKeySize)
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, nil
}
