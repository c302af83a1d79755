package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrNoAuthority means that there is no certificate to trust a node by: it is called without TLS, or by a token that
// names no authority.
var ErrNoAuthority = errors.New("the node is not known by an authority of its cluster")

// Authority fetches the certificates, as PEM, that the node is known by. Programs that know nothing of tokens trust it by
// them. That they are the right ones the hash in the token shows; the token itself is not sent.
func (c *Client) Authority(ctx context.Context) ([]byte, error) {
	if _, pinned := c.token.pin(); !pinned {
		return nil, fmt.Errorf("%w: the token in use names none", ErrNoAuthority)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/healthz", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.unanswered(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSmall))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer of %s: %w", c.base, err)
	case speaksTLS(resp, data):
		return nil, c.wantsTLS()
	case resp.TLS == nil:
		return nil, fmt.Errorf("%w: %s is called without TLS", ErrNoAuthority, c.base)
	}
	var all []byte
	for _, cert := range resp.TLS.PeerCertificates {
		// Those that one authority signed for another say nothing to programs that trust neither, and few programs know Ed25519.
		if own := bytes.Equal(cert.RawSubject, cert.RawIssuer); cert.IsCA && own && cert.PublicKeyAlgorithm != x509.Ed25519 {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		}
	}
	return all, nil
}
