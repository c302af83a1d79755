package azblob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// sign adds the signature of an account's key
// (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key). x-ms-date must be set.
func sign(req *http.Request, account string, key []byte) {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(textToSign(req, account)))
	req.Header["Authorization"] = []string{"SharedKey " + account + ":" + base64.StdEncoding.EncodeToString(m.Sum(nil))}
}

// textToSign is the request as the signature sees it.
func textToSign(req *http.Request, account string) string {
	h := req.Header
	length := ""
	if req.ContentLength > 0 {
		length = strconv.FormatInt(req.ContentLength, 10)
	}
	var b strings.Builder
	for _, field := range []string{
		req.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-Md5"), h.Get("Content-Type"),
		"", // the date stands in x-ms-date
		h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range"),
	} {
		b.WriteString(field + "\n")
	}
	writeHeaders(&b, h)
	b.WriteString("/" + account)
	if path := req.URL.EscapedPath(); path != "" {
		b.WriteString(path)
	} else {
		b.WriteString("/")
	}
	writeQuery(&b, req.URL.RawQuery)
	return b.String()
}

// writeHeaders writes the headers of the vendor in the order that the service sorts them in.
func writeHeaders(b *strings.Builder, h http.Header) {
	type field struct{ name, order, value string }
	fields := make([]field, 0, len(h))
	for name, values := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			fields = append(fields, field{name, headerOrder(name), strings.TrimSpace(strings.Join(values, ","))})
		}
	}
	slices.SortFunc(fields, func(a, b field) int {
		if c := strings.Compare(a.order, b.order); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	for _, f := range fields {
		b.WriteString(f.name + ":" + f.value + "\n")
	}
}

// headerOrder is what header names are sorted by: as words, in which a hyphen counts for nothing and an underscore stands
// before digits and letters. Of names that are sent here only those of metadata can differ by that.
func headerOrder(name string) string {
	return strings.NewReplacer("-", "", "_", "\x01").Replace(name)
}

// writeQuery writes the parameters, decoded, sorted by their names.
func writeQuery(b *strings.Builder, query string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return // no query that is made here
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for _, name := range names {
		slices.Sort(values[name])
		b.WriteString("\n" + strings.ToLower(name) + ":" + strings.Join(values[name], ","))
	}
}
