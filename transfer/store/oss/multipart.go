package oss

import (
	"context"
	"errors"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// CreateUpload implements store.Multiparter.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	r := wire.Request{Op: "create upload", Method: http.MethodPost, Key: key, Query: "uploads", Header: make(http.Header, 8)}
	if err := setUploadMeta(r.Header, &opts.Meta); err != nil {
		return "", wire.Permanent(r.Op, key, err)
	}
	var out wire.XMLUploadID
	if _, err := s.calls.Read(ctx, r, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", wire.Permanent(r.Op, key, errors.New("the server gave no upload ID"))
	}
	return out.ID, nil
}

// ListUploads implements store.Multiparter (https://www.alibabacloud.com/help/en/oss/developer-reference/listmultipartuploads).
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return nil, wire.Permanent(op, key, err)
	}
	return wire.ListUploads(key, full, func(keyMarker, idMarker string) (*wire.UploadsPage, error) {
		query := wire.UploadsQuery(pageSize, full, keyMarker, idMarker)
		r := wire.Request{Op: op, Method: http.MethodGet, Key: key, Bucket: true, Query: query}
		var doc wire.XMLUploads
		if _, err := s.calls.Read(ctx, r, &doc); err != nil {
			return nil, err
		}
		return doc.Page(), nil
	})
}

// UploadPart implements store.Multiparter.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	r := wire.Request{Op: "upload part", Method: http.MethodPut, Key: key, Header: make(http.Header, 8), Query: wire.PartQuery(n, id)}
	resp, err := s.calls.SendWithMD5(ctx, r, body)
	if err != nil {
		return store.Part{}, err
	}
	return wire.PartOf(r.Op, key, n, body.Size, resp.Header.Get("Etag"), s.sumsOf(resp.Header, typeNormal))
}

// ListParts implements store.Multiparter (https://www.alibabacloud.com/help/en/oss/developer-reference/listparts).
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	return wire.ListParts(key, mostParts, func(last int) (*wire.PartsPage, error) {
		r := wire.Request{Op: "list parts", Method: http.MethodGet, Key: key, Query: wire.PartsQuery(pageSize, last, id)}
		var doc wire.XMLParts
		if _, err := s.calls.Read(ctx, r, &doc); err != nil {
			return nil, err
		}
		return doc.Page(func(etag string) store.Checksums { return s.sumsOfETag(etag, typeNormal) }), nil
	})
}

// CompleteUpload implements store.Multiparter.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	r := wire.Request{
		Op: "complete upload", Method: http.MethodPost, Key: key, Query: "uploadId=" + wire.EscapeQuery(id), Header: make(http.Header, 8), Slow: true,
	}
	setCondition(r.Header, opts.Condition)
	if access := opts.Meta.Access; access != store.AccessUnknown {
		r.Header[headerACL] = []string{string(access)}
	}
	text, err := wire.CompletionXML(parts)
	if err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	if err := wire.BeforeCommit(r.Op, key, &opts); err != nil {
		return store.Object{}, err
	}
	var out wire.XMLCompleted
	r.Document = text
	h, err := s.calls.Read(ctx, r, &out)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{Key: key, Size: wire.SizeOf(parts), ETag: wire.Unquote(out.ETag), Sums: s.sumsOf(h, "Multipart")}, nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	return s.calls.Remove(ctx, wire.Request{Op: "abort upload", Method: http.MethodDelete, Key: key, Query: "uploadId=" + wire.EscapeQuery(id)})
}
