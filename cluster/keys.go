package cluster

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync/atomic"
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

// identity is what a node shows on its peer port, and what it accepts there: a certificate for each key that is valid.
type identity struct {
	keys  []string // IDs, in the order of certs
	certs []tls.Certificate
	pool  *x509.CertPool
}

// identities holds the identity of a node, which changes when the cluster key does.
type identities struct{ atomic.Pointer[identity] }

// newIdentities holds a first identity.
func newIdentities(keys []Key, nodeID string) (*identities, error) {
	id, err := newIdentity(keys, nodeID)
	if err != nil {
		return nil, err
	}
	held := &identities{}
	held.Store(id)
	return held, nil
}

// newIdentity makes a random key for a node for each cluster key, and signs it with that one's authority. The authorities of
// all keys are accepted.
func newIdentity(keys []Key, nodeID string) (*identity, error) {
	if len(keys) == 0 {
		return nil, errors.New("make identity: no cluster key")
	}
	id := &identity{pool: x509.NewCertPool()}
	for _, k := range keys {
		ca, signer, err := k.authority()
		if err != nil {
			return nil, fmt.Errorf("make identity: %w", err)
		}
		cert, err := signNode(ca, signer, nodeID)
		if err != nil {
			return nil, fmt.Errorf("make identity: %w", err)
		}
		id.pool.AddCert(ca)
		id.keys, id.certs = append(id.keys, k.ID()), append(id.certs, cert)
	}
	return id, nil
}

// authorityName is, with the ID of the key behind it, the name of an authority.
const authorityName = "brigade cluster "

// authority derives the certificate authority. All nodes derive the same, so that none has to be handed out.
func (k Key) authority() (*x509.Certificate, crypto.Signer, error) {
	seed, err := k.derive("peer authority", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	signer := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: authorityName + k.ID()},
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

// signNode makes a random key and signs it for a node.
func signNode(ca *x509.Certificate, signer crypto.Signer, nodeID string) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node key: %w", err)
	}
	template, err := leafTemplate(nodeID, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, public, signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign node key: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, nil
}

// leafTemplate describes a certificate for a name, under a random number.
func leafTemplate(name string, uses ...x509.ExtKeyUsage) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: certsFrom, NotAfter: certsTo,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses,
	}, nil
}

// server is the TLS configuration of the peer port. It shows the certificate of the first key that the other side says it
// has, so that two nodes understand each other as long as they have one valid key in common, whatever each holds for the
// one in use.
func (id *identity) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: id.pool, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			for i, key := range id.keys {
				if slices.Contains(hello.SupportedProtos, keyProtocol+key) {
					return &id.certs[i], nil
				}
			}
			return &id.certs[0], nil
		},
	}
}

// keyProtocol and the ID of a key is the application protocol by which the calling side tells which keys it has.
const keyProtocol = "brigade-key-"

// client is the TLS configuration for calling one node: only that node may answer, whoever has its address now.
func (id *identity) client(nodeID string) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: id.pool, ServerName: nodeID}
	for _, key := range id.keys {
		conf.NextProtos = append(conf.NextProtos, keyProtocol+key)
	}
	conf.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for i := range id.certs {
			if info.SupportsCertificate(&id.certs[i]) == nil { // the authorities that it names are of the keys it has
				return &id.certs[i], nil
			}
		}
		return &id.certs[0], nil // is refused, and the other side says why
	}
	return conf
}

// peerOf reads the node ID that a verified certificate names, and the ID of the key that its authority is of.
func peerOf(state tls.ConnectionState) (node, key string, err error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates[0].DNSNames) != 1 {
		return "", "", errors.New("the certificate names no node")
	}
	return state.PeerCertificates[0].DNSNames[0], keyNamed(state.PeerCertificates[0]), nil
}

// keyNamed is the ID of the key whose authority a certificate says to be of, "" if it says nothing.
func keyNamed(cert *x509.Certificate) string {
	id, ok := strings.CutPrefix(cert.Issuer.CommonName, authorityName)
	if raw, err := hex.DecodeString(id); !ok || err != nil || len(raw) != keyIDSize {
		return ""
	}
	return id
}

// explain makes ErrNoKey of the errors that a handshake between different keys ends with, on either side.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown) && unknown.Cert != nil && keyNamed(unknown.Cert) != "":
		return fmt.Errorf("%w: it has the key %s: %w", ErrNoKey, keyNamed(unknown.Cert), err)
	case errors.As(err, &unknown), errors.As(err, &op) && op.Op == "remote error":
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
