package kodo

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// upload is a request about an upload in parts, version 2 (https://developer.qiniu.com/kodo/6364/multipartupload-interface).
func (s *Store) upload(op, method, key, id string, opts store.PutOptions) (request, error) {
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return request{}, wire.Permanent(op, key, err)
	}
	path := "/buckets/" + s.bucket + "/objects/" + encoded(full) + "/uploads"
	if id != "" {
		if !isUploadID(id) {
			return request{}, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: fmt.Errorf("%q is no upload ID", wire.Clip(id, 100))}
		}
		path += "/" + id
	}
	return request{op: op, method: method, key: key, host: s.opts.up, path: path, token: s.token(key, opts), header: make(http.Header, 8)}, nil
}

// isUploadID tells what can stand in a path as it is.
func isUploadID(id string) bool {
	for i := range len(id) {
		if c := id[i]; !isAlphanumeric(c) && c != '-' && c != '_' && c != '=' && c != '.' {
			return false
		}
	}
	return id != "." && id != ".." && len(id) <= 1024
}

// CreateUpload implements store.Multiparter. Metadata is told when the upload is completed.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	const op = "create upload"
	if err := checkMeta(&opts.Meta); err != nil {
		return "", wire.Permanent(op, key, err)
	}
	opts.Condition = store.Condition{} // it is completing that makes the object
	r, err := s.upload(op, http.MethodPost, key, "", opts)
	if err != nil {
		return "", err
	}
	var out struct {
		ID string `json:"uploadId"`
	}
	if _, err := s.read(ctx, r, &out); err != nil {
		return "", err
	}
	if out.ID == "" || !isUploadID(out.ID) {
		return "", wire.Permanent(op, key, errors.New("the server gave no upload ID"))
	}
	return out.ID, nil
}

// ListUploads implements store.Multiparter. Kodo does not tell which uploads are open, so none is: one whose ID was lost stays
// until it expires, seven days after it began.
func (s *Store) ListUploads(context.Context, string) ([]store.Upload, error) { return nil, nil }

// UploadPart implements store.Multiparter.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	const op = "upload part"
	r, err := s.upload(op, http.MethodPut, key, id, store.PutOptions{})
	if err != nil {
		return store.Part{}, err
	}
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return store.Part{}, wire.Wrap(ctx, op, key, err)
	}
	r.path += "/" + strconv.Itoa(n)
	r.body = content
	r.header["Content-Type"] = []string{octets}
	if body.Sums.MD5 != "" {
		r.header["Content-Md5"] = []string{hex.EncodeToString([]byte(body.Sums.MD5))}
	}
	var out struct {
		ETag string `json:"etag"`
		MD5  string `json:"md5"`
	}
	if _, err := s.read(ctx, r, &out); err != nil {
		return store.Part{}, badDigest(err, body)
	}
	if out.ETag == "" {
		return store.Part{}, wire.Permanent(op, key, errors.New("the server gave no ETag"))
	}
	return store.Part{Number: n, Size: body.Size, ETag: out.ETag, Sums: sumsOf("", out.MD5)}, nil
}

// badDigest tells that content was refused because it is not what its MD5 says.
func badDigest(err error, body store.Body) error {
	var e *store.Error
	if body.Sums.MD5 != "" && errors.As(err, &e) && e.Code == "400" && e.Err != nil && mentionsMD5(e.Err.Error()) {
		e.Class = store.Mismatch
	}
	return err
}

// listedParts is an answer of listParts (https://developer.qiniu.com/kodo/6858/listparts).
type listedParts struct {
	Next  int `json:"partNumberMarker"` // 0 after the last
	Parts []struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
		Size   int64  `json:"size"`
	} `json:"parts"`
}

// ListParts implements store.Multiparter. The ETag of a part is its QETag.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	return wire.ListParts(key, mostParts, func(last int) (*wire.PartsPage, error) {
		r, err := s.upload(op, http.MethodGet, key, id, store.PutOptions{})
		if err != nil {
			return nil, err
		}
		if r.query = "max-parts=" + strconv.Itoa(pageSize); last > 0 {
			r.query += "&part-number-marker=" + strconv.Itoa(last)
		}
		var doc listedParts
		if _, err := s.read(ctx, r, &doc); err != nil {
			return nil, err
		}
		page := &wire.PartsPage{Truncated: doc.Next != 0, Next: doc.Next}
		for _, p := range doc.Parts {
			page.Parts = append(page.Parts, store.Part{Number: p.Number, Size: p.Size, ETag: p.ETag, Sums: sumsOf(p.ETag, "")})
		}
		return page, nil
	})
}

// completion is the request that makes an object of parts (https://developer.qiniu.com/kodo/6368/complete-multipart-upload).
type completion struct {
	Parts []completedPart   `json:"parts"`
	MIME  string            `json:"mimeType,omitempty"`
	User  map[string]string `json:"metadata,omitempty"`
}

type completedPart struct {
	ETag   string `json:"etag"`
	Number int    `json:"partNumber"`
}

// CompleteUpload implements store.Multiparter.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	const op = "complete upload"
	r, err := s.upload(op, http.MethodPost, key, id, opts)
	if err != nil {
		return store.Object{}, err
	}
	if err := checkMeta(&opts.Meta); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	doc := completion{MIME: opts.Meta.ContentType, User: userFields(&opts.Meta)}
	for _, p := range parts {
		doc.Parts = append(doc.Parts, completedPart{p.ETag, p.Number})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	if r.body, err = wire.NewPayload(ctx, store.Body{Bytes: text, Size: int64(len(text))}); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	if err := wire.BeforeCommit(op, key, &opts); err != nil {
		return store.Object{}, err
	}
	r.header["Content-Type"] = []string{"application/json"}
	r.slow = true
	var out acknowledged
	if _, err := s.read(ctx, r, &out); err != nil {
		return store.Object{}, err
	}
	return s.written(op, key, wire.SizeOf(parts), out)
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	r, err := s.upload("abort upload", http.MethodDelete, key, id, store.PutOptions{})
	if store.ClassOf(err) == store.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return s.discard(ctx, r)
}
