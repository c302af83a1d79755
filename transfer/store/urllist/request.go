package urllist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// newTransport honours HTTPS_PROXY and SSL_CERT_FILE. It decodes nothing.
func newTransport(concurrency int) *http.Transport {
	conns := max(concurrency, 1) + 8
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: guardDial}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: conns, MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns, IdleConnTimeout: poolTimeout,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true, ResponseHeaderTimeout: idleTimeout,
	}
}

// guard says which addresses a request may go to. The URLs of a list may name any host but link-local ones, where clouds
// keep the credentials of machines. Where a server redirects to is the server's choice: only if its own address is
// private may that be a private one.
type guard struct {
	publicOnly bool
	proxied    bool // the address that is dialled is the proxy's
}

type guardKey struct{}

// errAddress refuses an address.
type errAddress struct {
	addr      netip.Addr
	linkLocal bool
}

// Error says why.
func (e errAddress) Error() string {
	if e.linkLocal {
		return fmt.Sprintf("%s is a link-local address, which is never asked", e.addr)
	}
	return fmt.Sprintf("redirected to %s, a private address, by a public server", e.addr)
}

// guardDial checks the address of a connection that is about to be made.
func guardDial(ctx context.Context, _, address string, _ syscall.RawConn) error {
	g, _ := ctx.Value(guardKey{}).(*guard)
	if g == nil || g.proxied {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, err)
	}
	return g.check(at.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsLinkLocalUnicast() || addr.IsUnspecified():
		return errAddress{addr, true}
	case g.publicOnly && private(addr):
		return errAddress{addr, false}
	}
	return nil
}

func private(addr netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	return addr.IsPrivate() || addr.IsLoopback() || shared.Contains(addr)
}

// addresses are those of a host; none where they cannot be told here, as behind a proxy.
func addresses(ctx context.Context, host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil // the request will tell
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found
}

// get sends a request and follows redirects. The answer's body is the caller's to close; it is watched.
func (s *Store) get(ctx context.Context, raw string, header http.Header) (*http.Response, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &store.Error{Op: "get", Key: shown(raw), Class: store.Permanent, Err: errors.New("not a URL")}
	}
	first, g := u, &guard{}
	for hop := 0; ; hop++ {
		resp, err := s.send(ctx, u, first, header, g)
		if err != nil {
			return nil, s.failure(ctx, raw, err)
		}
		next, err := redirect(resp)
		if err != nil || next == nil {
			if err != nil {
				discard(resp)
				return nil, s.failure(ctx, raw, err)
			}
			return resp, nil
		}
		discard(resp)
		if hop == maxRedirects {
			return nil, s.failure(ctx, raw, &errRefused{fmt.Sprintf("more than %d redirects", maxRedirects)})
		}
		if g, err = follow(ctx, first, next); err != nil {
			return nil, s.failure(ctx, raw, err)
		}
		u = next
	}
}

// errRefused is a redirect that is not followed.
type errRefused struct{ why string }

// Error says why.
func (e *errRefused) Error() string { return e.why }

// redirect returns where an answer leads, nil if it is none.
func redirect(resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	next, err := resp.Location()
	switch {
	case err != nil:
		return nil, &errRefused{"a redirect to nowhere"}
	case next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "":
		return nil, &errRefused{"a redirect to something that is no http:// or https:// URL"}
	case next.Scheme == "http" && resp.Request.URL.Scheme == "https":
		return nil, &errRefused{"a redirect from https to http"}
	}
	next.User = nil
	return next, nil
}

// follow decides whether a redirect may be followed, as far as the names tell; the dial tells the rest.
func follow(ctx context.Context, first, next *url.URL) (*guard, error) {
	g := &guard{publicOnly: true}
	if strings.EqualFold(first.Hostname(), next.Hostname()) || slices.ContainsFunc(addresses(ctx, first.Hostname()), private) {
		g.publicOnly = false
	}
	for _, addr := range addresses(ctx, next.Hostname()) {
		if err := g.check(addr); err != nil { // also where a connection to it is open already
			return nil, err
		}
	}
	return g, nil
}

// send sends one request. Credentials go to the hosts that auth_host names, extra headers to the host that the list names.
func (s *Store) send(ctx context.Context, u, first *url.URL, header http.Header, g *guard) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(context.WithValue(ctx, guardKey{}, g), http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, &errRefused{"not a URL"}
	}
	if proxy, err := s.transport.Proxy(req); err == nil && proxy != nil {
		g.proxied = true
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && g.check(addr) != nil {
			cancel(nil)
			return nil, g.check(addr)
		}
	}
	req.Header = header.Clone()
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "brigade")
	if strings.EqualFold(u.Host, first.Host) {
		for name, values := range s.opts.headers {
			req.Header[name] = values
		}
	}
	if s.authorised(u) {
		req.SetBasicAuth(s.user, s.password)
	}
	timer := time.AfterFunc(s.idle, func() { cancel(errStalled{s.idle}) })
	resp, err := s.client.Do(req)
	timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &watched{body: resp.Body, ctx: ctx, cancel: cancel, timer: timer, idle: s.idle}
	return resp, nil
}

// authorised tells whether the credentials are for a URL's host.
func (s *Store) authorised(u *url.URL) bool {
	return s.user != "" && (slices.Contains(s.opts.authHosts, strings.ToLower(u.Host)) ||
		slices.Contains(s.opts.authHosts, strings.ToLower(u.Hostname())))
}

// errStalled ends a request in which nothing moves.
type errStalled struct{ after time.Duration }

// Error says so.
func (e errStalled) Error() string { return fmt.Sprintf("nothing moved for %v", e.after) }

// watched ends an answer in which nothing moves. While the caller does not read, nothing is watched.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.idle)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(w.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close ends the request.
func (w *watched) Close() error {
	err := w.body.Close()
	w.timer.Stop()
	w.cancel(nil)
	return err
}

// discard closes an answer; a short one is read to its end, so that its connection can serve again.
func discard(resp *http.Response) {
	// Both only decide whether the connection is kept.
	if resp.ContentLength >= 0 && resp.ContentLength <= maxDrain {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	_ = resp.Body.Close()
}
