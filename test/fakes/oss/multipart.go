package oss

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Limits of parts, https://www.alibabacloud.com/help/en/oss/user-guide/multipart-upload.
const (
	smallestPart = 100 << 10 // bytes, but for the last one
	mostParts    = 10000
)

func noSuchUpload() *fault {
	return &fault{404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.", "0042-00000002", ""}
}

func (c *call) createUpload() *fault {
	header, bad := keptHeader(c.r.Header)
	if bad != nil {
		return bad
	}
	class, tags, access, bad := details(c.r.Header)
	if bad == nil && access != "" {
		bad = &fault{400, "InvalidArgument", "x-oss-object-acl goes with the completion of an upload.", "0042-00000303", ""}
	}
	if bad != nil {
		return bad
	}
	id := c.b.CreateUpload(memory.Upload{Key: c.key, Header: header, Class: class, Tags: tags, Began: c.s.opts.Now()})
	return c.answer(struct {
		XMLName      xml.Name `xml:"InitiateMultipartUploadResult"`
		EncodingType string   `xml:",omitempty"`
		Bucket, Key  string
		UploadId     string //nolint:revive // the name of the element
	}{EncodingType: c.q.Get("encoding-type"), Bucket: c.name, Key: c.encoded(c.key), UploadId: id})
}

// putPart takes a part, from the request or from another object.
func (c *call) putPart() *fault {
	n, err := strconv.Atoi(c.q.Get("partNumber"))
	if err != nil || n < 1 || n > mostParts {
		return &fault{400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.", "0042-00000302", ""}
	}
	copied := c.r.Header.Get("X-Oss-Copy-Source") != ""
	var data []byte
	var bad *fault
	if copied {
		data, bad = c.copiedRange()
	} else {
		data, bad = c.body()
	}
	if bad != nil {
		return bad
	}
	p := &memory.Part{Number: n, Data: data, ETag: etagOf(data), Modified: c.s.opts.Now()}
	if !c.b.PutPart(c.key, c.q.Get("uploadId"), p) {
		return noSuchUpload()
	}
	if copied {
		return c.answer(struct {
			XMLName            xml.Name `xml:"CopyPartResult"`
			LastModified, ETag string
		}{LastModified: stampXML(p.Modified), ETag: `"` + p.ETag + `"`})
	}
	c.w.Header().Set("Etag", `"`+p.ETag+`"`)
	c.w.Header().Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(data))
	return nil
}

func (c *call) listParts() *fault {
	n, bad := c.most("max-parts", maxKeys)
	if bad != nil {
		return bad
	}
	parts, ok := c.b.Parts(c.key, c.q.Get("uploadId"))
	if !ok {
		return noSuchUpload()
	}
	marker, _ := strconv.Atoi(c.q.Get("part-number-marker"))
	type part struct {
		PartNumber         int
		LastModified, ETag string
		Size               int
	}
	doc := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		EncodingType         string   `xml:",omitempty"`
		Bucket, Key          string
		UploadId             string //nolint:revive // the name of the element
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []part
	}{EncodingType: c.q.Get("encoding-type"), Bucket: c.name, Key: c.encoded(c.key), UploadId: c.q.Get("uploadId"), PartNumberMarker: marker, MaxParts: n}
	for _, p := range parts {
		if p.Number <= marker {
			continue
		}
		if len(doc.Part) == n {
			doc.IsTruncated = true
			break
		}
		doc.Part = append(doc.Part, part{p.Number, stampXML(p.Modified), `"` + p.ETag + `"`, len(p.Data)})
		doc.NextPartNumberMarker = p.Number
	}
	return c.answer(doc)
}

// chosenPart is a part that a Complete names.
type chosenPart struct {
	PartNumber int
	ETag       string
}

func (c *call) complete() *fault {
	var doc struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Part    []chosenPart
	}
	if bad := c.document(&doc); bad != nil {
		return bad
	}
	access := c.r.Header.Get("X-Oss-Object-Acl")
	var whole *memory.Object
	open, err := c.b.Complete(c.key, c.q.Get("uploadId"), func(u *memory.Upload) (*memory.Object, error) {
		data, tags, bad := joinParts(u, doc.Part)
		if bad != nil {
			return nil, bad
		}
		whole = &memory.Object{
			Key: c.key, Data: data, Header: u.Header, Type: typeMultipart, Class: u.Class, Tags: u.Tags, Modified: c.s.opts.Now(),
			ETag: fmt.Sprintf("%s-%d", etagOf([]byte(tags)), len(doc.Part)), // documented to be no MD5 of the content
		}
		whole.ACL = access
		return whole, nil
	}, c.forbidsOverwrite)
	switch bad := fakehttp.As[*fault](err); {
	case !open:
		return noSuchUpload()
	case bad != nil:
		return bad
	}
	c.w.Header().Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(whole.Data))
	return c.answer(struct {
		XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
		EncodingType      string   `xml:",omitempty"`
		Bucket, Key, ETag string
	}{EncodingType: c.q.Get("encoding-type"), Bucket: c.name, Key: c.encoded(c.key), ETag: `"` + whole.ETag + `"`})
}

// joinParts puts the chosen parts together; tags are their ETags.
func joinParts(u *memory.Upload, chosen []chosenPart) (data []byte, tags string, bad *fault) {
	held := map[int]*memory.Part{}
	for _, p := range u.Parts() {
		held[p.Number] = p
	}
	if len(chosen) == 0 {
		return nil, "", malformed("no part")
	}
	for i, want := range chosen {
		p := held[want.PartNumber]
		switch {
		case p == nil || p.ETag != strings.Trim(want.ETag, `"`):
			return nil, "", &fault{400, "InvalidPart", "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.", "0042-00000102", ""}
		case i > 0 && want.PartNumber <= chosen[i-1].PartNumber:
			return nil, "", &fault{400, "InvalidPartOrder", "The list of parts was not in ascending order.", "0042-00000103", ""}
		case i < len(chosen)-1 && len(p.Data) < smallestPart:
			return nil, "", &fault{400, "EntityTooSmall", "Your proposed upload smaller than the minimum allowed size.", "0042-00000104", ""}
		}
		data = append(data, p.Data...)
		tags += p.ETag
	}
	return data, tags, nil
}

func (c *call) abort() *fault {
	if !c.b.Abort(c.key, c.q.Get("uploadId")) {
		return noSuchUpload()
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// copySource finds the object that a copy is of.
func (c *call) copySource() (*memory.Object, *fault) {
	text, err := url.QueryUnescape(c.r.Header.Get("X-Oss-Copy-Source")) // the vendor's SDK writes "+" for a space
	name, key, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if err != nil || !ok {
		return nil, &fault{400, "InvalidArgument", "Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.", "0003-00000601", ""}
	}
	b, bad := c.s.find(name)
	if bad != nil {
		return nil, bad
	}
	o, bad := followed(b.Bucket, key)
	if bad != nil {
		return nil, bad
	}
	switch match := strings.Trim(c.r.Header.Get("X-Oss-Copy-Source-If-Match"), `"`); {
	case match != "" && match != o.ETag:
		return nil, &fault{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.", "0003-00000308", ""}
	case c.s.frozen(name, o):
		return nil, archived()
	case o.Type == typeAppendable:
		return nil, &fault{400, "OperationNotSupported", "The operation is not supported for this resource.", "0003-00000602", ""}
	}
	return o, nil
}

// copiedRange gives the bytes that a copied part is made of.
func (c *call) copiedRange() ([]byte, *fault) {
	o, bad := c.copySource()
	if bad != nil {
		return nil, bad
	}
	text := c.r.Header.Get("X-Oss-Copy-Source-Range")
	from, to, status := rangeOf(text, int64(len(o.Data)), true)
	if status == http.StatusRequestedRangeNotSatisfiable {
		return nil, &fault{400, "InvalidArgument", "The copy source range is not valid.", "0003-00000603", ""}
	}
	return o.Data[from:to], nil
}

func (c *call) copyObject() *fault {
	o, bad := c.copySource()
	if bad != nil {
		return bad
	}
	class, tags, access, bad := details(c.r.Header)
	if bad != nil {
		return bad
	}
	dst := *o
	dst.Class, dst.ACL = class, access // a copy has no ACL of its source
	switch c.r.Header.Get("X-Oss-Tagging-Directive") {
	case "", "Copy":
	case "Replace":
		dst.Tags = tags
	default:
		return &fault{400, "InvalidArgument", "Unknown tagging directive.", "0003-00000605", ""}
	}
	if how := c.r.Header.Get(headerEncryption); how != "" && c.r.Header.Get("X-Oss-Metadata-Directive") != "REPLACE" {
		dst.Header = dst.Header.Clone()
		dst.Header.Set(headerEncryption, how)
	}
	switch c.r.Header.Get("X-Oss-Metadata-Directive") {
	case "", "COPY":
	case "REPLACE":
		if dst.Header, bad = keptHeader(c.r.Header); bad != nil {
			return bad
		}
	default:
		return &fault{400, "InvalidArgument", "Unknown metadata directive.", "0003-00000604", ""}
	}
	if dst.Type == typeSymlink {
		dst.Type = typeNormal
	}
	if bad := c.keep(&dst); bad != nil {
		return bad
	}
	c.w.Header().Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(dst.Data))
	return c.answer(struct {
		XMLName            xml.Name `xml:"CopyObjectResult"`
		LastModified, ETag string
	}{LastModified: stampXML(dst.Modified), ETag: `"` + dst.ETag + `"`})
}
