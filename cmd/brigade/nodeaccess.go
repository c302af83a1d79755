package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
)

// The values of --http-tls.
const (
	tlsAuto   = "auto"
	tlsAlways = "always"
)

// authorityFile holds the certificate that clients other than ours know the cluster by.
const authorityFile = "api.ca.pem"

// checkTLS decides whether the API speaks TLS, which takes the authority that the cluster key makes.
func (c *nodeConfig) checkTLS(host, mode string) error {
	if mode != tlsAuto && mode != tlsAlways {
		return badFlag("http-tls", "%q is not known; allowed: auto, always", mode)
	}
	c.httpTLS = mode == tlsAlways || !isLoopback(host)
	switch {
	case !c.httpTLS || c.keyFile != "":
		return nil
	case mode == tlsAlways:
		return badFlag("http-tls", "TLS needs --cluster-key-file (see brigade keygen)")
	}
	return badFlag("http", "%s is not on loopback, and that needs --cluster-key-file (see brigade keygen)", host)
}

// nodeAccess is what the API's port shows and asks for.
type nodeAccess struct {
	token     api.Token
	authority [32]byte    // zero without TLS
	tls       *tls.Config // nil without
}

// access prepares the port, and writes what commands on this machine need into the data directory.
func (n *node) access() (*nodeAccess, error) {
	a := &nodeAccess{}
	if n.cfg.httpTLS {
		key, err := cluster.ReadKeyFile(n.cfg.keyFile)
		if err != nil {
			return nil, err
		}
		id, err := key.APIIdentity(api.ServerName)
		if err != nil {
			return nil, err
		}
		a.authority, a.tls = id.Authority, api.ServerTLS(id.Certificate)
		if err := os.WriteFile(filepath.Join(n.dir.Path, authorityFile), id.PEM, 0o600); err != nil {
			return nil, fmt.Errorf("write the authority's certificate: %w", err)
		}
	}
	token, err := api.LocalToken(n.dir.Path)
	if err != nil {
		return nil, err
	}
	a.token = token.For(a.authority)
	return a, api.WriteToken(api.LocalTokenFile(n.dir.Path), a.token)
}

// serve serves until the server is shut down.
func (a *nodeAccess) serve(server *http.Server, listener net.Listener) error {
	if a.tls == nil {
		return server.Serve(listener)
	}
	server.TLSConfig = a.tls
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	return server.ServeTLS(listener, "", "")
}

// MayLeave tells the API beforehand that a leave would be refused.
func (n *node) MayLeave() error { return n.place.mayLeave() }

// localAddress is where commands on this machine reach the API.
func (n *node) localAddress() string {
	address := n.address
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port) // Go listens on both families there
		if configured, _, err := net.SplitHostPort(n.cfg.http); err == nil && configured == "::" {
			address = net.JoinHostPort("::1", port)
		}
	}
	if n.cfg.httpTLS {
		return "https://" + address
	}
	return address
}
