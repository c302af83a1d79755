package s3

import (
	"context"
	"errors"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination.
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	header := make(http.Header, 16)
	body, err := wire.BodyOfKind(key, body, opts)
	if err == nil {
		err = s.setMeta(header, &opts.Meta)
	}
	if err != nil {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	setCondition(header, opts.Condition)
	resp, err := s.sendBody(ctx, request{op: op, method: http.MethodPut, key: key, header: header}, body)
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
		h["If-None-Match"] = []string{"*"}
	}
	if c.ETag != "" {
		h["If-Match"] = []string{wire.Quote(c.ETag)}
	}
}

// sendBody sends content with the sums known of it, and learns from the answer what the endpoint makes of them.
func (s *Store) sendBody(ctx context.Context, r request, body store.Body) (*http.Response, error) {
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return nil, s.wrap(ctx, r.op, r.key, err)
	}
	r.body = content
	crc64 := &s.sums.crc64
	if r.part {
		crc64 = &s.sums.crc64Parts
	}
	probing := s.setSums(r.header, body.Sums, crc64)
	again := r.header
	if probing {
		again = r.header.Clone() // signing adds to the header
	}
	resp, refused, err := s.exchange(ctx, r)
	switch {
	case refused == nil:
		if err == nil && probing {
			learnSums(resp.Header, crc64)
		}
		return resp, s.wrap(ctx, r.op, r.key, err)
	case !probing || !mayBeAboutSums(refused):
		return nil, s.fault(r.op, r.key, refused)
	case body.Bytes == nil && body.Size > 0:
		crc64.CompareAndSwap(crc64Unknown, crc64None)
		fault := s.fault(r.op, r.key, refused)
		fault.Class = store.Transient // the content is spent; the caller's next attempt goes without the sum
		return nil, fault
	}
	again.Del(headerCRC64)
	r.header = again
	resp, err = s.do(ctx, r)
	if err == nil {
		crc64.CompareAndSwap(crc64Unknown, crc64None)
	}
	return resp, err
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	resp, err := s.do(ctx, request{op: "delete", method: http.MethodDelete, key: key})
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.NotFound && e.Code != "NoSuchBucket" {
		return nil
	}
	if err != nil {
		return err
	}
	wire.Finish(resp.Body)
	return nil
}
