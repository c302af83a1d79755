package gs

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// maxPages bounds the pages of uploads or parts of one key.
const maxPages = 10000

// PartLimits implements store.Multiparter.
func (p *Parallel) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// readXML sends a request and reads the document that answers it.
func (s *Store) readXML(ctx context.Context, r request, doc any) (http.Header, error) {
	h, data, err := s.read(ctx, r)
	if err != nil {
		return nil, err
	}
	var failed struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	if bytes.Contains(data, []byte("<Error")) && xml.Unmarshal(data, &failed) == nil && failed.Code != "" {
		// The status was sent before the work was done, and then it failed.
		return nil, s.fault(&r, "", &wire.Refusal{Status: http.StatusInternalServerError, Header: h, Body: data})
	}
	if err := xml.Unmarshal(data, doc); err != nil {
		return nil, nonsense(&r, h, err)
	}
	return h, nil
}

// CreateUpload implements store.Multiparter
// (https://cloud.google.com/storage/docs/xml-api/post-object-multipart).
func (p *Parallel) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	const op = "create upload"
	full, err := p.full(op, key, false)
	if err != nil {
		return "", err
	}
	header, err := p.uploadHeader(&opts.Meta)
	if err != nil {
		return "", permanent(op, key, err)
	}
	var out struct {
		XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
		ID      string   `xml:"UploadId"`
	}
	r := request{op: op, method: http.MethodPost, key: key, path: p.xmlPath(full), query: "uploads", header: header}
	h, err := p.readXML(ctx, r, &out)
	switch {
	case err != nil:
		return "", noBucket(err)
	case out.ID == "":
		return "", nonsense(&r, h, errors.New("no upload ID"))
	}
	return out.ID, nil
}

// uploadHeader describes the object that an upload becomes.
func (s *Store) uploadHeader(m *store.Metadata) (http.Header, error) {
	h := make(http.Header, 16)
	without := *m
	without.Expires = ""
	if err := s.rules().Set(h, &without); err != nil {
		return nil, err
	}
	if _, err := aclOf(m.Access); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"X-Goog-Storage-Class": m.Class.Name, "X-Goog-Acl": string(m.Access), "X-Goog-Encryption-Kms-Key-Name": s.opts.kmsKey,
	} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return h, nil
}

// uploadsPage is an answer of "List multipart uploads" (https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads).
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
func (p *Parallel) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full, err := p.full(op, key, false)
	if err != nil {
		return nil, err
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
		r := request{op: op, method: http.MethodGet, key: key, path: "/" + wire.EscapeQuery(p.bucket) + "/", query: query}
		if _, err := p.readXML(ctx, r, &page); err != nil {
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

// unescaped decodes a text of a listing, or gives it back as it is.
func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// UploadPart implements store.Multiparter (https://cloud.google.com/storage/docs/xml-api/put-object-multipart).
func (p *Parallel) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	const op = "upload part"
	full, err := p.full(op, key, false)
	if err != nil {
		return store.Part{}, err
	}
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return store.Part{}, wire.Wrap(ctx, op, key, err)
	}
	r := request{
		op: op, method: http.MethodPut, key: key, path: p.xmlPath(full), body: content, header: make(http.Header, 8),
		query: "partNumber=" + strconv.Itoa(n) + "&uploadId=" + wire.EscapeQuery(id),
	}
	if hash := hashOf(body.Sums); hash != "" {
		r.header["X-Goog-Hash"] = []string{hash}
	}
	resp, err := p.exchange(ctx, r)
	if err != nil {
		return store.Part{}, err
	}
	etag := wire.Unquote(resp.Header.Get("Etag"))
	if etag == "" {
		return store.Part{}, nonsense(&r, resp.Header, errors.New("no ETag"))
	}
	return store.Part{Number: n, Size: body.Size, ETag: etag, Sums: sumsOf(resp.Header)}, nil
}

// partsPage is an answer of "List object parts" (https://cloud.google.com/storage/docs/xml-api/get-object-multipart).
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

// ListParts implements store.Multiparter. The ETag of a part is its MD5.
func (p *Parallel) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	full, err := p.full(op, key, true)
	if err != nil {
		return nil, err
	}
	var parts []store.Part
	last := 0
	for range maxPages {
		query := "uploadId=" + wire.EscapeQuery(id) + "&max-parts=" + strconv.Itoa(pageSize)
		if last > 0 {
			query += "&part-number-marker=" + strconv.Itoa(last)
		}
		var page partsPage
		if _, err := p.readXML(ctx, request{op: op, method: http.MethodGet, key: key, path: p.xmlPath(full), query: query}, &page); err != nil {
			return nil, err
		}
		for _, part := range page.Parts {
			if part.Number <= last || part.Size < 0 {
				return nil, permanent(op, key, fmt.Errorf("listing out of order: part %d of %d bytes after %d", part.Number, part.Size, last))
			}
			last = part.Number
			etag := wire.Unquote(part.ETag)
			parts = append(parts, store.Part{Number: last, Size: part.Size, ETag: etag, Sums: store.Checksums{MD5: store.SumsOfETag(etag).MD5}})
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

// completion is the request to complete an upload.
type completion struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

type completedPart struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
}

// CompleteUpload implements store.Multiparter (https://cloud.google.com/storage/docs/xml-api/post-object-complete). The server checks no
// condition here, so it is checked right before; then the object is looked at, for only that tells its generation and sums for sure.
func (p *Parallel) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	const op = "complete upload"
	full, err := p.full(op, key, false)
	if err != nil {
		return store.Object{}, err
	}
	if err := p.holds(ctx, op, key, opts.Condition); err != nil {
		return store.Object{}, err
	}
	var doc completion
	var size int64
	for _, part := range parts {
		size += part.Size
		doc.Parts = append(doc.Parts, completedPart{part.Number, wire.Quote(part.ETag)})
	}
	text, err := xml.Marshal(doc)
	if err != nil {
		return store.Object{}, permanent(op, key, err)
	}
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Canceled, Err: err}
		}
	}
	var out struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string   `xml:"ETag"`
	}
	r := request{
		op: op, method: http.MethodPost, key: key, path: p.xmlPath(full), query: "uploadId=" + wire.EscapeQuery(id), document: text, slow: true,
		header: http.Header{"Content-Type": []string{"application/xml"}},
	}
	h, err := p.readXML(ctx, r, &out)
	if err != nil {
		return store.Object{}, err
	}
	o, err := p.stat(ctx, op, key)
	switch {
	case err != nil:
		return store.Object{}, err
	case o.Size != size:
		return store.Object{}, &store.Error{
			Op: op, Key: key, Class: store.Mismatch, RequestID: requestID(h), Err: fmt.Errorf("parts of %d bytes became an object of %d", size, o.Size),
		}
	}
	o.Meta = nil
	return o, nil
}

// holds looks whether a condition holds.
func (s *Store) holds(ctx context.Context, op, key string, c store.Condition) error {
	want, err := generationOf(c)
	if err != nil {
		return permanent(op, key, err)
	}
	if want == "" {
		return nil
	}
	now, err := s.stat(ctx, op, key)
	switch {
	case isClass(err, store.NotFound):
		now.ETag = "0"
	case err != nil:
		return err
	}
	if now.ETag != want {
		return &store.Error{Op: op, Key: key, Class: store.Precondition, Err: fmt.Errorf("the object is of generation %s, not %s", now.ETag, want)}
	}
	return nil
}

// AbortUpload implements store.Multiparter.
func (p *Parallel) AbortUpload(ctx context.Context, key, id string) error {
	const op = "abort upload"
	full, err := p.full(op, key, false)
	if err != nil {
		return err
	}
	return p.discard(ctx, request{op: op, method: http.MethodDelete, key: key, path: p.xmlPath(full), query: "uploadId=" + wire.EscapeQuery(id)})
}
