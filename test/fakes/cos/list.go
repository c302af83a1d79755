package cos

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// timeXML is how COS writes times in documents.
const timeXML = "2006-01-02T15:04:05.000Z"

// maxKeys is the most that one page holds.
const maxKeys = 1000

// most reads how many entries a page is to have.
func (c *call) most(name string) (int, *fault) {
	text := c.q.Get(name)
	if text == "" {
		return maxKeys, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxKeys {
		return 0, &fault{400, "InvalidArgument", name + " must be an integer between 1 and 1000."}
	}
	return n, nil
}

// encoded gives a key as the listing's encoding-type wants it.
func (c *call) encoded(key string) string {
	if c.q.Get("encoding-type") == "url" {
		return encode(key)
	}
	return key
}

// entry is one object of a listing.
type entry struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

// listing is the answer of GET Bucket (https://www.tencentcloud.com/document/product/436/30614).
type listing struct {
	XMLName      xml.Name `xml:"ListBucketResult"`
	Name         string
	EncodingType string `xml:",omitempty"`
	Prefix       string
	Marker       string
	MaxKeys      int
	Delimiter    string `xml:",omitempty"`
	IsTruncated  bool
	NextMarker   string  `xml:",omitempty"`
	Contents     []entry `xml:",omitempty"`
	Groups       []group `xml:"CommonPrefixes,omitempty"`
}

type group struct{ Prefix string }

func (c *call) listObjects() *fault {
	n, bad := c.most("max-keys")
	if bad != nil {
		return bad
	}
	prefix, marker, delimiter := c.q.Get("prefix"), c.q.Get("marker"), c.q.Get("delimiter")
	doc := listing{
		Name: c.name, EncodingType: c.q.Get("encoding-type"), Prefix: c.encoded(prefix), Marker: c.encoded(marker), MaxKeys: n, Delimiter: c.encoded(delimiter),
	}
	next := marker
	for {
		objects, _ := c.b.List(prefix, behind(next, delimiter), 1)
		if len(objects) == 0 {
			return c.answer(doc)
		}
		if doc.entries() == n {
			break
		}
		o := objects[0]
		next = o.Key
		if i := strings.Index(o.Key[len(prefix):], delimiter); i >= 0 && delimiter != "" {
			next = o.Key[:len(prefix)+i+len(delimiter)]
			doc.Groups = append(doc.Groups, group{c.encoded(next)})
			continue
		}
		doc.Contents = append(doc.Contents, entry{c.encoded(o.Key), stampXML(o.Modified), `"` + o.ETag + `"`, int64(len(o.Data)), o.Class})
	}
	doc.IsTruncated, doc.NextMarker = true, c.encoded(next)
	return c.answer(doc)
}

// behind gives the key that a listing starts behind: the last one of a folder where folders are listed as one entry.
func behind(marker, delimiter string) string {
	if delimiter != "" && strings.HasSuffix(marker, delimiter) {
		return marker + "\U0010ffff"
	}
	return marker
}

func (l *listing) entries() int { return len(l.Contents) + len(l.Groups) }

// deleteMany deletes up to 1,000 objects (https://www.tencentcloud.com/document/product/436/8289).
func (c *call) deleteMany() *fault {
	if c.r.Header.Get("Content-Md5") == "" {
		return &fault{400, "InvalidRequest", "Missing required header for this request: Content-MD5."}
	}
	var doc struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []struct{ Key string }
	}
	if bad := c.document(&doc); bad != nil {
		return bad
	}
	type deleted struct{ Key string }
	answer := struct {
		XMLName xml.Name `xml:"DeleteResult"`
		Deleted []deleted
	}{}
	for _, o := range doc.Object {
		c.b.Delete(o.Key)
		if !doc.Quiet {
			answer.Deleted = append(answer.Deleted, deleted{o.Key})
		}
	}
	return c.answer(answer)
}

// upload is one entry of a listing of uploads.
type upload struct{ Key, UploadId, StorageClass, Initiated string } //nolint:revive // names of elements

// listUploads lists the uploads that are open, ascending by key, then ID (https://www.tencentcloud.com/document/product/436/7736).
func (c *call) listUploads() *fault {
	n, bad := c.most("max-uploads")
	if bad != nil {
		return bad
	}
	marker, idMarker, prefix := c.q.Get("key-marker"), c.q.Get("upload-id-marker"), c.q.Get("prefix")
	doc := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		Bucket             string
		EncodingType       string `xml:"Encoding-Type,omitempty"`
		KeyMarker          string
		UploadIdMarker     string //nolint:revive // the name of the element
		NextKeyMarker      string
		NextUploadIdMarker string //nolint:revive // the name of the element
		Prefix             string
		MaxUploads         int
		IsTruncated        bool
		Upload             []upload
	}{
		Bucket: c.name, EncodingType: c.q.Get("encoding-type"), KeyMarker: c.encoded(marker), UploadIdMarker: idMarker, Prefix: c.encoded(prefix), MaxUploads: n,
	}
	for _, u := range c.b.Uploads() {
		if !strings.HasPrefix(u.Key, prefix) || u.Key < marker || u.Key == marker && marker != "" && (idMarker == "" || u.ID <= idMarker) {
			continue
		}
		if len(doc.Upload) == n {
			doc.IsTruncated = true
			break
		}
		doc.Upload = append(doc.Upload, upload{c.encoded(u.Key), u.ID, "STANDARD", stampXML(u.Began)})
		doc.NextKeyMarker, doc.NextUploadIdMarker = c.encoded(u.Key), u.ID
	}
	return c.answer(doc)
}

// stampXML gives a time as documents have it.
func stampXML(t time.Time) string { return t.UTC().Format(timeXML) }

// document reads a request's document.
func (c *call) document(into any) *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	if len(data) == 0 {
		return &fault{http.StatusBadRequest, "MissingRequestBodyError", "Request body is empty."}
	}
	if err := xml.Unmarshal(data, into); err != nil {
		return malformed(err.Error())
	}
	return nil
}
