package uss

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

var (
	errFolder        = errors.New("it is a folder, not a file")
	errFile          = errors.New("it is a file, not a folder")
	errFolderContent = errors.New("a folder has no content")
)

// Types of names, as HEAD tells them.
const (
	typeFolder = "folder"
	headerType = "X-Upyun-File-Type"
)

// Stat implements store.Source.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	return s.head(ctx, "stat", key)
}

func (s *Store) head(ctx context.Context, op, key string) (store.Object, error) {
	if s.prefix+key == "" {
		return store.Object{Key: key, Kind: store.KindDir}, nil
	}
	r, err := s.on(op, http.MethodHead, key)
	if err != nil {
		return store.Object{}, err
	}
	resp, err := s.calls.Do(ctx, r)
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	folder := resp.Header.Get(headerType) == typeFolder
	switch {
	case folder && !isMarker(key):
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: errFolder}
	case !folder && isMarker(key):
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: errFile}
	case folder:
		return store.Object{Key: key, Kind: store.KindDir, ModTime: modTime(resp.Header), Meta: &store.Metadata{}}, nil
	}
	size, err := strconv.ParseInt(resp.Header.Get("X-Upyun-File-Size"), 10, 64)
	if err != nil || size < 0 {
		return store.Object{}, wire.Permanent(op, key, errors.New("the server tells no size"))
	}
	o := objectOf(key, resp.Header, size)
	o.Meta, err = s.complete(ctx, r, size, o.Meta)
	return o, err
}

// objectOf describes a file by the headers of an answer.
func objectOf(key string, h http.Header, size int64) store.Object {
	return store.Object{Key: key, Size: size, ModTime: modTime(h), Sums: sumsOf(h), Meta: metaOf(h)}
}

// modTime reads the time that both GET and HEAD tell, or else HEAD's own.
func modTime(h http.Header) time.Time {
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		return t.UTC()
	}
	sec, err := strconv.ParseInt(h.Get("X-Upyun-File-Date"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return since(sec)
}

// Open implements store.Source. There are no conditions, so opts.IfMatch, which no object here has, is not looked at.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	switch {
	case opts.Offset < 0:
		return nil, store.Object{}, wire.Permanent(op, key, fmt.Errorf("offset %d", opts.Offset))
	case isMarker(key):
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: errFolder}
	case opts.Length == 0:
		return s.openNothing(ctx, key, opts)
	case s.opts.domain != nil:
		return s.openAtDomain(ctx, key, opts)
	}
	r, err := s.on(op, http.MethodGet, key)
	if err != nil {
		return nil, store.Object{}, err
	}
	ranged := setRange(r.Header, opts)
	resp, refused, err := s.calls.Exchange(ctx, r)
	switch {
	case refused != nil && refused.Status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refused != nil:
		return nil, store.Object{}, s.fault(op, key, refused)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	if resp.Header.Get(headerIter) != "" {
		_ = resp.Body.Close() // what a folder has in it is nobody's content
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.NotFound, RequestID: requestID(resp.Header), Err: errFolder}
	}
	return opened(ctx, key, opts, ranged, resp, nil)
}

func setRange(h http.Header, opts store.OpenOptions) bool {
	if opts.Offset == 0 && opts.Length < 0 {
		return false
	}
	h["Range"] = []string{wire.RangeOf(opts)}
	return true
}

// opened gives the content of an answer; known is what the file is where the answer need not tell.
func opened(ctx context.Context, key string, opts store.OpenOptions, ranged bool, resp *http.Response, known *store.Object) (io.ReadCloser, store.Object, error) {
	body, found, err := wire.OpenBody(ctx, key, opts, ranged, resp, requestID(resp.Header))
	if err != nil {
		return nil, store.Object{}, err
	}
	if known == nil {
		o := objectOf(key, resp.Header, found.Size)
		if found.Part {
			o.Sums = store.Checksums{} // an MD5 told with a part may be the part's
		}
		return body, o, nil
	}
	if found.Size != known.Size {
		_ = resp.Body.Close() // it is of another version
		err := fmt.Errorf("the domain has %d bytes of it, the service %d", found.Size, known.Size)
		return nil, store.Object{}, &store.Error{
			Op: "open", Key: key, Class: store.Changed, Hint: "refresh the CDN's cache, or leave domain= out", Err: err,
		}
	}
	return body, *known, nil
}

// openAtDomain reads content from the domain that the service is bound to, where traffic costs less. What the file is, the
// service tells: caches keep old versions, and need not tell metadata.
func (s *Store) openAtDomain(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	known, err := s.head(ctx, op, key)
	if err != nil {
		return nil, store.Object{}, err
	}
	if opts.Offset >= known.Size {
		return nothing(key, opts, known)
	}
	header := make(http.Header, 4)
	ranged := setRange(header, opts)
	full := s.prefix + key
	u := url.URL{Scheme: s.opts.domain.Scheme, Host: s.opts.domain.Host, Path: "/" + full, RawPath: "/" + wire.EscapePath(full)}
	req := wire.NewRequest(http.MethodGet, &u, header)
	wire.Introduce(req)
	resp, refused, err := s.client.Exchange(ctx, req, nil, s.client.Idle)
	switch {
	case refused != nil:
		return nil, store.Object{}, s.domainFault(key, refused)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	return opened(ctx, key, opts, ranged, resp, &known)
}

// domainFault is the error of a refusal of the domain; the file itself is there.
func (s *Store) domainFault(key string, w *wire.Refusal) *store.Error {
	e := s.fault("open", key, w)
	switch {
	case e.Class == store.Auth:
		e.Hint = "the domain refuses readers it does not know (anti-leech rules); leave domain= out"
	case w.Status == http.StatusNotFound, w.Status == http.StatusRequestedRangeNotSatisfiable:
		e.Class, e.Hint = store.Changed, "the domain does not have what the service has; refresh the CDN's cache, or leave domain= out"
	case e.Class == store.Misconfigured:
		e.Hint = "check domain="
	}
	return e
}

// openNothing opens a range without bytes: of length 0, or at the very end of the file, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key)
	if err != nil {
		return nil, store.Object{}, err
	}
	return nothing(key, opts, o)
}

func nothing(key string, opts store.OpenOptions, o store.Object) (io.ReadCloser, store.Object, error) {
	if err := wire.Empty(key, opts, o.Size); err != nil {
		return nil, store.Object{}, err
	}
	return http.NoBody, o, nil
}
