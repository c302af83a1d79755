package urllist

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Stat asks for the first byte: HEAD is refused by some servers, and by URLs that are signed for GET. An answer that does
// not tell its length is read to its end, for the size and the MD5.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	resp, err := s.get(ctx, key, http.Header{"Range": {"bytes=0-0"}})
	if err != nil {
		return store.Object{}, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		discard(resp)
		if resp, err = s.get(ctx, key, http.Header{}); err != nil { // it is empty, or says so of all ranges
			return store.Object{}, err
		}
	}
	defer discard(resp)
	o := describe(key, resp)
	switch resp.StatusCode {
	case http.StatusPartialContent:
		_, total, err := contentRange(resp)
		if err != nil {
			return store.Object{}, s.failure(ctx, key, err)
		}
		if o.Size = total; total >= 0 {
			return o, nil
		}
		whole, err := s.get(ctx, key, http.Header{})
		if err != nil {
			return store.Object{}, err
		}
		defer discard(whole)
		if whole.StatusCode != http.StatusOK {
			return store.Object{}, s.refusal(key, whole)
		}
		return s.measure(ctx, key, whole)
	case http.StatusOK:
		o.OneStream = true
		if o.Size = resp.ContentLength; o.Size >= 0 {
			return o, nil
		}
		return s.measure(ctx, key, resp)
	}
	return store.Object{}, s.refusal(key, resp)
}

// measure reads an answer that does not tell its length.
func (s *Store) measure(ctx context.Context, key string, resp *http.Response) (store.Object, error) {
	o := describe(key, resp)
	o.OneStream = true
	hash := md5.New()
	n, err := io.Copy(hash, io.LimitReader(resp.Body, s.opts.maxSize+1))
	switch {
	case err != nil:
		return store.Object{}, s.failure(ctx, key, err)
	case n > s.opts.maxSize:
		return store.Object{}, &store.Error{Op: "get", Key: shown(key), Class: store.Permanent,
			Err:  fmt.Errorf("the answer does not tell its length and is longer than %d bytes", s.opts.maxSize),
			Hint: "raise the option max_size if it is not endless"}
	}
	o.Size, o.Sums.MD5 = n, string(hash.Sum(nil))
	return o, nil
}

// describe reads an answer's headers. Only a strong ETag names the bytes (RFC 9110, section 8.8.1).
func describe(key string, resp *http.Response) store.Object {
	h := resp.Header
	o := store.Object{Key: key, Meta: &store.Metadata{
		ContentType: h.Get("Content-Type"), CacheControl: h.Get("Cache-Control"), ContentDisposition: h.Get("Content-Disposition"),
		ContentEncoding: h.Get("Content-Encoding"), ContentLanguage: h.Get("Content-Language"), Expires: h.Get("Expires"),
	}}
	if at, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.ModTime = at.UTC()
	}
	if tag := h.Get("ETag"); len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		o.ETag = tag[1 : len(tag)-1]
	}
	if sum, err := base64.StdEncoding.DecodeString(h.Get("Content-Md5")); err == nil && len(sum) == md5.Size && resp.StatusCode == http.StatusOK {
		o.Sums.MD5 = string(sum)
	}
	return o
}

// contentRange reads "bytes FIRST-LAST/TOTAL"; total is -1 where it is "*".
func contentRange(resp *http.Response) (first, total int64, err error) {
	bad := &errRefused{"the server sends a range that it does not describe"}
	text, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	span, size, cut := strings.Cut(text, "/")
	from, _, dash := strings.Cut(span, "-")
	if !ok || !cut || !dash {
		return 0, 0, bad
	}
	if first, err = strconv.ParseInt(from, 10, 64); err != nil || first < 0 {
		return 0, 0, bad
	}
	if size == "*" {
		return first, -1, nil
	}
	if total, err = strconv.ParseInt(size, 10, 64); err != nil || total <= first {
		return 0, 0, bad
	}
	return first, total, nil
}

// Open reads a range. The Object's size is -1 where the answer does not tell it. What a server that knows no ranges sends
// before the offset is skipped.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	b := &body{s: s, ctx: ctx, key: key, pos: opts.Offset, end: -1, resumes: maxResumes}
	if opts.Length >= 0 {
		b.end = opts.Offset + opts.Length
	}
	header := http.Header{}
	if opts.IfMatch != "" {
		header.Set("If-Match", `"`+opts.IfMatch+`"`)
	}
	if opts.Length == 0 {
		o, err := s.Stat(ctx, key)
		if err == nil {
			err = matches(key, &o, opts.IfMatch)
		}
		return io.NopCloser(strings.NewReader("")), o, err
	}
	o, err := b.open(header)
	if err != nil {
		return nil, store.Object{}, err
	}
	if err := matches(key, &o, opts.IfMatch); err != nil {
		return nil, store.Object{}, errors.Join(err, b.Close())
	}
	b.tag = o.ETag
	return b, o, nil
}

// matches refuses another version, for servers that do not look at If-Match.
func matches(key string, o *store.Object, tag string) error {
	if tag == "" || o.ETag == tag {
		return nil
	}
	return &store.Error{Op: "get", Key: shown(key), Class: store.Precondition, Err: errors.New("it has another ETag by now")}
}

// body is content on its way, from pos to end. A connection that is cut is taken up where it ended, as long as the
// ETag shows that the rest is of the same content.
type body struct {
	s       *Store
	ctx     context.Context
	key     string
	tag     string // strong ETag; "" where there is none
	pos     int64
	end     int64 // -1: up to the end of the answer
	rc      io.ReadCloser
	ranges  bool // the server reads ranges
	resumes int  // left
}

// open asks for what is left.
func (b *body) open(header http.Header) (store.Object, error) {
	if b.pos > 0 || b.end >= 0 {
		text := fmt.Sprintf("bytes=%d-", b.pos)
		if b.end >= 0 {
			text += strconv.FormatInt(b.end-1, 10)
		}
		header.Set("Range", text)
	}
	resp, err := b.s.get(b.ctx, b.key, header)
	if err != nil {
		return store.Object{}, err
	}
	o := describe(b.key, resp)
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var first int64
		if first, o.Size, err = contentRange(resp); err == nil && first != b.pos {
			err = &errRefused{"the server sends another range than it was asked for"}
		}
		b.ranges = true
	case http.StatusOK:
		o.Size, o.OneStream = resp.ContentLength, header.Get("Range") != ""
		b.ranges = strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes")
		if b.pos > 0 {
			_, err = io.CopyN(io.Discard, resp.Body, b.pos)
		}
	default:
		err = b.s.refusal(b.key, resp)
	}
	if err != nil {
		discard(resp)
		return store.Object{}, b.s.failure(b.ctx, b.key, err)
	}
	if b.end < 0 && o.Size >= 0 {
		b.end = o.Size
	}
	b.rc = resp.Body
	return o, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.end >= 0 {
			if b.pos >= b.end {
				return 0, io.EOF
			}
			p = p[:min(int64(len(p)), b.end-b.pos)]
		}
		n, err := b.rc.Read(p)
		b.pos += int64(n)
		if n > 0 || err == nil {
			return n, nil // an error comes again with the next read
		}
		if errors.Is(err, io.EOF) && b.end < 0 {
			return 0, io.EOF
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if again := b.resume(); again != nil {
			return 0, b.s.failure(b.ctx, b.key, fmt.Errorf("after %d bytes: %w", b.pos, errors.Join(err, again)))
		}
	}
}

// errWhole tells that a body cannot be taken up where it ended.
var errWhole = errors.New("not taken up there")

// resume opens the rest after the connection was cut.
func (b *body) resume() error {
	if b.tag == "" || !b.ranges || b.end < 0 || b.resumes == 0 || b.ctx.Err() != nil {
		return errWhole
	}
	b.resumes--
	_ = b.rc.Close() // it failed already
	quoted := `"` + b.tag + `"`
	end := b.end
	o, err := b.open(http.Header{"If-Range": {quoted}, "If-Match": {quoted}})
	b.end = end
	if err != nil {
		b.rc = io.NopCloser(strings.NewReader(""))
		return err
	}
	return matches(b.key, &o, b.tag)
}

// Close ends the request.
func (b *body) Close() error { return b.rc.Close() }

var _ store.Destination = (*Store)(nil)
