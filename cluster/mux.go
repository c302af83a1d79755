package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// The first byte inside TLS tells what a connection is for.
const (
	raftByte byte = 1
	callByte byte = 2
)

const (
	maxPeerConns   = 1024             // open at once, of all peers
	helloTimeout   = 10 * time.Second // for handshake and first byte
	quietAfterWarn = time.Minute      // between two warnings about one host
	warnedHosts    = 1000             // that are remembered
)

// mux is the peer port: mutual TLS, then raft or calls.
type mux struct {
	listener net.Listener
	id       *identities
	log      *slog.Logger
	raft     *lane
	calls    *lane

	serving sync.WaitGroup
	once    sync.Once
	done    chan struct{}

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]string // and the ID of the key that the other side showed, "" before it has
	warned map[string]time.Time
}

// lane hands the connections of one kind out, as a net.Listener.
type lane struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// shut ends the lane.
func (l *lane) shut() { l.once.Do(func() { close(l.done) }) }

func newLane(addr net.Addr) *lane {
	return &lane{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *lane) Close() error {
	l.shut()
	return nil
}

// Addr implements net.Listener.
func (l *lane) Addr() net.Addr { return l.addr }

// nodeAddr is a node ID in the place of an address.
type nodeAddr string

// Network implements net.Addr.
func (nodeAddr) Network() string { return "node" }

// String implements net.Addr.
func (a nodeAddr) String() string { return string(a) }

// newMux serves the peer port until close.
func newMux(l net.Listener, id *identities, nodeID string, log *slog.Logger) *mux {
	m := &mux{
		listener: l, id: id, log: log,
		raft: newLane(nodeAddr(nodeID)), calls: newLane(l.Addr()),
		done: make(chan struct{}), conns: map[net.Conn]string{}, warned: map[string]time.Time{},
	}
	m.serving.Go(m.serve)
	return m
}

func (m *mux) serve() {
	var delay time.Duration
	for {
		conn, err := m.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, for one: others will be closed
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			m.log.Warn("cannot accept peers", "error", err, "retry_in", delay)
			select {
			case <-m.done:
				return
			case <-time.After(delay):
			}
			continue
		}
		delay = 0
		if !m.track(conn) {
			conn.Close()
			continue
		}
		m.serving.Go(func() { m.greet(conn) })
	}
}

// track notes an open connection, and refuses it when there are too many or the port is closed.
func (m *mux) track(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.conns) >= maxPeerConns {
		return false
	}
	m.conns[c] = ""
	return true
}

// admit notes which key the other side showed. Meanwhile that may have been left out.
func (m *mux) admit(c net.Conn, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.id.Load().keys, key) {
		return fmt.Errorf("%w any more: it has the key %s", ErrNoKey, key)
	}
	m.conns[c] = key
	return nil
}

// expel ends the connections whose other side showed a key that is not valid any more.
func (m *mux) expel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, key := range m.conns {
		if key != "" && !slices.Contains(m.id.Load().keys, key) {
			c.Close() // whoever uses it forgets it
		}
	}
}

func (m *mux) forget(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
}

// greet takes a connection to the lane that its first byte names.
func (m *mux) greet(conn net.Conn) {
	peer, to, err := m.hello(conn)
	if err == nil {
		select {
		case to.conns <- peer:
			return // whoever accepted it closes it
		case <-to.done:
		case <-m.done:
		}
	}
	conn.Close()
	m.forget(conn)
	m.warn(conn.RemoteAddr(), err)
}

func (m *mux) hello(conn net.Conn) (*peerConn, *lane, error) {
	ctx, cancel := context.WithTimeout(context.Background(), helloTimeout)
	defer cancel()
	secure := tls.Server(conn, m.id.Load().server())
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, nil, fmt.Errorf("set deadline: %w", err)
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, explain(err)
	}
	peer, key, err := peerOf(secure.ConnectionState())
	if err != nil {
		return nil, nil, err
	}
	if err := m.admit(conn, key); err != nil {
		return nil, nil, err
	}
	var kind [1]byte
	if _, err := io.ReadFull(secure, kind[:]); err != nil {
		return nil, nil, explain(err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, nil, fmt.Errorf("clear deadline: %w", err)
	}
	c := &peerConn{Conn: secure, peer: peer, closed: func() { m.forget(conn) }}
	switch kind[0] {
	case raftByte:
		return c, m.raft, nil
	case callByte:
		return c, m.calls, nil
	}
	return nil, nil, fmt.Errorf("unknown kind of connection %d from node %s", kind[0], peer)
}

// warn tells the operator of a peer that is not ours, once a minute and host.
func (m *mux) warn(from net.Addr, err error) {
	if err == nil || errors.Is(err, io.EOF) || !m.worthTelling(from) {
		return
	}
	if errors.Is(err, ErrNoKey) {
		m.log.Warn("peer "+from.String()+" does not have this cluster's key", "error", err)
		return
	}
	m.log.Warn("peer connection failed", "peer", from.String(), "error", err)
}

func (m *mux) worthTelling(from net.Addr) bool {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		host = from.String()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Sub(m.warned[host]) < quietAfterWarn || m.closed {
		return false
	}
	if len(m.warned) >= warnedHosts {
		clear(m.warned)
	}
	m.warned[host] = now
	return true
}

// disconnect ends the port and all its connections, stalled ones too. The lanes stay open: raft complains about one that
// is closed before it has stopped itself.
func (m *mux) disconnect() {
	m.once.Do(func() {
		close(m.done)
		m.listener.Close()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.closed = true
		for c := range m.conns {
			c.Close()
		}
	})
}

// close ends everything and waits until nothing serves here.
func (m *mux) close() {
	m.disconnect()
	m.raft.shut()
	m.calls.shut()
	m.serving.Wait()
}

// peerConn is a connection whose other side is known.
type peerConn struct {
	net.Conn
	peer   string // node ID
	closed func()
	once   sync.Once
}

// Close implements net.Conn.
func (c *peerConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}
