// Package fakehttp has the parts of HTTP that all protocol fakes answer alike: conditions, ranges, hooks for faults. What errors look
// like, and which of them there are, is each fake's own.
package fakehttp

import (
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Front sees the requests to a server first. It is safe for concurrent use.
type Front struct {
	ids  atomic.Int64
	mu   sync.Mutex
	hook func(w http.ResponseWriter, r *http.Request) bool
}

// NextID counts requests, from 1.
func (f *Front) NextID() int64 { return f.ids.Add(1) }

// OnRequest has a function see each request before anything else. It may answer itself, which it tells. nil ends that.
func (f *Front) OnRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Answered gives a request to the hook and tells whether that answered it.
func (f *Front) Answered(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	return hook != nil && hook(w, r)
}

// Start serves at a free port of this machine, until the test ends.
func Start(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// Host is the host of a request in lower case, without its port.
func Host(host string) string {
	host = strings.ToLower(host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// As gives the fault that an error is, nil for none.
func As[F error](err error) (fault F) {
	if errors.As(err, &fault) {
		return fault
	}
	var none F
	return none
}

// Body reads the content of a request; ok is false where it is not as long as was announced.
func Body(r *http.Request) (data []byte, ok bool) {
	data, err := io.ReadAll(r.Body)
	return data, err == nil && (r.ContentLength < 0 || int64(len(data)) == r.ContentLength)
}

// ContentHeaders are the headers of a write that describe content, which every vendor keeps.
func ContentHeaders(h http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"} {
		if v := h.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	return kept
}

// CRC64 is the CRC-64 (ECMA) of content in decimal digits, as headers have it.
func CRC64(data []byte) string {
	return strconv.FormatUint(crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), 10)
}

// ReadStatus holds If-Match and If-None-Match of a read against an object: 412, 304, or 200 where they hold.
func ReadStatus(h http.Header, o *memory.Object) int {
	match, none := strings.Trim(h.Get("If-Match"), `"`), strings.Trim(h.Get("If-None-Match"), `"`)
	switch {
	case match != "" && match != o.ETag:
		return http.StatusPreconditionFailed
	case none != "" && none == o.ETag:
		return http.StatusNotModified
	}
	return http.StatusOK
}

// Range reads "bytes=FROM-TO", "bytes=FROM-" and "bytes=-N" as RFC 9110, section 14.1.2, has them; what it cannot read gives all.
func Range(text string, size int64) (from, to int64, status int) {
	span, ok := strings.CutPrefix(text, "bytes=")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, size, http.StatusOK
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n <= 0 {
			return 0, size, http.StatusOK
		}
		return max(size-n, 0), size, http.StatusPartialContent
	}
	from, err := strconv.ParseInt(first, 10, 64)
	end := size - 1
	if err == nil && last != "" {
		end, err = strconv.ParseInt(last, 10, 64)
	}
	switch {
	case err != nil, last != "" && end < from:
		return 0, size, http.StatusOK
	case from >= size:
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return from, min(end+1, size), http.StatusPartialContent
}

// Give answers with a range of content; to a HEAD with its headers alone.
func Give(w http.ResponseWriter, r *http.Request, data []byte, from, to int64, status int) {
	h := w.Header()
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(data)))
	}
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(data[from:to]) // the client may be gone
	}
}
