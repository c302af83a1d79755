package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What is wrong with a body that does not have the length it was announced with.
var (
	ErrShortBody = errors.New("content ended before its announced size")
	ErrLongBody  = errors.New("content is longer than its announced size")
	ErrBadBody   = errors.New("content is announced wrongly")
)

// smallBody is the content in memory that is copied before it is sent, in bytes: net/http sends a plain bytes.Reader
// together with the headers, anything else in a packet of its own, and a copy needs no waiting for.
const smallBody = 16 << 10

// Payload is the content of one request. net/http may read a request's body until after the request returned; the
// caller's buffer is free only after Wait.
type Payload struct {
	body    store.Body
	head    []byte          // sent before the content
	tail    []byte          // sent after the content
	ctx     context.Context // checked in every read: nothing is sent once it ends
	readers sync.WaitGroup
	mu      sync.Mutex
	err     error // of the caller's Reader, the first
}

// NewPayload refuses content that is not as long as it is announced.
func NewPayload(ctx context.Context, body store.Body) (*Payload, error) {
	p := &Payload{body: body, ctx: ctx}
	if body.Bytes != nil && int64(len(body.Bytes)) != body.Size {
		return nil, fmt.Errorf("%w: %d bytes as %d", ErrBadBody, len(body.Bytes), body.Size)
	}
	if body.Size < 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadBody, body.Size)
	}
	if body.Size == 0 && body.Bytes == nil && body.Reader != nil {
		return p, p.probe(body.Reader)
	}
	return p, nil
}

// Frame makes the content a part of a larger document: head, the content, tail. It is called before Attach, if at all.
func (p *Payload) Frame(head, tail []byte) { p.head, p.tail = head, tail }

// Attach makes the content the request's body.
func (p *Payload) Attach(req *http.Request) {
	req.ContentLength = int64(len(p.head)) + p.body.Size + int64(len(p.tail))
	inMemory := p.body.Bytes != nil || p.body.Size == 0
	switch {
	case req.ContentLength == 0:
		req.Body = http.NoBody
	case inMemory && req.ContentLength <= smallBody:
		own := slices.Concat(p.head, p.body.Bytes, p.tail)
		req.Body = io.NopCloser(bytes.NewReader(own))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(own)), nil }
	case inMemory:
		req.Body = p.open(p.framed(bytes.NewReader(p.body.Bytes)))
		// Lets net/http try another connection when the server closed this one before it took a byte.
		req.GetBody = func() (io.ReadCloser, error) { return p.open(p.framed(bytes.NewReader(p.body.Bytes))), nil }
	default:
		req.Body = p.open(p.framed(&exactReader{r: p.body.Reader, left: p.body.Size, probe: p.probe}))
	}
}

// framed puts head and tail around the content, where there are any.
func (p *Payload) framed(content io.Reader) io.Reader {
	if p.head == nil && p.tail == nil {
		return content
	}
	return io.MultiReader(bytes.NewReader(p.head), content, bytes.NewReader(p.tail))
}

func (p *Payload) open(r io.Reader) io.ReadCloser {
	p.readers.Add(1)
	return &payloadReader{p: p, r: r}
}

// Wait returns when nobody reads the content any more, with the error of the caller's Reader.
func (p *Payload) Wait() error {
	p.readers.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// probe fails unless r is at its end.
func (p *Payload) probe(r io.Reader) error {
	var one [1]byte
	for range 100 { // a Reader may return nothing and no error, but not for ever
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return ErrLongBody
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// payloadReader is one reading of the content.
type payloadReader struct {
	p      *Payload
	r      io.Reader
	mu     sync.Mutex // Close waits for a Read under way
	closed bool
}

// Read reads from the content and keeps the reason when that fails.
func (b *payloadReader) Read(buf []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if err := b.p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(buf)
	if canceled := b.p.ctx.Err(); canceled != nil {
		n, err = 0, canceled
	}
	if err != nil && err != io.EOF {
		b.p.mu.Lock()
		if b.p.err == nil {
			b.p.err = err
		}
		b.p.mu.Unlock()
	}
	return n, err
}

// Close gives the content back.
func (b *payloadReader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.p.readers.Done()
	}
	return nil
}

// exactReader passes on exactly left bytes. It hands out the last piece only after it saw the end behind it: a server
// that got all announced bytes would store them.
type exactReader struct {
	r     io.Reader
	left  int64
	probe func(io.Reader) error
}

// Read reads the next piece.
func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	if int64(n) < e.left {
		e.left -= int64(n)
		if err == io.EOF {
			err = ErrShortBody
		}
		return n, err
	}
	if err == nil {
		err = e.probe(e.r)
	}
	if err != nil && err != io.EOF {
		return 0, err
	}
	e.left = 0
	return n, nil
}
