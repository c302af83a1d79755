package bos

import (
	"context"
	"encoding/binary"
	"net/http"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination.
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	header := make(http.Header, 16)
	body, err := wire.BodyOfKind(key, body, opts)
	if err == nil {
		err = s.rules.Set(header, &opts.Meta)
	}
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	setPlace(header, &opts.Meta)
	setCondition(header, opts.Condition)
	resp, err := s.sendBody(ctx, wire.Request{Op: op, Method: http.MethodPut, Key: key, Header: header}, body)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, body.Size), Size: body.Size,
		ETag: wire.Unquote(resp.Header.Get("Etag")), Sums: s.sumsOfStored(resp.Header),
	}, nil
}

// setCondition makes a write depend on what is there.
func setCondition(h http.Header, c store.Condition) {
	if c.Absent {
		h["If-None-Match"] = []string{"*"}
	}
	if c.ETag != "" {
		h["If-Match"] = []string{wire.Quote(c.ETag)}
	}
}

// sendBody sends content with the sums that are known of it.
func (s *Store) sendBody(ctx context.Context, r wire.Request, body store.Body) (*http.Response, error) {
	if sum := body.Sums.CRC64ECMA; len(sum) == 8 {
		r.Header[headerCRC64] = []string{strconv.FormatUint(binary.BigEndian.Uint64([]byte(sum)), 10)}
	}
	return s.calls.SendWithMD5(ctx, r, body)
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.calls.Remove(ctx, wire.Request{Op: "delete", Method: http.MethodDelete, Key: key})
}
