package wire

import (
	"encoding/base64"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// MetaRules say how a store keeps user metadata.
type MetaRules struct {
	Prefix string // of the headers, in canonical form: "X-Amz-Meta-"
	Most   int    // bytes of names and values
	Store  string // as errors name it
	// Name gives the reason why user metadata cannot have a name, "" for those that it can; nil where every header's name will do.
	Name func(name string) string
	// Value gives the reason why a value of user metadata cannot be kept, "" for those that can; nil where every one can.
	Value func(value string) string
	// Drops lists the content headers that the store does not keep, in canonical form.
	Drops []string
	// Classes are the storage classes that a write can ask for.
	Classes store.StorageClasses
	// MostTags is how many tags an object can have, 0 for none at all.
	MostTags int
	// Tag gives the reason why a tag cannot be kept, "" for those that can; nil where every one can.
	Tag func(name, value string) string
	// Access and Encryption list what a write can ask for.
	Access     []store.Access
	Encryption []store.Encryption
}

// Set writes metadata into the headers of a write. Its errors are the caller's data, not the server's.
func (r MetaRules) Set(h http.Header, m *store.Metadata) error {
	for _, f := range contentHeaders(m) {
		if *f.value == "" {
			continue
		}
		if !isHeaderValue(*f.value) {
			return fmt.Errorf("%s has characters that a header cannot carry", f.name)
		}
		h[f.name] = []string{*f.value}
	}
	size := 0
	for name, value := range m.User {
		if !isHeaderName(name) {
			return fmt.Errorf("user metadata name %q cannot be a header's name", Clip(name, 100))
		}
		value = encodeValue(value)
		size += len(name) + len(value)
		h[http.CanonicalHeaderKey(r.Prefix+name)] = []string{value}
	}
	if size > r.Most {
		return fmt.Errorf("user metadata of %d bytes; %s takes %d", size, r.Store, r.Most)
	}
	return nil
}

// Get reads the metadata of an answer.
func (r MetaRules) Get(h http.Header) *store.Metadata {
	m := &store.Metadata{
		ContentType: h.Get("Content-Type"), CacheControl: h.Get("Cache-Control"),
		ContentDisposition: h.Get("Content-Disposition"), ContentEncoding: h.Get("Content-Encoding"),
		ContentLanguage: h.Get("Content-Language"), Expires: h.Get("Expires"),
	}
	for name, values := range h {
		if len(name) <= len(r.Prefix) || !strings.EqualFold(name[:len(r.Prefix)], r.Prefix) {
			continue
		}
		short, value := strings.ToLower(name[len(r.Prefix):]), strings.Join(values, ",")
		if m.User == nil {
			m.User = make(map[string]string)
		}
		m.User[short] = decodeValue(value)
	}
	return m
}

// encodeValue makes an RFC 2047 encoded word of a value that a header would not carry unchanged, or that looks like one.
func encodeValue(v string) string {
	if v == strings.TrimSpace(v) && !strings.Contains(v, "=?") && !strings.Contains(v, "  ") && isPrintable(v) {
		return v
	}
	// One word however long: between several, readers disagree about the space.
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
}

// decodeValue reads what encodeValue or S3 encoded; anything else is taken as it is.
func decodeValue(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	if body, ok := strings.CutPrefix(v, "=?UTF-8?B?"); ok {
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(body, "?=")); err == nil {
			return string(raw)
		}
	}
	if text, err := new(mime.WordDecoder).DecodeHeader(v); err == nil {
		return text
	}
	return v
}

func isPrintable(v string) bool {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return true
}

// isHeaderValue allows what HTTP does: no control characters but TAB.
func isHeaderValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isHeaderName allows the token characters of RFC 9110, section 5.6.2.
func isHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= 0x20 || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// ReplacesMeta tells whether the copy of an object gets metadata of its own.
func ReplacesMeta(have *store.Metadata, opts store.PutOptions) bool {
	if have == nil {
		return !equalMeta(&store.Metadata{}, &opts.Meta)
	}
	return !equalMeta(have, &opts.Meta)
}

func equalMeta(a, b *store.Metadata) bool {
	return a.ContentType == b.ContentType && a.CacheControl == b.CacheControl && a.ContentDisposition == b.ContentDisposition &&
		a.ContentEncoding == b.ContentEncoding && a.ContentLanguage == b.ContentLanguage && a.Expires == b.Expires &&
		maps.Equal(a.User, b.User)
}
