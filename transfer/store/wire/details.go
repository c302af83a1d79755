package wire

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// HintArchived goes with refusals to read what is in an archive.
const HintArchived = "the object is archived; it must be restored before it can be read"

// DetailHeaders are the names of a vendor's headers for what objects have besides content headers and user metadata, in
// canonical form, and the words for encryption in them.
type DetailHeaders struct {
	Class, Tags, Access, Encryption string
	Managed, KMS                    string
}

// Set writes the headers of a write that was fitted; class is the word for its storage class.
func (d DetailHeaders) Set(h http.Header, m *store.Metadata, class string) {
	if class != "" {
		h[d.Class] = []string{class}
	}
	if len(m.Tags) > 0 {
		h[d.Tags] = []string{EncodeTags(m.Tags)}
	}
	if m.Access != store.AccessUnknown {
		h[d.Access] = []string{string(m.Access)}
	}
	switch m.Encryption {
	case store.EncryptionStore:
		h[d.Encryption] = []string{d.Managed}
	case store.EncryptionKMS:
		h[d.Encryption] = []string{d.KMS}
	}
}

// EncryptionOf reads how an object is encrypted. Whatever is not the store's own keys is a key service's.
func (d DetailHeaders) EncryptionOf(h http.Header) store.Encryption {
	switch h.Get(d.Encryption) {
	case "":
		return store.EncryptionUnknown
	case d.Managed:
		return store.EncryptionStore
	}
	return store.EncryptionKMS
}

// IsRestored tells whether a header x-amz-restore or the like says that an archived object can be read now, as in
// ongoing-request="false", expiry-date="...".
func IsRestored(restore string) bool { return strings.Contains(restore, `ongoing-request="false"`) }

// EncodeTags writes tags as the headers of S3 and OSS have them: as a URL's query, sorted by name.
func EncodeTags(tags map[string]string) string {
	pairs := make([]string, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, escapeTag(name)+"="+escapeTag(tags[name]))
	}
	return strings.Join(pairs, "&")
}

func escapeTag(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// maxTags bounds the tags that are taken from an answer; vendors have ten an object.
const maxTags = 100

// ReadTags reads the tags of an object as S3 and OSS tell them, and closes the answer.
func ReadTags(resp *http.Response) (map[string]string, error) {
	var doc struct {
		XMLName xml.Name `xml:"Tagging"`
		Tags    []struct {
			Key   string `xml:"Key"`
			Value string `xml:"Value"`
		} `xml:"TagSet>Tag"`
	}
	if err := ReadXML(resp, &doc); err != nil {
		return nil, err
	}
	if len(doc.Tags) > maxTags {
		return nil, fmt.Errorf("the answer has %d tags", len(doc.Tags))
	}
	var tags map[string]string
	for _, t := range doc.Tags {
		if t.Key == "" {
			return nil, errors.New("a tag has no name")
		}
		if tags == nil {
			tags = make(map[string]string, len(doc.Tags))
		}
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// ReadXML reads a document of bounded size, and closes the answer.
func ReadXML(resp *http.Response, doc any) error {
	data, err := ReadDocument(resp)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(data, doc); err != nil {
		return fmt.Errorf("the answer makes no sense: %w", err)
	}
	return nil
}

// TagRule gives the rule of vendors that take tags of letters, digits, spaces and some marks: names of 128 characters, values
// of 256.
func TagRule(marks string, letter func(rune) bool) func(name, value string) string {
	allowed := func(r rune) bool {
		return r == ' ' || '0' <= r && r <= '9' || letter(r) || strings.ContainsRune(marks, r)
	}
	return func(name, value string) string {
		for _, text := range []string{name, value} {
			for _, r := range text {
				if !allowed(r) {
					return fmt.Sprintf("%q cannot stand in a tag", r)
				}
			}
		}
		switch {
		case len([]rune(name)) > 128:
			return "its name has more than 128 characters"
		case len([]rune(value)) > 256:
			return "its value has more than 256 characters"
		}
		return ""
	}
}
