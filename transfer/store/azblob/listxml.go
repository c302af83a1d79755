package azblob

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// enumeration is an answer of List Blobs.
type enumeration struct {
	XMLName xml.Name `xml:"EnumerationResults"`
	Blobs   []entry  `xml:"Blobs>Blob"`
	Next    string   `xml:"NextMarker"`
}

// entry is one blob of a listing, as it stands there.
type entry struct {
	Name struct {
		Encoded string `xml:"Encoded,attr"` // "true": percent-encoded, for it has characters that XML cannot carry
		Text    string `xml:",chardata"`
	} `xml:"Name"`
	Snapshot   string `xml:"Snapshot"`
	Deleted    string `xml:"Deleted"`
	Current    string `xml:"IsCurrentVersion"`
	Properties struct {
		Modified string `xml:"Last-Modified"`
		ETag     string `xml:"Etag"`
		Size     string `xml:"Content-Length"`
		MD5      string `xml:"Content-MD5"`
		Type     string `xml:"BlobType"`
		Tier     string `xml:"AccessTier"`
		Resource string `xml:"ResourceType"` // "directory", in accounts with a hierarchical namespace
	} `xml:"Properties"`
	Metadata struct {
		Pairs []pair `xml:",any"`
	} `xml:"Metadata"`
}

type pair struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

// readPage reads a page, and closes the answer.
func readPage(resp *http.Response) (*enumeration, error) {
	data, err := wire.ReadDocument(resp)
	if err != nil {
		return nil, err
	}
	page, err := wire.ParseXML(data, rootEnumeration, (*enumeration).field)
	if err != nil {
		return nil, fmt.Errorf("the answer is no listing of blobs: %w", err)
	}
	return page, nil
}

const (
	rootEnumeration = "EnumerationResults"
	usualEntry      = 600 // bytes of a blob in a page, rather less
	metaFolder      = "hdi_isfolder"
)

// field reads one element of a page.
func (p *enumeration) field(x *wire.Scanner, e wire.Element) error {
	switch string(e.Name) {
	case "Blobs":
		return wire.Children(x, e, p, (*enumeration).blob)
	case "NextMarker":
		return x.Text(e, &p.Next)
	}
	return x.Skip(e)
}

// blob reads one element of the list of blobs.
func (p *enumeration) blob(x *wire.Scanner, e wire.Element) error {
	if string(e.Name) != "Blob" {
		return x.Skip(e)
	}
	if p.Blobs == nil {
		p.Blobs = make([]entry, 0, min(pageSize, x.Left()/usualEntry+1))
	}
	p.Blobs = append(p.Blobs, entry{})
	return wire.Children(x, e, &p.Blobs[len(p.Blobs)-1], (*entry).field)
}

// field reads one element of a blob.
func (b *entry) field(x *wire.Scanner, e wire.Element) error {
	switch string(e.Name) {
	case "Name":
		if b.Name.Encoded != "" {
			return wire.ErrNotSimple // which one counts
		}
		b.Name.Encoded = e.Attribute("Encoded")
		return x.Text(e, &b.Name.Text)
	case "Snapshot":
		return x.Text(e, &b.Snapshot)
	case "Deleted":
		return x.Text(e, &b.Deleted)
	case "IsCurrentVersion":
		return x.Text(e, &b.Current)
	case "Properties":
		return wire.Children(x, e, b, (*entry).property)
	case "Metadata":
		return wire.Children(x, e, b, (*entry).metadata)
	}
	return x.Skip(e)
}

// property reads one element of a blob's properties.
func (b *entry) property(x *wire.Scanner, e wire.Element) error {
	p := &b.Properties
	switch string(e.Name) {
	case "Last-Modified":
		return x.Text(e, &p.Modified)
	case "Etag":
		return x.Text(e, &p.ETag)
	case "Content-Length":
		return x.Text(e, &p.Size)
	case "Content-MD5":
		return x.Text(e, &p.MD5)
	case "BlobType":
		return x.Text(e, &p.Type)
	case "AccessTier":
		return x.Text(e, &p.Tier)
	case "ResourceType":
		return x.Text(e, &p.Resource)
	}
	return x.Skip(e)
}

// metadata reads one element of a blob's metadata. Only what stands for a directory matters.
func (b *entry) metadata(x *wire.Scanner, e wire.Element) error {
	if !strings.EqualFold(string(e.Name), metaFolder) {
		return x.Skip(e)
	}
	b.Metadata.Pairs = append(b.Metadata.Pairs, pair{XMLName: xml.Name{Local: string(e.Name)}})
	return x.Text(e, &b.Metadata.Pairs[len(b.Metadata.Pairs)-1].Value)
}

func (b *entry) name() (string, error) {
	if b.Name.Encoded != "true" {
		return b.Name.Text, nil
	}
	name, err := url.PathUnescape(b.Name.Text)
	if err != nil {
		return "", fmt.Errorf("name %q: %w", wire.Clip(b.Name.Text, 200), err)
	}
	return name, nil
}

func (b *entry) size() (int64, error) {
	n, err := strconv.ParseUint(b.Properties.Size, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q has a size of %q bytes", wire.Clip(b.Name.Text, 200), wire.Clip(b.Properties.Size, 50))
	}
	return int64(n), nil
}

// left tells what is no blob of now, though it was not asked for.
func (b *entry) left() bool {
	return b.Snapshot != "" || b.Deleted == "true" || b.Current == "false"
}

// folder tells a blob that stands for a directory.
func (b *entry) folder() bool {
	hdi := ""
	for _, p := range b.Metadata.Pairs {
		if strings.EqualFold(p.XMLName.Local, metaFolder) {
			hdi = p.Value
		}
	}
	return (b.Properties.Size == "0" || b.Properties.Size == "") && isFolder(0, hdi, b.Properties.Resource)
}
