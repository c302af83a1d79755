package kodo

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

// maxKeys is the most that one page holds, and what it holds unless asked otherwise.
const maxKeys = 1000

// marker is where a listing goes on.
type marker struct {
	C int    `json:"c"`
	K string `json:"k"`
}

// list lists objects (https://developer.qiniu.com/kodo/1284/list).
func (c *call) list() *fault {
	q := c.r.URL.Query()
	b, bad := c.s.find(q.Get("bucket"))
	if bad != nil {
		return bad
	}
	n := maxKeys
	if text := q.Get("limit"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxKeys {
			return invalid("limit")
		}
	}
	var after marker
	if text := q.Get("marker"); text != "" {
		raw, err := base64.URLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(raw, &after) != nil {
			return &fault{640, "invalid list marker"}
		}
	}
	answer := struct {
		Marker string        `json:"marker,omitempty"`
		Items  []description `json:"items"`
		Common []string      `json:"commonPrefixes,omitempty"`
	}{}
	last := after.K
	for len(answer.Items)+len(answer.Common) < n {
		objects, _ := b.List(q.Get("prefix"), last, 1)
		if len(objects) == 0 {
			break
		}
		o := objects[0]
		last = o.Key
		if folder := folderOf(o.Key, q.Get("prefix"), q.Get("delimiter")); folder != "" {
			answer.Common = append(answer.Common, folder)
			last = folder + "\xff"
			continue
		}
		d := b.describe(o)
		d.Key = o.Key
		answer.Items = append(answer.Items, d)
	}
	if rest, _ := b.List(q.Get("prefix"), last, 1); len(rest) > 0 {
		text, err := json.Marshal(marker{K: last})
		if err != nil {
			return invalid("key")
		}
		answer.Marker = base64.URLEncoding.EncodeToString(text)
	}
	return c.answer(answer)
}

// folderOf gives the common prefix that a key falls under, "" for none.
func folderOf(key, prefix, delimiter string) string {
	if delimiter == "" {
		return ""
	}
	if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
		return key[:len(prefix)+i+len(delimiter)]
	}
	return ""
}

// listDomains lists the domains of a bucket (https://developer.qiniu.com/kodo/3949/get-the-bucket-space-domain).
func (c *call) listDomains() *fault {
	b, bad := c.s.find(c.r.URL.Query().Get("tbl"))
	if bad != nil {
		return bad
	}
	c.s.mu.Lock()
	names := append([]string{}, b.domains...)
	c.s.mu.Unlock()
	return c.answer(names)
}

// batch does operations one after another (https://developer.qiniu.com/kodo/1250/batch).
func (c *call) batch(body []byte) *fault {
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["op"]) == 0 || len(form["op"]) > 1000 {
		return invalid("argument")
	}
	type result struct {
		Code int `json:"code"`
		Data any `json:"data,omitempty"`
	}
	var results []result
	status := 200
	for _, op := range form["op"] {
		doc, bad := c.operate(strings.Split(strings.TrimPrefix(op, "/"), "/"))
		if bad != nil {
			status = 298
			results = append(results, result{bad.status, map[string]string{"error": bad.message}})
			continue
		}
		results = append(results, result{200, doc})
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	return c.answer(results)
}
