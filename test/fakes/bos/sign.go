package bos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Form and limits of signatures (https://cloud.baidu.com/doc/Reference/s/njwvz1yfu).
const (
	authVersion = "bce-auth-v1"
	timeISO     = "2006-01-02T15:04:05Z"
	maxAhead    = 15 * time.Minute // of the server's clock
)

// signature is what a request says of who sent it, and what its signature should be.
type signature struct {
	key, given, computed string
	at                   time.Time
	lives                time.Duration // < 0 for ever
	headers              []string      // that it covers
}

// signatureOf reads the signature of a request and computes what it should be. nil means that there is none.
func (s *Server) signatureOf(r *http.Request) (*signature, *fault) {
	text := r.Header.Get("Authorization")
	if text == "" {
		text = r.URL.Query().Get("authorization")
	}
	if text == "" {
		return nil, nil
	}
	malformed := &fault{400, "InvalidHTTPAuthHeader", "The HTTP authorization header is invalid. Consult the service documentation for details."}
	fields := strings.Split(text, "/")
	if len(fields) != 6 || fields[0] != authVersion {
		return nil, malformed
	}
	at, err := time.Parse(timeISO, fields[2])
	seconds, err2 := strconv.Atoi(fields[3])
	if err != nil || err2 != nil || seconds == 0 {
		return nil, malformed
	}
	names := strings.Split(fields[4], ";")
	if fields[4] == "" {
		names = usualHeaders(r)
	}
	if !slices.IsSorted(names) {
		return nil, malformed
	}
	key := hexMAC(s.opts.SecretKey, strings.Join(fields[:4], "/"))
	return &signature{
		key: fields[1], given: fields[5], at: at, lives: time.Duration(seconds) * time.Second, headers: names,
		computed: hexMAC(key, canonical(r, names)),
	}, nil
}

// usualHeaders are signed where a signature does not name any.
func usualHeaders(r *http.Request) []string {
	names := []string{"host"}
	for name := range r.Header {
		switch name = strings.ToLower(name); {
		case name == "content-length", name == "content-type", name == "content-md5", strings.HasPrefix(name, "x-bce-"):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// canonical is a request as its signature sees it.
func canonical(r *http.Request, names []string) string {
	var query, headers []string
	for name, values := range r.URL.Query() {
		if name == "authorization" {
			continue
		}
		for _, v := range values {
			query = append(query, encode(name)+"="+encode(v))
		}
	}
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers = append(headers, encode(name)+":"+encode(strings.TrimSpace(value)))
	}
	slices.Sort(query)
	slices.Sort(headers)
	path := strings.ReplaceAll(encode(r.URL.Path), "%2F", "/")
	return strings.Join([]string{r.Method, path, strings.Join(query, "&"), strings.Join(headers, "\n")}, "\n")
}

// encode percent-encodes all bytes but unreserved ones.
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func hexMAC(key, text string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// unsigned names a header that the signature should cover and does not. The vendor asks for host and recommends the rest; here
// all of its own headers have to be covered, but for empty ones, which its SDKs leave out.
func (sig *signature) unsigned(r *http.Request) string {
	if !slices.Contains(sig.headers, "host") {
		return "host"
	}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-bce-") && strings.TrimSpace(strings.Join(values, "")) != "" && name != "x-bce-request-id" && !slices.Contains(sig.headers, name) {
			return name
		}
	}
	return ""
}

// authenticate refuses whoever is not the server's account, or did not sign what came.
func (s *Server) authenticate(r *http.Request) *fault {
	sig, bad := s.signatureOf(r)
	switch {
	case bad != nil:
		return bad
	case sig == nil:
		return &fault{403, "AccessDenied", "Access Denied."}
	}
	token := r.Header.Get("X-Bce-Security-Token")
	if token == "" {
		token = r.URL.Query().Get("x-bce-security-token")
	}
	now := s.opts.Now()
	switch {
	case sig.key != s.opts.AccessKey, token == "" && s.opts.Token != "":
		return &fault{403, "InvalidAccessKeyId", "The Access Key ID you provided does not exist in our records."}
	case token == ExpiredToken:
		return &fault{403, "InvalidSessionToken", "The session token you provided has expired."}
	case token != s.opts.Token:
		return &fault{403, "InvalidSessionToken", "The session token you provided is invalid."}
	case !hmac.Equal([]byte(sig.given), []byte(sig.computed)), sig.unsigned(r) != "":
		return &fault{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your Secret Access Key and signing method. Consult the service documentation for details."}
	case sig.at.After(now.Add(maxAhead)), sig.lives > 0 && now.After(sig.at.Add(sig.lives)):
		return &fault{400, "RequestExpired", "Request has expired. Timestamp date is " + sig.at.Format(timeISO) + "."}
	}
	return nil
}
