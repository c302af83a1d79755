package cos

import (
	"context"
	"encoding/xml"
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

// CreateUpload implements store.Multiparter.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	r := request{op: "create upload", method: http.MethodPost, key: key, query: "uploads", header: make(http.Header, 8)}
	if err := s.setMeta(r.header, &opts.Meta); err != nil {
		return "", permanent(r.op, key, err)
	}
	var out struct {
		XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
		ID      string   `xml:"UploadId"`
	}
	h, err := s.read(ctx, r, &out)
	if err != nil {
		return "", err
	}
	if !etagIsMD5(h) {
		s.etagOpaque.Store(true) // the bucket encrypts by itself
	}
	if out.ID == "" {
		return "", permanent(r.op, key, errors.New("the server gave no upload ID"))
	}
	return out.ID, nil
}

// uploadsPage is an answer of List Multipart Uploads (https://www.tencentcloud.com/document/product/436/7736).
type uploadsPage struct {
	XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
	Encoding    string   `xml:"Encoding-Type"` // so it is documented; other listings have no hyphen
	EncodingToo string   `xml:"EncodingType"`
	Truncated   bool     `xml:"IsTruncated"`
	NextKey     string   `xml:"NextKeyMarker"`
	NextID      string   `xml:"NextUploadIdMarker"`
	Uploads     []struct {
		Key   string    `xml:"Key"`
		ID    string    `xml:"UploadId"`
		Began time.Time `xml:"Initiated"`
	} `xml:"Upload"`
}

// plain decodes a key of the page.
func (p *uploadsPage) plain(text string) string {
	if p.Encoding == "url" || p.EncodingToo == "url" {
		return unescaped(text)
	}
	return text
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
		query := "uploads&encoding-type=url&max-uploads=" + strconv.Itoa(pageSize) + "&prefix=" + wire.EscapeQuery(full)
		if marker != "" {
			query += "&key-marker=" + wire.EscapeQuery(marker)
		}
		if idMarker != "" {
			query += "&upload-id-marker=" + wire.EscapeQuery(idMarker)
		}
		var page uploadsPage
		if _, err := s.read(ctx, request{op: op, method: http.MethodGet, key: key, bucket: true, query: query}, &page); err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if page.plain(u.Key) == full {
				uploads = append(uploads, store.Upload{ID: u.ID, Began: u.Began.UTC()})
			}
		}
		nextKey := page.plain(page.NextKey)
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
	return store.Part{Number: n, Size: body.Size, ETag: etag, Sums: s.sumsOf(resp.Header)}, nil
}

// partsPage is an answer of List Parts (https://www.tencentcloud.com/document/product/436/7747).
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
		query := "max-parts=" + strconv.Itoa(pageSize) + "&uploadId=" + wire.EscapeQuery(id)
		if last > 0 {
			query += "&part-number-marker=" + strconv.Itoa(last)
		}
		var page partsPage
		if _, err := s.read(ctx, request{op: op, method: http.MethodGet, key: key, query: query}, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			if p.Number <= last || p.Number > mostParts || p.Size < 0 {
				return nil, permanent(op, key, fmt.Errorf("listing out of order: part %d of %d bytes after %d", p.Number, p.Size, last))
			}
			last = p.Number
			etag := wire.Unquote(p.ETag)
			parts = append(parts, store.Part{Number: p.Number, Size: p.Size, ETag: etag, Sums: s.sumsOfETag(etag)})
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

// completion is the request of Complete Multipart Upload.
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
	var doc completion
	var size int64
	for _, p := range parts {
		size += p.Size
		doc.Parts = append(doc.Parts, completedPart{p.Number, wire.Quote(p.ETag)})
	}
	var err error
	if r.document, err = xml.Marshal(doc); err != nil {
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
		CRC64   string   `xml:"CRC64"`
	}
	h, err := s.read(ctx, r, &out)
	if err == nil && out.ETag == "" {
		// The vendor's SDK takes this for a failure too: the status came before the work was done.
		err = &store.Error{Op: r.op, Key: key, Class: store.Transient, RequestID: requestID(h), Err: errors.New("the server gave no ETag of what it assembled")}
	}
	if err != nil {
		return store.Object{}, err
	}
	// The ETag of parts is no MD5, and the sum may stand in either place.
	return store.Object{Key: key, Size: size, ETag: wire.Unquote(out.ETag), Sums: crc64Of(h.Get(headerCRC64)).Merge(crc64Of(out.CRC64))}, nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	return s.discard(ctx, request{op: "abort upload", method: http.MethodDelete, key: key, query: "uploadId=" + wire.EscapeQuery(id)})
}
