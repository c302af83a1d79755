package kodo

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

const metaPrefix = "x-qn-meta-"

// blockSize is that of QETags, in bytes.
const blockSize = 4 << 20

// qetag is the hash of content (https://github.com/qiniu/qetag).
func qetag(data []byte) string {
	if len(data) <= blockSize {
		sum := sha1.Sum(data)
		return tagged(0x16, sum[:])
	}
	var sums []byte
	for off := 0; off < len(data); off += blockSize {
		sum := sha1.Sum(data[off:min(off+blockSize, len(data))])
		sums = append(sums, sum[:]...)
	}
	sum := sha1.Sum(sums)
	return tagged(0x96, sum[:])
}

func tagged(kind byte, sum []byte) string {
	return base64.URLEncoding.EncodeToString(append([]byte{kind}, sum...))
}

// partsHash is the hash of an upload in parts: that of the content where the parts are blocks, else one over the parts (the
// vendor's SDK for Rust, etag v2).
func partsHash(parts [][]byte) string {
	var whole, sums []byte
	blocks := true
	for i, p := range parts {
		blocks = blocks && (i == len(parts)-1 || len(p) == blockSize)
		whole = append(whole, p...)
		tag, err := base64.URLEncoding.DecodeString(qetag(p))
		if err != nil {
			panic(err) // it was made above
		}
		sums = append(sums, tag[1:]...)
	}
	if blocks {
		return qetag(whole)
	}
	sum := sha1.Sum(sums)
	return tagged(0x9e, sum[:])
}

// description is what stat and list tell (https://developer.qiniu.com/kodo/1308/stat).
type description struct {
	Key     string            `json:"key,omitempty"`
	Size    int               `json:"fsize"`
	Hash    string            `json:"hash"`
	MIME    string            `json:"mimeType"`
	PutTime int64             `json:"putTime"`
	Type    int               `json:"type"`
	Status  int               `json:"status"`
	MD5     string            `json:"md5,omitempty"`
	Restore int               `json:"restoreStatus,omitempty"`
	User    map[string]string `json:"x-qn-meta,omitempty"`
}

func (b *bucket) describe(o *memory.Object) description {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, _ := strconv.Atoi(o.Class) // it was a number when it was kept
	return description{
		Size: len(o.Data), Hash: o.ETag, MIME: o.Header.Get("Content-Type"), PutTime: o.Modified.UnixNano() / 100, Type: kind, MD5: b.md5[o.Key],
	}
}

// frozen tells whether an object has to be restored before it can be read.
func (b *bucket) frozen(o *memory.Object) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return (o.Class == "2" || o.Class == "3") && b.restored[o.Key] != 2
}

// kept checks metadata and gives it as headers (limits: https://developer.qiniu.com/kodo/1252/chgm).
func kept(mime string, user map[string]string) (http.Header, *fault) {
	if mime == "" {
		mime = "application/octet-stream"
	}
	h := http.Header{"Content-Type": {mime}}
	size := 0
	for name, value := range user {
		name = strings.ToLower(name)
		short, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || short == "" || len(short) > 50 || strings.Trim(short, "abcdefghijklmnopqrstuvwxyz0123456789-_!") != "" {
			return nil, invalid("meta key")
		}
		if !allowed(value) {
			return nil, invalid("meta value")
		}
		size += len(short) + len(value)
		h[http.CanonicalHeaderKey(name)] = []string{value}
	}
	if size > 1024 || !allowed(mime) {
		return nil, invalid("metadata")
	}
	return h, nil
}

func allowed(value string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+/-;=,_ "
	return value != "" && len(value) <= 200 && strings.Trim(value, chars) == "" && !strings.ContainsFunc(value, func(r rune) bool { return !strings.ContainsRune(chars, r) })
}

// keep puts what was uploaded under a policy.
func (c *call) keep(p *policy, o *memory.Object, inOne bool) *fault {
	if len(o.Key) > 750 || !utf8.ValidString(o.Key) {
		return invalid("key")
	}
	o.Class, o.Modified = strconv.Itoa(p.FileType), c.s.opts.Now()
	err := c.b.Put(o, p.refuses(o))
	if bad := fakehttp.As[*fault](err); bad != nil {
		return bad
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	delete(c.b.restored, o.Key)
	delete(c.b.md5, o.Key)
	if inOne {
		sum := md5.Sum(o.Data)
		c.b.md5[o.Key] = hex.EncodeToString(sum[:])
	}
	return nil
}

// refuses gives the condition of a policy: without the right to replace, only the same content is written again.
func (p *policy) refuses(o *memory.Object) func(now *memory.Object) error {
	return func(now *memory.Object) error {
		if now != nil && now.ETag != o.ETag && (p.InsertOnly != 0 || !p.named) {
			return &fault{614, "file exists"}
		}
		return nil
	}
}

// entry reads a part of a path that names a bucket and a key.
func (c *call) entry(path []string, i int) (*bucket, string, *fault) {
	if i >= len(path) {
		return nil, "", invalid("argument")
	}
	text, err := base64.URLEncoding.DecodeString(path[i])
	name, key, ok := strings.Cut(string(text), ":")
	if err != nil || !ok || !utf8.ValidString(key) {
		return nil, "", invalid("argument")
	}
	b, bad := c.s.find(name)
	return b, key, bad
}

// operate does one operation on an object, as a call of its own or as one of a batch.
func (c *call) operate(path []string) (any, *fault) {
	b, key, bad := c.entry(path, 1)
	if bad != nil {
		return nil, bad
	}
	o := b.Get(key)
	if o == nil {
		return nil, noSuchKey()
	}
	switch path[0] {
	case "stat":
		d := b.describe(o)
		d.User = userOf(o.Header)
		b.mu.Lock()
		d.Restore = b.restored[key]
		b.mu.Unlock()
		return d, nil
	case "delete":
		b.Delete(key)
		return nil, nil
	case "copy", "move":
		return nil, c.copyTo(b, o, path)
	case "chtype":
		return nil, c.changeType(b, o, path)
	case "restoreAr":
		return nil, c.restore(b, o, path)
	}
	return nil, notImplemented(c.r)
}

func userOf(h http.Header) map[string]string {
	user := map[string]string{}
	for name, v := range h {
		if short, ok := strings.CutPrefix(strings.ToLower(name), metaPrefix); ok {
			user[short] = v[0]
		}
	}
	return user
}

func (c *call) copyTo(from *bucket, o *memory.Object, path []string) *fault {
	to, key, bad := c.entry(path, 2)
	if bad != nil {
		return bad
	}
	force := len(path) == 5 && path[3] == "force" && path[4] == "true"
	if from.frozen(o) {
		return &fault{400, "archived file needs to be restored first"}
	}
	made := *o
	made.Key, made.Modified = key, c.s.opts.Now()
	err := to.Put(&made, func(now *memory.Object) error {
		if now != nil && !force {
			return &fault{614, "file exists"}
		}
		return nil
	})
	if bad := fakehttp.As[*fault](err); bad != nil {
		return bad
	}
	if path[0] == "move" {
		from.Delete(o.Key)
	}
	from.mu.Lock()
	sum, has := from.md5[o.Key]
	from.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	delete(to.md5, key)
	if has {
		to.md5[key] = sum
	}
	return nil
}

func (c *call) changeType(b *bucket, o *memory.Object, path []string) *fault {
	if len(path) != 4 || path[2] != "type" || strings.Trim(path[3], "012345") != "" || len(path[3]) != 1 {
		return invalid("argument")
	}
	if o.Class == path[3] {
		return &fault{400, "already in the same storage type"}
	}
	made := *o
	made.Class = path[3]
	_ = b.Put(&made, nil) // never refuses without a condition
	return nil
}

func (c *call) restore(b *bucket, o *memory.Object, path []string) *fault {
	if len(path) != 4 || path[2] != "freezeAfterDays" {
		return invalid("argument")
	}
	days, err := strconv.Atoi(path[3])
	switch {
	case err != nil || days < 1 || days > 7:
		return invalid("freezeAfterDays")
	case o.Class != "2" && o.Class != "3":
		return &fault{400, "file is not archived"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.restored[o.Key] == 1 {
		return &fault{400, "file is being restored"}
	}
	b.restored[o.Key] = 1
	return nil
}

// download answers reads at a domain of a bucket.
func (c *call) download(name string) *fault {
	b, bad := c.s.find(name)
	if bad != nil {
		return bad
	}
	c.b = b
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return &fault{405, "method not allowed"}
	}
	if bad := c.reader(); bad != nil {
		return bad
	}
	o := b.Get(strings.TrimPrefix(c.r.URL.Path, "/"))
	if o == nil {
		return &fault{404, "Document not found"}
	}
	if b.frozen(o) && c.r.Method == http.MethodGet {
		return &fault{403, "archived file needs to be restored first"}
	}
	h := c.w.Header()
	for name, v := range o.Header {
		h[name] = v
	}
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "public, max-age=31536000")
	h.Set("Content-Disposition", `inline; filename="`+url.PathEscape(o.Key)+`"`)
	from, to, status := fakehttp.Range(c.r.Header.Get("Range"), int64(len(o.Data)))
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(o.Data)))
		return &fault{status, "requested range not satisfiable"}
	}
	fakehttp.Give(c.w, c.r, o.Data, from, to, status)
	return nil
}
