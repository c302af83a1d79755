package bos

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Limits of parts (https://cloud.baidu.com/doc/BOS/s/3kc5v4qs0).
const (
	smallestPart = 100 << 10 // bytes, but for the last one
	mostParts    = 10000
)

func noSuchUpload() *fault {
	return &fault{404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
}

// createUpload keeps all that comes with an object but user metadata, which the last request brings.
func (c *call) createUpload() *fault {
	header, bad := c.kept()
	if bad != nil {
		return bad
	}
	id := c.b.CreateUpload(memory.Upload{Key: c.key, Header: header, Began: c.s.opts.Now()})
	return c.answer(map[string]string{"bucket": c.name, "key": c.key, "uploadId": id})
}

// putPart takes a part, from the request or from another object.
func (c *call) putPart() *fault {
	n, err := strconv.Atoi(c.q.Get("partNumber"))
	if err != nil || n < 1 || n > mostParts {
		return invalid("Part number must be an integer between 1 and 10000, inclusive.")
	}
	copied := c.r.Header.Get("X-Bce-Copy-Source") != ""
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
		setCRCs(c.w.Header(), data)
		return c.answer(map[string]string{"lastModified": stamp(p.Modified), "eTag": p.ETag})
	}
	c.stored(p.ETag, data)
	return nil
}

func (c *call) listParts() *fault {
	n, bad := c.most("maxParts")
	if bad != nil {
		return bad
	}
	parts, ok := c.b.Parts(c.key, c.q.Get("uploadId"))
	if !ok {
		return noSuchUpload()
	}
	marker, _ := strconv.Atoi(c.q.Get("partNumberMarker"))
	type part struct {
		Number   int    `json:"partNumber"`
		Modified string `json:"lastModified"`
		ETag     string `json:"eTag"`
		Size     int    `json:"size"`
	}
	doc := struct {
		Bucket    string `json:"bucket"`
		Key       string `json:"key"`
		ID        string `json:"uploadId"`
		Marker    int    `json:"partNumberMarker"`
		Next      int    `json:"nextPartNumberMarker"`
		Max       int    `json:"maxParts"`
		Truncated bool   `json:"isTruncated"`
		Parts     []part `json:"parts"`
	}{Bucket: c.name, Key: c.key, ID: c.q.Get("uploadId"), Marker: marker, Max: n, Parts: []part{}}
	for _, p := range parts {
		if p.Number <= marker {
			continue
		}
		if len(doc.Parts) == n {
			doc.Truncated = true
			break
		}
		doc.Parts = append(doc.Parts, part{p.Number, stamp(p.Modified), p.ETag, len(p.Data)})
		doc.Next = p.Number
	}
	return c.answer(doc)
}

// chosenPart is a part that a Complete names.
type chosenPart struct {
	Number int    `json:"partNumber"`
	ETag   string `json:"eTag"`
}

// complete makes an object of parts, under the condition of a write (https://cloud.baidu.com/doc/BOS/s/Nkc5vzayc).
func (c *call) complete() *fault {
	text, bad := c.body()
	if bad != nil {
		return bad
	}
	user, bad := userMeta(c.r.Header)
	if bad != nil {
		return bad
	}
	var doc struct {
		Parts []chosenPart `json:"parts"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return malformed(err)
	}
	var whole *memory.Object
	open, err := c.b.Complete(c.key, c.q.Get("uploadId"), func(u *memory.Upload) (*memory.Object, error) {
		data, tags, bad := joinParts(u, doc.Parts)
		if bad != nil {
			return nil, bad
		}
		header := u.Header.Clone()
		for name, v := range user {
			header[name] = v
		}
		whole = &memory.Object{
			Key: c.key, Data: data, Header: header, Type: typeNormal, Class: header.Get(headerClass), Modified: c.s.opts.Now(),
			ETag: "-" + md5Of([]byte(tags)), // no MD5 of the content
		}
		return whole, nil
	}, c.condition)
	switch bad := fakehttp.As[*fault](err); {
	case !open:
		return noSuchUpload()
	case bad != nil:
		return bad
	}
	setCRCs(c.w.Header(), whole.Data)
	return c.answer(map[string]string{"location": "http://" + c.r.Host + "/" + c.key, "bucket": c.name, "key": c.key, "eTag": whole.ETag})
}

// joinParts puts the chosen parts together; tags are their ETags.
func joinParts(u *memory.Upload, chosen []chosenPart) (data []byte, tags string, bad *fault) {
	held := map[int]*memory.Part{}
	for _, p := range u.Parts() {
		held[p.Number] = p
	}
	if len(chosen) == 0 {
		return nil, "", &fault{400, "InappropriateJSON", "The JSON you provided was well-formed and valid, but not appropriate for this operation."}
	}
	for i, want := range chosen {
		p := held[want.Number]
		switch {
		case p == nil || p.ETag != strings.Trim(want.ETag, `"`):
			return nil, "", &fault{400, "InvalidPart", "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag."}
		case i > 0 && want.Number <= chosen[i-1].Number:
			return nil, "", &fault{400, "InvalidPartOrder", "The list of parts was not in ascending order. Parts list must be specified in order by part number."}
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

// copySource finds the object that a copy is of.
func (c *call) copySource() (*memory.Object, *fault) {
	text, err := url.PathUnescape(c.r.Header.Get("X-Bce-Copy-Source"))
	name, key, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if err != nil || !ok {
		return nil, invalid("x-bce-copy-source is invalid.")
	}
	b, bad := c.s.find(name)
	if bad != nil {
		return nil, bad
	}
	o, bad := followed(b.Bucket, key)
	if bad != nil {
		return nil, bad
	}
	switch match := strings.Trim(c.r.Header.Get("X-Bce-Copy-Source-If-Match"), `"`); {
	case match != "" && match != o.ETag:
		return nil, preconditionFailed()
	case frozen(o):
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
	from, to, status := rangeOf(c.r.Header.Get("X-Bce-Copy-Source-Range"), int64(len(o.Data)))
	if status >= 400 {
		return nil, &fault{status, "InvalidRange", "The requested range is not satisfiable."}
	}
	return o.Data[from:to], nil
}

// copyObject copies content, and headers unless told otherwise; the storage class is the request's or the usual one, access
// is not copied (https://cloud.baidu.com/doc/BOS/s/Lkc5p9g3w).
func (c *call) copyObject() *fault {
	o, bad := c.copySource()
	if bad != nil {
		return bad
	}
	dst := *o
	switch directive := c.r.Header.Get("X-Bce-Metadata-Directive"); directive {
	case "", "copy":
		dst.Header = o.Header.Clone()
		for _, name := range []string{headerACL, headerEncryption, headerRestore} {
			dst.Header.Del(name)
		}
		if bad = c.keepPlace(dst.Header); bad != nil {
			return bad
		}
	case "replace":
		if dst.Header, bad = c.wholeHeader(); bad != nil {
			return bad
		}
	default:
		return invalid("Unknown metadata directive.")
	}
	if c.r.Header.Get("X-Bce-Tagging-Directive") != "replace" {
		dst.Header[headerTags] = o.Header[headerTags] // whatever tags the request has
	}
	if dst.Type == typeSymlink {
		dst.Type = typeNormal
	}
	if bad := c.keep(&dst, nil); bad != nil {
		return bad
	}
	setCRCs(c.w.Header(), dst.Data)
	return c.answer(map[string]string{"lastModified": stamp(dst.Modified), "eTag": dst.ETag})
}
