package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrNoAddress is what a call fails with while nobody has told where the node is.
var ErrNoAddress = errors.New("no address is known")

const dialTimeout = 5 * time.Second

// Dialer opens TCP connections.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects to nodes by their IDs. Addresses are asked for at each dial: a node may come back with another.
type dialer struct {
	id      *identities
	dial    Dialer
	address func(nodeID string) (string, bool)

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]string // and the ID of the key that the other side showed, "" before it has
}

// close ends all connections, so that nobody waits for a peer that is silent.
func (d *dialer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.conns {
		c.Close()
	}
}

func (d *dialer) track(c net.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return net.ErrClosed
	}
	d.conns[c] = ""
	return nil
}

// admit notes which key the other side showed. Meanwhile that may have been left out.
func (d *dialer) admit(c net.Conn, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.id.Load().keys, key) {
		return fmt.Errorf("%w any more: it has the key %s", ErrNoKey, key)
	}
	d.conns[c] = key
	return nil
}

// expel ends the connections whose other side showed a key that is not valid any more.
func (d *dialer) expel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, key := range d.conns {
		if key != "" && !slices.Contains(d.id.Load().keys, key) {
			c.Close() // whoever uses it forgets it
		}
	}
}

func (d *dialer) forget(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// connect opens a connection of one kind to a node and proves that it is that node.
func (d *dialer) connect(ctx context.Context, nodeID string, kind byte) (_ net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address, ok := d.address(nodeID)
	if !ok {
		return nil, fmt.Errorf("call node %s: %w", nodeID, ErrNoAddress)
	}
	conn, err := d.dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	defer func() {
		if err != nil {
			conn.Close()
			d.forget(conn)
		}
	}()
	if err := d.track(conn); err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	secure := tls.Client(conn, d.id.Load().client(nodeID))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("call node %s: peer %s %w", nodeID, address, explain(err))
	}
	_, key, err := peerOf(secure.ConnectionState())
	if err == nil {
		err = d.admit(conn, key)
	}
	if err != nil {
		return nil, fmt.Errorf("call node %s: peer %s %w", nodeID, address, err)
	}
	until, _ := ctx.Deadline()
	if err := conn.SetWriteDeadline(until); err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	if _, err := secure.Write([]byte{kind}); err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	return &peerConn{Conn: secure, peer: nodeID, closed: func() { d.forget(conn) }}, nil
}

// raftStream is raft's side of the peer port. In raft's configuration the address of a server is its node ID, so that no
// address is ever stored, and none can be taken twice.
type raftStream struct {
	*lane
	dialer *dialer
}

var _ raft.StreamLayer = raftStream{}

// Accept implements net.Listener.
func (s raftStream) Accept() (net.Conn, error) {
	c, err := s.lane.Accept()
	if err != nil {
		return nil, err
	}
	return raftConn{c}, nil
}

// raftConn ends quietly: to raft every end of a connection but io.EOF is an error to be logged, and connections end
// whenever a node stops.
type raftConn struct{ net.Conn }

// Read implements net.Conn.
func (c raftConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// Dial implements raft.StreamLayer.
func (s raftStream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background() // raft's interface has none
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return s.dialer.connect(ctx, string(address), raftByte)
}
