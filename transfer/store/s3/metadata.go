package s3

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const userPrefix = "X-Amz-Meta-"

// setMetadata writes metadata into the headers of a write. Its errors are the caller's data, not the server's.
func setMetadata(h http.Header, opts store.PutOptions) error {
	m := opts.Meta
	for _, f := range []struct{ name, value string }{
		{"Content-Type", m.ContentType}, {"Cache-Control", m.CacheControl}, {"Content-Disposition", m.ContentDisposition},
		{"Content-Encoding", m.ContentEncoding}, {"Content-Language", m.ContentLanguage}, {"Expires", m.Expires},
	} {
		if f.value == "" {
			continue
		}
		if !isHeaderValue(f.value) {
			return fmt.Errorf("%s has characters that a header cannot carry", f.name)
		}
		h[f.name] = []string{f.value}
	}
	size := 0
	for name, value := range m.User {
		if !isHeaderName(name) {
			return fmt.Errorf("user metadata name %q cannot be a header's name", clip(name, 100))
		}
		value = encodeValue(value)
		size += len(name) + len(value)
		setUser(h, name, value)
	}
	if size > maxMetadata {
		return fmt.Errorf("user metadata of %d bytes; S3 takes %d", size, maxMetadata)
	}
	return nil
}

func setUser(h http.Header, name, value string) {
	h[http.CanonicalHeaderKey(userPrefix+name)] = []string{value}
}

// getMetadata reads the metadata of an answer.
func getMetadata(h http.Header) *store.Metadata {
	m := &store.Metadata{
		ContentType: h.Get("Content-Type"), CacheControl: h.Get("Cache-Control"),
		ContentDisposition: h.Get("Content-Disposition"), ContentEncoding: h.Get("Content-Encoding"),
		ContentLanguage: h.Get("Content-Language"), Expires: h.Get("Expires"),
	}
	for name, values := range h {
		if len(name) <= len(userPrefix) || !strings.EqualFold(name[:len(userPrefix)], userPrefix) {
			continue
		}
		short, value := strings.ToLower(name[len(userPrefix):]), strings.Join(values, ",")
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
