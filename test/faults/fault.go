package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/time/rate"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// Rule says which requests meet a fault.
type Rule struct {
	Ops   []s3op.Operation // none means all
	Key   string           // exact key in the bucket; "" means all
	Match func(key string) bool
	Times int // how often it holds; 0 means always
	Fault Fault

	used int
}

// take tells whether the rule holds for a request, and uses it up. The proxy's lock is held.
func (r *Rule) take(q s3op.Request) bool {
	switch {
	case len(r.Ops) > 0 && !slices.Contains(r.Ops, q.Op),
		r.Key != "" && r.Key != q.Key,
		r.Match != nil && !r.Match(q.Key),
		r.Times > 0 && r.used == r.Times:
		return false
	}
	r.used++
	return true
}

// Fault is what happens to a request. Several fields may be set.
type Fault struct {
	Latency   time.Duration   // before anything else
	Until     <-chan struct{} // held before anything else until it is closed
	Bandwidth int             // bytes per second of each body, either way; 0 means no limit

	// Status answers without forwarding, as S3 would with Code, and with Header.
	Status int
	Code   string
	Header http.Header

	Reset       bool  // resets the connection before forwarding
	CutRequest  int64 // resets both connections after so many bytes of the request's body
	CutResponse int64 // resets the client's connection after so many bytes of the answer's body

	CorruptOnWire bool // flips one bit of the request's body as it passes
	// CorruptAtRest flips one bit of the object after it was written; the client sees the honest answer to what it sent.
	CorruptAtRest bool
	Lose          bool // removes the object after it was written; the client sees the honest answer
	DropAnswer    bool // forwards, then resets the connection instead of answering

	// Listings are answered by the proxy, in pages of PageSize keys (0: as asked), each changed by Lie.
	PageSize int
	Lie      func(*Listing)
}

// maxCorrupt bounds the objects that can be corrupted at rest, which pass through memory, in bytes.
const maxCorrupt = 64 << 20

func (p *Proxy) apply(w http.ResponseWriter, r *http.Request, q s3op.Request, f *Fault) {
	if f.Latency > 0 {
		sleep(r.Context(), f.Latency)
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-r.Context().Done():
		}
	}
	if f.Reset {
		reset(w)
		return
	}
	if f.Status != 0 {
		f.answer(w)
		return
	}
	if f.Lie != nil || f.PageSize > 0 {
		p.list(w, r, q, f)
		return
	}
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	r = r.WithContext(ctx)
	f.shapeRequest(r)
	switch {
	case f.CutRequest > 0:
		defer func() { // the reverse proxy gave up on the body: no answer, but a reset
			if recover() != nil {
				reset(w)
			}
		}()
		p.forward.ServeHTTP(w, r)
	case f.CorruptAtRest || f.Lose || f.DropAnswer:
		p.damage(w, r, q, f)
	default:
		p.forward.ServeHTTP(f.shapeResponse(ctx, w), r)
	}
}

// answer is what S3 answers to a request that it does not carry out.
func (f *Fault) answer(w http.ResponseWriter) {
	for name, v := range f.Header {
		w.Header()[name] = v
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.Status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>Injected by a test.</Message><RequestId>FAULT</RequestId></Error>`, f.Code)
}

// reset ends the client's connection with RST.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // headers are out already: closing is what is left
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

func (f *Fault) shapeRequest(r *http.Request) {
	if f.CutRequest > 0 {
		r.Body = wrapBody(r.Body, &cutReader{r: r.Body, left: f.CutRequest})
	}
	if f.CorruptOnWire {
		r.Body = wrapBody(r.Body, &flipReader{r: r.Body, at: max(r.ContentLength, 1) / 2})
	}
	if f.Bandwidth > 0 {
		r.Body = wrapBody(r.Body, &slowReader{ctx: r.Context(), r: r.Body, limit: limiter(f.Bandwidth)})
	}
}

func (f *Fault) shapeResponse(ctx context.Context, w http.ResponseWriter) http.ResponseWriter {
	if f.CutResponse == 0 && f.Bandwidth == 0 {
		return w
	}
	s := &shapedWriter{ResponseWriter: w, ctx: ctx, left: f.CutResponse, cuts: f.CutResponse > 0}
	if f.Bandwidth > 0 {
		s.limit = limiter(f.Bandwidth)
	}
	return s
}

// damage forwards a write, spoils what it made, and only then answers.
func (p *Proxy) damage(w http.ResponseWriter, r *http.Request, q s3op.Request, f *Fault) {
	held := &heldAnswer{header: http.Header{}}
	p.forward.ServeHTTP(held, r)
	if held.status/100 == 2 {
		// The client may have gone; the damage happens all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
		defer cancel()
		if err := p.spoil(ctx, q, f); err != nil {
			held = &heldAnswer{header: http.Header{}, status: http.StatusBadGateway}
			fmt.Fprintf(&held.body, "fault not injected: %v", err)
		}
	}
	if f.DropAnswer {
		reset(w)
		return
	}
	held.sendTo(w)
}

func (p *Proxy) spoil(ctx context.Context, q s3op.Request, f *Fault) error {
	switch {
	case f.Lose:
		if _, err := p.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &q.Bucket, Key: &q.Key}); err != nil {
			return fmt.Errorf("lose %q: %w", q.Key, err)
		}
	case f.CorruptAtRest:
		return p.corrupt(ctx, q)
	}
	return nil
}

// corrupt replaces an object by one that differs in one bit.
func (p *Proxy) corrupt(ctx context.Context, q s3op.Request) error {
	got, err := p.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &q.Bucket, Key: &q.Key})
	if err != nil {
		return fmt.Errorf("read %q to corrupt it: %w", q.Key, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, maxCorrupt+1))
	if err != nil {
		return fmt.Errorf("read %q to corrupt it: %w", q.Key, err)
	}
	if len(body) == 0 || len(body) > maxCorrupt {
		return fmt.Errorf("corrupt %q: it has %d bytes or more", q.Key, len(body))
	}
	body[len(body)/2] ^= 1
	_, err = p.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &q.Bucket, Key: &q.Key, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		Metadata: got.Metadata, ContentType: got.ContentType,
	})
	if err != nil {
		return fmt.Errorf("write %q corrupted: %w", q.Key, err)
	}
	return nil
}

// limiter lets bytes through at a rate, in steps of at most 16 KiB.
func limiter(bytesPerSecond int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), slowStep)
}

const slowStep = 16 << 10
