package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Stat implements store.Source.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	return s.head(ctx, "stat", key, "")
}

func (s *Store) head(ctx context.Context, op, key, ifMatch string) (store.Object, error) {
	resp, refused, err := s.calls.Exchange(ctx, wire.Request{Op: op, Method: http.MethodHead, Key: key, Header: wire.MatchHeader(ifMatch)})
	switch {
	case refused != nil:
		return store.Object{}, s.fault(op, key, s.reason(ctx, key, refused))
	case err != nil:
		return store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, wire.Permanent(op, key, errors.New("the server tells no size"))
	}
	return s.objectOf(key, resp.Header, resp.ContentLength), nil
}

// reason finds out why a look at an object was refused: the answer has no body, and 400 and 403 stand for an expired token, a wrong
// secret, a clock that is off, or a lacking permission. A read of one byte is refused for the same reason, and tells it.
func (s *Store) reason(ctx context.Context, key string, refused *wire.Refusal) *wire.Refusal {
	if refused.Status != http.StatusBadRequest && refused.Status != http.StatusForbidden {
		return refused
	}
	resp, told, err := s.calls.Exchange(ctx, wire.Request{Op: "open", Method: http.MethodGet, Key: key, Header: http.Header{"Range": {"bytes=0-0"}}})
	switch {
	case err != nil:
	case told == nil:
		_ = resp.Body.Close() // it may be read, but not looked at
	case told.Status == refused.Status:
		return told
	}
	return refused
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")), Sums: s.sumsOf(h),
		Meta: s.metaOf(h), Archived: isArchived(h),
	}
	o.ModTime = wire.Date(h.Get("Last-Modified"))
	return o
}

// Open implements store.Source.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	if opts.Offset < 0 {
		return nil, store.Object{}, wire.Permanent(op, key, fmt.Errorf("offset %d", opts.Offset))
	}
	if opts.Length == 0 {
		return s.openNothing(ctx, key, opts)
	}
	header, ranged := wire.ReadHeader(opts)
	resp, refused, err := s.calls.Exchange(ctx, wire.Request{Op: op, Method: http.MethodGet, Key: key, Header: header})
	switch {
	case refused != nil && refused.Status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refused != nil:
		return nil, store.Object{}, s.fault(op, key, refused)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	body, found, err := wire.OpenBody(ctx, key, opts, ranged, resp, requestID(resp.Header))
	if err != nil {
		return nil, store.Object{}, err
	}
	// The CRC64 is that of the whole object, whatever part of it is read.
	return body, s.objectOf(key, resp.Header, found.Size), nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	return wire.OpenNothing(key, opts, o, err)
}
