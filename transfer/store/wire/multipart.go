package wire

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// maxPages bounds the pages of uploads or parts of one key.
const maxPages = 10000

// UploadsPage is a page of a listing of uploads in the order of their keys.
type UploadsPage struct {
	Uploads   []KeyedUpload
	Truncated bool
	NextKey   string // where the next page begins
	NextID    string
}

// KeyedUpload is an open upload of a whole key.
type KeyedUpload struct {
	Key string
	store.Upload
}

// ListUploads finds the uploads of a key, full is the whole of it. Servers list by prefix; siblings are left out here.
func ListUploads(key, full string, page func(keyMarker, idMarker string) (*UploadsPage, error)) ([]store.Upload, error) {
	const op = "list uploads"
	var uploads []store.Upload
	var marker, idMarker string
	for range maxPages {
		p, err := page(marker, idMarker)
		if err != nil {
			return nil, err
		}
		for _, u := range p.Uploads {
			if u.Key == full {
				uploads = append(uploads, store.Upload{ID: u.ID, Began: u.Began.UTC()})
			}
		}
		// Uploads come in the order of their keys: behind this key there is nothing to see.
		if !p.Truncated || p.NextKey > full {
			return uploads, nil
		}
		if p.NextKey == marker && p.NextID == idMarker {
			return nil, Permanent(op, key, errors.New("the listing of uploads repeats"))
		}
		marker, idMarker = p.NextKey, p.NextID
	}
	return nil, Permanent(op, key, errors.New("the listing of uploads has no end"))
}

// XMLUploads is an answer of ListMultipartUploads as S3 and those like it have it.
type XMLUploads struct {
	XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
	Encoding    string   `xml:"EncodingType"`
	EncodingToo string   `xml:"Encoding-Type"` // so COS documents it for this listing
	Truncated   bool     `xml:"IsTruncated"`
	NextKey     string   `xml:"NextKeyMarker"`
	NextID      string   `xml:"NextUploadIdMarker"`
	Uploads     []struct {
		Key   string    `xml:"Key"`
		ID    string    `xml:"UploadId"`
		Began time.Time `xml:"Initiated"`
	} `xml:"Upload"`
}

// Page gives the page with its keys decoded.
func (x *XMLUploads) Page() *UploadsPage {
	plain := func(text string) string { return text }
	if x.Encoding == "url" || x.EncodingToo == "url" {
		plain = Unescaped
	}
	p := &UploadsPage{Truncated: x.Truncated, NextKey: plain(x.NextKey), NextID: x.NextID}
	for _, u := range x.Uploads {
		p.Uploads = append(p.Uploads, KeyedUpload{plain(u.Key), store.Upload{ID: u.ID, Began: u.Began}})
	}
	return p
}

// UploadsQuery asks for a page of the uploads of keys with a prefix, as S3 and those like it have it, sorted.
func UploadsQuery(pageSize int, prefix, keyMarker, idMarker string) string {
	query := "encoding-type=url"
	if keyMarker != "" {
		query += "&key-marker=" + EscapeQuery(keyMarker)
	}
	query += "&max-uploads=" + strconv.Itoa(pageSize) + "&prefix=" + EscapeQuery(prefix)
	if idMarker != "" {
		query += "&upload-id-marker=" + EscapeQuery(idMarker)
	}
	return query + "&uploads"
}

// Unescaped decodes a text of a query or a listing, or gives it back as it is.
func Unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// PartsPage is a page of a listing of parts.
type PartsPage struct {
	Parts     []store.Part
	Truncated bool
	Next      int // the last part of a page that is not the last
}

// ListParts lists the parts of an upload that can have up to most; last is the part behind which a page begins, 0 for the first page.
func ListParts(key string, most int, page func(last int) (*PartsPage, error)) ([]store.Part, error) {
	const op = "list parts"
	var parts []store.Part
	last := 0
	for range maxPages {
		p, err := page(last)
		if err != nil {
			return nil, err
		}
		for _, part := range p.Parts {
			if part.Number <= last || part.Number > most || part.Size < 0 {
				return nil, Permanent(op, key, fmt.Errorf("listing out of order: part %d of %d bytes after %d", part.Number, part.Size, last))
			}
			last = part.Number
			parts = append(parts, part)
		}
		switch {
		case !p.Truncated:
			return parts, nil
		case p.Next != last || len(p.Parts) == 0:
			return nil, Permanent(op, key, errors.New("the listing of parts does not go on"))
		}
	}
	return nil, Permanent(op, key, errors.New("the listing of parts has no end"))
}

// XMLParts is an answer of ListParts as S3 and those like it have it.
type XMLParts struct {
	XMLName   xml.Name `xml:"ListPartsResult"`
	Truncated bool     `xml:"IsTruncated"`
	Next      int      `xml:"NextPartNumberMarker"`
	Parts     []struct {
		Number int    `xml:"PartNumber"`
		ETag   string `xml:"ETag"`
		Size   int64  `xml:"Size"`
	} `xml:"Part"`
}

// Page gives the page; sums tells what the ETag of a part says of its content.
func (x *XMLParts) Page(sums func(etag string) store.Checksums) *PartsPage {
	p := &PartsPage{Truncated: x.Truncated, Next: x.Next}
	for _, part := range x.Parts {
		etag := Unquote(part.ETag)
		p.Parts = append(p.Parts, store.Part{Number: part.Number, Size: part.Size, ETag: etag, Sums: sums(etag)})
	}
	return p
}

// PartsQuery asks for a page of the parts of an upload, as S3 and those like it have it, sorted.
func PartsQuery(pageSize, last int, id string) string {
	query := "max-parts=" + strconv.Itoa(pageSize)
	if last > 0 {
		query += "&part-number-marker=" + strconv.Itoa(last)
	}
	return query + "&uploadId=" + EscapeQuery(id)
}

// XMLUploadID is an answer of CreateMultipartUpload as S3 and those like it have it.
type XMLUploadID struct {
	XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
	ID      string   `xml:"UploadId"`
}

// XMLCompleted is an answer of CompleteMultipartUpload as S3 and those like it have it.
type XMLCompleted struct {
	XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
	ETag    string   `xml:"ETag"`
}

// CompletionXML is the request of CompleteMultipartUpload as S3 and those like it want it.
func CompletionXML(parts []store.Part) ([]byte, error) {
	type part struct {
		Number int    `xml:"PartNumber"`
		ETag   string `xml:"ETag"`
	}
	doc := struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Parts   []part   `xml:"Part"`
	}{Parts: make([]part, 0, len(parts))}
	for _, p := range parts {
		doc.Parts = append(doc.Parts, part{p.Number, Quote(p.ETag)})
	}
	return xml.Marshal(doc)
}

// SizeOf adds up the sizes of parts, in bytes.
func SizeOf(parts []store.Part) int64 {
	var size int64
	for _, p := range parts {
		size += p.Size
	}
	return size
}

// BeforeCommit asks the caller whether a write may be completed.
func BeforeCommit(op, key string, opts *store.PutOptions) error {
	if opts.BeforeCommit == nil {
		return nil
	}
	if err := opts.BeforeCommit(); err != nil {
		return &store.Error{Op: op, Key: key, Class: store.Canceled, Err: err}
	}
	return nil
}

// PartQuery is the query of a request about a part of an upload.
func PartQuery(n int, id string) string {
	return "partNumber=" + strconv.Itoa(n) + "&uploadId=" + EscapeQuery(id)
}

// PartOf describes a part that a server took.
func PartOf(op, key string, n int, size int64, etag string, sums store.Checksums) (store.Part, error) {
	if etag = Unquote(etag); etag == "" {
		return store.Part{}, Permanent(op, key, errors.New("the server gave no ETag"))
	}
	return store.Part{Number: n, Size: size, ETag: etag, Sums: sums}, nil
}
