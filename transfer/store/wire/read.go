package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// RangeOf gives the value of the header Range.
func RangeOf(opts store.OpenOptions) string {
	r := "bytes=" + strconv.FormatInt(opts.Offset, 10) + "-"
	if opts.Length > 0 {
		r += strconv.FormatInt(opts.Offset+opts.Length-1, 10)
	}
	return r
}

// MatchHeader makes headers that ask for one version of an object, or for any with an empty ETag.
func MatchHeader(etag string) http.Header {
	h := make(http.Header, 8)
	if etag != "" {
		h["If-Match"] = []string{Quote(etag)}
	}
	return h
}

// ReadHeader makes the headers of a GET; ranged tells that they ask for a range.
func ReadHeader(opts store.OpenOptions) (h http.Header, ranged bool) {
	h = MatchHeader(opts.IfMatch)
	if ranged = opts.Offset > 0 || opts.Length > 0; ranged {
		h["Range"] = []string{RangeOf(opts)}
	}
	return h, ranged
}

// Date reads a date of an answer; the zero time for what is none.
func Date(text string) time.Time {
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Opening is what the answer to a GET gives.
type Opening struct {
	Size   int64 // of the whole object
	Length int64 // bytes to read
	Part   bool  // the answer is of a part: its headers need not be those of the whole
}

// Opened checks that an answer is what was asked for; ranged tells that a range was.
func Opened(opts store.OpenOptions, ranged bool, resp *http.Response) (Opening, error) {
	if resp.ContentLength < 0 {
		return Opening{}, errors.New("the server tells no size")
	}
	if resp.StatusCode != http.StatusPartialContent {
		if opts.Offset > 0 {
			return Opening{}, errors.New("the server ignores ranges")
		}
		length := resp.ContentLength
		if opts.Length > 0 {
			length = min(length, opts.Length)
		}
		return Opening{Size: resp.ContentLength, Length: length}, nil
	}
	first, last, size, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil {
		return Opening{}, err
	}
	wantLast := size - 1
	if opts.Length > 0 {
		wantLast = min(wantLast, opts.Offset+opts.Length-1)
	}
	if !ranged || first != opts.Offset || last != wantLast || resp.ContentLength != last-first+1 {
		return Opening{}, fmt.Errorf("asked for %q, got %q of %d bytes", RangeOf(opts), Clip(resp.Header.Get("Content-Range"), 100), resp.ContentLength)
	}
	return Opening{Size: size, Length: last - first + 1, Part: true}, nil
}

// OpenBody gives the content of an answer to a GET. One that is not what was asked for is closed.
func OpenBody(
	ctx context.Context, key string, opts store.OpenOptions, ranged bool, resp *http.Response, requestID string,
) (io.ReadCloser, Opening, error) {
	found, err := Opened(opts, ranged, resp)
	if err != nil {
		_ = resp.Body.Close() // the answer is of no use; why is in err
		return nil, Opening{}, &store.Error{Op: "open", Key: key, Class: store.Permanent, RequestID: requestID, Err: err}
	}
	return NewReader(resp.Body, found.Length, func(err error) error { return Wrap(ctx, "read", key, err) }), found, nil
}

// OpenNothing opens a range without bytes, of length 0 or at the very end of an object, which a GET refuses; o and err are what a look
// at the object gave.
func OpenNothing(key string, opts store.OpenOptions, o store.Object, err error) (io.ReadCloser, store.Object, error) {
	if err == nil {
		err = Empty(key, opts, o.Size)
	}
	if err != nil {
		return nil, store.Object{}, err
	}
	return http.NoBody, o, nil
}

// Empty checks that a range without bytes, of length 0 or at the very end of an object, lies in an object of a size.
func Empty(key string, opts store.OpenOptions, size int64) error {
	if opts.Offset > size || opts.Offset < size && opts.Length != 0 {
		err := fmt.Errorf("range from byte %d of an object of %d bytes", opts.Offset, size)
		return &store.Error{Op: "open", Key: key, Class: store.Permanent, Code: "InvalidRange", Err: err}
	}
	return nil
}

// parseContentRange reads "bytes FIRST-LAST/SIZE" (RFC 9110, section 14.4).
func parseContentRange(text string) (first, last, size int64, err error) {
	bad := fmt.Errorf("bad Content-Range %q", Clip(text, 100))
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	from, to, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, 0, bad
	}
	for _, f := range []struct {
		text string
		dst  *int64
	}{{from, &first}, {to, &last}, {total, &size}} {
		n, err := strconv.ParseUint(f.text, 10, 63)
		if err != nil {
			return 0, 0, 0, bad
		}
		*f.dst = int64(n)
	}
	if first > last || last >= size {
		return 0, 0, 0, bad
	}
	return first, last, size, nil
}

// NewReader reads length bytes of the body of an answer; wrap classifies what goes wrong.
func NewReader(body io.ReadCloser, length int64, wrap func(error) error) io.ReadCloser {
	return &objectReader{wrap: wrap, body: body, left: length}
}

// objectReader gives exactly the bytes that were promised and classifies what goes wrong.
type objectReader struct {
	wrap func(error) error
	body io.ReadCloser
	left int64
}

// Read reads content.
func (r *objectReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.body.Read(p)
	r.left -= int64(n)
	switch {
	case r.left == 0:
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, r.wrap(err)
}

// Close ends the read. What is left of a short rest is read, so that the connection can serve again.
func (r *objectReader) Close() error {
	if r.left == 0 {
		Finish(r.body)
		return nil
	}
	return r.body.Close()
}
