package bos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Fixed parts of a signature (https://cloud.baidu.com/doc/Reference/s/njwvz1yfu).
const (
	authVersion = "bce-auth-v1"
	timeISO     = "2006-01-02T15:04:05Z"
	validFor    = 1800 // seconds
)

// sign adds the headers of a signature over method, path, query and headers. Content is covered by its MD5, where that is a
// header, and by the CRC64 of the answer. path is that of the URL, not encoded; the query is encoded and sorted, and names
// without a value end in "=".
func sign(req *http.Request, path string, creds store.Credentials, now time.Time) {
	h := req.Header
	stamp := now.UTC().Format(timeISO)
	h["X-Bce-Date"] = []string{stamp}
	if creds.SessionToken != "" {
		h["X-Bce-Security-Token"] = []string{creds.SessionToken}
	}
	h["Authorization"] = []string{authorization(req, path, creds, stamp)}
}

func authorization(req *http.Request, path string, creds store.Credentials, stamp string) string {
	scope := authVersion + "/" + creds.AccessKey + "/" + stamp + "/" + strconv.Itoa(validFor)
	names, headers := canonicalHeaders(req)
	text := req.Method + "\n" + wire.EscapePath(path) + "\n" + req.URL.RawQuery + "\n" + headers
	return scope + "/" + names + "/" + hexMAC(hexMAC(creds.SecretKey, scope), text)
}

func hexMAC(key, text string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// canonicalHeaders are the signed headers: host, what describes the content, and all of the vendor's. Names come sorted, as do
// the lines, which is not the same order where one name begins another.
func canonicalHeaders(req *http.Request) (names, lines string) {
	type field struct{ name, line string }
	var space [16]field
	fields := append(space[:0], field{"host", "host:" + wire.EscapeQuery(req.Host)})
	if req.ContentLength > 0 {
		fields = append(fields, field{"content-length", "content-length:" + strconv.FormatInt(req.ContentLength, 10)})
	}
	for name, values := range req.Header {
		name = strings.ToLower(name)
		if name != "content-type" && name != "content-md5" && !strings.HasPrefix(name, "x-bce-") {
			continue
		}
		if value := strings.TrimSpace(strings.Join(values, ",")); value != "" {
			fields = append(fields, field{name, wire.EscapeQuery(name) + ":" + wire.EscapeQuery(value)})
		}
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for i, f := range fields {
		if i > 0 {
			names += ";"
		}
		names += f.name
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.line, b.line) })
	for i, f := range fields {
		if i > 0 {
			lines += "\n"
		}
		lines += f.line
	}
	return names, lines
}
