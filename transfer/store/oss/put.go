package oss

import (
	"context"
	"encoding/base64"
	"errors"
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
		err = setMeta(header, &opts.Meta)
	}
	if err != nil {
		return store.Object{}, permanent(op, key, err)
	}
	setCondition(header, opts.Condition)
	resp, err := s.sendBody(ctx, request{op: op, method: http.MethodPut, key: key, header: header}, body)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, body.Size), Size: body.Size,
		ETag: wire.Unquote(resp.Header.Get("Etag")), Sums: s.sumsOf(resp.Header, typeNormal),
	}, nil
}

func setCondition(h http.Header, c store.Condition) {
	if c.Absent {
		h["X-Oss-Forbid-Overwrite"] = []string{"true"}
	}
}

// sendBody sends content with the MD5 where it is known.
func (s *Store) sendBody(ctx context.Context, r request, body store.Body) (*http.Response, error) {
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	r.body = content
	if body.Sums.MD5 != "" {
		r.header["Content-Md5"] = []string{base64.StdEncoding.EncodeToString([]byte(body.Sums.MD5))}
	}
	return s.do(ctx, r)
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.discard(ctx, request{op: "delete", method: http.MethodDelete, key: key})
}

// discard sends a request to remove something; what is not there is no error.
func (s *Store) discard(ctx context.Context, r request) error {
	resp, err := s.do(ctx, r)
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	wire.Finish(resp.Body)
	return nil
}
