package bos

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// CreateUpload implements store.Multiparter. User metadata goes with CompleteUpload.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	r := wire.Request{Op: "create upload", Method: http.MethodPost, Key: key, Query: "uploads=", Header: make(http.Header, 8)}
	// All of it is checked now: an upload that cannot be completed is not begun.
	if err := s.rules.Set(make(http.Header), &opts.Meta); err != nil {
		return "", wire.Permanent(r.Op, key, err)
	}
	headers := opts.Meta
	headers.User = nil
	if err := s.rules.Set(r.Header, &headers); err != nil {
		return "", wire.Permanent(r.Op, key, err)
	}
	setPlace(r.Header, &opts.Meta)
	var out struct {
		ID string `json:"uploadId"`
	}
	if _, err := s.calls.Read(ctx, r, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", wire.Permanent(r.Op, key, errors.New("the server gave no upload ID"))
	}
	return out.ID, nil
}

// uploadsPage is an answer of ListMultipartUploads (https://cloud.baidu.com/doc/BOS/s/Ikc5w7snc).
type uploadsPage struct {
	Truncated bool   `json:"isTruncated"`
	NextKey   string `json:"nextKeyMarker"`
	NextID    string `json:"nextUploadIdMarker"`
	Uploads   []struct {
		Key   string    `json:"key"`
		ID    string    `json:"uploadId"`
		Began time.Time `json:"initiated"`
	} `json:"uploads"`
}

// ListUploads implements store.Multiparter.
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return nil, wire.Permanent(op, key, err)
	}
	return wire.ListUploads(key, full, func(keyMarker, idMarker string) (*wire.UploadsPage, error) {
		query := "maxUploads=" + strconv.Itoa(pageSize) + "&prefix=" + wire.EscapeQuery(full)
		if keyMarker != "" {
			query = "keyMarker=" + wire.EscapeQuery(keyMarker) + "&" + query
		}
		if idMarker != "" {
			query += "&uploadIdMarker=" + wire.EscapeQuery(idMarker)
		}
		var doc uploadsPage
		r := wire.Request{Op: op, Method: http.MethodGet, Key: key, Bucket: true, Query: query + "&uploads="}
		if _, err := s.calls.Read(ctx, r, &doc); err != nil {
			return nil, err
		}
		page := &wire.UploadsPage{Truncated: doc.Truncated, NextKey: doc.NextKey, NextID: doc.NextID}
		for _, u := range doc.Uploads {
			page.Uploads = append(page.Uploads, wire.KeyedUpload{Key: u.Key, Upload: store.Upload{ID: u.ID, Began: u.Began}})
		}
		return page, nil
	})
}

// UploadPart implements store.Multiparter.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	r := wire.Request{Op: "upload part", Method: http.MethodPut, Key: key, Header: make(http.Header, 8), Query: wire.PartQuery(n, id)}
	resp, err := s.sendBody(ctx, r, body)
	if err != nil {
		return store.Part{}, err
	}
	return wire.PartOf(r.Op, key, n, body.Size, resp.Header.Get("Etag"), s.sumsOfStored(resp.Header))
}

// partsPage is an answer of ListParts.
type partsPage struct {
	Truncated bool `json:"isTruncated"`
	Next      int  `json:"nextPartNumberMarker"`
	Parts     []struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"eTag"`
		Size   int64  `json:"size"`
	} `json:"parts"`
}

// page gives the page as package wire has it. The marker may be left out: it is the last part.
func (p *partsPage) page(sums func(etag string) store.Checksums) *wire.PartsPage {
	page := &wire.PartsPage{Truncated: p.Truncated, Next: p.Next}
	for _, part := range p.Parts {
		etag := wire.Unquote(part.ETag)
		page.Parts = append(page.Parts, store.Part{Number: part.Number, Size: part.Size, ETag: etag, Sums: sums(etag)})
	}
	if n := len(page.Parts); page.Next == 0 && n > 0 {
		page.Next = page.Parts[n-1].Number
	}
	return page
}

// ListParts implements store.Multiparter.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	return wire.ListParts(key, mostParts, func(last int) (*wire.PartsPage, error) {
		query := "maxParts=" + strconv.Itoa(pageSize)
		if last > 0 {
			query += "&partNumberMarker=" + strconv.Itoa(last)
		}
		var doc partsPage
		r := wire.Request{Op: "list parts", Method: http.MethodGet, Key: key, Query: query + "&uploadId=" + wire.EscapeQuery(id)}
		if _, err := s.calls.Read(ctx, r, &doc); err != nil {
			return nil, err
		}
		return doc.page(s.sumsOfETag), nil
	})
}

// completion is the request of CompleteMultipartUpload.
type completion struct {
	Parts []completedPart `json:"parts"`
}

type completedPart struct {
	Number int    `json:"partNumber"`
	ETag   string `json:"eTag"`
}

// CompleteUpload implements store.Multiparter.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	r := wire.Request{
		Op: "complete upload", Method: http.MethodPost, Key: key, Query: "uploadId=" + wire.EscapeQuery(id), Header: make(http.Header, 8), Slow: true,
	}
	if err := s.rules.Set(r.Header, &store.Metadata{User: opts.Meta.User}); err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	setCondition(r.Header, opts.Condition)
	doc := completion{Parts: make([]completedPart, 0, len(parts))}
	for _, p := range parts {
		doc.Parts = append(doc.Parts, completedPart{p.Number, p.ETag})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	if err := wire.BeforeCommit(r.Op, key, &opts); err != nil {
		return store.Object{}, err
	}
	var out struct {
		ETag string `json:"eTag"`
	}
	r.Document = text
	h, err := s.calls.Read(ctx, r, &out)
	if err != nil {
		return store.Object{}, err
	}
	if out.ETag == "" {
		return store.Object{}, &store.Error{Op: r.Op, Key: key, Class: store.Transient, RequestID: requestID(h), Err: errors.New("the server's answer is no result of an upload")}
	}
	return store.Object{Key: key, Size: wire.SizeOf(parts), ETag: wire.Unquote(out.ETag), Sums: s.sumsOf(h)}, nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	return s.calls.Remove(ctx, wire.Request{Op: "abort upload", Method: http.MethodDelete, Key: key, Query: "uploadId=" + wire.EscapeQuery(id)})
}
