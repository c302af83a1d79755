package gs

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

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
	if wire.IsXMLError(data) {
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
		return "", wire.Permanent(op, key, err)
	}
	var out wire.XMLUploadID
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

// ListUploads implements store.Multiparter (https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads).
func (p *Parallel) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full, err := p.full(op, key, false)
	if err != nil {
		return nil, err
	}
	return wire.ListUploads(key, full, func(keyMarker, idMarker string) (*wire.UploadsPage, error) {
		query := wire.UploadsQuery(pageSize, full, keyMarker, idMarker)
		r := request{op: op, method: http.MethodGet, key: key, path: "/" + wire.EscapeQuery(p.bucket) + "/", query: query}
		var doc wire.XMLUploads
		if _, err := p.readXML(ctx, r, &doc); err != nil {
			return nil, err
		}
		return doc.Page(), nil
	})
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
		query: wire.PartQuery(n, id),
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

// ListParts implements store.Multiparter (https://cloud.google.com/storage/docs/xml-api/get-object-multipart). The ETag of a part is its MD5.
func (p *Parallel) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	full, err := p.full(op, key, true)
	if err != nil {
		return nil, err
	}
	return wire.ListParts(key, mostParts, func(last int) (*wire.PartsPage, error) {
		var doc wire.XMLParts
		if _, err := p.readXML(ctx, request{op: op, method: http.MethodGet, key: key, path: p.xmlPath(full), query: wire.PartsQuery(pageSize, last, id)}, &doc); err != nil {
			return nil, err
		}
		return doc.Page(func(etag string) store.Checksums { return store.Checksums{MD5: store.SumsOfETag(etag).MD5} }), nil
	})
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
	text, err := wire.CompletionXML(parts)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	if err := wire.BeforeCommit(op, key, &opts); err != nil {
		return store.Object{}, err
	}
	var out wire.XMLCompleted
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
	case o.Size != wire.SizeOf(parts):
		return store.Object{}, &store.Error{
			Op: op, Key: key, Class: store.Mismatch, RequestID: requestID(h), Err: fmt.Errorf("parts of %d bytes became an object of %d", wire.SizeOf(parts), o.Size),
		}
	}
	o.Meta = nil
	return o, nil
}

// holds looks whether a condition holds.
func (s *Store) holds(ctx context.Context, op, key string, c store.Condition) error {
	want, err := generationOf(c)
	if err != nil {
		return wire.Permanent(op, key, err)
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
