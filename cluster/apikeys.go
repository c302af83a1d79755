package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// Certificates of the API are valid for less than the 825 days that Apple's systems take, and from long ago, for clocks that
// are slow. Their authority is for ever, as that of nodes.
const (
	apiCertPast   = 365 * 24 * time.Hour
	apiCertFuture = 400 * 24 * time.Hour
	apiCertRenew  = 200 * 24 * time.Hour
)

// APIIdentity is what a node shows on its API port. Clients know the cluster's authority by its hash, and check no more
// than that it signed for the name they expect: which node answers at which address is nothing they could know.
type APIIdentity struct {
	Certificate tls.Certificate // of the node, then authorities: see NewAPIIdentity; the one that signed it is the last
	Authority   [32]byte        // SHA-256 of the authority's public key (SubjectPublicKeyInfo)
	PEM         []byte          // the authorities' certificates, for clients other than ours
	Renew       time.Time       // when to make another
	Keys        []string        // IDs of the cluster keys that it was made of
}

// NewAPIIdentity makes a random key and has the authority of the first cluster key sign it for names and IP addresses. The
// authorities of all other keys vouch for that one, in the chain of certificates: whoever knows one of them takes it. All of it
// is ECDSA on P-256, which every browser reads. What the first version of tokens names, the authority of nodes, which is
// Ed25519, vouches as well. The certificate is no good for the peer port, whose authorities are others.
func NewAPIIdentity(names []string, now time.Time, keys ...Key) (*APIIdentity, error) {
	id, err := newAPIIdentity(names, now, keys)
	if err != nil {
		return nil, fmt.Errorf("make identity of the API: %w", err)
	}
	return id, nil
}

func newAPIIdentity(names []string, now time.Time, keys []Key) (*APIIdentity, error) {
	if len(keys) == 0 {
		return nil, errors.New("no cluster key")
	}
	ca, err := keys[0].apiAuthority()
	if err != nil {
		return nil, err
	}
	id := &APIIdentity{Authority: ca.hash(), Renew: now.Add(apiCertRenew), PEM: ca.pem(), Keys: []string{keys[0].ID()}}
	if id.Certificate, err = ca.signAPI(names, now); err != nil {
		return nil, err
	}
	vouchers := make([]*apiAuthority, 0, 2*len(keys))
	for _, k := range keys[1:] {
		other, err := k.apiAuthority()
		if err != nil {
			return nil, err
		}
		vouchers, id.Keys = append(vouchers, other), append(id.Keys, k.ID())
		id.PEM = append(id.PEM, other.pem()...)
	}
	for _, k := range keys {
		first, err := k.firstAPIAuthority()
		if err != nil {
			return nil, err
		}
		vouchers = append(vouchers, first)
	}
	for _, v := range vouchers {
		vouched, err := v.vouchFor(ca)
		if err != nil {
			return nil, err
		}
		id.Certificate.Certificate = append(id.Certificate.Certificate, vouched, v.cert.Raw)
	}
	// Last, for libraries that take the first issuer of a name: whoever knows it needs no other to get there.
	id.Certificate.Certificate = append(id.Certificate.Certificate, ca.cert.Raw)
	return id, nil
}

// apiAuthority signs certificates of API ports.
type apiAuthority struct {
	cert   *x509.Certificate
	signer crypto.Signer
}

// steadySigner signs the same bytes the same way on every node (RFC 6979), so that all show one authority, and not several of
// one name and number.
type steadySigner struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (s steadySigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, opts)
}

// apiAuthority derives the authority of the API: a scalar from 64 bits more than it takes, as FIPS 186-5 A.2.1 has it.
func (k Key) apiAuthority() (*apiAuthority, error) {
	seed, err := k.derive("api authority", 40)
	if err != nil {
		return nil, err
	}
	curve := elliptic.P256()
	scalar := new(big.Int).Mod(new(big.Int).SetBytes(seed), new(big.Int).Sub(curve.Params().N, big.NewInt(1)))
	private, err := ecdsa.ParseRawPrivateKey(curve, scalar.Add(scalar, big.NewInt(1)).FillBytes(make([]byte, 32)))
	if err != nil {
		return nil, fmt.Errorf("derive authority: %w", err)
	}
	return newAPIAuthority("brigade API "+k.ID(), steadySigner{private})
}

// firstAPIAuthority is the one that tokens of the first version name: it shares its key with the authority of nodes.
func (k Key) firstAPIAuthority() (*apiAuthority, error) {
	_, signer, err := k.authority()
	if err != nil {
		return nil, err
	}
	return newAPIAuthority("brigade API, first version, "+k.ID(), signer)
}

func newAPIAuthority(name string, signer crypto.Signer) (*apiAuthority, error) {
	template := apiAuthorityTemplate(name, 1)
	cert, err := signCert(template, template, signer.Public(), signer)
	return &apiAuthority{cert, signer}, err
}

// apiAuthorityTemplate describes an authority with at most so many others between it and a node.
func apiAuthorityTemplate(name string, between int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: certsFrom, NotAfter: certsTo,
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: between, MaxPathLenZero: between == 0, KeyUsage: x509.KeyUsageCertSign,
	}
}

func signCert(template, parent *x509.Certificate, public any, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	return cert, nil
}

func (a *apiAuthority) hash() [32]byte { return sha256.Sum256(a.cert.RawSubjectPublicKeyInfo) }

func (a *apiAuthority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// vouchFor signs another authority.
func (a *apiAuthority) vouchFor(other *apiAuthority) ([]byte, error) {
	template := apiAuthorityTemplate(other.cert.Subject.CommonName, 0)
	template.SubjectKeyId = other.cert.SubjectKeyId
	cert, err := signCert(template, a.cert, other.cert.PublicKey, a.signer)
	if err != nil {
		return nil, err
	}
	return cert.Raw, nil
}

// signAPI makes a random key and signs it for an API port.
func (a *apiAuthority) signAPI(names []string, now time.Time) (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	template, err := leafTemplate(names[0], x509.ExtKeyUsageServerAuth)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.NotBefore, template.NotAfter, template.DNSNames = now.Add(-apiCertPast), now.Add(apiCertFuture), nil
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := signCert(template, a.cert, private.Public(), a.signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: private, Leaf: cert}, nil
}
