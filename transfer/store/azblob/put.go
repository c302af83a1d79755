package azblob

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination (https://learn.microsoft.com/rest/api/storageservices/put-blob).
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	header := make(http.Header, 16)
	body, err := wire.BodyOfKind(key, body, opts)
	if err == nil {
		err = setMeta(header, &opts.Meta)
	}
	if err == nil && body.Size > largestPut {
		err = fmt.Errorf("%d bytes; Azure takes %d in one request", body.Size, int64(largestPut))
	}
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	header["X-Ms-Blob-Type"] = []string{"BlockBlob"}
	setCondition(header, opts.Condition)
	s.announce(header, body.Sums, false)
	resp, err := s.calls.Send(ctx, wire.Request{Op: op, Method: http.MethodPut, Key: key, Header: header}, body)
	if err != nil {
		return store.Object{}, err
	}
	h := resp.Header
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, body.Size), Size: body.Size, ETag: wire.Unquote(h.Get("Etag")),
		ModTime: wire.Date(h.Get("Last-Modified")), Sums: s.sumsOfWrite(h),
	}, nil
}

func setCondition(h http.Header, c store.Condition) {
	switch {
	case c.Absent:
		h["If-None-Match"] = []string{"*"}
	case c.ETag != "":
		h["If-Match"] = []string{wire.Quote(c.ETag)}
	}
}

// Delete implements store.Destination. A blob with snapshots is not removed, for they would go with it.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.calls.Remove(ctx, wire.Request{Op: "delete", Method: http.MethodDelete, Key: key})
}
