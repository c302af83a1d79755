package wire

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Page is an answer of ListObjectsV2 of S3 and OSS
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html,
// https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2).
type Page struct {
	XMLName   xml.Name `xml:"ListBucketResult"`
	Encoding  string   `xml:"EncodingType"`
	Truncated string   `xml:"IsTruncated"`
	Count     string   `xml:"KeyCount"`
	Folded    string   `xml:"CommonPrefixes>Prefix"` // of keys that are not named one by one; nobody here asks for that
	Token     string   `xml:"NextContinuationToken"`
	Marker    string   `xml:"NextMarker"` // of the first version of ListObjects, which COS has; encoded like keys
	Entries   []Entry  `xml:"Contents"`
}

// Entry is one object of a listing, as it stands there.
type Entry struct {
	Key      string `xml:"Key"`
	Size     string `xml:"Size"`
	ETag     string `xml:"ETag"`
	Modified string `xml:"LastModified"`
	Type     string `xml:"Type"`         // of OSS: "Normal", "Multipart", "Appendable", "Symlink"
	Class    string `xml:"StorageClass"` // such as "STANDARD"

	// Known is what the provider found out about the key by other requests; nil for most.
	Known *store.Object `xml:"-"`
}

// Bytes reads the bytes of an entry.
func (e *Entry) Bytes() (int64, error) {
	n, err := strconv.ParseUint(e.Size, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("key %q has a size of %q bytes", Clip(e.Key, 200), Clip(e.Size, 50))
	}
	return int64(n), nil
}

// Written reads when an entry was written; the zero time if it does not tell.
func (e *Entry) Written() time.Time {
	t, err := time.Parse(time.RFC3339Nano, e.Modified)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// ParseListing reads a page.
func ParseListing(data []byte) (*Page, error) {
	page, err := ParseXML(data, rootListing, (*Page).field)
	if err != nil {
		return nil, fmt.Errorf("the answer is no listing of objects: %w", err)
	}
	return page, nil
}

const (
	rootListing = "ListBucketResult"
	usualPage   = 1000 // entries that room is made for at most
	usualEntry  = 200  // bytes of an entry in a document, rather less
)

// field reads one element of a page.
func (p *Page) field(x *Scanner, e Element) error {
	switch string(e.Name) {
	case "EncodingType":
		return x.Text(e, &p.Encoding)
	case "IsTruncated":
		return x.Text(e, &p.Truncated)
	case "KeyCount":
		return x.Text(e, &p.Count)
	case "CommonPrefixes":
		return Children(x, e, p, (*Page).fold)
	case "NextContinuationToken":
		return x.Text(e, &p.Token)
	case "NextMarker":
		return x.Text(e, &p.Marker)
	case "Contents":
		if p.Entries == nil {
			p.Entries = make([]Entry, 0, min(usualPage, x.Left()/usualEntry+1))
		}
		p.Entries = append(p.Entries, Entry{})
		return Children(x, e, &p.Entries[len(p.Entries)-1], (*Entry).field)
	}
	return x.Skip(e)
}

// fold reads one element of a common prefix.
func (p *Page) fold(x *Scanner, e Element) error {
	if string(e.Name) == "Prefix" {
		return x.Text(e, &p.Folded)
	}
	return x.Skip(e)
}

// complete tells what a page says of itself that shows that it does not name all that it should.
func (p *Page) complete() error {
	if p.Folded != "" {
		return fmt.Errorf("keys under %q are folded, though nobody asked for that", Clip(p.Folded, 200))
	}
	if n, err := strconv.Atoi(p.Count); err == nil && n > len(p.Entries) {
		return fmt.Errorf("a page announces %d keys and has %d", n, len(p.Entries))
	}
	return nil
}

// field reads one element of an entry.
func (e *Entry) field(x *Scanner, child Element) error {
	switch string(child.Name) {
	case "Key":
		return x.Text(child, &e.Key)
	case "Size":
		return x.Text(child, &e.Size)
	case "ETag":
		return x.Text(child, &e.ETag)
	case "LastModified":
		return x.Text(child, &e.Modified)
	case "Type":
		return x.Text(child, &e.Type)
	case "StorageClass":
		return x.Text(child, &e.Class)
	}
	return x.Skip(child)
}
