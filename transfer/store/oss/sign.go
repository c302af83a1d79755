package oss

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Formats and fixed parts of signature V4
// (https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4).
const (
	algorithmV4     = "OSS4-HMAC-SHA256"
	dayV4           = "20060102"
	timeV4          = "20060102T150405Z"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	requestV4       = "aliyun_v4_request"
)

// signer signs requests. Content is covered by its MD5, where that is a header, and by the CRC64 of the answer.
type signer struct {
	bucket, region string
	v1             bool
	key            atomic.Pointer[signingKey]
}

// signingKey is derived from a secret for one day.
type signingKey struct {
	secret, day string
	key         []byte
}

// sign adds the headers of a signature over method, key, query and headers. The query must be sorted and encoded, names
// without a value without "=".
func (s *signer) sign(req *http.Request, key string, creds store.Credentials, now time.Time) {
	h := req.Header
	if creds.SessionToken != "" {
		h["X-Oss-Security-Token"] = []string{creds.SessionToken}
	}
	if s.v1 {
		h["Date"] = []string{now.UTC().Format(http.TimeFormat)}
		h["Authorization"] = []string{"OSS " + creds.AccessKey + ":" + base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(creds.SecretKey), s.textV1(req, key)))}
		return
	}
	stamp := now.UTC().Format(timeV4)
	day := stamp[:len(dayV4)]
	h["X-Oss-Date"] = []string{stamp}
	h["X-Oss-Content-Sha256"] = []string{unsignedPayload}
	scope := day + "/" + s.region + "/oss/" + requestV4
	sum := sha256.Sum256([]byte(s.canonicalV4(req, key)))
	text := algorithmV4 + "\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	signature := hex.EncodeToString(mac(sha256.New, s.keyOf(creds.SecretKey, day), text))
	h["Authorization"] = []string{algorithmV4 + " Credential=" + creds.AccessKey + "/" + scope + ",Signature=" + signature}
}

// keyOf derives the key of a day, or takes the one derived before.
func (s *signer) keyOf(secret, day string) []byte {
	if k := s.key.Load(); k != nil && k.secret == secret && k.day == day {
		return k.key
	}
	key := []byte("aliyun_v4" + secret)
	for _, part := range []string{day, s.region, "oss", requestV4} {
		key = mac(sha256.New, key, part)
	}
	s.key.Store(&signingKey{secret, day, key})
	return key
}

func mac(algorithm func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(algorithm, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// canonicalV4 is the request as signature V4 sees it: the path has the bucket whatever the host.
func (s *signer) canonicalV4(req *http.Request, key string) string {
	var b strings.Builder
	b.WriteString(req.Method + "\n" + wire.EscapePath("/"+s.bucket+"/"+key) + "\n" + req.URL.RawQuery + "\n")
	writeHeaders(&b, req.Header, func(name string) bool {
		return name == "content-type" || name == "content-md5" || strings.HasPrefix(name, "x-oss-")
	})
	b.WriteString("\n\n" + unsignedPayload) // the empty line would name additional headers
	return b.String()
}

// textV1 is what signature V1 is taken of
// (https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header).
func (s *signer) textV1(req *http.Request, key string) string {
	h := req.Header
	var b strings.Builder
	b.WriteString(req.Method + "\n" + h.Get("Content-Md5") + "\n" + h.Get("Content-Type") + "\n" + h.Get("Date") + "\n")
	writeHeaders(&b, h, func(name string) bool { return strings.HasPrefix(name, "x-oss-") })
	b.WriteString("/" + s.bucket + "/" + key)
	separator := "?"
	for pair := range strings.SplitSeq(req.URL.RawQuery, "&") {
		name, value, has := strings.Cut(pair, "=")
		switch name {
		case "acl", "continuation-token", "partNumber", "restore", "tagging", "uploadId", "uploads": // those of the signed ones that are sent here
			b.WriteString(separator + name)
			if has {
				b.WriteString("=" + wire.Unescaped(value))
			}
			separator = "&"
		}
	}
	return b.String()
}

// writeHeaders writes the chosen headers, sorted by their names.
func writeHeaders(b *strings.Builder, h http.Header, chosen func(name string) bool) {
	type field struct{ name, value string }
	var space [16]field
	fields := space[:0]
	for name, values := range h {
		if name = strings.ToLower(name); chosen(name) {
			fields = append(fields, field{name, strings.TrimSpace(strings.Join(values, ","))})
		}
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, f := range fields {
		b.WriteString(f.name + ":" + f.value + "\n")
	}
}
