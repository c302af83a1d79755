package oss

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// timeXML is how OSS writes times in documents.
const timeXML = "2006-01-02T15:04:05.000Z"

// maxKeys is the most that one page holds, and what a page holds unless asked otherwise is usualKeys.
const (
	maxKeys   = 1000
	usualKeys = 100
)

// most reads how many entries a page is to have.
func (c *call) most(name string, usual int) (int, *fault) {
	text := c.q.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxKeys {
		return 0, &fault{400, "InvalidArgument", "Argument " + name + " must be an integer between 1 and 1000.", "0017-00000251", ""}
	}
	return n, nil
}

// encoded gives a key as the listing's encoding-type wants it.
func (c *call) encoded(key string) string {
	if c.q.Get("encoding-type") == "url" {
		return url.QueryEscape(key)
	}
	return key
}

// entry is one object of a listing.
type entry struct {
	Key          string
	LastModified string
	ETag         string
	Type         string
	Size         int64
	StorageClass string
}

// listing is the answer of GetBucket and ListObjectsV2
// (https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2).
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	Prefix                string
	Marker                string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	MaxKeys               int
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	NextMarker            string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	Contents              []entry
}

// tokenPrefix keeps a token from being taken for a key.
const tokenPrefix = "C"

func (c *call) listObjects() *fault {
	n, bad := c.most("max-keys", usualKeys)
	if bad != nil {
		return bad
	}
	v2 := c.q.Get("list-type") == "2"
	after := c.q.Get("marker")
	if v2 {
		after = c.q.Get("start-after")
		if token := c.q.Get("continuation-token"); token != "" {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix))
			if err != nil {
				return &fault{400, "InvalidArgument", "The continuation token provided is incorrect", "0017-00000252", ""}
			}
			after = string(raw)
		}
	}
	objects, more := c.b.List(c.q.Get("prefix"), after, n)
	doc := listing{
		Name: c.name, Prefix: c.encoded(c.q.Get("prefix")), Marker: c.encoded(c.q.Get("marker")), StartAfter: c.encoded(c.q.Get("start-after")),
		MaxKeys: n, EncodingType: c.q.Get("encoding-type"), IsTruncated: more, KeyCount: len(objects),
	}
	for _, o := range objects {
		doc.Contents = append(doc.Contents, entry{
			Key: c.encoded(o.Key), LastModified: stampXML(o.Modified), ETag: `"` + o.ETag + `"`, Type: o.Type,
			Size: int64(len(o.Data)), StorageClass: o.Class,
		})
	}
	if more && v2 {
		doc.NextContinuationToken = tokenPrefix + base64.StdEncoding.EncodeToString([]byte(objects[len(objects)-1].Key))
	} else if more {
		doc.NextMarker = c.encoded(objects[len(objects)-1].Key)
	}
	return c.answer(doc)
}

// deleteMany deletes up to 1,000 objects.
func (c *call) deleteMany() *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	var doc struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []struct{ Key string }
	}
	if err := xml.Unmarshal(data, &doc); err != nil {
		return malformed(err.Error())
	}
	type deleted struct{ Key string }
	answer := struct {
		XMLName      xml.Name `xml:"DeleteResult"`
		EncodingType string   `xml:",omitempty"`
		Deleted      []deleted
	}{EncodingType: c.q.Get("encoding-type")}
	for _, o := range doc.Object {
		c.b.Delete(o.Key)
		if !doc.Quiet {
			answer.Deleted = append(answer.Deleted, deleted{c.encoded(o.Key)})
		}
	}
	return c.answer(answer)
}

// listUploads lists the uploads that are open, ascending by key, then ID.
func (c *call) listUploads() *fault {
	n, bad := c.most("max-uploads", maxKeys)
	if bad != nil {
		return bad
	}
	type upload struct{ Key, UploadId, StorageClass, Initiated string } //nolint:revive // names of elements
	doc := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		Bucket             string
		EncodingType       string `xml:",omitempty"`
		KeyMarker          string
		UploadIdMarker     string //nolint:revive // the name of the element
		NextKeyMarker      string
		NextUploadIdMarker string //nolint:revive // the name of the element
		Prefix             string
		MaxUploads         int
		IsTruncated        bool
		Upload             []upload
	}{
		Bucket: c.name, EncodingType: c.q.Get("encoding-type"), KeyMarker: c.encoded(c.q.Get("key-marker")),
		UploadIdMarker: c.q.Get("upload-id-marker"), Prefix: c.encoded(c.q.Get("prefix")), MaxUploads: n,
	}
	marker, idMarker := c.q.Get("key-marker"), c.q.Get("upload-id-marker")
	for _, u := range c.b.Uploads() {
		if !strings.HasPrefix(u.Key, c.q.Get("prefix")) || u.Key < marker || u.Key == marker && marker != "" && (idMarker == "" || u.ID <= idMarker) {
			continue
		}
		if len(doc.Upload) == n {
			doc.IsTruncated = true
			break
		}
		doc.Upload = append(doc.Upload, upload{c.encoded(u.Key), u.ID, "Standard", stampXML(u.Began)})
		doc.NextKeyMarker, doc.NextUploadIdMarker = c.encoded(u.Key), u.ID
	}
	return c.answer(doc)
}

// stampXML gives a time as documents have it.
func stampXML(t time.Time) string { return t.UTC().Format(timeXML) }

// document reads a request's document.
func (c *call) document(into any) *fault {
	data, err := io.ReadAll(c.r.Body)
	if err == nil {
		err = xml.Unmarshal(data, into)
	}
	if err != nil {
		return malformed(err.Error())
	}
	return nil
}
