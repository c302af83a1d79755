package kodo

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a signing time may be from the server's.
const maxSkew = 15 * time.Minute

const contentForm = "application/x-www-form-urlencoded"

// signature is the URL-safe base64 of an HMAC-SHA1.
func (s *Server) signature(text string) string {
	m := hmac.New(sha1.New, []byte(s.opts.SecretKey))
	m.Write([]byte(text))
	return base64.URLEncoding.EncodeToString(m.Sum(nil))
}

// verify checks "access key:signature" of a text.
func (s *Server) verify(token, text string) *fault {
	key, given, ok := strings.Cut(token, ":")
	switch {
	case !ok:
		return &fault{401, "bad token"}
	case key != s.opts.AccessKey:
		return &fault{401, "app/accesskey is not found"}
	case !hmac.Equal([]byte(given), []byte(s.signature(text))):
		return &fault{401, "bad token"}
	}
	return nil
}

// manager verifies the token of a call that manages objects, and gives its body.
func (c *call) manager() ([]byte, *fault) {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, invalid("body")
	}
	auth := c.r.Header.Get("Authorization")
	kind := c.r.Header.Get("Content-Type")
	uri := c.r.URL.Path
	if c.r.URL.RawQuery != "" {
		uri += "?" + c.r.URL.RawQuery
	}
	if token, ok := strings.CutPrefix(auth, "QBox "); ok {
		text := uri + "\n"
		if kind == contentForm {
			text += string(body)
		}
		return body, c.s.verify(token, text)
	}
	token, ok := strings.CutPrefix(auth, "Qiniu ")
	if !ok {
		return nil, &fault{401, "token not specified"}
	}
	if bad := c.s.checkDate(c.r); bad != nil {
		return nil, bad
	}
	return body, c.s.verify(token, manageText(c.r, uri, body))
}

// manageText is what a token "Qiniu" is taken of (https://developer.qiniu.com/kodo/1201/access-token).
func manageText(r *http.Request, uri string, body []byte) string {
	var text bytes.Buffer
	text.WriteString(r.Method + " " + uri + "\nHost: " + r.Host + "\n")
	kind := r.Header.Get("Content-Type")
	if kind != "" {
		text.WriteString("Content-Type: " + kind + "\n")
	}
	var own []string
	for name, values := range r.Header {
		if len(name) > len("X-Qiniu-") && strings.HasPrefix(name, "X-Qiniu-") {
			for _, v := range values {
				own = append(own, name+": "+v+"\n")
			}
		}
	}
	slices.Sort(own)
	text.WriteString(strings.Join(own, "") + "\n")
	if kind != "application/octet-stream" {
		text.Write(body)
	}
	return text.String()
}

// checkDate refuses calls that were signed at another time, where they tell it.
func (s *Server) checkDate(r *http.Request) *fault {
	text := r.Header.Get("X-Qiniu-Date")
	if text == "" {
		return nil
	}
	at, err := time.Parse("20060102T150405Z", text)
	if skew := at.Sub(s.opts.Now()); err != nil || skew > maxSkew || skew < -maxSkew {
		return &fault{403, "request time is too skewed"}
	}
	return nil
}

// policy says what an upload token allows (https://developer.qiniu.com/kodo/1206/put-policy).
type policy struct {
	Scope      string `json:"scope"`
	Deadline   int64  `json:"deadline"`
	InsertOnly int    `json:"insertOnly"`
	FileType   int    `json:"fileType"`
	FsizeMin   int64  `json:"fsizeMin"`
	FsizeLimit int64  `json:"fsizeLimit"`

	bucket, key string
	named       bool // only this key may be written, and replaced
}

// policyOf verifies an upload token and reads what it allows.
func (s *Server) policyOf(token string) (*policy, *fault) {
	parts := strings.Split(token, ":")
	if len(parts) != 3 {
		return nil, &fault{401, "token not specified"}
	}
	if bad := s.verify(parts[0]+":"+parts[1], parts[2]); bad != nil {
		return nil, bad
	}
	text, err := base64.URLEncoding.DecodeString(parts[2])
	var p policy
	if err != nil || json.Unmarshal(text, &p) != nil || p.Scope == "" {
		return nil, &fault{401, "bad token"}
	}
	if p.Deadline < s.opts.Now().Unix() {
		return nil, &fault{401, "token out of date"}
	}
	p.bucket, p.key, p.named = strings.Cut(p.Scope, ":")
	return &p, nil
}

// uploader verifies the token of an upload in parts and finds the bucket.
func (c *call) uploader() (*policy, *fault) {
	p, bad := c.s.policyOf(strings.TrimPrefix(c.r.Header.Get("Authorization"), "UpToken "))
	if bad == nil {
		c.b, bad = c.s.find(p.bucket)
	}
	return p, bad
}

// allows tells whether a policy is about a key.
func (p *policy) allows(key string) *fault {
	if p.named && key != p.key {
		return &fault{403, "key doesn't match scope"}
	}
	return nil
}

// reader verifies the signature of a URL of a private bucket (https://developer.qiniu.com/kodo/1202/download-token).
func (c *call) reader() *fault {
	if c.b.public {
		return nil
	}
	uri, token, ok := strings.Cut(c.r.RequestURI, "&token=")
	if !ok {
		return &fault{401, "download token not specified"}
	}
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	if bad := c.s.verify(token, scheme+c.r.Host+uri); bad != nil {
		return bad
	}
	end, err := strconv.ParseInt(c.r.URL.Query().Get("e"), 10, 64)
	if err != nil || end < c.s.opts.Now().Unix() {
		return &fault{401, "expired token"}
	}
	return nil
}
