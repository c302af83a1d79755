package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

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
	node     *node
	token    api.Token
	identity atomic.Pointer[cluster.APIIdentity] // nil without TLS
}

// access prepares the port, and writes what commands on this machine need into the data directory.
func (n *node) access() (*nodeAccess, error) {
	a := &nodeAccess{node: n}
	var err error
	if a.token, err = api.LocalToken(n.dir.Path); err != nil {
		return nil, err
	}
	if n.cfg.httpTLS {
		return a, a.setKeys(n.keys.inUse())
	}
	return a, api.WriteToken(api.LocalTokenFile(n.dir.Path), a.token.For([32]byte{}))
}

// setKeys makes the certificate of the port by the first of the cluster keys. What clients on this machine know the port
// by is written down.
func (a *nodeAccess) setKeys(keys []cluster.Key) error {
	if !a.node.cfg.httpTLS {
		return nil
	}
	if id := a.identity.Load(); id != nil && slices.Equal(id.Keys, idsOf(keys)) && time.Now().Before(id.Renew) {
		return nil
	}
	id, err := cluster.NewAPIIdentity(a.names(), time.Now(), keys...)
	if err != nil {
		return err
	}
	dir := a.node.dir.Path
	if err := os.WriteFile(filepath.Join(dir, authorityFile), id.PEM, 0o600); err != nil {
		return fmt.Errorf("write the authority's certificate: %w", err)
	}
	a.identity.Store(id)
	return api.WriteToken(api.LocalTokenFile(dir), a.token.For(id.Authority))
}

// names are what clients other than ours can find this node by.
func (a *nodeAccess) names() []string {
	names := []string{api.ServerName, "localhost", "127.0.0.1", "::1"}
	host, _, err := net.SplitHostPort(a.node.address)
	if ip := net.ParseIP(host); err == nil && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(names, host) {
		names = append(names, host)
	}
	if own := a.node.cfg.advertise; own != "" && !slices.Contains(names, own) {
		names = append(names, own)
	}
	return names
}

// authority is the hash of the authority that signs for this node; zero without TLS.
func (a *nodeAccess) authority() [32]byte {
	if id := a.identity.Load(); id != nil {
		return id.Authority
	}
	return [32]byte{}
}

// certificate is what the port shows.
func (a *nodeAccess) certificate() (*tls.Certificate, error) {
	return &a.identity.Load().Certificate, nil
}

// serve serves until the server is shut down.
func (a *nodeAccess) serve(server *http.Server, listener net.Listener) error {
	if a.identity.Load() == nil {
		return server.Serve(listener)
	}
	server.TLSConfig = api.ServerTLS(a.certificate)
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
