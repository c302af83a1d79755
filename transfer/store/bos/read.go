package bos

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
	o, _, err := s.headWith(ctx, op, key, ifMatch)
	return o, err
}

// headWith gives the headers of the answer too.
func (s *Store) headWith(ctx context.Context, op, key, ifMatch string) (store.Object, http.Header, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodHead, Key: key, Header: wire.MatchHeader(ifMatch)})
	if err != nil {
		return store.Object{}, nil, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, nil, wire.Permanent(op, key, errors.New("the server tells no size"))
	}
	return s.objectOf(key, resp.Header, resp.ContentLength), resp.Header, nil
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")), Sums: s.sumsOf(h), Meta: s.metaOf(h),
	}
	o.Archived = o.Meta.Class.Tier.Archived() && !isRestored(h)
	o.ModTime = wire.Date(h.Get("Last-Modified"))
	return o
}

// isRestored tells whether an archived object can be read for now: x-bce-restore has the date when that ends, and says
// ongoing-request="true" before it begins (https://cloud.baidu.com/doc/BOS/s/8l5jgdm4v).
func isRestored(h http.Header) bool {
	return wire.IsRestored(h.Get("X-Bce-Restore"))
}

// Open implements store.Source.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	if opts.Offset < 0 {
		return nil, store.Object{}, wire.Permanent(op, key, fmt.Errorf("negative offset %d", opts.Offset))
	}
	if opts.Length == 0 {
		return s.openNothing(ctx, key, opts)
	}
	header, ranged := wire.ReadHeader(opts)
	resp, refused, err := s.calls.Exchange(ctx, wire.Request{Op: op, Method: http.MethodGet, Key: key, Header: header})
	switch {
	case refused != nil:
		return s.openRefused(ctx, key, opts, ranged, s.fault(op, key, refused), refused.Status)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	body, found, err := wire.OpenBody(ctx, key, opts, ranged, resp, requestID(resp.Header))
	if err != nil {
		return nil, store.Object{}, err
	}
	// The sums are those of the whole object, whatever part of it is read.
	return body, s.objectOf(key, resp.Header, found.Size), nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	return wire.OpenNothing(key, opts, o, err)
}

// openRefused looks at an object whose content was refused for what the refusal may not tell: it is empty, of which BOS gives
// no range and answers 400, or archived.
func (s *Store) openRefused(ctx context.Context, key string, opts store.OpenOptions, ranged bool, refused *store.Error, status int) (io.ReadCloser, store.Object, error) {
	outside := ranged && (status == http.StatusRequestedRangeNotSatisfiable || status == http.StatusBadRequest)
	frozen := refused.Class == store.Archived || refused.Class == store.Permanent ||
		refused.Class == store.Auth && refused.Code != "InvalidAccessKeyId" && refused.Code != "SignatureDoesNotMatch"
	if !outside && !frozen {
		return nil, store.Object{}, refused
	}
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	switch {
	case store.ClassOf(err) == store.Precondition:
		return nil, store.Object{}, err
	case err != nil:
		return nil, store.Object{}, refused // the first refusal says more
	case outside && wire.Empty(key, opts, o.Size) == nil && !o.Archived:
		return http.NoBody, o, nil
	case o.Archived:
		refused.Class, refused.Hint = store.Archived, hintRestore
	case status == http.StatusRequestedRangeNotSatisfiable:
		return nil, store.Object{}, wire.Empty(key, opts, o.Size)
	}
	return nil, store.Object{}, refused
}
