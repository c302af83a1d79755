package oss

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Formats and limits of signatures
// (https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4).
const (
	algorithmV4 = "OSS4-HMAC-SHA256"
	timeV4      = "20060102T150405Z"
	unsigned    = "UNSIGNED-PAYLOAD"
	maxSkew     = 15 * time.Minute
)

// subresources are the query parameters that signature V1 covers
// (https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header).
func isSubresource(name string) bool {
	switch name {
	case "acl", "append", "continuation-token", "cors", "delete", "encryption", "lifecycle", "location", "logging", "objectMeta",
		"partNumber", "policy", "position", "referer", "restore", "security-token", "symlink", "tagging", "uploadId", "uploads",
		"versionId", "versioning", "versions", "x-oss-process", "x-oss-traffic-limit", "response-content-type",
		"response-content-language", "response-expires", "response-cache-control", "response-content-disposition",
		"response-content-encoding", "bucketInfo", "stat", "callback", "callback-var", "sequential":
		return true
	}
	return false
}

// signature is what a request says of who sent it, and what its signature should be.
type signature struct {
	key, region, given, computed, token string
	at                                  time.Time
	expires                             time.Duration // of a URL that was signed ahead; 0 for a signed header
}

// signatureOf reads the signature of a request and computes what it should be. nil means that there is none.
func (s *Server) signatureOf(r *http.Request, t target) (*signature, *fault) {
	q, auth := r.URL.Query(), r.Header.Get("Authorization")
	switch {
	case strings.HasPrefix(auth, algorithmV4+" "):
		return s.headerV4(r, t, strings.TrimPrefix(auth, algorithmV4+" "))
	case strings.HasPrefix(auth, "OSS "):
		return s.headerV1(r, t, strings.TrimPrefix(auth, "OSS "))
	case q.Get("x-oss-signature-version") == algorithmV4:
		return s.queryV4(r, t, q)
	case q.Get("Signature") != "":
		return s.queryV1(r, t, q)
	case auth != "":
		return nil, &fault{400, "InvalidArgument", "Authorization header is invalid.", "0002-00000201", ""}
	}
	return nil, nil
}

func (s *Server) headerV1(r *http.Request, t target, auth string) (*signature, *fault) {
	key, given, ok := strings.Cut(auth, ":")
	at, err := http.ParseTime(r.Header.Get("Date"))
	if date := r.Header.Get("X-Oss-Date"); date != "" {
		at, err = http.ParseTime(date)
	}
	if !ok || err != nil {
		return nil, &fault{403, "AccessDenied", "OSS authentication requires a valid Date.", "0002-00000901", ""}
	}
	return &signature{
		key: key, given: given, at: at, token: r.Header.Get("X-Oss-Security-Token"),
		computed: s.computeV1(r, t, r.Header.Get("Date")),
	}, nil
}

func (s *Server) queryV1(r *http.Request, t target, q url.Values) (*signature, *fault) {
	end, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	if err != nil {
		return nil, &fault{403, "AccessDenied", "Invalid date (should be seconds since epoch): Expires", "0002-00000061", ""}
	}
	now := s.opts.Now()
	return &signature{
		key: q.Get("OSSAccessKeyId"), given: q.Get("Signature"), at: now, expires: max(time.Unix(end, 0).Sub(now), -1),
		token: q.Get("security-token"), computed: s.computeV1(r, t, q.Get("Expires")),
	}, nil
}

func (s *Server) computeV1(r *http.Request, t target, date string) string {
	var text strings.Builder
	for _, line := range []string{r.Method, r.Header.Get("Content-Md5"), r.Header.Get("Content-Type"), date} {
		text.WriteString(line + "\n")
	}
	text.WriteString(canonicalHeaders(r, func(name string) bool { return strings.HasPrefix(name, "x-oss-") }))
	text.WriteString("/" + t.bucket + "/" + t.key)
	var sub []string
	for name, values := range r.URL.Query() {
		if !isSubresource(name) {
			continue
		}
		if values[0] != "" {
			name += "=" + values[0]
		}
		sub = append(sub, name)
	}
	if len(sub) > 0 {
		slices.Sort(sub)
		text.WriteString("?" + strings.Join(sub, "&"))
	}
	return base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(s.opts.SecretKey), text.String()))
}

// canonicalHeaders are the chosen headers, sorted by their names.
func canonicalHeaders(r *http.Request, chosen func(name string) bool) string {
	values := map[string]string{}
	for name, v := range r.Header {
		if name = strings.ToLower(name); chosen(name) {
			values[name] = strings.TrimSpace(strings.Join(v, ","))
		}
	}
	if chosen("host") {
		values["host"] = r.Host
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text.WriteString(name + ":" + values[name] + "\n")
	}
	return text.String()
}

func (s *Server) headerV4(r *http.Request, t target, auth string) (*signature, *fault) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(auth, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	// The SDK of the first generation signs the header Date as it stands.
	stamp := r.Header.Get("X-Oss-Date")
	at, err := time.Parse(timeV4, stamp)
	if stamp == "" {
		stamp = r.Header.Get("Date")
		at, err = http.ParseTime(stamp)
	}
	if err != nil {
		return nil, &fault{400, "InvalidArgument", "Invalid signing date in Authorization header.", "0002-00000204", ""}
	}
	return s.computeV4(r, t, claim{
		credential: fields["Credential"], additional: fields["AdditionalHeaders"], stamp: stamp, query: r.URL.RawQuery,
		payload: r.Header.Get("X-Oss-Content-Sha256"),
	}, signature{at: at, given: fields["Signature"], token: r.Header.Get("X-Oss-Security-Token")})
}

func (s *Server) queryV4(r *http.Request, t target, q url.Values) (*signature, *fault) {
	at, err := time.Parse(timeV4, q.Get("x-oss-date"))
	seconds, err2 := strconv.Atoi(q.Get("x-oss-expires"))
	if err != nil || err2 != nil {
		return nil, &fault{400, "InvalidArgument", "Invalid x-oss-date or x-oss-expires.", "0002-00000204", ""}
	}
	var rest []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if !strings.HasPrefix(pair, "x-oss-signature=") {
			rest = append(rest, pair)
		}
	}
	left := at.Add(time.Duration(seconds) * time.Second).Sub(s.opts.Now())
	return s.computeV4(r, t, claim{
		credential: q.Get("x-oss-credential"), additional: q.Get("x-oss-additional-headers"), stamp: q.Get("x-oss-date"),
		query: strings.Join(rest, "&"), payload: unsigned,
	}, signature{at: s.opts.Now(), expires: max(left, -1), given: q.Get("x-oss-signature"), token: q.Get("x-oss-security-token")})
}

// claim is what a signature V4 says it covers.
type claim struct{ credential, additional, stamp, query, payload string }

func (s *Server) computeV4(r *http.Request, t target, c claim, sig signature) (*signature, *fault) {
	scope := strings.Split(c.credential, "/")
	if len(scope) != 5 || scope[3] != "oss" || scope[4] != "aliyun_v4_request" || c.payload != unsigned {
		return nil, &fault{400, "InvalidArgument", "Invalid credential in Authorization header.", "0002-00000202", ""}
	}
	sig.key, sig.region = scope[0], scope[2]
	additional := strings.Split(c.additional, ";")
	headers := canonicalHeaders(r, func(name string) bool {
		return name == "content-type" || name == "content-md5" || strings.HasPrefix(name, "x-oss-") || slices.Contains(additional, name)
	})
	canonical := strings.Join([]string{
		r.Method, encode("/" + t.bucket + "/" + t.key), canonicalQuery(c.query), headers, c.additional, c.payload,
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithmV4, c.stamp, strings.Join(scope[1:], "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("aliyun_v4" + s.opts.SecretKey)
	for _, part := range scope[1:] {
		key = mac(sha256.New, key, part)
	}
	sig.computed = hex.EncodeToString(mac(sha256.New, key, text))
	return &sig, nil
}

// canonicalQuery sorts the parameters as they are encoded.
func canonicalQuery(raw string) string {
	var pairs []string
	for pair := range strings.SplitSeq(strings.ReplaceAll(raw, "+", "%20"), "&") {
		if pair != "" {
			pairs = append(pairs, strings.TrimSuffix(pair, "="))
		}
	}
	slices.SortFunc(pairs, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return strings.Join(pairs, "&")
}

// encode percent-encodes all bytes but unreserved ones and "/".
func encode(path string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(path), "+", "%20"), "%2F", "/")
}

func mac(algorithm func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(algorithm, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// authenticate refuses whoever is not the server's account, or did not sign what came.
func (s *Server) authenticate(r *http.Request, t target) *fault {
	sig, bad := s.signatureOf(r, t)
	switch {
	case bad != nil:
		return bad
	case sig == nil:
		return &fault{403, "AccessDenied", "You have no right to access this object because of bucket acl.", "0003-00000001", ""}
	}
	if skew := sig.at.Sub(s.opts.Now()); skew > maxSkew || skew < -maxSkew {
		return &fault{403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", "0002-00000504", ""}
	}
	switch {
	case sig.expires < 0:
		return &fault{403, "AccessDenied", "Request has expired.", "0002-00000069", ""}
	case sig.key != s.opts.AccessKey, sig.token == "" && s.opts.Token != "":
		return &fault{403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.", "0002-00000902", ""}
	case sig.token == ExpiredToken:
		return &fault{403, "SecurityTokenExpired", "The security token you provided has expired.", "0002-00000208", ""}
	case sig.token != s.opts.Token:
		return &fault{403, "InvalidSecurityToken", "The security token you provided is invalid.", "0002-00000209", ""}
	case sig.region != "" && sig.region != s.opts.Region:
		return &fault{400, "InvalidArgument", "Invalid signing region in Authorization header.", "0002-00000203", ""}
	case !hmac.Equal([]byte(sig.given), []byte(sig.computed)):
		return &fault{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.", "0002-00000040", ""}
	}
	return nil
}
