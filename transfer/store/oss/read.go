package oss

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
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodHead, Key: key, Header: wire.MatchHeader(ifMatch)})
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, wire.Permanent(op, key, errors.New("the server tells no size"))
	}
	o := s.objectOf(key, resp.Header, resp.ContentLength)
	o.Archived = isArchived(resp.Header, o.Meta.Class)
	return o, nil
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	kind := h.Get("X-Oss-Object-Type")
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")), Sums: s.sumsOf(h, kind),
		Meta: userMetadata().Get(h),
	}
	o.Meta.Encryption = detailHeaders().EncryptionOf(h)
	if class := h.Get("X-Oss-Storage-Class"); class != "" {
		o.Meta.Class = classes().Named(wire.Clip(class, 64))
	}
	o.ModTime = wire.Date(h.Get("Last-Modified"))
	if kind == typeSymlink && s.skipsLinks() {
		o.Kind, o.Reason = store.KindSkipped, reasonLink
	}
	return o
}

// reasonLink is why a link is left out.
const reasonLink = "symlink"

// skipsLinks tells that links are left out. At a destination they are what they show: objects to be compared, and replaced.
func (s *Store) skipsLinks() bool { return s.role == store.RoleSource && !s.opts.follow }

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
	if ranged {
		header["X-Oss-Range-Behavior"] = []string{"standard"}
	}
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
