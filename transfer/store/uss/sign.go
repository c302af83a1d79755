package uss

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"time"
)

// signingKey is an operator and the MD5 of the password in hexadecimal, which is all that signatures need.
type signingKey struct{ operator, key string }

// String never shows a secret.
func (k *signingKey) String() string { return "key(***)" }

// GoString never shows a secret.
func (k *signingKey) GoString() string { return k.String() }

// sign adds date and signature over method, path, date and, where it is a header, the MD5 of the content
// (https://help.upyun.com/knowledge-base/object_storage_authorization/). The path is signed as it is sent, with its query.
func (k *signingKey) sign(req *http.Request, now time.Time) {
	date := now.UTC().Format(http.TimeFormat)
	text := req.Method + "&" + req.URL.RequestURI() + "&" + date
	if sum := req.Header["Content-Md5"]; len(sum) > 0 {
		text += "&" + sum[0]
	}
	mac := hmac.New(sha1.New, []byte(k.key))
	mac.Write([]byte(text))
	req.Header["Date"] = []string{date}
	req.Header["Authorization"] = []string{"UPYUN " + k.operator + ":" + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}
