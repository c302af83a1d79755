package bos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

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
	header := make(http.Header, 8)
	if ifMatch != "" {
		header["If-Match"] = []string{wire.Quote(ifMatch)}
	}
	resp, err := s.do(ctx, request{op: op, method: http.MethodHead, key: key, header: header})
	if err != nil {
		return store.Object{}, nil, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, nil, permanent(op, key, errors.New("the server tells no size"))
	}
	return s.objectOf(key, resp.Header, resp.ContentLength), resp.Header, nil
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")), Sums: s.sumsOf(h), Meta: s.metaOf(h),
	}
	o.Archived = o.Meta.Class.Tier.Archived() && !isRestored(h)
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.ModTime = t.UTC()
	}
	return o
}

// isRestored tells whether an archived object can be read for now: x-bce-restore has the date when that ends, and says
// ongoing-request="true" before it begins (https://cloud.baidu.com/doc/BOS/s/8l5jgdm4v).
func isRestored(h http.Header) bool {
	return strings.Contains(h.Get("X-Bce-Restore"), `ongoing-request="false"`)
}

// Open implements store.Source.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	if opts.Offset < 0 {
		return nil, store.Object{}, permanent(op, key, fmt.Errorf("negative offset %d", opts.Offset))
	}
	if opts.Length == 0 {
		return s.openNothing(ctx, key, opts)
	}
	ranged := opts.Offset > 0 || opts.Length > 0
	header := make(http.Header, 8)
	if ranged {
		header["Range"] = []string{wire.RangeOf(opts)}
	}
	if opts.IfMatch != "" {
		header["If-Match"] = []string{wire.Quote(opts.IfMatch)}
	}
	resp, refused, err := s.exchange(ctx, request{op: op, method: http.MethodGet, key: key, header: header})
	switch {
	case refused != nil:
		return s.openRefused(ctx, key, opts, ranged, s.fault(op, key, refused), refused.Status)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	found, err := wire.Opened(opts, ranged, resp)
	if err != nil {
		_ = resp.Body.Close() // the answer is of no use; why is in err
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, RequestID: requestID(resp.Header), Err: err}
	}
	// The sums are those of the whole object, whatever part of it is read.
	body := wire.NewReader(resp.Body, found.Length, func(err error) error { return wire.Wrap(ctx, "read", key, err) })
	return body, s.objectOf(key, resp.Header, found.Size), nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	if err != nil {
		return nil, store.Object{}, err
	}
	if err := wire.Empty(key, opts, o.Size); err != nil {
		return nil, store.Object{}, err
	}
	return http.NoBody, o, nil
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
