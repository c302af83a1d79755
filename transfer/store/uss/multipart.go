package uss

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Headers of uploads (https://help.upyun.com/knowledge-base/rest_api/, resumable uploads in any order).
const (
	headerStage  = "X-Upyun-Multi-Stage"
	headerUpload = "X-Upyun-Multi-Uuid"
	headerPart   = "X-Upyun-Part-Id" // counted from 0
	headerLength = "X-Upyun-Multi-Length"
)

// Bounds of what lists uploads and parts.
const (
	mostUploads = 1000    // of one name
	mostListed  = 4 << 20 // bytes of a page of parts
)

// PartLimits implements store.Multiparter. Parts are multiples of the smallest.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// CreateUpload implements store.Multiparter. Without opts.PartSize parts are of 1 MiB.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	const op = "create upload"
	r, err := s.on(op, http.MethodPut, key)
	if err != nil {
		return "", err
	}
	if isMarker(key) {
		return "", wire.Permanent(op, key, errFolderContent)
	}
	if err := setMeta(r.Header, &opts.Meta); err != nil {
		return "", wire.Permanent(op, key, err)
	}
	if kind := r.Header["Content-Type"]; kind != nil { // that of this wire.Request, which has no content
		delete(r.Header, "Content-Type")
		r.Header["X-Upyun-Multi-Type"] = kind
	}
	r.Header[headerStage], r.Header["X-Upyun-Multi-Disorder"] = []string{"initiate"}, []string{"true"}
	if n := opts.PartSize; n != 0 {
		if n < smallestPart || n > largestPart || n%partUnit != 0 {
			return "", wire.Permanent(op, key, fmt.Errorf("parts of %d bytes; USS takes multiples of 1 MiB up to 50 MiB", n))
		}
		r.Header["X-Upyun-Multi-Part-Size"] = []string{strconv.FormatInt(n, 10)}
	}
	if opts.Size > 0 {
		r.Header[headerLength] = []string{strconv.FormatInt(opts.Size, 10)}
	}
	h, err := s.calls.Discard(ctx, r)
	if err != nil {
		return "", err
	}
	id := h.Get(headerUpload)
	if id == "" {
		return "", wire.Permanent(op, key, errors.New("the server gave no upload ID"))
	}
	return id, nil
}

// ListUploads implements store.Multiparter. The server lists by prefix, in one page, and has completed ones among them.
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	const op = "list uploads"
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return nil, wire.Permanent(op, key, err)
	}
	r := wire.Request{Op: op, Method: http.MethodGet, Key: key, Header: make(http.Header, 8)} // of the service
	r.Header["X-Upyun-List-Type"] = []string{"multi"}
	r.Header["X-Upyun-List-Prefix"] = []string{base64.StdEncoding.EncodeToString([]byte("/" + full))}
	r.Header["X-Upyun-List-Limit"] = []string{strconv.Itoa(mostUploads)}
	r.Header["Accept"] = []string{"application/json"}
	var page struct {
		Files []struct {
			Key       string `json:"key"`
			ID        string `json:"uuid"`
			Completed bool   `json:"completed"`
			Began     int64  `json:"created_at"`
		} `json:"files"`
	}
	if _, err := s.calls.Read(ctx, r, &page); store.ClassOf(err) == store.NotFound {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var uploads []store.Upload
	for _, u := range page.Files {
		if u.ID != "" && !u.Completed && strings.TrimPrefix(u.Key, "/") == full {
			uploads = append(uploads, store.Upload{ID: u.ID, Began: since(u.Began)})
		}
	}
	return uploads, nil
}

// onUpload makes the request about an upload.
func (s *Store) onUpload(op, method, key, id string) (wire.Request, error) {
	r, err := s.on(op, method, key)
	if err != nil {
		return r, err
	}
	if id == "" || strings.ContainsAny(id, "\r\n") {
		return r, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: errors.New("no such upload")}
	}
	r.Header[headerUpload] = []string{id}
	return r, nil
}

// UploadPart implements store.Multiparter. A part that the server will not take again counts if it is the same.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	const op = "upload part"
	r, err := s.onUpload(op, http.MethodPut, key, id)
	if err != nil {
		return store.Part{}, err
	}
	r.Header[headerStage], r.Header[headerPart] = []string{"upload"}, []string{strconv.Itoa(n - 1)}
	_, sums, err := s.sendBody(ctx, r, body)
	p := store.Part{Number: n, Size: body.Size, ETag: hex.EncodeToString([]byte(sums.MD5)), Sums: sums}
	switch {
	case err == nil:
		return p, nil
	case hasCode(err, codePartExists):
		return p, s.sameAsHeld(ctx, key, id, p, err)
	}
	return store.Part{}, err
}

// sameAsHeld is nil where an upload holds this very part: the answer to sending it got lost.
func (s *Store) sameAsHeld(ctx context.Context, key, id string, p store.Part, refused error) error {
	held, err := s.ListParts(ctx, key, id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(held, func(h store.Part) bool { return h.Number == p.Number })
	if i >= 0 && held[i].Size == p.Size && p.Sums.MD5 != "" && held[i].ETag == p.ETag {
		return nil
	}
	return refused
}

// partsPage is an answer that lists parts.
type partsPage struct {
	Parts *[]struct {
		ETag string `json:"etag"`
		Size int64  `json:"size"`
		ID   int    `json:"id"`
	} `json:"parts"`
}

// ListParts implements store.Multiparter.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	var parts []store.Part
	for next := 0; next < mostParts; {
		page, err := s.partsFrom(ctx, key, id, next)
		if err != nil {
			return nil, err
		}
		was := next
		for _, p := range *page.Parts {
			if p.ID < was || p.ID >= mostParts || p.Size < 0 {
				continue // of the page before
			}
			next = max(next, p.ID+1)
			// That a part's ETag is its MD5, as a file's is, the vendor does not say. Were it another sum, parts would be sent again.
			etag := strings.ToLower(wire.Unquote(p.ETag))
			parts = append(parts, store.Part{
				Number: p.ID + 1, Size: p.Size, ETag: etag, Sums: store.Checksums{MD5: store.SumsOfETag(etag).MD5},
			})
		}
		if next == was {
			break
		}
	}
	slices.SortFunc(parts, func(a, b store.Part) int { return cmp.Compare(a.Number, b.Number) })
	for i := 1; i < len(parts); i++ {
		if parts[i].Number == parts[i-1].Number {
			return nil, wire.Permanent("list parts", key, fmt.Errorf("part %d is listed twice", parts[i].Number))
		}
	}
	return parts, nil
}

// partsFrom lists the parts from one on. An answer that lists none is that of a server which no longer knows the upload, and
// answers with the file of that name.
func (s *Store) partsFrom(ctx context.Context, key, id string, first int) (*partsPage, error) {
	const op = "list parts"
	r, err := s.onUpload(op, http.MethodGet, key, id)
	if err != nil {
		return nil, err
	}
	r.Header["Accept"] = []string{"application/json"}
	if first > 0 {
		r.Header[headerPart] = []string{strconv.Itoa(first)}
	}
	resp, err := s.calls.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, mostListed+1))
	_ = resp.Body.Close() // nothing of it is of use any more
	if err != nil {
		return nil, wire.Wrap(ctx, op, key, err)
	}
	page := new(partsPage)
	if len(data) > mostListed || json.Unmarshal(data, page) != nil || page.Parts == nil {
		return nil, &store.Error{Op: op, Key: key, Class: store.NotFound, RequestID: requestID(resp.Header), Err: errors.New("the server lists no parts of the upload")}
	}
	return page, nil
}

// CompleteUpload implements store.Multiparter. The server takes all parts that it holds.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	const op = "complete upload"
	r, err := s.onUpload(op, http.MethodPut, key, id)
	if err != nil {
		return store.Object{}, err
	}
	r.Header[headerStage], r.Slow = []string{"complete"}, true
	if err := wire.BeforeCommit(op, key, &opts); err != nil {
		return store.Object{}, err
	}
	h, err := s.calls.Discard(ctx, r)
	if err != nil {
		return store.Object{}, err
	}
	size := wire.SizeOf(parts)
	if text := h.Get(headerLength); text != "" && text != strconv.FormatInt(size, 10) {
		err := fmt.Errorf("the server made %s bytes of parts of %d", wire.Clip(text, 30), size)
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Mismatch, RequestID: requestID(h), Err: err}
	}
	return store.Object{Key: key, Size: size}, nil
}

// AbortUpload implements store.Multiparter. USS has nothing to send for it: it drops uploads that are not completed after 24 hours.
func (s *Store) AbortUpload(ctx context.Context, key, _ string) error {
	return wire.Wrap(ctx, "abort upload", key, ctx.Err())
}
