package cos

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"path"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier: within one region, by one account, from a source whose own endpoint is known.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && *other.creds.Load() == *s.creds.Load() && other.place() == s.place() && s.place() != "" && other.sourceHost() != ""
}

// place tells which endpoints are the same: those of a region of the vendor's, whatever their names. "" if that is not known.
func (s *Store) place() string {
	_, _, _, vendors := vendorHost(s.opts.endpoint.Hostname())
	switch {
	case s.opts.region != "" && (vendors || s.opts.bound):
		return "region " + s.opts.region
	case vendors, s.opts.bound:
		return ""
	}
	return s.opts.endpoint.String()
}

// sourceHost is the host that names the bucket as the source of a copy. Neither endpoints of acceleration nor domains bound to
// a bucket can (https://cloud.tencent.com/document/product/436/10881); "" where there is no other.
func (s *Store) sourceHost() string {
	_, _, region, vendors := vendorHost(s.opts.endpoint.Hostname())
	switch {
	case vendors && region != accelerated:
		return s.base.Host
	case vendors || s.opts.bound:
		if s.opts.region == "" {
			return ""
		}
		return s.bucket + ".cos." + s.opts.region + vendorDomain
	}
	return s.base.Host
}

// CopyLimit implements store.Copier.
func (s *Store) CopyLimit() int64 { return largestPart }

// copied is the answer of PUT Object - Copy and Upload Part - Copy.
type copied struct {
	XMLName  xml.Name
	ETag     string    `xml:"ETag"`
	CRC64    string    `xml:"CRC64"`
	Modified time.Time `xml:"LastModified"`
}

// Copy implements store.Copier. The headers and user metadata stay the source's unless opts.Meta differs from what from tells of
// them; where from tells nothing and opts.Meta is empty, they stay as well. Tags stay unless there are others in opts.Meta.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	r := wire.Request{Op: "copy", Method: http.MethodPut, Key: key, Header: make(http.Header, 16), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Object{}, wire.Permanent(r.Op, key, err)
	}
	s.setPlacement(r.Header, &opts.Meta)
	if len(opts.Meta.Tags) > 0 {
		r.Header["X-Cos-Tagging-Directive"] = []string{"Replaced"}
	}
	r.Header["X-Cos-Metadata-Directive"] = []string{"Copy"}
	if wire.ReplacesMeta(from.Meta, opts) {
		r.Header["X-Cos-Metadata-Directive"] = []string{"Replaced"}
		if err := s.metaRules().Set(r.Header, &opts.Meta); err != nil {
			return store.Object{}, wire.Permanent(r.Op, key, err)
		}
	}
	setCondition(r.Header, opts.Condition)
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key, "CopyObjectResult", h)
	}
	if err != nil {
		return store.Object{}, err
	}
	// Whether the source was made of parts, this answer does not tell, so its ETag says nothing of the content.
	return store.Object{
		Key: key, Kind: from.Kind, Size: from.Size, Target: from.Target, ETag: wire.Unquote(out.ETag), ModTime: out.Modified.UTC(),
		Sums: crc64Of(out.CRC64).Merge(crc64Of(h.Get(headerCRC64))),
	}, nil
}

// CopyPart implements store.Copier.
func (s *Store) CopyPart(ctx context.Context, src store.Source, from store.Object, off, n int64, key, id string, part int) (store.Part, error) {
	r := wire.Request{Op: "copy part", Method: http.MethodPut, Key: key, Query: wire.PartQuery(part, id), Header: make(http.Header, 8), Slow: true}
	if err := s.setCopySource(r.Header, src, from); err != nil {
		return store.Part{}, wire.Permanent(r.Op, key, err)
	}
	r.Header["X-Cos-Copy-Source-Range"] = []string{fmt.Sprintf("bytes=%d-%d", off, off+n-1)}
	var out copied
	h, err := s.calls.Read(ctx, r, &out)
	if err == nil {
		err = out.check(r.Op, key, "CopyPartResult", h)
	}
	if err != nil {
		return store.Part{}, err
	}
	etag := wire.Unquote(out.ETag)
	sums := crc64Of(out.CRC64).Merge(crc64Of(h.Get(headerCRC64)))
	if etagIsMD5(h) {
		sums = sums.Merge(s.sumsOfETag(etag))
	}
	return store.Part{Number: part, Size: n, ETag: etag, Sums: sums}, nil
}

// check tells an answer from the errors that may come with status 200.
func (c *copied) check(op, key, name string, h http.Header) error {
	if c.XMLName.Local != name || c.ETag == "" {
		err := fmt.Errorf("the server answers with %q instead of a result", wire.Clip(c.XMLName.Local, 50))
		return &store.Error{Op: op, Key: key, Class: store.Transient, RequestID: requestID(h), Err: err}
	}
	return nil
}

// setCopySource names the object to copy from, and the version of it.
func (s *Store) setCopySource(h http.Header, src store.Source, from store.Object) error {
	other, ok := src.(*Store)
	if !ok {
		return fmt.Errorf("cannot copy from a store of another kind: %T", src)
	}
	full := other.prefix + from.Key
	if err := checkKey(full); err != nil {
		return err
	}
	escape := wire.EscapePath
	if path.Clean("/"+full) != "/"+full {
		escape = wire.EscapeQuery // a server that merges paths would find another object
	}
	h["X-Cos-Copy-Source"] = []string{other.sourceHost() + other.base.Path + "/" + escape(full)}
	if from.ETag != "" {
		h["X-Cos-Copy-Source-If-Match"] = []string{wire.Quote(from.ETag)}
	}
	return nil
}
