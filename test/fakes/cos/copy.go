package cos

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// copySource finds the object that a copy is of: HOST/KEY, the key encoded, as a request for it would have it
// (https://www.tencentcloud.com/document/product/436/10881).
func (c *call) copySource() (*memory.Object, *fault) {
	invalid := &fault{400, "InvalidCopySource", "The x-cos-copy-source is not valid."}
	host, path, ok := strings.Cut(c.r.Header.Get("X-Cos-Copy-Source"), "/")
	if !ok || strings.Contains(host, "accelerate") {
		return nil, invalid
	}
	u, err := url.Parse("http://" + host + "/" + path)
	if err != nil {
		return nil, invalid
	}
	t, bad := c.s.targetOf(u.Host, u)
	if bad != nil {
		return nil, bad
	}
	b, bad := c.s.find(t.bucket)
	if bad != nil {
		return nil, bad
	}
	o, bad := c.shown(b, t.key)
	if bad != nil {
		return nil, bad
	}
	h := c.r.Header
	switch match, none := strings.Trim(h.Get("X-Cos-Copy-Source-If-Match"), `"`), strings.Trim(h.Get("X-Cos-Copy-Source-If-None-Match"), `"`); {
	case match != "" && match != o.ETag, none != "" && none == o.ETag:
		return nil, &fault{412, "PreconditionFailed", "Precondition not match."}
	case isArchived(o):
		return nil, archived()
	}
	return o, nil
}

// copiedRange gives the bytes that a copied part is made of.
func (c *call) copiedRange() ([]byte, *fault) {
	o, bad := c.copySource()
	if bad != nil {
		return nil, bad
	}
	from, to, status := fakehttp.Range(c.r.Header.Get("X-Cos-Copy-Source-Range"), int64(len(o.Data)))
	if status == http.StatusRequestedRangeNotSatisfiable {
		return nil, &fault{400, "InvalidArgument", "The x-cos-copy-source-range is not valid."}
	}
	return o.Data[from:to], nil
}

// replaces reads a directive: false for Copy, which is what happens where there is none.
func (c *call) replaces(name string) (bool, *fault) {
	switch text := c.r.Header.Get(name); text {
	case "", "Copy":
		return false, nil
	case "Replaced":
		return true, nil
	}
	return false, &fault{400, "InvalidArgument", name + " must be Copy or Replaced."}
}

// copyObject copies: class, ACL and encryption are those of the request, headers, metadata and tags those of the source unless the
// request replaces them.
func (c *call) copyObject() *fault {
	from, bad := c.copySource()
	if bad != nil {
		return bad
	}
	if len(from.Data) > 5<<30 {
		return &fault{400, "EntityTooLarge", "The source object exceeds the maximum allowed size of a copy."}
	}
	header, bad := c.kept()
	if bad != nil {
		return bad
	}
	anew, bad := c.replaces("X-Cos-Metadata-Directive")
	if bad != nil {
		return bad
	}
	retag, bad := c.replaces("X-Cos-Tagging-Directive")
	if bad != nil {
		return bad
	}
	class, bad := c.class()
	if bad != nil {
		return bad
	}
	if !anew {
		inherit(header, from.Header)
	}
	if !retag {
		header.Del(headerTags)
		if tags := from.Header.Get(headerTags); tags != "" {
			header.Set(headerTags, tags)
		}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	dst := &memory.Object{
		Key: c.key, Data: from.Data, ETag: etagOf(from.Data, header), Header: header, Type: typeNormal, Class: class, Modified: c.s.opts.Now(),
	}
	if bad := fakehttp.As[*fault](c.b.Put(dst, c.forbidsOverwrite)); bad != nil {
		return bad
	}
	return c.answer(struct {
		XMLName                   xml.Name `xml:"CopyObjectResult"`
		ETag, CRC64, LastModified string
	}{ETag: `"` + dst.ETag + `"`, CRC64: fakehttp.CRC64(dst.Data), LastModified: stampXML(dst.Modified)})
}

// inherit takes headers and user metadata from a source, and none from the request.
func inherit(header, from http.Header) {
	placed := func(name string) bool { return name == headerSSE || name == headerTags || name == headerACL }
	for name := range header {
		if !placed(name) {
			delete(header, name)
		}
	}
	for name, v := range from {
		if !placed(name) && name != headerRestore {
			header[name] = v
		}
	}
}
