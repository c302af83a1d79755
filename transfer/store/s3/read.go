package s3

import (
	"context"
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
	header := make(http.Header, 8)
	header["X-Amz-Checksum-Mode"] = []string{"ENABLED"}
	if ifMatch != "" {
		header["If-Match"] = []string{wire.Quote(ifMatch)}
	}
	resp, err := s.do(ctx, request{op: op, method: http.MethodHead, key: key, header: header})
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: fmt.Errorf("the server tells no size")}
	}
	o := s.objectOf(key, resp.Header, resp.ContentLength)
	o.Archived = isArchived(resp.Header, o.Meta.Class)
	return o, nil
}

// objectOf describes an object by the headers of an answer.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	o := store.Object{Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")), Sums: s.sumsOf(h)}
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		o.ModTime = t.UTC()
	}
	o.Meta = userMetadata().Get(h)
	o.Meta.Class, o.Meta.Encryption = s.classOf(h.Get("X-Amz-Storage-Class")), detailHeaders().EncryptionOf(h)
	return o
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
		header["If-Match"] = []string{wire.Quote(opts.IfMatch)}
	}
	ranged := opts.Offset > 0 || opts.Length > 0
	if ranged {
		header["Range"] = []string{wire.RangeOf(opts)}
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
	found, err := wire.Opened(opts, ranged, resp)
	if err != nil {
		_ = resp.Body.Close() // the answer is of no use; why is in err
		return nil, store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, RequestID: requestID(resp.Header), Err: err}
	}
	body := wire.NewReader(resp.Body, found.Length, func(err error) error { return s.wrap(ctx, "read", key, err) })
	if found.Part {
		return body, s.partOf(key, resp.Header, found.Size), nil
	}
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

// partOf is objectOf for an answer with a part of the content: only its ETag speaks of the whole.
func (s *Store) partOf(key string, h http.Header, size int64) store.Object {
	for _, name := range []string{headerCRC64, headerCRC32C, headerSHA256} {
		h.Del(name)
	}
	return s.objectOf(key, h, size)
}
