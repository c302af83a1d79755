package cos

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far ahead a signature may begin.
const maxSkew = 5 * time.Minute

// claim is what a request says of who signed it and what is covered
// (https://www.tencentcloud.com/document/product/436/7778).
type claim struct {
	key, signTime, keyTime, headers, params, signature, token string
}

// claimOf reads the signature of a request, from its header or from its URL. nil means that there is none.
func claimOf(r *http.Request) (*claim, *fault) {
	fields := map[string]string{}
	token := r.Header.Get("X-Cos-Security-Token")
	if auth := r.Header.Get("Authorization"); auth != "" {
		for pair := range strings.SplitSeq(auth, "&") {
			name, value, _ := strings.Cut(pair, "=")
			fields[name] = value
		}
	} else {
		q := r.URL.Query()
		for name := range q {
			if strings.HasPrefix(name, "q-") {
				fields[name] = q.Get(name)
			}
		}
		if token == "" {
			token = q.Get("x-cos-security-token")
		}
	}
	if len(fields) == 0 {
		return nil, nil
	}
	if fields["q-sign-algorithm"] != "sha1" {
		return nil, &fault{400, "VerifyAlgorithmNotSupported", "The verify algorithm is not supported."}
	}
	return &claim{
		key: fields["q-ak"], signTime: fields["q-sign-time"], keyTime: fields["q-key-time"], headers: fields["q-header-list"],
		params: fields["q-url-param-list"], signature: fields["q-signature"], token: token,
	}, nil
}

// span reads "from;to" in seconds since 1970.
func span(text string) (from, to time.Time, ok bool) {
	a, b, _ := strings.Cut(text, ";")
	first, err := strconv.ParseInt(a, 10, 64)
	last, err2 := strconv.ParseInt(b, 10, 64)
	return time.Unix(first, 0), time.Unix(last, 0), err == nil && err2 == nil && first <= last
}

// compute gives the signature that a request should have.
func compute(secret string, c *claim, method, path string, params, headers map[string][]string) string {
	text := strings.ToLower(method) + "\n" + path + "\n" + listed(c.params, params) + "\n" + listed(c.headers, headers) + "\n"
	sum := sha1.Sum([]byte(text))
	return hexMAC(hexMAC(secret, c.keyTime), "sha1\n"+c.keyTime+"\n"+hex.EncodeToString(sum[:])+"\n")
}

func hexMAC(key, text string) string {
	m := hmac.New(sha1.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// listed writes the values of the listed names. values has names as lists do: encoded, in lower case.
func listed(list string, values map[string][]string) string {
	var pairs []string
	done := map[string]bool{}
	for name := range strings.SplitSeq(list, ";") {
		if name == "" || done[name] {
			continue
		}
		done[name] = true
		for _, v := range slices.Sorted(slices.Values(values[name])) {
			pairs = append(pairs, name+"="+encode(v))
		}
	}
	return strings.Join(pairs, "&")
}

// encode percent-encodes all bytes but unreserved ones.
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// signable gives names as lists have them.
func signable(values map[string][]string) map[string][]string {
	named := make(map[string][]string, len(values))
	for name, v := range values {
		name = strings.ToLower(encode(name))
		named[name] = append(named[name], v...)
	}
	return named
}

// headersOf are the headers of a request, with those that net/http keeps elsewhere.
func headersOf(r *http.Request) map[string][]string {
	all := http.Header(maps.Clone(r.Header))
	all["Host"] = []string{r.Host}
	if r.ContentLength >= 0 {
		all["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return signable(all)
}

// paramsOf are the parameters of a request but those of a signature.
func paramsOf(u *url.URL) map[string][]string {
	q := u.Query()
	for name := range q {
		if strings.HasPrefix(name, "q-") || name == "x-cos-security-token" {
			delete(q, name)
		}
	}
	return signable(q)
}

// authenticate refuses whoever is not the server's account, or did not sign what came.
func (s *Server) authenticate(r *http.Request) *fault {
	c, bad := claimOf(r)
	switch {
	case bad != nil:
		return bad
	case c == nil:
		return &fault{403, "AccessDenied", "Access Denied."}
	}
	if bad := s.checkTime(c); bad != nil {
		return bad
	}
	switch {
	case c.key != s.opts.AccessKey, c.token == "" && s.opts.Token != "":
		return &fault{403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records."}
	case c.token == ExpiredToken:
		return &fault{400, "ExpiredToken", "The provided token has expired."}
	case c.token != s.opts.Token:
		return &fault{403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records."}
	}
	headers, params := headersOf(r), paramsOf(r.URL)
	if name := uncovered(c, headers, params); name != "" {
		return &fault{403, "SignatureDoesNotMatch", "The signature does not cover " + name + "."}
	}
	if want := compute(s.opts.SecretKey, c, r.Method, r.URL.Path, params, headers); !hmac.Equal([]byte(c.signature), []byte(want)) {
		return &fault{403, "SignatureDoesNotMatch", "The Signature you specified is invalid."}
	}
	return nil
}

// checkTime refuses signatures that do not hold yet, or no more.
func (s *Server) checkTime(c *claim) *fault {
	now := s.opts.Now()
	for _, text := range []string{c.signTime, c.keyTime} {
		from, to, ok := span(text)
		switch {
		case !ok:
			return &fault{400, "InvalidArgument", "Invalid q-sign-time or q-key-time."}
		case from.After(now.Add(maxSkew)):
			return &fault{403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."}
		case to.Before(now):
			return &fault{403, "AccessDenied", "Request has expired"}
		}
	}
	return nil
}

// uncovered names something that the signature should cover, and something it names that did not come.
func uncovered(c *claim, headers, params map[string][]string) string {
	names, queried := strings.Split(c.headers, ";"), strings.Split(c.params, ";")
	for name := range headers {
		if (name == "host" || strings.HasPrefix(name, "x-cos-")) && !slices.Contains(names, name) {
			return name
		}
	}
	for name := range params {
		if !slices.Contains(queried, name) {
			return name
		}
	}
	for _, name := range names {
		if name != "" && headers[name] == nil {
			return name
		}
	}
	for _, name := range queried {
		if name != "" && params[name] == nil {
			return name
		}
	}
	return ""
}
