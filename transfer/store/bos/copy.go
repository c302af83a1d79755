package bos

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier: within one endpoint, so one region, by one account.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && *other.opts.endpoint == *s.opts.endpoint && !other.opts.bound && !s.opts.bound && *other.creds.Load() == *s.creds.Load()
}

// CopyLimit implements store.Copier (https://cloud.baidu.com/doc/BOS/s/Lkc5p9g3w).
func (s *Store) CopyLimit() int64 { return largestPart }

// copied is the answer of CopyObject and UploadPartCopy.
type copied struct {
	ETag     string    `json:"eTag"`
	Modified time.Time `json:"lastModified"`
}

// Copy implements store.Copier. The metadata stays the source's unless opts.Meta differs from what from tells of it;
// where from tells nothing and opts.Meta is empty, it stays as well.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	r := wire.Request{Op: "copy", Method: http.MethodPut, Key: key, Header: make(http.Header, 16), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	if err := s.checkCondition(ctx, r.Op, key, opts.Condition); err != nil {
		return store.Object{}, err
	}
	r.Header["X-Bce-Metadata-Directive"] = []string{"copy"}
	if wire.ReplacesMeta(from.Meta, opts) {
		r.Header["X-Bce-Metadata-Directive"] = []string{"replace"}
		if err := s.rules.Set(r.Header, &opts.Meta); err != nil {
			return store.Object{}, wire.Permanent(r.Op, key, err)
		}
	}
	setPlace(r.Header, &opts.Meta)
	if len(opts.Meta.Tags) > 0 {
		r.Header["X-Bce-Tagging-Directive"] = []string{"replace"}
	}
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key)
	}
	if err != nil {
		return store.Object{}, err
	}
	etag := wire.Unquote(out.ETag)
	return store.Object{
		Key: key, Kind: from.Kind, Size: from.Size, Target: from.Target, ETag: etag, ModTime: out.Modified.UTC(),
		Sums: s.sumsOf(h), // of the ETag nothing: this answer does not tell the type of the copy
	}, nil
}

// checkCondition looks at the destination of a copy, which BOS does not make conditional.
func (s *Store) checkCondition(ctx context.Context, op, key string, c store.Condition) error {
	if c == (store.Condition{}) {
		return nil
	}
	o, err := s.head(ctx, op, key, "")
	refuse := func(why string) error {
		return &store.Error{Op: op, Key: key, Class: store.Precondition, Err: fmt.Errorf("the destination %s", why)}
	}
	switch {
	case store.ClassOf(err) == store.NotFound && c.ETag != "":
		return refuse("is gone")
	case store.ClassOf(err) == store.NotFound:
		return nil
	case err != nil:
		return err
	case c.Absent:
		return refuse("exists")
	case o.ETag != c.ETag:
		return refuse("has changed")
	}
	return nil
}

// CopyPart implements store.Copier.
func (s *Store) CopyPart(ctx context.Context, src store.Source, from store.Object, off, n int64, key, id string, part int) (store.Part, error) {
	r := wire.Request{Op: "copy part", Method: http.MethodPut, Key: key, Query: wire.PartQuery(part, id), Header: make(http.Header, 8), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Part{}, wire.Permanent(r.Op, key, err)
	}
	r.Header["X-Bce-Copy-Source-Range"] = []string{fmt.Sprintf("bytes=%d-%d", off, off+n-1)}
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key)
	}
	if err != nil {
		return store.Part{}, err
	}
	etag := wire.Unquote(out.ETag)
	return store.Part{Number: part, Size: n, ETag: etag, Sums: s.sumsOf(h).Merge(s.sumsOfETag(etag))}, nil
}

// check tells an answer from other documents that may come with status 200.
func (c *copied) check(op, key string) error {
	if c.ETag == "" {
		return &store.Error{Op: op, Key: key, Class: store.Transient, Err: fmt.Errorf("the server's answer is no result of a copy")}
	}
	return nil
}

// setCopySource names the object to copy from, and the version of it. Of the vendor's SDKs some quote the ETag and some do not.
func (s *Store) setCopySource(h http.Header, src store.Source, from store.Object) error {
	other, ok := src.(*Store)
	if !ok {
		return fmt.Errorf("cannot copy from a store of another kind: %T", src)
	}
	if err := checkKey(other.prefix + from.Key); err != nil {
		return err
	}
	h["X-Bce-Copy-Source"] = []string{wire.EscapePath("/" + other.bucket + "/" + other.prefix + from.Key)}
	if from.ETag != "" {
		h["X-Bce-Copy-Source-If-Match"] = []string{wire.Quote(from.ETag)}
	}
	return nil
}
