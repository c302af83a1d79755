package azblob

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
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodHead, Key: key, Header: wire.MatchHeader(ifMatch)})
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, wire.Permanent(op, key, errors.New("the server tells no size"))
	}
	return s.objectOf(key, resp.Header, resp.ContentLength, false), nil
}

// objectOf describes a blob by the headers of an answer; part tells that the answer is of a range.
func (s *Store) objectOf(key string, h http.Header, size int64, part bool) store.Object {
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: wire.Unquote(h.Get("Etag")),
		ModTime: wire.Date(h.Get("Last-Modified")), Meta: metaOf(h), Archived: h.Get("X-Ms-Access-Tier") == tierArchive,
	}
	md5 := h.Get("Content-Md5")
	if part {
		md5 = h.Get("X-Ms-Blob-Content-Md5") // the other is that of the range
	}
	o.Sums = sumsOfType(h.Get("X-Ms-Blob-Type"), md5)
	if s.skipsFolder(size, h.Get("X-Ms-Meta-Hdi_isfolder"), h.Get("X-Ms-Resource-Type")) {
		o.Kind, o.Reason = store.KindSkipped, reasonFolder
	}
	return o
}

// sumsOfType takes the MD5 that is kept with a blob. That of other blobs than block blobs is not theirs any more once they
// are appended to or changed.
func sumsOfType(kind, md5 string) store.Checksums {
	if kind != "" && kind != "BlockBlob" {
		return store.Checksums{}
	}
	return store.Checksums{MD5: md5Of(md5)}
}

// reasonFolder is why a blob is left out that stands for a directory.
const reasonFolder = "directory"

// skipsFolder tells the blobs that stand for directories: those of accounts with a hierarchical namespace, and those that
// Hadoop makes. At a destination they are not listed at all.
func (s *Store) skipsFolder(size int64, hdi, kind string) bool {
	return s.role == store.RoleSource && isFolder(size, hdi, kind)
}

func isFolder(size int64, hdi, kind string) bool {
	return size == 0 && (strings.EqualFold(hdi, "true") || strings.EqualFold(kind, "directory"))
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
	resp, refusal, err := s.calls.Exchange(ctx, wire.Request{Op: op, Method: http.MethodGet, Key: key, Header: header})
	switch {
	case refusal != nil && refusal.Status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refusal != nil:
		return nil, store.Object{}, s.fault(op, key, refusal)
	case err != nil:
		return nil, store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	if resp.StatusCode == http.StatusPartialContent && resp.ContentLength == 0 { // Azurite does not refuse it
		wire.Finish(resp.Body)
		return s.openNothing(ctx, key, opts)
	}
	body, found, err := wire.OpenBody(ctx, key, opts, ranged, resp, requestID(resp.Header))
	if err != nil {
		return nil, store.Object{}, err
	}
	return body, s.objectOf(key, resp.Header, found.Size, found.Part), nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the blob, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	return wire.OpenNothing(key, opts, o, err)
}
