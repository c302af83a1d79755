package cos

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// How long before and after its making a signature holds: clocks may differ by that much. The server looks when a request
// begins, not while its content comes.
const (
	validBefore = 5 * time.Minute
	validAfter  = 15 * time.Minute
)

// sign adds the headers of a signature over method, path, query and all headers that are there
// (https://www.tencentcloud.com/document/product/436/7778). Content is covered by its MD5, where that is a header, and by the
// CRC64 of the answer.
func sign(req *http.Request, creds store.Credentials, now time.Time) {
	h := req.Header
	if creds.SessionToken != "" {
		h["X-Cos-Security-Token"] = []string{creds.SessionToken}
	}
	span := strconv.FormatInt(now.Add(-validBefore).Unix(), 10) + ";" + strconv.FormatInt(now.Add(validAfter).Unix(), 10)
	params, names := canonical(queryFields(req.URL.RawQuery))
	headers, signed := canonical(headerFields(req))
	text := strings.ToLower(req.Method) + "\n" + req.URL.Path + "\n" + params + "\n" + headers + "\n"
	h["Authorization"] = []string{"q-sign-algorithm=sha1&q-ak=" + creds.AccessKey + "&q-sign-time=" + span + "&q-key-time=" + span +
		"&q-header-list=" + signed + "&q-url-param-list=" + names + "&q-signature=" + signature(creds.SecretKey, span, text)}
}

// signature signs the text of a request for a span of time, in hex.
func signature(secret, span, text string) string {
	sum := sha1.Sum([]byte(text))
	return mac(mac(secret, span), "sha1\n"+span+"\n"+hex.EncodeToString(sum[:])+"\n")
}

// mac gives HMAC-SHA1 in hex, which is also how it is the key of another.
func mac(key, text string) string {
	m := hmac.New(sha1.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// field is one name and value as a signature sees them: the name in lower case, both encoded.
type field struct{ name, value string }

func newField(name, value string) field {
	return field{strings.ToLower(wire.EscapeQuery(name)), wire.EscapeQuery(value)}
}

// canonical writes fields sorted by name, and lists their names.
func canonical(fields []field) (text, names string) {
	slices.SortFunc(fields, func(a, b field) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var all, list strings.Builder
	for i, f := range fields {
		if i > 0 {
			all.WriteByte('&')
			list.WriteByte(';')
		}
		all.WriteString(f.name + "=" + f.value)
		list.WriteString(f.name)
	}
	return all.String(), list.String()
}

func queryFields(raw string) []field {
	var fields []field
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		fields = append(fields, newField(wire.Unescaped(name), wire.Unescaped(value)))
	}
	return fields
}

// headerFields are the headers that are sent, with those that net/http adds by itself.
func headerFields(req *http.Request) []field {
	fields := make([]field, 0, len(req.Header)+2)
	fields = append(fields, newField("host", req.Host))
	if req.ContentLength > 0 || req.Method == http.MethodPut || req.Method == http.MethodPost {
		fields = append(fields, newField("content-length", strconv.FormatInt(req.ContentLength, 10)))
	}
	for name, values := range req.Header {
		for _, v := range values {
			fields = append(fields, newField(name, strings.Trim(v, " \t"))) // as it is sent
		}
	}
	return fields
}
