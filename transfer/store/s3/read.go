package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Stat implements store.Source.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	return s.head(ctx, "stat", key, "")
}

func (s *Store) head(ctx context.Context, op, key, ifMatch string) (store.Object, error) {
	header := make(http.Header, 8)
	header["X-Amz-Checksum-Mode"] = []string{"ENABLED"}
	if ifMatch != "" {
		header["If-Match"] = []string{quote(ifMatch)}
	}
	resp, err := s.do(ctx, request{op: op, method: http.MethodHead, key: key, header: header})
	if err != nil {
		return store.Object{}, err
	}
	finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: fmt.Errorf("the server tells no size")}
	}
	return s.objectOf(key, resp.Header, resp.ContentLength), nil
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	o := store.Object{Key: key, Kind: s.kindOf(key, size), Size: size, ETag: unquote(h.Get("Etag")), Sums: s.sumsOf(h)}
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.ModTime = t.UTC()
	}
	o.Meta = getMetadata(h)
	return o
}

// kindOf tells directory markers by their names: empty, and "/" at the end of the whole key.
func (s *Store) kindOf(key string, size int64) store.Kind {
	if size == 0 && strings.HasSuffix(s.prefix+key, "/") {
		return store.KindDir
	}
	return store.KindObject
}

// Open implements store.Source.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	if opts.Offset < 0 {
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: fmt.Errorf("offset %d", opts.Offset)}
	}
	if opts.Length == 0 {
		return s.openNothing(ctx, key, opts)
	}
	header := make(http.Header, 8)
	header["X-Amz-Checksum-Mode"] = []string{"ENABLED"}
	if opts.IfMatch != "" {
		header["If-Match"] = []string{quote(opts.IfMatch)}
	}
	ranged := opts.Offset > 0 || opts.Length > 0
	if ranged {
		header["Range"] = []string{rangeOf(opts)}
	}
	resp, refused, err := s.exchange(ctx, request{op: op, method: http.MethodGet, key: key, header: header})
	switch {
	case refused != nil && refused.status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refused != nil:
		return nil, store.Object{}, s.fault(op, key, refused)
	case err != nil:
		return nil, store.Object{}, s.wrap(ctx, op, key, err)
	}
	o, length, err := s.opened(key, opts, ranged, resp)
	if err != nil {
		_ = resp.Body.Close() // the answer is of no use; why is in err
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, RequestID: requestID(resp.Header), Err: err}
	}
	return &objectReader{s: s, ctx: ctx, key: key, body: resp.Body, left: length}, o, nil
}

func rangeOf(opts store.OpenOptions) string {
	r := "bytes=" + strconv.FormatInt(opts.Offset, 10) + "-"
	if opts.Length > 0 {
		r += strconv.FormatInt(opts.Offset+opts.Length-1, 10)
	}
	return r
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	if err != nil {
		return nil, store.Object{}, err
	}
	if opts.Offset > o.Size || opts.Offset < o.Size && opts.Length != 0 {
		err := fmt.Errorf("range from byte %d of an object of %d bytes", opts.Offset, o.Size)
		return nil, store.Object{}, &store.Error{Op: "open", Key: key, Class: store.Permanent, Code: "InvalidRange", Err: err}
	}
	return http.NoBody, o, nil
}

// opened checks that an answer is the range that was asked for, and gives the object and the bytes to read.
func (s *Store) opened(key string, opts store.OpenOptions, ranged bool, resp *http.Response) (store.Object, int64, error) {
	if resp.ContentLength < 0 {
		return store.Object{}, 0, fmt.Errorf("the server tells no size")
	}
	if resp.StatusCode != http.StatusPartialContent {
		if opts.Offset > 0 {
			return store.Object{}, 0, fmt.Errorf("the server ignores ranges")
		}
		length := resp.ContentLength
		if opts.Length > 0 {
			length = min(length, opts.Length)
		}
		return s.objectOf(key, resp.Header, resp.ContentLength), length, nil
	}
	first, last, size, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil {
		return store.Object{}, 0, err
	}
	wantLast := size - 1
	if opts.Length > 0 {
		wantLast = min(wantLast, opts.Offset+opts.Length-1)
	}
	if !ranged || first != opts.Offset || last != wantLast || resp.ContentLength != last-first+1 {
		return store.Object{}, 0, fmt.Errorf("asked for %q, got %q of %d bytes", rangeOf(opts), clip(resp.Header.Get("Content-Range"), 100), resp.ContentLength)
	}
	return s.partOf(key, resp.Header, size), last - first + 1, nil
}

// partOf is objectOf for an answer with a part of the content: only its ETag speaks of the whole.
func (s *Store) partOf(key string, h http.Header, size int64) store.Object {
	for _, name := range []string{headerCRC64, headerCRC32C, headerSHA256} {
		h.Del(name)
	}
	return s.objectOf(key, h, size)
}

// parseContentRange reads "bytes FIRST-LAST/SIZE" (RFC 9110, section 14.4).
func parseContentRange(text string) (first, last, size int64, err error) {
	bad := fmt.Errorf("bad Content-Range %q", clip(text, 100))
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

// objectReader gives exactly the bytes that were promised and classifies what goes wrong.
type objectReader struct {
	s    *Store
	ctx  context.Context
	key  string
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
	return n, r.s.wrap(r.ctx, "read", r.key, err)
}

// Close ends the read. What is left of a short rest is read, so that the connection can serve again.
func (r *objectReader) Close() error {
	if r.left == 0 {
		finish(r.body)
		return nil
	}
	return r.body.Close()
}
