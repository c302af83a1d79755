package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync/atomic"
	"time"
)

// Time limits. None bounds a whole request: a large body on a slow line is no error, silence is.
const (
	DialTimeout   = 20 * time.Second
	keepAlive     = 30 * time.Second
	tlsTimeout    = 20 * time.Second
	idleTimeout   = 60 * time.Second // no byte taken or given, no answer begun
	slowTimeout   = 10 * time.Minute // the same for requests in which the server copies or assembles
	poolTimeout   = 90 * time.Second // an unused connection
	MaxAnswer     = 64 << 20         // bytes of an answer that is not an object
	maxDrain      = 256 << 10        // bytes read to save a connection
	maxHeaderSize = 1 << 20
)

// Tune sets up the pool of a transport for a caller with so many requests in flight, and makes connections that never
// end an upload in an orderly way.
func Tune(t *http.Transport, concurrency int) {
	conns := max(concurrency, 1) + 8 // listings and book-keeping beside the caller's requests
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = conns, conns, conns
	t.IdleConnTimeout = poolTimeout
	t.TLSHandshakeTimeout = tlsTimeout
	t.MaxResponseHeaderBytes = maxHeaderSize
	t.DisableCompression = true
	t.WriteBufferSize, t.ReadBufferSize = 32<<10, 32<<10
	// One request a connection: HTTP/2 would put all of them on one.
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
}

// NewTransport returns a tuned transport with the proxy that the environment names. It trusts the system's roots
// (SSL_CERT_FILE) and those in the file that AWS_CA_BUNDLE names.
func NewTransport(concurrency int) (*http.Transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // nothing is trusted but the bundle
	}
	if bundle := os.Getenv("AWS_CA_BUNDLE"); bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", bundle)
		}
	}
	t := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     (&net.Dialer{Timeout: DialTimeout, KeepAlive: keepAlive}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	Tune(t, concurrency)
	return t, nil
}

// Client sends requests over one connection pool and fails those in which nothing moves.
type Client struct {
	Transport *http.Transport
	Idle      time.Duration // limit of silence
	Slow      time.Duration // the same for requests in which the server copies or assembles
}

// NewClient returns a client over a transport, whose connections from then on end with a reset.
func NewClient(t *http.Transport) *Client {
	t.DialContext = dialer(t.DialContext)
	return &Client{Transport: t, Idle: idleTimeout, Slow: slowTimeout}
}

// Stalled ends a request in which nothing moved for too long.
type Stalled struct{ After time.Duration }

// Error says for how long.
func (e Stalled) Error() string { return fmt.Sprintf("nothing moved for %v", e.After) }

// Timeout tells that this is a time-out, as net.Error wants it.
func (e Stalled) Timeout() bool { return true }

// Temporary is part of net.Error.
func (e Stalled) Temporary() bool { return true }

// Send sends a request under a watchdog of its own, which also guards the answer's body. Redirects are not followed.
func (c *Client) Send(ctx context.Context, req *http.Request, limit time.Duration) (*http.Response, error) {
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
	resp, err := c.Transport.RoundTrip(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.explain(err)
		cancel(nil)
		return nil, err
	}
	w.answered()
	resp.Body = &watchedAnswer{resp.Body, w, c.Idle}
	return resp, nil
}

// Exchange sends a request with a content, nil for none, and gives an answer below 300, a refusal or an error. It returns
// only when the content is the caller's again; the answer to a content has been read.
func (c *Client) Exchange(ctx context.Context, req *http.Request, content *Payload, limit time.Duration) (*http.Response, *Refusal, error) {
	resp, err := c.Send(ctx, req, limit)
	switch {
	case content != nil:
		return afterContent(resp, content, err)
	case err == nil && resp.StatusCode >= 300:
		return nil, Refused(resp), nil
	}
	return resp, nil, err
}

// ExchangeRead is Exchange for answers that are documents: it gives the document too, which has MaxAnswer bytes at most.
func (c *Client) ExchangeRead(ctx context.Context, req *http.Request, content *Payload, limit time.Duration) (*http.Response, []byte, *Refusal, error) {
	resp, err := c.Send(ctx, req, limit)
	var data []byte
	if err == nil && resp.StatusCode < 300 {
		data, err = ReadDocument(resp)
	}
	var refused *Refusal
	switch {
	case content != nil:
		resp, refused, err = afterContent(resp, content, err)
	case err == nil && resp.StatusCode >= 300:
		resp, refused = nil, Refused(resp)
	}
	return resp, data, refused, err
}

func afterContent(resp *http.Response, content *Payload, err error) (*http.Response, *Refusal, error) {
	if err != nil {
		if own := content.Wait(); own != nil {
			err = own
		}
		return nil, nil, err
	}
	if resp.StatusCode >= 300 {
		refused := Refused(resp)
		if own := content.Wait(); own != nil {
			return nil, nil, own // the server refused what it got because it did not get all
		}
		return nil, refused, nil
	}
	Finish(resp.Body)
	if own := content.Wait(); own != nil {
		return nil, nil, own
	}
	return resp, nil, nil
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
	w.cancel(Stalled{w.limit})
}

// explain replaces the cancellation that the watchdog caused by its reason.
func (w *watchdog) explain(err error) error {
	if err != nil && err != io.EOF && w.stalled.Load() {
		return Stalled{w.limit}
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

// Bounded fails an answer once it is longer than MaxAnswer.
func Bounded(body io.ReadCloser) io.ReadCloser { return &bounded{ReadCloser: body, left: MaxAnswer} }

// bounded fails an answer that is longer than any answer has to be.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read reads up to the bound.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("answer is longer than %d bytes", int64(MaxAnswer))
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// ReadDocument reads an answer that is a document, of MaxAnswer bytes at most, and closes it.
func ReadDocument(resp *http.Response) ([]byte, error) {
	var data bytes.Buffer
	data.Grow(int(min(max(resp.ContentLength, 0)+bytes.MinRead, MaxAnswer)))
	_, err := data.ReadFrom(Bounded(resp.Body))
	Finish(resp.Body)
	return data.Bytes(), err
}

// Finish reads what is left of a short answer, so that its connection can serve again, and closes it.
func Finish(body io.ReadCloser) {
	// Both only decide whether the connection is kept: the answer has been understood already.
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}
