package kodo

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// tokenLife is how long a token holds. Of an upload it is the end that must come in time
// (https://developer.qiniu.com/kodo/1206/put-policy, deadline), and a slow line is no error.
const tokenLife = 24 * time.Hour

// contentForm is the type of calls that manage objects.
const contentForm = "application/x-www-form-urlencoded"

// sign gives "access key:signature" of a text.
func sign(c store.Credentials, text string) string {
	m := hmac.New(sha1.New, []byte(c.SecretKey))
	m.Write([]byte(text))
	return c.AccessKey + ":" + base64.URLEncoding.EncodeToString(m.Sum(nil))
}

// signManage adds the token of a call that manages objects (https://developer.qiniu.com/kodo/1201/access-token).
func signManage(req *http.Request, c store.Credentials, body string) {
	req.Header["Authorization"] = []string{"Qiniu " + sign(c, manageText(req, body))}
}

// manageText is what such a token is taken of.
func manageText(req *http.Request, body string) string {
	var b strings.Builder
	b.WriteString(req.Method + " " + req.URL.Path)
	if req.URL.RawQuery != "" {
		b.WriteString("?" + req.URL.RawQuery)
	}
	b.WriteString("\nHost: " + req.Host + "\n")
	kind := req.Header.Get("Content-Type")
	if kind != "" {
		b.WriteString("Content-Type: " + kind + "\n")
	}
	var own []string
	for name, values := range req.Header {
		if strings.HasPrefix(name, "X-Qiniu-") {
			own = append(own, name+": "+strings.Join(values, ",")+"\n")
		}
	}
	slices.Sort(own)
	b.WriteString(strings.Join(own, "") + "\n")
	if kind != "application/octet-stream" {
		b.WriteString(body)
	}
	return b.String()
}

// policy says what an upload token allows (https://developer.qiniu.com/kodo/1206/put-policy).
type policy struct {
	Scope      string `json:"scope"`    // "bucket:key": this key only, replaced if it is there
	Deadline   int64  `json:"deadline"` // Unix seconds
	InsertOnly int    `json:"insertOnly,omitempty"`
	FileType   int    `json:"fileType,omitempty"`
}

// uploadToken makes a token of a policy.
func uploadToken(c store.Credentials, p policy) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always can be written
	}
	return signData(c, text)
}

// signData gives "access key:signature:data".
func signData(c store.Credentials, data []byte) string {
	encoded := base64.URLEncoding.EncodeToString(data)
	return sign(c, encoded) + ":" + encoded
}

// privateURL signs the URL of an object in a private bucket (https://developer.qiniu.com/kodo/1202/download-token). It has no
// query.
func privateURL(c store.Credentials, url string, deadline time.Time) (query string) {
	query = "e=" + strconv.FormatInt(deadline.Unix(), 10)
	return query + "&token=" + sign(c, url+"?"+query)
}

// encoded is how paths name objects: URL-safe base64, with padding.
func encoded(text string) string { return base64.URLEncoding.EncodeToString([]byte(text)) }
