package uss

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// validity is how long a signature holds, to either side of its date
// (https://help.upyun.com/knowledge-base/object_storage_authorization/).
const validity = 30 * time.Minute

// authenticate verifies a request's signature and its date. The vendor takes the password itself too, which a client must not
// send; it is refused here.
func (s *Server) authenticate(r *http.Request) *fault {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
		return &fault{401, 40100004, "need authorization header"}
	case scheme != "UPYUN":
		return &fault{401, 40100003, "unknown realm in authorization header"}
	}
	date := r.Header.Get("X-Date") // for browsers, which set no Date
	if date == "" {
		date = r.Header.Get("Date")
	}
	if date == "" {
		return &fault{401, 40100001, "need date header"}
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return &fault{401, 40100016, "invalid date value in header"}
	}
	if off := s.opts.Now().Sub(at); off > validity || off < -validity {
		return &fault{401, 40100002, "date offset error"}
	}
	operator, signature, _ := strings.Cut(rest, ":")
	if operator != s.opts.Operator {
		return &fault{401, 40100006, "user not exists"}
	}
	if !hmac.Equal([]byte(signature), []byte(s.signature(r, date))) {
		return &fault{401, 40100005, "signature error"}
	}
	return nil
}

// signature is what the vendor describes: the HMAC-SHA1, under the MD5 of the password, of method, path, date and the MD5 of the
// content, which is left out where the request does not tell it.
func (s *Server) signature(r *http.Request, date string) string {
	uri := r.RequestURI
	if uri == "" {
		uri = r.URL.RequestURI()
	}
	text := r.Method + "&" + uri + "&" + date
	if sum := r.Header.Get("Content-Md5"); sum != "" {
		text += "&" + sum
	}
	key := md5.Sum([]byte(s.opts.Password))
	mac := hmac.New(sha1.New, []byte(hex.EncodeToString(key[:])))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
