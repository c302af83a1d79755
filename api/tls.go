package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ServerName is the name that the certificates of all API ports carry. Clients reach nodes by addresses and names of which
// a certificate could know nothing; that it is signed by the cluster's authority is what they check.
const ServerName = "brigade-api"

// ErrOtherCluster means that what answers was not signed by the authority that the token names.
var ErrOtherCluster = errors.New("it is not of the cluster that the token is for: its certificate has another authority; if the cluster key was changed since, take a new token file")

// ServerTLS is the TLS configuration of an API port, whose certificate may change while it is open.
func ServerTLS(cert func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert() },
	}
}

// trusting is the TLS configuration of a client that knows an authority by its hash. The one that signed for the node goes to
// signed: that one, or one that it vouches for.
func trusting(known func() [authoritySize]byte, signed func([authoritySize]byte)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: ServerName,
		InsecureSkipVerify: true, // for the address says nothing; what follows takes its place
		VerifyConnection: func(state tls.ConnectionState) error {
			by, err := checkAuthority(state.PeerCertificates, known())
			if err == nil {
				signed(by)
			}
			return err
		},
	}
}

// checkAuthority wants a certificate for ServerName that the authority signed, or another one which it vouches for, as one
// does whose cluster key is about to be replaced. It returns the hash of the authority that signed. All of them come along
// with the certificate. Times are not checked: whoever has the key can sign another, and a wrong clock should lock nobody out.
func checkAuthority(chain []*x509.Certificate, authority [authoritySize]byte) (by [authoritySize]byte, err error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	known := false
	for i, ca := range chain {
		switch {
		case i == 0 || !ca.IsCA:
		case sha256.Sum256(ca.RawSubjectPublicKeyInfo) == authority:
			roots.AddCert(ca)
			known = true
		default:
			between.AddCert(ca)
		}
	}
	if !known {
		return by, ErrOtherCluster
	}
	verified, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, DNSName: ServerName, CurrentTime: chain[0].NotBefore.Add(time.Second),
	})
	if err != nil {
		return by, fmt.Errorf("%w: %w", ErrOtherCluster, err)
	}
	return sha256.Sum256(verified[0][1].RawSubjectPublicKeyInfo), nil
}

// endpoint reads the address of a node: host:port, or a URL of scheme http or https. Without a scheme it is HTTP on loopback
// and HTTPS elsewhere, as nodes serve it.
func endpoint(addr string, token Token) (*url.URL, error) {
	text, bare := addr, !strings.Contains(addr, "://")
	if bare {
		text = "http://" + addr
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		if strings.Contains(addr, "@") {
			addr = "…" + addr[strings.LastIndex(addr, "@"):] // what stands before it may be a password
		}
		return nil, fmt.Errorf("address %q is not HOST:PORT, http://HOST:PORT or https://HOST:PORT", addr)
	}
	if u.Port() == "" && u.Scheme == "http" {
		return nil, fmt.Errorf("address %q has no port; nodes have their API at 7460 unless --http gives another", addr)
	}
	local := IsLoopback(u.Hostname())
	switch {
	case bare && !local && token.authority == "":
		return nil, fmt.Errorf("the token for %s does not say which cluster it is of; use a token file that brigade ctl token add made, or https://%s, where this machine's own authorities are trusted", addr, addr)
	case bare && !local:
		u.Scheme = "https"
	case !local && u.Scheme == "http":
		return nil, fmt.Errorf("address %q would send the token over the network in clear; nodes serve https:// there", addr)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// IsLoopback tells whether a host is this machine and nothing that could be another.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// unanswered explains why a request has no answer.
func (c *Client) unanswered(err error) error {
	err = inner(err)
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrOtherCluster):
		return fmt.Errorf("call %s: %w", c.base, err)
	case errors.As(err, &unverified):
		return fmt.Errorf("call %s: this machine does not trust its certificate, and the token does not name an authority; use a token file that brigade ctl token add made: %w", c.base, err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("call %s: the port does not speak TLS; use http://%s", c.base, strings.TrimPrefix(c.base, "https://"))
	}
	if noHTTP(err) {
		return fmt.Errorf("%w at %s: %w; nodes have their API at port 7460 unless --http gives another", ErrUnreachable, c.base, ErrNotHTTP)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
}

// noHTTP recognises what becomes of a request to something else than a web server.
func noHTTP(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		strings.Contains(err.Error(), "malformed HTTP") || strings.Contains(err.Error(), "readLoopPeekFailLocked") // it spoke first
}

// speaksTLS recognises what a TLS port answers to plain HTTP.
func speaksTLS(resp *http.Response, data []byte) bool {
	return resp.TLS == nil && resp.StatusCode == http.StatusBadRequest && strings.Contains(string(data), "HTTP request to an HTTPS server")
}

func (c *Client) wantsTLS() error {
	return fmt.Errorf("call %s: this port speaks TLS; use https://%s", c.base, strings.TrimPrefix(c.base, "http://"))
}
