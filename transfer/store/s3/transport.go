package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Time limits. None bounds a whole request: a large body on a slow line is no error, silence is.
const (
	dialTimeout   = 20 * time.Second
	tlsTimeout    = 20 * time.Second
	idleTimeout   = 60 * time.Second // no byte taken or given, no answer begun
	slowTimeout   = 10 * time.Minute // the same for requests in which the server copies or assembles
	poolTimeout   = 90 * time.Second // an unused connection
	maxAnswer     = 64 << 20         // bytes of an answer that is not an object
	maxDrain      = 256 << 10        // bytes read to save a connection
	maxHeaderSize = 1 << 20
)

// newBuildable returns the HTTP client that the SDK's configuration may add AWS_CA_BUNDLE to; it refuses any other kind.
// The pool starts from the system's roots (SSL_CERT_FILE), so that a bundle adds to them.
func newBuildable(concurrency int) *awshttp.BuildableClient {
	conns := max(concurrency, 1) + 8 // listings and book-keeping beside the caller's requests
	return awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = dialTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = conns, conns, conns
		t.IdleConnTimeout = poolTimeout
		t.TLSHandshakeTimeout = tlsTimeout
		t.MaxResponseHeaderBytes = maxHeaderSize
		t.DisableCompression = true
		t.WriteBufferSize, t.ReadBufferSize = 32<<10, 32<<10
		// One request a connection: HTTP/2 would put all of them on one.
		t.ForceAttemptHTTP2 = false
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		if roots, err := x509.SystemCertPool(); err == nil {
			t.TLSClientConfig.RootCAs = roots
		}
	})
}

// client sends requests over one connection pool and fails those in which nothing moves.
type client struct {
	transport *http.Transport
	idle      time.Duration
	slow      time.Duration
}

// errStalled ends a request in which nothing moved for too long.
type errStalled struct{ after time.Duration }

func (e errStalled) Error() string   { return fmt.Sprintf("nothing moved for %v", e.after) }
func (e errStalled) Timeout() bool   { return true }
func (e errStalled) Temporary() bool { return true }

// Do sends one request of the SDK. Its answer is never an object, so it is bounded.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	limit := c.idle
	if req.Header.Get("X-Amz-Copy-Source") != "" || req.Method == http.MethodPost {
		limit = c.slow
	}
	resp, err := c.send(req.Context(), req, limit)
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// send sends a request under a watchdog of its own, which also guards the answer's body. Redirects are not followed.
func (c *client) send(ctx context.Context, req *http.Request, limit time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{limit: limit, ctx: ctx, cancel: cancel}
	w.timer = time.AfterFunc(limit, w.bark)
	if req.Body != nil && req.Body != http.NoBody {
		if small := req.GetBody != nil && req.ContentLength <= smallBody; !small {
			req.Body = &watchedRequest{req.Body, w}
		}
		if req.URL.Scheme == "https" {
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: w.gotConn})
		}
	}
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.explain(err)
		cancel(nil)
		return nil, err
	}
	w.answered()
	resp.Body = &watchedAnswer{resp.Body, w, c.idle}
	return resp, nil
}

// watchdog cancels a request when nothing moves.
type watchdog struct {
	limit   time.Duration // until the answer begins
	ctx     context.Context
	timer   *time.Timer
	cancel  context.CancelCauseFunc
	stalled atomic.Bool
	conn    atomic.Pointer[conn] // that the content goes to, where TLS is spoken
}

func (w *watchdog) bark() {
	w.stalled.Store(true)
	w.cancel(errStalled{w.limit})
}

// explain replaces the cancellation that the watchdog caused by its reason.
func (w *watchdog) explain(err error) error {
	if err != nil && err != io.EOF && w.stalled.Load() {
		return errStalled{w.limit}
	}
	return err
}

// watchedRequest restarts the watchdog with every piece handed to the network. While the piece is being fetched nothing
// is watched: a stalled source is not this store's failure.
type watchedRequest struct {
	io.ReadCloser
	w *watchdog
}

// Read reads a piece of the content to send.
func (b *watchedRequest) Read(p []byte) (int, error) {
	b.w.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.w.cancel(err) // so that the connection is not ended in an orderly way
		return n, err
	}
	b.w.timer.Reset(b.w.limit)
	return n, err
}

// watchedAnswer watches every read of an answer. While the caller does not read, nothing is watched.
type watchedAnswer struct {
	io.ReadCloser
	w    *watchdog
	idle time.Duration
}

// Read reads from the answer.
func (b *watchedAnswer) Read(p []byte) (int, error) {
	b.w.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.w.timer.Stop()
	return n, b.w.explain(err)
}

// Close ends the request.
func (b *watchedAnswer) Close() error {
	err := b.ReadCloser.Close()
	b.w.timer.Stop()
	b.w.cancel(nil)
	return err
}

// bounded fails an answer that is longer than any answer has to be.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read reads up to the bound.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("answer is longer than %d bytes", int64(maxAnswer))
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// finish reads what is left of a short answer, so that its connection can serve again, and closes it.
func finish(body io.ReadCloser) {
	// Both only decide whether the connection is kept: the answer has been understood already.
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}
