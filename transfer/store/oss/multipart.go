package oss

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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

// read sends a request and reads the document that answers it.
func (s *Store) read(ctx context.Context, r request, doc any) (http.Header, error) {
	resp, refused, err := s.exchange(ctx, r)
	switch {
	case refused != nil:
		return nil, s.fault(r.op, r.key, refused)
	case err != nil:
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	data, err := io.ReadAll(wire.Bounded(resp.Body))
	wire.Finish(resp.Body)
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	var failed refusal
	if bytes.Contains(data, []byte("<Error")) && xml.Unmarshal(data, &failed) == nil && failed.Code != "" {
		// The status was sent before the work was done, and then it failed.
		return nil, s.fault(r.op, r.key, &wire.Refusal{Status: http.StatusInternalServerError, Header: resp.Header, Body: data})
	}
	if err := xml.Unmarshal(data, doc); err != nil {
		return nil, &store.Error{Op: r.op, Key: r.key, Class: store.Transient, RequestID: requestID(resp.Header), Err: fmt.Errorf("the answer makes no sense: %w", err)}
	}
	return resp.Header, nil
}

// CreateUpload implements store.Multiparter.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	r := request{op: "create upload", method: http.MethodPost, key: key, query: "uploads", header: make(http.Header, 8)}
	if err := setUploadMeta(r.header, &opts.Meta); err != nil {
		return "", permanent(r.op, key, err)
	}
	var out struct {
		XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
		ID      string   `xml:"UploadId"`
	}
	if _, err := s.read(ctx, r, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", permanent(r.op, key, errors.New("the server gave no upload ID"))
	}
	return out.ID, nil
}

// uploadsPage is an answer of ListMultipartUploads
// (https://www.alibabacloud.com/help/en/oss/developer-reference/listmultipartuploads).
type uploadsPage struct {
	XMLName   xml.Name `xml:"ListMultipartUploadsResult"`
	Encoding  string   `xml:"EncodingType"`
	Truncated bool     `xml:"IsTruncated"`
	NextKey   string   `xml:"NextKeyMarker"`
	NextID    string   `xml:"NextUploadIdMarker"`
	Uploads   []struct {
		Key   string    `xml:"Key"`
		ID    string    `xml:"UploadId"`
		Began time.Time `xml:"Initiated"`
	} `xml:"Upload"`
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
		query := "encoding-type=url"
		if marker != "" {
			query += "&key-marker=" + wire.EscapeQuery(marker)
		}
		query += "&max-uploads=" + strconv.Itoa(pageSize) + "&prefix=" + wire.EscapeQuery(full)
		if idMarker != "" {
			query += "&upload-id-marker=" + wire.EscapeQuery(idMarker)
		}
		var page uploadsPage
		r := request{op: op, method: http.MethodGet, key: key, bucket: true, query: query + "&uploads"}
		if _, err := s.read(ctx, r, &page); err != nil {
			return nil, err
		}
		plain := func(text string) string { return text }
		if page.Encoding == "url" {
			plain = unescaped
		}
		for _, u := range page.Uploads {
			if plain(u.Key) == full {
				uploads = append(uploads, store.Upload{ID: u.ID, Began: u.Began.UTC()})
			}
		}
		nextKey := plain(page.NextKey)
		// Uploads come in the order of their keys: behind this key there is nothing to see.
		if !page.Truncated || nextKey > full {
			return uploads, nil
		}
		if nextKey == marker && page.NextID == idMarker {
			return nil, permanent(op, key, errors.New("the listing of uploads repeats"))
		}
		marker, idMarker = nextKey, page.NextID
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
	return store.Part{Number: n, Size: body.Size, ETag: etag, Sums: s.sumsOf(resp.Header, typeNormal)}, nil
}

// partsPage is an answer of ListParts (https://www.alibabacloud.com/help/en/oss/developer-reference/listparts).
type partsPage struct {
	XMLName   xml.Name `xml:"ListPartsResult"`
	Truncated bool     `xml:"IsTruncated"`
	Next      int      `xml:"NextPartNumberMarker"`
	Parts     []struct {
		Number int    `xml:"PartNumber"`
		ETag   string `xml:"ETag"`
		Size   int64  `xml:"Size"`
	} `xml:"Part"`
}

// ListParts implements store.Multiparter.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	var parts []store.Part
	last := 0
	for range maxPages {
		query := "max-parts=" + strconv.Itoa(pageSize)
		if last > 0 {
			query += "&part-number-marker=" + strconv.Itoa(last)
		}
		var page partsPage
		r := request{op: op, method: http.MethodGet, key: key, query: query + "&uploadId=" + wire.EscapeQuery(id)}
		if _, err := s.read(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			if p.Number <= last {
				return nil, permanent(op, key, fmt.Errorf("listing out of order: part %d after %d", p.Number, last))
			}
			last = p.Number
			etag := wire.Unquote(p.ETag)
			parts = append(parts, store.Part{Number: p.Number, Size: p.Size, ETag: etag, Sums: s.sumsOfETag(etag, typeNormal)})
		}
		switch {
		case !page.Truncated:
			return parts, nil
		case page.Next != last || len(page.Parts) == 0:
			return nil, permanent(op, key, errors.New("the listing of parts does not go on"))
		}
	}
	return nil, permanent(op, key, errors.New("the listing of parts has no end"))
}

// completion is the request of CompleteMultipartUpload.
type completion struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

type completedPart struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
}

// CompleteUpload implements store.Multiparter.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	r := request{
		op: "complete upload", method: http.MethodPost, key: key, query: "uploadId=" + wire.EscapeQuery(id), header: make(http.Header, 8), slow: true,
	}
	setCondition(r.header, opts.Condition)
	if access := opts.Meta.Access; access != store.AccessUnknown {
		r.header[headerACL] = []string{string(access)}
	}
	var doc completion
	var size int64
	for _, p := range parts {
		size += p.Size
		doc.Parts = append(doc.Parts, completedPart{p.Number, wire.Quote(p.ETag)})
	}
	text, err := xml.Marshal(doc)
	if err != nil {
		return store.Object{}, permanent(r.op, key, err)
	}
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return store.Object{}, &store.Error{Op: r.op, Key: key, Class: store.Canceled, Err: err}
		}
	}
	var out struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string   `xml:"ETag"`
	}
	r.document = text
	h, err := s.read(ctx, r, &out)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{Key: key, Size: size, ETag: wire.Unquote(out.ETag), Sums: s.sumsOf(h, "Multipart")}, nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	return s.discard(ctx, request{op: "abort upload", method: http.MethodDelete, key: key, query: "uploadId=" + wire.EscapeQuery(id)})
}
