package api

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Requests that are taken.
const (
	failuresAtOnce = 10 // without a valid token, of one address
	failuresEvery  = 2 * time.Second
	callsAtOnce    = 1000 // of one token
	callsEvery     = 2 * time.Millisecond
	probesAtOnce   = 100 // of /healthz and /readyz, of one address
	probesEvery    = 20 * time.Millisecond
)

// Connections that are taken.
const (
	maxConnections        = 1024
	maxConnectionsAddress = 256
)

// tooMany refuses a request beyond an allowance.
func tooMany(w http.ResponseWriter, after, format string, args ...any) *Problem {
	w.Header().Set("Retry-After", after)
	return problemf(http.StatusTooManyRequests, CodeTooMany, "too many requests", format, args...)
}

// pace refuses what a caller, or without one an address, sends beyond its allowance.
func (s *Server) pace(w http.ResponseWriter, c Caller) error {
	if c.Name == "" {
		if within, _ := s.probes.note(networkOf(c.From).String(), s.now()); !within {
			return tooMany(w, "1", "too many requests from this address")
		}
		return nil
	}
	by := c.Token
	if by == "" {
		by = c.Name
	}
	within, tell := s.calls.note(by, s.now())
	if within {
		return nil
	}
	if tell {
		s.cfg.Logger.Warn("too many requests with one token", "by", c)
	}
	return tooMany(w, "1", "too many requests with the token %s; a request can wait for a change with index and wait, or follow /v1/events", c.Name)
}

// LimitConnections takes at most 1,024 connections at a time from a listener, 256 of one address (IPv6: of one /64). What
// is beyond is closed at once.
func LimitConnections(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, most: maxConnections, mostOfOne: maxConnectionsAddress, of: map[netip.Prefix]int{}}
}

type limitedListener struct {
	net.Listener
	most, mostOfOne int

	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := networkOf(hostOf(c.RemoteAddr().String()))
		if l.enter(from) {
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = c.Close() // whoever is at the other end sees that much
	}
}

func (l *limitedListener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.most || l.of[from] >= l.mostOfOne {
		return false
	}
	l.all++
	l.of[from]++
	return true
}

func (l *limitedListener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.of[from]--; l.of[from] == 0 {
		delete(l.of, from)
	}
}

// countedConn counts for its listener until it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
