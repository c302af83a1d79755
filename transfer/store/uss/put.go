package uss

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination. There are no conditions.
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	body, err := wire.BodyOfKind(key, body, opts)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	if isMarker(key) {
		if body.Size > 0 {
			return store.Object{}, wire.Permanent(op, key, errFolderContent)
		}
		return s.makeFolder(ctx, op, key, body)
	}
	r, err := s.on(op, http.MethodPut, key)
	if err != nil {
		return store.Object{}, err
	}
	if err := setMeta(r.Header, &opts.Meta); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	resp, sums, err := s.sendBody(ctx, r, body)
	if err != nil {
		return store.Object{}, hinted(err)
	}
	return store.Object{Key: key, Size: body.Size, Sums: sumsOf(resp.Header).Merge(sums)}, nil
}

// hinted adds to a refusal without any other reason the one that the vendor names without its code: files that were uploaded in
// parts cannot be overwritten in other ways (http://docs.upyun.com/api/rest_api/).
func hinted(err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.Permanent && e.Hint == "" && e.Code != "" && rules[codeOf(e)].Class == "" {
		e.Hint = "if the file there was uploaded in parts, delete it first"
	}
	return err
}

// isMarker tells whether a key stands for a folder.
func isMarker(key string) bool { return key == "" || strings.HasSuffix(key, "/") }

// sendBody sends content with its MD5 where that is known or can be had at once, and gives what an answer of success proves of it:
// the server refuses another content. Of no content it takes no MD5 (codes 40000013, 40000014).
func (s *Store) sendBody(ctx context.Context, r wire.Request, body store.Body) (*http.Response, store.Checksums, error) {
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return nil, store.Checksums{}, wire.Wrap(ctx, r.Op, r.Key, err)
	}
	r.Body = content
	var sums store.Checksums
	switch {
	case body.Size == 0:
	case body.Sums.MD5 != "":
		sums.MD5 = body.Sums.MD5
	case body.Bytes != nil:
		sum := md5.Sum(body.Bytes)
		sums.MD5 = string(sum[:])
	}
	if sums.MD5 != "" {
		r.Header["Content-Md5"] = []string{hex.EncodeToString([]byte(sums.MD5))}
	}
	resp, err := s.calls.Do(ctx, r)
	return resp, sums, err
}

// sumsOf reads the MD5 that an answer tells of a whole file.
func sumsOf(h http.Header) store.Checksums {
	return store.Checksums{MD5: store.SumsOfETag(wire.Unquote(h.Get("Content-Md5"))).MD5}
}

// makeFolder makes a folder and those above it. One that exists is no error.
func (s *Store) makeFolder(ctx context.Context, op, key string, body store.Body) (store.Object, error) {
	made := store.Object{Key: key, Kind: store.KindDir}
	if s.prefix+key == "" {
		return made, nil // the root of the service is there
	}
	if _, err := wire.NewPayload(ctx, body); err != nil {
		return store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	r, err := s.on(op, http.MethodPost, key)
	if err != nil {
		return store.Object{}, err
	}
	r.Header["Folder"], r.Header["X-Upyun-Folder"] = []string{"true"}, []string{"true"}
	resp, err := s.calls.Do(ctx, r)
	switch {
	case hasCode(err, codeFolderExists):
		return made, nil
	case err != nil:
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	return made, nil
}

// Delete implements store.Destination. It is not done later on (x-upyun-async): a file written meanwhile would be gone.
func (s *Store) Delete(ctx context.Context, key string) error {
	const op = "delete"
	r, err := s.on(op, http.MethodDelete, key)
	if err != nil {
		return err
	}
	if isMarker(key) {
		// A file of this name must stay: whether this header alone sees to that, the vendor does not say.
		if _, err := s.Stat(ctx, key); store.ClassOf(err) == store.NotFound {
			return nil
		} else if err != nil {
			return err
		}
		r.Header["X-Upyun-Folder"] = []string{"true"}
	}
	return s.calls.Remove(ctx, r)
}
