package gs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Stat implements store.Source.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	return s.stat(ctx, "stat", key)
}

func (s *Store) stat(ctx context.Context, op, key string) (store.Object, error) {
	full, err := s.full(op, key, true)
	if err != nil {
		return store.Object{}, err
	}
	var doc resource
	r := request{op: op, method: http.MethodGet, key: key, path: s.objectPath(full), query: "fields=" + wire.EscapeQuery(objectFields)}
	h, err := s.readJSON(ctx, r, &doc)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.describe(key, &doc)
	if err != nil {
		return store.Object{}, nonsense(&r, h, err)
	}
	o.Meta = s.metadataOf(&doc)
	return o, nil
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
	full, err := s.full(op, key, true)
	if err != nil {
		return nil, store.Object{}, err
	}
	// What is stored is wanted, also where it was stored with gzip.
	header := http.Header{"Accept-Encoding": []string{"gzip"}}
	if opts.IfMatch != "" {
		header["X-Goog-If-Generation-Match"] = []string{opts.IfMatch}
	}
	ranged := opts.Offset > 0 || opts.Length > 0
	if ranged {
		header["Range"] = []string{wire.RangeOf(opts)}
	}
	r := request{op: op, method: http.MethodGet, key: key, path: s.xmlPath(full), header: header}
	req, token, err := s.newRequest(ctx, &r)
	if err != nil {
		return nil, store.Object{}, err
	}
	resp, refused, err := s.client.Exchange(ctx, req, nil, s.client.Limit(r.slow))
	switch {
	case refused != nil && refused.Status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refused != nil:
		return nil, store.Object{}, s.fault(&r, token, refused)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	o, length, err := s.opened(ctx, key, opts, ranged, resp)
	if err != nil {
		_ = resp.Body.Close() // the answer is of no use; why is in err
		return nil, store.Object{}, err
	}
	return wire.NewReader(resp.Body, length, func(err error) error { return wire.Wrap(ctx, "read", key, err) }), o, nil
}

// opened checks an answer and describes the object that it is of.
func (s *Store) opened(ctx context.Context, key string, opts store.OpenOptions, ranged bool, resp *http.Response) (store.Object, int64, error) {
	h := resp.Header
	bad := func(class store.Class, err error) (store.Object, int64, error) {
		return store.Object{}, 0, &store.Error{Op: "open", Key: key, Class: class, RequestID: requestID(h), Err: err}
	}
	generation := h.Get("X-Goog-Generation")
	if !isGeneration(generation) {
		return bad(store.Permanent, errors.New("the server tells no generation"))
	}
	if opts.IfMatch != "" && generation != opts.IfMatch {
		return bad(store.Precondition, fmt.Errorf("the object is of generation %s now", generation))
	}
	found, err := wire.Opened(opts, ranged, resp)
	if err != nil {
		return bad(store.Permanent, err)
	}
	if stored, err := strconv.ParseInt(h.Get("X-Goog-Stored-Content-Length"), 10, 64); err == nil && stored != found.Size {
		return bad(store.Permanent, fmt.Errorf("the server gives %d bytes of an object of %d: it was packed or unpacked on the way", found.Size, stored))
	}
	// The sums are those of the whole object, whatever part of it is read.
	o := store.Object{Key: key, Kind: wire.KindOf(s.prefix+key, found.Size), Size: found.Size, ETag: generation, Sums: sumsOf(h)}
	o.ModTime = wire.Date(h.Get("Last-Modified"))
	meta, sure := s.metadataIn(h)
	if o.Meta = meta; sure {
		return o, found.Length, nil
	}
	known, err := s.stat(ctx, "open", key)
	switch {
	case err != nil:
		return store.Object{}, 0, err
	case known.ETag != generation:
		return bad(store.Precondition, errors.New("the object changed while it was opened"))
	}
	o.Meta = known.Meta
	return o, found.Length, nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.stat(ctx, "open", key)
	if err != nil {
		return nil, store.Object{}, err
	}
	if opts.IfMatch != "" && o.ETag != opts.IfMatch {
		err := fmt.Errorf("the object is of generation %s now", o.ETag)
		return nil, store.Object{}, &store.Error{Op: "open", Key: key, Class: store.Precondition, Err: err}
	}
	if err := wire.Empty(key, opts, o.Size); err != nil {
		return nil, store.Object{}, err
	}
	return http.NoBody, o, nil
}
