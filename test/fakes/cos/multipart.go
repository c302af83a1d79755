package cos

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Limits of parts, https://www.tencentcloud.com/document/product/436/7750.
const (
	smallestPart = 1 << 20 // bytes, but for the last one
	mostParts    = 10000
)

func noSuchUpload() *fault {
	return &fault{404, "NoSuchUpload", "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed."}
}

func (c *call) createUpload() *fault {
	header, bad := c.kept()
	if bad != nil {
		return bad
	}
	class, bad := c.class()
	if bad != nil {
		return bad
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	if bad := fakehttp.As[*fault](c.forbidsOverwrite(c.b.Get(c.key))); bad != nil {
		return bad
	}
	id := c.b.CreateUpload(memory.Upload{Key: c.key, Header: header, Class: class, Began: c.s.opts.Now()})
	return c.answer(struct {
		XMLName     xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key string
		UploadId    string //nolint:revive // the name of the element
	}{Bucket: c.name, Key: c.key, UploadId: id})
}

// putPart takes a part, from the request or from another object.
func (c *call) putPart() *fault {
	n, err := strconv.Atoi(c.q.Get("partNumber"))
	if err != nil || n < 1 || n > mostParts {
		return &fault{400, "InvalidArgument", "partNumber must be an integer between 1 and 10000."}
	}
	copied := c.r.Header.Get("X-Cos-Copy-Source") != ""
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
	p := &memory.Part{Number: n, Data: data, ETag: md5Of(data), Modified: c.s.opts.Now()}
	if !c.b.PutPart(c.key, c.q.Get("uploadId"), p) {
		return noSuchUpload()
	}
	if copied {
		return c.answer(struct {
			XMLName             xml.Name `xml:"CopyPartResult"`
			ETag, CRC64         string
			LastModified, Range string `xml:",omitempty"`
		}{ETag: `"` + p.ETag + `"`, CRC64: fakehttp.CRC64(data), LastModified: stampXML(p.Modified)})
	}
	c.acknowledge(p.ETag, data, nil)
	return nil
}

// heldPart is one entry of a listing of parts.
type heldPart struct {
	PartNumber         int
	LastModified, ETag string
	Size               int
}

func (c *call) listParts() *fault {
	n, bad := c.most("max-parts")
	if bad != nil {
		return bad
	}
	parts, ok := c.b.Parts(c.key, c.q.Get("uploadId"))
	if !ok {
		return noSuchUpload()
	}
	marker, _ := strconv.Atoi(c.q.Get("part-number-marker"))
	doc := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		Bucket               string
		EncodingType         string `xml:"Encoding-type,omitempty"`
		Key                  string
		UploadId             string //nolint:revive // the name of the element
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []heldPart
	}{EncodingType: c.q.Get("encoding-type"), Bucket: c.name, Key: c.encoded(c.key), UploadId: c.q.Get("uploadId"), PartNumberMarker: marker, MaxParts: n}
	for _, p := range parts {
		if p.Number <= marker {
			continue
		}
		if len(doc.Part) == n {
			doc.IsTruncated = true
			break
		}
		doc.Part = append(doc.Part, heldPart{p.Number, stampXML(p.Modified), `"` + p.ETag + `"`, len(p.Data)})
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
	var whole *memory.Object
	open, err := c.b.Complete(c.key, c.q.Get("uploadId"), func(u *memory.Upload) (*memory.Object, error) {
		data, tags, bad := joinParts(u, doc.Part)
		if bad != nil {
			return nil, bad
		}
		whole = &memory.Object{
			Key: c.key, Data: data, Header: u.Header, Type: typeNormal, Class: u.Class, Modified: c.s.opts.Now(),
			ETag: fmt.Sprintf("%s-%d", md5Of([]byte(tags)), len(doc.Part)), // no MD5 of the content
		}
		return whole, nil
	}, c.forbidsOverwrite)
	switch bad := fakehttp.As[*fault](err); {
	case !open:
		return noSuchUpload()
	case bad != nil:
		return bad
	}
	c.acknowledge(whole.ETag, whole.Data, whole.Header)
	return c.answer(struct {
		XMLName                     xml.Name `xml:"CompleteMultipartUploadResult"`
		Location, Bucket, Key, ETag string
	}{Location: "http://" + c.r.Host + c.r.URL.EscapedPath(), Bucket: c.name, Key: c.key, ETag: `"` + whole.ETag + `"`})
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
			return nil, "", &fault{400, "InvalidPart", "One or more of the specified parts could not be found."}
		case i > 0 && want.PartNumber <= chosen[i-1].PartNumber:
			return nil, "", &fault{400, "InvalidPartOrder", "The list of parts was not in ascending order."}
		case i < len(chosen)-1 && len(p.Data) < smallestPart:
			return nil, "", &fault{400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size."}
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
