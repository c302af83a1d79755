package cos

import (
	"context"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination. Of the condition, only absence can be asked for.
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	header := make(http.Header, 16)
	body, err := wire.BodyOfKind(key, body, opts)
	if err == nil {
		err = s.setMeta(header, &opts.Meta)
	}
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	setCondition(header, opts.Condition)
	resp, err := s.calls.SendWithMD5(ctx, wire.Request{Op: op, Method: http.MethodPut, Key: key, Header: header}, body)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, body.Size), Size: body.Size,
		ETag: wire.Unquote(resp.Header.Get("Etag")), Sums: s.sumsOf(resp.Header),
	}, nil
}

func setCondition(h http.Header, c store.Condition) {
	if c.Absent {
		h["X-Cos-Forbid-Overwrite"] = []string{"true"}
	}
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.calls.Remove(ctx, wire.Request{Op: "delete", Method: http.MethodDelete, Key: key})
}
