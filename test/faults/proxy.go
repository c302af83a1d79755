// Package faults is a proxy in front of an S3 server: it counts what passes, and does on purpose what servers and
// networks do by accident. Bodies stream through; the Host header passes unchanged, so that signatures stay valid.
package faults

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// Target is the server behind a proxy. The proxy needs an account of its own there to damage what was acknowledged.
type Target struct {
	URL, Region, AccessKey, SecretKey string
}

// Proxy is a running proxy.
type Proxy struct {
	URL            string // http://127.0.0.1:PORT
	CertificatePEM []byte // of StartTLS: who trusts it trusts the proxy

	forward *httputil.ReverseProxy
	client  *s3.Client

	mu      sync.Mutex
	rules   []*Rule
	seen    map[s3op.Operation]int
	keys    map[opKey]int
	body    int64 // bytes of request bodies
	changed chan struct{}
}

type opKey struct {
	op  s3op.Operation
	key string
}

// Start runs a proxy until the test ends.
func Start(t testing.TB, target Target) *Proxy {
	t.Helper()
	p, err := newProxy(target)
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = quiet()
	server.Start()
	p.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

// StartTLS is Start with TLS by a certificate that nobody trusts.
func StartTLS(t testing.TB, target Target) *Proxy {
	t.Helper()
	p, err := newProxy(target)
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = quiet() // clients that do not trust it are the point
	server.StartTLS()
	p.URL = server.URL
	p.CertificatePEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	t.Cleanup(server.Close)
	return p
}

func newProxy(target Target) (*Proxy, error) {
	u, err := url.Parse(target.URL)
	if err != nil {
		return nil, fmt.Errorf("parse target: %w", err)
	}
	p := &Proxy{seen: map[s3op.Operation]int{}, keys: map[opKey]int{}, changed: make(chan struct{})}
	p.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(target.URL), Region: target.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(target.AccessKey, target.SecretKey, ""),
	})
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		// Connections to the target are kept, answers come as the target gave them.
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext},
		FlushInterval: -1,
		ErrorLog:      quiet(),
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return p, nil
}

// Add puts a rule behind those there are; the first that matches a request decides.
func (p *Proxy) Add(r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &r)
}

// Clear removes all rules.
func (p *Proxy) Clear() { p.Replace() }

// Replace has these rules hold in place of those there are, without a request between that meets none.
func (p *Proxy) Replace(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
	for _, r := range rules {
		p.rules = append(p.rules, &r)
	}
}

// Count returns how often an operation was asked for, whatever the answer.
func (p *Proxy) Count(op s3op.Operation) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[op]
}

// Counts returns all counts.
func (p *Proxy) Counts() map[s3op.Operation]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := map[s3op.Operation]int{}
	for op, n := range p.seen {
		c[op] = n
	}
	return c
}

// KeyCount returns how often an operation was asked for at one key of any bucket.
func (p *Proxy) KeyCount(op s3op.Operation, key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[opKey{op, key}]
}

// BodyBytes returns the bytes of request bodies that passed.
func (p *Proxy) BodyBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.body
}

// Wait returns once an operation was asked for n times.
func (p *Proxy) Wait(ctx context.Context, op s3op.Operation, n int) error {
	return p.waitFor(ctx, func() bool { return p.seen[op] >= n })
}

// WaitBody returns once n bytes of request bodies passed.
func (p *Proxy) WaitBody(ctx context.Context, n int64) error {
	return p.waitFor(ctx, func() bool { return p.body >= n })
}

// waitFor waits for a condition, which is asked under the lock.
func (p *Proxy) waitFor(ctx context.Context, holds func() bool) error {
	for {
		p.mu.Lock()
		ok, changed := holds(), p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait at the proxy: %w", context.Cause(ctx))
		}
	}
}

// news wakes those who wait. The caller holds the lock.
func (p *Proxy) news() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// ServeHTTP forwards one request, with the fault of the first rule that matches.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := s3op.Parse(r)
	rule := p.note(q)
	r.Body = &countingBody{ReadCloser: r.Body, proxy: p}
	if rule == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	p.apply(w, r, q, &rule.Fault)
}

// note counts a request and picks its rule.
func (p *Proxy) note(q s3op.Request) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[q.Op]++
	p.keys[opKey{q.Op, q.Key}]++
	p.news()
	for _, r := range p.rules {
		if r.take(q) {
			return r
		}
	}
	return nil
}

// countingBody counts what passes.
type countingBody struct {
	io.ReadCloser
	proxy *Proxy
}

// Read counts.
func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.proxy.mu.Lock()
		b.proxy.body += int64(n)
		b.proxy.news()
		b.proxy.mu.Unlock()
	}
	return n, err
}

// sleep waits, or less if the client goes away.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// quiet drops what an HTTP server has to say: broken connections are made here on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// errCut ends a body on purpose.
var errCut = errors.New("cut by a fault")
