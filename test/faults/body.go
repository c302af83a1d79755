package faults

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"golang.org/x/time/rate"
)

// wrapBody reads through r and closes body.
func wrapBody(body io.Closer, r io.Reader) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{r, body}
}

// cutReader fails after some bytes.
type cutReader struct {
	r    io.Reader
	left int64
}

// Read reads as far as the cut.
func (c *cutReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errCut
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// flipReader flips the lowest bit of the byte at an offset.
type flipReader struct {
	r   io.Reader
	at  int64
	off int64
}

// Read reads and flips.
func (f *flipReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if i := f.at - f.off; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	f.off += int64(n)
	return n, err
}

// slowReader reads at a limited rate.
type slowReader struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter
}

// Read reads one step.
func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), slowStep)])
	if werr := s.limit.WaitN(s.ctx, n); werr != nil {
		return n, werr
	}
	return n, err
}

// shapedWriter answers slowly, or only in part.
type shapedWriter struct {
	http.ResponseWriter
	ctx   context.Context
	limit *rate.Limiter
	left  int64
	cuts  bool
}

// Write passes on what may pass. A cut resets the connection: headers and what passed so far arrived.
func (s *shapedWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		step := p[:min(len(p), slowStep)]
		if s.cuts {
			if s.left == 0 {
				http.NewResponseController(s.ResponseWriter).Flush()
				panic(http.ErrAbortHandler)
			}
			step = step[:min(int64(len(step)), s.left)]
			s.left -= int64(len(step))
		}
		if s.limit != nil {
			if err := s.limit.WaitN(s.ctx, len(step)); err != nil {
				return written, err
			}
		}
		n, err := s.ResponseWriter.Write(step)
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// Unwrap lets the response controller find the connection.
func (s *shapedWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// heldAnswer keeps an answer until it may be sent. Answers to writes are small.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the header that is kept.
func (h *heldAnswer) Header() http.Header { return h.header }

// WriteHeader keeps the final status.
func (h *heldAnswer) WriteHeader(status int) {
	if status >= 200 {
		h.status = status
	}
}

// Write keeps the body.
func (h *heldAnswer) Write(p []byte) (int, error) {
	if h.status == 0 {
		h.status = http.StatusOK
	}
	return h.body.Write(p)
}

func (h *heldAnswer) sendTo(w http.ResponseWriter) {
	for name, v := range h.header {
		w.Header()[name] = v
	}
	w.WriteHeader(h.status)
	w.Write(h.body.Bytes())
}
