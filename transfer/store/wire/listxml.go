package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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

// ParseListing reads a page. Listings are the largest documents by far and always have the same simple form, which
// scanListing reads many times faster than encoding/xml; what it does not understand goes to that.
func ParseListing(data []byte) (*Page, error) {
	if page, err := scanListing(data); err == nil {
		return page, nil
	}
	page := new(Page)
	if err := xml.Unmarshal(data, page); err != nil {
		return nil, fmt.Errorf("the answer is no listing of objects: %w", err)
	}
	return page, nil
}

// usualPage is how many entries room is made for.
const usualPage = 1000

// errNotSimple is returned for XML that scanListing leaves to encoding/xml.
var errNotSimple = errors.New("not a simple document")

// scanListing reads a page of elements and text only.
func scanListing(data []byte) (*Page, error) {
	x := &scanner{rest: bytes.TrimSpace(data)}
	if bytes.HasPrefix(x.rest, []byte("<?xml")) {
		_, after, ok := bytes.Cut(x.rest, []byte("?>"))
		if !ok {
			return nil, errNotSimple
		}
		x.rest = bytes.TrimSpace(after)
	}
	page := new(Page)
	root, empty, err := x.open()
	if err != nil || string(root) != "ListBucketResult" {
		return nil, errNotSimple
	}
	if !empty {
		err = x.children(root, page.field)
	}
	if err == nil && len(x.rest) > 0 {
		err = errNotSimple
	}
	return page, err
}

// field reads one element of a page.
func (p *Page) field(x *scanner, name []byte) error {
	switch string(name) {
	case "EncodingType":
		return x.text(name, &p.Encoding)
	case "IsTruncated":
		return x.text(name, &p.Truncated)
	case "KeyCount":
		return x.text(name, &p.Count)
	case "CommonPrefixes":
		return x.children(name, p.fold)
	case "NextContinuationToken":
		return x.text(name, &p.Token)
	case "NextMarker":
		return x.text(name, &p.Marker)
	case "Contents":
		if p.Entries == nil {
			p.Entries = make([]Entry, 0, usualPage)
		}
		p.Entries = append(p.Entries, Entry{})
		return x.children(name, p.Entries[len(p.Entries)-1].field)
	}
	return x.children(name, skip)
}

// fold reads one element of a common prefix.
func (p *Page) fold(x *scanner, name []byte) error {
	if string(name) == "Prefix" {
		return x.text(name, &p.Folded)
	}
	return x.children(name, skip)
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
func (e *Entry) field(x *scanner, name []byte) error {
	switch string(name) {
	case "Key":
		return x.text(name, &e.Key)
	case "Size":
		return x.text(name, &e.Size)
	case "ETag":
		return x.text(name, &e.ETag)
	case "LastModified":
		return x.text(name, &e.Modified)
	case "Type":
		return x.text(name, &e.Type)
	case "StorageClass":
		return x.text(name, &e.Class)
	}
	return x.children(name, skip)
}

func skip(x *scanner, name []byte) error { return x.children(name, skip) }

// maxDepth bounds how deep elements may be nested.
const maxDepth = 16

// scanner walks over XML that has nothing but elements, text and references.
type scanner struct {
	rest  []byte
	depth int
}

// open reads a start tag; empty tells that it is its own end. Attributes, such as the name space, are passed over.
func (x *scanner) open() (name []byte, empty bool, err error) {
	if len(x.rest) < 2 || x.rest[0] != '<' || x.rest[1] == '!' || x.rest[1] == '?' || x.rest[1] == '/' {
		return nil, false, errNotSimple
	}
	end := bytes.IndexByte(x.rest, '>')
	if end < 0 {
		return nil, false, errNotSimple
	}
	tag := x.rest[1:end]
	x.rest = x.rest[end+1:]
	if tag, empty = bytes.CutSuffix(tag, []byte("/")); len(tag) == 0 {
		return nil, false, errNotSimple
	}
	if i := bytes.IndexByte(tag, ' '); i >= 0 {
		if bytes.Count(tag[i:], []byte(`"`))%2 != 0 { // a ">" in an attribute
			return nil, false, errNotSimple
		}
		tag = tag[:i]
	}
	if bytes.ContainsAny(tag, ":\t\r\n<") {
		return nil, false, errNotSimple
	}
	return tag, empty, nil
}

// close reads the end tag of an element.
func (x *scanner) close(name []byte) error {
	n := len(name) + 3
	if len(x.rest) < n || x.rest[0] != '<' || x.rest[1] != '/' || !bytes.Equal(x.rest[2:n-1], name) || x.rest[n-1] != '>' {
		return errNotSimple
	}
	x.rest = x.rest[n:]
	return nil
}

// children reads all up to the end of an element, handing each child that is not empty to field.
func (x *scanner) children(name []byte, field func(x *scanner, child []byte) error) error {
	if x.depth++; x.depth > maxDepth {
		return errNotSimple
	}
	defer func() { x.depth-- }()
	for {
		i := bytes.IndexByte(x.rest, '<')
		if i < 0 || i+1 == len(x.rest) {
			return errNotSimple
		}
		x.rest = x.rest[i:] // text beside elements says nothing
		if x.rest[1] == '/' {
			return x.close(name)
		}
		child, empty, err := x.open()
		if err == nil && !empty {
			err = field(x, child)
		}
		if err != nil {
			return err
		}
	}
}

// text reads the text of an element up to its end.
func (x *scanner) text(name []byte, into *string) error {
	i := bytes.IndexByte(x.rest, '<')
	if i < 0 || *into != "" {
		return errNotSimple
	}
	raw := x.rest[:i]
	x.rest = x.rest[i:]
	value, err := unescapeXML(raw)
	if err != nil {
		return err
	}
	*into = value
	return x.close(name)
}

// unescapeXML resolves the references in text.
func unescapeXML(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\r') >= 0 { // line ends are normalised
		return "", errNotSimple
	}
	if bytes.IndexByte(raw, '&') < 0 {
		return string(raw), nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			b.Write(raw)
			return b.String(), nil
		}
		b.Write(raw[:i])
		end := bytes.IndexByte(raw[i:], ';')
		if end < 0 {
			return "", errNotSimple
		}
		r, err := reference(string(raw[i+1 : i+end]))
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
		raw = raw[i+end+1:]
	}
}

// reference gives the character that a reference stands for.
func reference(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if digits == name {
		return 0, errNotSimple
	}
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, errNotSimple
	}
	return rune(n), nil
}
