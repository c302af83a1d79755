package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// conn is a connection that never ends in an orderly way in the middle of an upload. Servers built on fasthttp take
// the orderly end of a connection for the end of the content, and store what came so far as if it were all
// (github.com/valyala/fasthttp, requestStream.Read). A reset is an error everywhere. The socket option covers ends that
// this process has no part in, such as its being killed; over TLS, the farewell that the library sends before it closes
// must be held back as well.
type conn struct {
	net.Conn
	upload atomic.Pointer[context.Context] // of the request whose content is being sent; nil when none is
}

// dialer makes connections that end with a reset.
func dialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		resetOnClose(c)
		return &conn{Conn: c}, nil
	}
}

func resetOnClose(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed already
	}
}

// Write writes, but for anything that would follow the broken-off content of a request.
func (c *conn) Write(p []byte) (int, error) {
	if ctx := c.upload.Load(); ctx != nil && (*ctx).Err() != nil {
		_ = c.Close() // the request has failed for another reason already
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// gotConn is told which connection a request with content goes to.
func (w *watchdog) gotConn(info httptrace.GotConnInfo) {
	under := info.Conn
	for {
		if t, ok := under.(*tls.Conn); ok {
			under = t.NetConn()
			continue
		}
		break
	}
	if c, ok := under.(*conn); ok {
		w.conn.Store(c)
		c.upload.Store(&w.ctx)
	}
}

// answered ends the guard of the connection's end: the server has decided.
func (w *watchdog) answered() {
	if c := w.conn.Load(); c != nil {
		c.upload.Store(nil)
	}
}
