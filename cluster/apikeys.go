package cluster

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// APIIdentity is what a node shows on its API port. Clients know the cluster's authority by its hash, and check no more
// than that it signed for the name they expect: which node answers at which address is nothing they could know.
type APIIdentity struct {
	Certificate tls.Certificate // of the node, then the authority's, which clients need to find it by its hash
	Authority   [32]byte        // SHA-256 of the authority's public key (SubjectPublicKeyInfo)
	PEM         []byte          // the authority's certificate, for clients other than ours
}

// APIIdentity makes a random key and signs it for a name. The certificate is no good for the peer port: that wants a
// node's ID as the name, and one that may call.
func (k Key) APIIdentity(name string) (*APIIdentity, error) {
	ca, signer, err := k.authority()
	if err != nil {
		return nil, fmt.Errorf("make identity of the API: %w", err)
	}
	cert, err := signFor(ca, signer, name, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, fmt.Errorf("make identity of the API: %w", err)
	}
	cert.Certificate = append(cert.Certificate, ca.Raw)
	return &APIIdentity{
		Certificate: cert, Authority: sha256.Sum256(ca.RawSubjectPublicKeyInfo),
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}),
	}, nil
}
