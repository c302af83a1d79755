package oss

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier: within one endpoint, so one region, by one account.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && *other.opts.endpoint == *s.opts.endpoint && other.opts.region == s.opts.region && !other.opts.bound && !s.opts.bound &&
		*other.creds.Load() == *s.creds.Load()
}

// CopyLimit implements store.Copier.
func (s *Store) CopyLimit() int64 { return largestCopy }

// copied is the answer of CopyObject and UploadPartCopy.
type copied struct {
	XMLName  xml.Name
	ETag     string    `xml:"ETag"`
	Modified time.Time `xml:"LastModified"`
}

// Copy implements store.Copier. The metadata stays the source's unless opts.Meta differs from what from tells of it;
// where from tells nothing and opts.Meta is empty, it stays as well. So do tags; the class is that of opts.Meta.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	r := wire.Request{Op: "copy", Method: http.MethodPut, Key: key, Header: make(http.Header, 16), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	r.Header["X-Oss-Metadata-Directive"] = []string{"COPY"}
	if wire.ReplacesMeta(from.Meta, opts) {
		r.Header["X-Oss-Metadata-Directive"] = []string{"REPLACE"}
		if err := userMetadata().Set(r.Header, &opts.Meta); err != nil {
			return store.Object{}, wire.Permanent(r.Op, key, err)
		}
	}
	detailHeaders().Set(r.Header, &opts.Meta, opts.Meta.Class.Name)
	if len(opts.Meta.Tags) > 0 {
		r.Header["X-Oss-Tagging-Directive"] = []string{"Replace"}
	}
	setCondition(r.Header, opts.Condition)
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key, "CopyObjectResult")
	}
	if err != nil {
		return store.Object{}, err
	}
	// Of what type the copy is, this answer does not tell, so its ETag says nothing of the content.
	return store.Object{
		Key: key, Kind: from.Kind, Size: from.Size, Target: from.Target, ETag: wire.Unquote(out.ETag), ModTime: out.Modified.UTC(),
		Sums: s.sumsOf(h, ""),
	}, nil
}

// CopyPart implements store.Copier.
func (s *Store) CopyPart(ctx context.Context, src store.Source, from store.Object, off, n int64, key, id string, part int) (store.Part, error) {
	r := wire.Request{Op: "copy part", Method: http.MethodPut, Key: key, Query: wire.PartQuery(part, id), Header: make(http.Header, 8), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Part{}, wire.Permanent(r.Op, key, err)
	}
	r.Header["X-Oss-Copy-Source-Range"] = []string{fmt.Sprintf("bytes=%d-%d", off, off+n-1)}
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key, "CopyPartResult")
	}
	if err != nil {
		return store.Part{}, err
	}
	etag := wire.Unquote(out.ETag)
	return store.Part{Number: part, Size: n, ETag: etag, Sums: s.sumsOf(h, "").Merge(s.sumsOfETag(etag, typeNormal))}, nil
}

// check tells an answer from the errors that may come with status 200.
func (c *copied) check(op, key, name string) error {
	if c.XMLName.Local != name || c.ETag == "" {
		return &store.Error{Op: op, Key: key, Class: store.Transient, Err: fmt.Errorf("the server answers with %q instead of a result", wire.Clip(c.XMLName.Local, 50))}
	}
	return nil
}

// setCopySource names the object to copy from, and the version of it.
func (s *Store) setCopySource(h http.Header, src store.Source, from store.Object) error {
	other, ok := src.(*Store)
	if !ok {
		return fmt.Errorf("cannot copy from a store of another kind: %T", src)
	}
	if err := checkKey(other.prefix + from.Key); err != nil {
		return err
	}
	h["X-Oss-Copy-Source"] = []string{wire.EscapePath("/" + other.bucket + "/" + other.prefix + from.Key)}
	if from.ETag != "" {
		h["X-Oss-Copy-Source-If-Match"] = []string{wire.Quote(from.ETag)}
	}
	return nil
}
