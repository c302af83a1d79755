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
	page := new(enumeration)
	if err := document(resp, page); err != nil {
		return nil, fmt.Errorf("the answer is no listing of blobs: %w", err)
	}
	return page, nil
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
		if strings.EqualFold(p.XMLName.Local, "hdi_isfolder") {
			hdi = p.Value
		}
	}
	return (b.Properties.Size == "0" || b.Properties.Size == "") && isFolder(0, hdi, b.Properties.Resource)
}
