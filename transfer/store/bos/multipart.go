package bos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// maxPages bounds the pages of uploads or parts of one key.
const maxPages = 10000

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// CreateUpload implements store.Multiparter. User metadata goes with CompleteUpload.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	r := request{op: "create upload", method: http.MethodPost, key: key, query: "uploads=", header: make(http.Header, 8)}
	// All of it is checked now: an upload that cannot be completed is not begun.
	if err := s.rules.Set(make(http.Header), &opts.Meta); err != nil {
		return "", permanent(r.op, key, err)
	}
	headers := opts.Meta
	headers.User = nil
	if err := s.rules.Set(r.header, &headers); err != nil {
		return "", permanent(r.op, key, err)
	}
	setPlace(r.header, &opts.Meta)
	var out struct {
		ID string `json:"uploadId"`
	}
	if _, err := s.read(ctx, r, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", permanent(r.op, key, errors.New("the server gave no upload ID"))
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

// ListUploads implements store.Multiparter. The server lists by prefix; siblings are left out here.
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return nil, permanent(op, key, err)
	}
	var uploads []store.Upload
	var marker, idMarker string
	for range maxPages {
		query := "maxUploads=" + strconv.Itoa(pageSize) + "&prefix=" + wire.EscapeQuery(full)
		if marker != "" {
			query = "keyMarker=" + wire.EscapeQuery(marker) + "&" + query
		}
		if idMarker != "" {
			query += "&uploadIdMarker=" + wire.EscapeQuery(idMarker)
		}
		var page uploadsPage
		r := request{op: op, method: http.MethodGet, key: key, bucket: true, query: query + "&uploads="}
		if _, err := s.read(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if u.Key == full {
				uploads = append(uploads, store.Upload{ID: u.ID, Began: u.Began.UTC()})
			}
		}
		// Uploads come in the order of their keys: behind this key there is nothing to see.
		if !page.Truncated || page.NextKey > full {
			return uploads, nil
		}
		if page.NextKey == marker && page.NextID == idMarker {
			return nil, permanent(op, key, errors.New("the listing of uploads repeats"))
		}
		marker, idMarker = page.NextKey, page.NextID
	}
	return nil, permanent(op, key, errors.New("the listing of uploads has no end"))
}

func partQuery(n int, id string) string {
	return "partNumber=" + strconv.Itoa(n) + "&uploadId=" + wire.EscapeQuery(id)
}

// UploadPart implements store.Multiparter.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	r := request{op: "upload part", method: http.MethodPut, key: key, header: make(http.Header, 8), query: partQuery(n, id)}
	resp, err := s.sendBody(ctx, r, body)
	if err != nil {
		return store.Part{}, err
	}
	etag := wire.Unquote(resp.Header.Get("Etag"))
	if etag == "" {
		return store.Part{}, permanent(r.op, key, errors.New("the server gave no ETag"))
	}
	return store.Part{Number: n, Size: body.Size, ETag: etag, Sums: s.sumsOfStored(resp.Header)}, nil
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

// ListParts implements store.Multiparter.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	var parts []store.Part
	last := 0
	for range maxPages {
		query := "maxParts=" + strconv.Itoa(pageSize)
		if last > 0 {
			query += "&partNumberMarker=" + strconv.Itoa(last)
		}
		var page partsPage
		r := request{op: op, method: http.MethodGet, key: key, query: query + "&uploadId=" + wire.EscapeQuery(id)}
		if _, err := s.read(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			if p.Number <= last || p.Size < 0 {
				return nil, permanent(op, key, fmt.Errorf("listing out of order: part %d of %d bytes after %d", p.Number, p.Size, last))
			}
			last = p.Number
			etag := wire.Unquote(p.ETag)
			parts = append(parts, store.Part{Number: p.Number, Size: p.Size, ETag: etag, Sums: s.sumsOfETag(etag)})
		}
		switch {
		case !page.Truncated:
			return parts, nil
		case len(page.Parts) == 0 || page.Next != 0 && page.Next != last:
			return nil, permanent(op, key, errors.New("the listing of parts does not go on"))
		}
	}
	return nil, permanent(op, key, errors.New("the listing of parts has no end"))
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
	r := request{
		op: "complete upload", method: http.MethodPost, key: key, query: "uploadId=" + wire.EscapeQuery(id), header: make(http.Header, 8), slow: true,
	}
	if err := s.rules.Set(r.header, &store.Metadata{User: opts.Meta.User}); err != nil {
		return store.Object{}, permanent(r.op, key, err)
	}
	setCondition(r.header, opts.Condition)
	doc := completion{Parts: make([]completedPart, 0, len(parts))}
	var size int64
	for _, p := range parts {
		size += p.Size
		doc.Parts = append(doc.Parts, completedPart{p.Number, p.ETag})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return store.Object{}, permanent(r.op, key, err)
	}
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return store.Object{}, &store.Error{Op: r.op, Key: key, Class: store.Canceled, Err: err}
		}
	}
	var out struct {
		ETag string `json:"eTag"`
	}
	r.document = text
	h, err := s.read(ctx, r, &out)
	if err != nil {
		return store.Object{}, err
	}
	if out.ETag == "" {
		return store.Object{}, &store.Error{Op: r.op, Key: key, Class: store.Transient, RequestID: requestID(h), Err: errors.New("the server's answer is no result of an upload")}
	}
	return store.Object{Key: key, Size: size, ETag: wire.Unquote(out.ETag), Sums: s.sumsOf(h)}, nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	return s.discard(ctx, request{op: "abort upload", method: http.MethodDelete, key: key, query: "uploadId=" + wire.EscapeQuery(id)})
}
