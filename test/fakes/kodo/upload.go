package kodo

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Limits of parts (https://developer.qiniu.com/kodo/6366/upload-part).
const (
	smallestPart = 1 << 20 // bytes, but for the last one
	largestPart  = 1 << 30
	mostParts    = 10000
	uploadLife   = 7 * 24 * time.Hour
)

// stored answers an upload.
func (c *call) stored(o *memory.Object) *fault {
	return c.answer(map[string]string{"hash": o.ETag, "key": o.Key})
}

// form takes an object in one request (https://developer.qiniu.com/kodo/1312/upload).
func (c *call) form() *fault {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if c.r.Method != http.MethodPost || err != nil || kind != "multipart/form-data" {
		return &fault{400, "invalid multipart format: not a form"}
	}
	fields, file, bad := readForm(multipart.NewReader(c.r.Body, params["boundary"]))
	if bad != nil {
		return bad
	}
	p, bad := c.s.policyOf(fields["token"])
	if bad != nil {
		return bad
	}
	if c.b, bad = c.s.find(p.bucket); bad != nil {
		return bad
	}
	key, named := fields["key"]
	if bad := p.allows(key); bad != nil {
		return bad
	}
	if !named {
		key = qetag(file.data)
	}
	if text, ok := fields["crc32"]; ok {
		if sum, err := strconv.ParseUint(text, 10, 32); err != nil || uint32(sum) != crc32.ChecksumIEEE(file.data) {
			return &fault{406, "crc32 check failed"}
		}
	}
	if n := int64(len(file.data)); p.FsizeLimit > 0 && n > p.FsizeLimit || n < p.FsizeMin {
		return &fault{413, "request entity too large"}
	}
	user := map[string]string{}
	for name, value := range fields {
		if strings.HasPrefix(strings.ToLower(name), metaPrefix) {
			user[name] = value
		}
	}
	header, bad := kept(file.mime, user)
	if bad != nil {
		return bad
	}
	o := &memory.Object{Key: key, Data: file.data, ETag: qetag(file.data), Header: header}
	if bad := c.keep(p, o, true); bad != nil {
		return bad
	}
	return c.stored(o)
}

// formFile is the content of a form.
type formFile struct {
	data []byte
	mime string
}

// readForm reads all of a form: one that breaks off is none.
func readForm(r *multipart.Reader) (map[string]string, *formFile, *fault) {
	fields := map[string]string{}
	var file *formFile
	for {
		part, err := r.NextRawPart()
		if err == io.EOF && file != nil {
			return fields, file, nil
		}
		if err != nil {
			return nil, nil, &fault{400, fmt.Sprintf("invalid multipart format: %v", err)}
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, &fault{400, fmt.Sprintf("invalid multipart format: %v", err)}
		}
		if part.FormName() == "file" {
			file = &formFile{data, part.Header.Get("Content-Type")}
			continue
		}
		fields[part.FormName()] = string(data)
	}
}

// resumable serves uploads in parts.
func (c *call) resumable(path []string) *fault {
	p, bad := c.uploader()
	if bad != nil {
		return bad
	}
	switch path[0] {
	case "mkblk":
		return c.makeBlock(path)
	case "mkfile":
		return c.makeFile(p, path)
	case "buckets":
		if len(path) >= 5 && path[2] == "objects" && path[4] == "uploads" {
			return c.multipart(p, path)
		}
	}
	return notImplemented(c.r)
}

// content reads the content of a request.
func (c *call) content() ([]byte, *fault) {
	data, ok := fakehttp.Body(c.r)
	if !ok {
		return nil, &fault{400, "unexpected end of the content"}
	}
	if want := c.r.Header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(data); hex.EncodeToString(sum[:]) != want {
			return nil, &fault{400, "content md5 not match"}
		}
	}
	return data, nil
}

// makeBlock takes a block of version 1, whole (https://developer.qiniu.com/kodo/1286/mkblk).
func (c *call) makeBlock(path []string) *fault {
	data, bad := c.content()
	if bad != nil {
		return bad
	}
	if len(path) != 2 || path[1] != strconv.Itoa(len(data)) || len(data) > blockSize {
		return invalid("block size")
	}
	id := fmt.Sprintf("ctx%d", c.s.NextID())
	c.b.mu.Lock()
	c.b.blocks[id] = data
	c.b.mu.Unlock()
	return c.answer(map[string]any{
		"ctx": id, "checksum": qetag(data), "crc32": crc32.ChecksumIEEE(data), "offset": len(data), "host": "http://" + c.r.Host,
		"expired_at": c.s.opts.Now().Add(uploadLife).Unix(),
	})
}

// makeFile makes an object of blocks (https://developer.qiniu.com/kodo/1287/mkfile).
func (c *call) makeFile(p *policy, path []string) *fault {
	list, bad := c.content()
	if bad != nil {
		return bad
	}
	var data []byte
	c.b.mu.Lock()
	for id := range strings.SplitSeq(string(list), ",") {
		block, ok := c.b.blocks[id]
		if !ok {
			bad = &fault{701, "invalid ctx"}
		}
		data = append(data, block...)
	}
	c.b.mu.Unlock()
	if bad != nil {
		return bad
	}
	if len(path) < 2 || path[1] != strconv.Itoa(len(data)) {
		return invalid("file size")
	}
	values := map[string]string{}
	for i := 2; i+1 < len(path); i += 2 {
		text, err := base64.URLEncoding.DecodeString(path[i+1])
		if err != nil {
			return invalid("argument")
		}
		values[path[i]] = string(text)
	}
	key, mime := values["key"], values["mimeType"]
	delete(values, "key")
	delete(values, "mimeType")
	header, bad := kept(mime, values)
	if bad == nil {
		bad = p.allows(key)
	}
	if bad != nil {
		return bad
	}
	o := &memory.Object{Key: key, Data: data, ETag: qetag(data), Header: header}
	if bad := c.keep(p, o, false); bad != nil {
		return bad
	}
	return c.stored(o)
}

func noSuchUpload() *fault { return &fault{612, "no such uploadId"} }

// multipart serves uploads of version 2 (https://developer.qiniu.com/kodo/6364/multipartupload-interface).
func (c *call) multipart(p *policy, path []string) *fault {
	key, err := base64.URLEncoding.DecodeString(path[3])
	if err != nil || path[1] != p.bucket {
		return invalid("argument")
	}
	if bad := p.allows(string(key)); bad != nil {
		return bad
	}
	switch method, n := c.r.Method, len(path); {
	case method == http.MethodPost && n == 5:
		id := c.b.CreateUpload(memory.Upload{Key: string(key), Began: c.s.opts.Now()})
		return c.answer(map[string]any{"uploadId": id, "expireAt": c.s.opts.Now().Add(uploadLife).Unix()})
	case method == http.MethodPut && n == 7:
		return c.putPart(string(key), path[5], path[6])
	case method == http.MethodGet && n == 6:
		return c.listParts(string(key), path[5])
	case method == http.MethodPost && n == 6:
		return c.complete(p, string(key), path[5])
	case method == http.MethodDelete && n == 6:
		if !c.b.Abort(string(key), path[5]) {
			return noSuchUpload()
		}
		return c.answer(nil)
	}
	return notImplemented(c.r)
}

func (c *call) putPart(key, id, number string) *fault {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > mostParts {
		return invalid("part number")
	}
	data, bad := c.content()
	if bad != nil {
		return bad
	}
	if len(data) > largestPart {
		return &fault{413, "part too large"}
	}
	part := &memory.Part{Number: n, Data: data, ETag: qetag(data), Modified: c.s.opts.Now()}
	if !c.b.PutPart(key, id, part) {
		return noSuchUpload()
	}
	sum := md5.Sum(data)
	return c.answer(map[string]string{"etag": part.ETag, "md5": hex.EncodeToString(sum[:])})
}

func (c *call) listParts(key, id string) *fault {
	held, ok := c.b.Parts(key, id)
	if !ok {
		return noSuchUpload()
	}
	q := c.r.URL.Query()
	most, after := maxKeys, 0
	for name, into := range map[string]*int{"max-parts": &most, "part-number-marker": &after} {
		if text := q.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return invalid(name)
			}
			*into = n
		}
	}
	type part struct {
		Size       int    `json:"size"`
		ETag       string `json:"etag"`
		PartNumber int    `json:"partNumber"`
		PutTime    int64  `json:"putTime"`
	}
	parts, next := []part{}, 0
	for _, p := range held {
		if p.Number <= after {
			continue
		}
		if len(parts) == min(most, maxKeys) {
			next = parts[len(parts)-1].PartNumber
			break
		}
		parts = append(parts, part{len(p.Data), p.ETag, p.Number, p.Modified.Unix()})
	}
	return c.answer(map[string]any{
		"uploadId": id, "expireAt": c.s.opts.Now().Add(uploadLife).Unix(), "partNumberMarker": next, "parts": parts,
	})
}

// completion is the request that makes an object of parts (https://developer.qiniu.com/kodo/6368/complete-multipart-upload).
type completion struct {
	Parts []struct {
		ETag       string `json:"etag"`
		PartNumber int    `json:"partNumber"`
	} `json:"parts"`
	MIME     string            `json:"mimeType"`
	Metadata map[string]string `json:"metadata"`
}

func (c *call) complete(p *policy, key, id string) *fault {
	text, bad := c.content()
	if bad != nil {
		return bad
	}
	var doc completion
	if err := json.Unmarshal(text, &doc); err != nil {
		return invalid("document")
	}
	header, bad := kept(doc.MIME, doc.Metadata)
	if bad != nil {
		return bad
	}
	var whole *memory.Object
	open, err := c.b.Complete(key, id, func(u *memory.Upload) (*memory.Object, error) {
		parts, bad := doc.choose(u)
		if bad != nil {
			return nil, bad
		}
		whole = &memory.Object{
			Key: key, Data: bytes.Join(parts, nil), ETag: partsHash(parts), Header: header, Class: strconv.Itoa(p.FileType), Modified: c.s.opts.Now(),
		}
		return whole, nil
	}, func(now *memory.Object) error { return p.refuses(whole)(now) })
	if !open {
		return noSuchUpload()
	}
	if bad := fakehttp.As[*fault](err); bad != nil {
		return bad
	}
	c.b.mu.Lock()
	delete(c.b.md5, key)
	delete(c.b.restored, key)
	c.b.mu.Unlock()
	return c.stored(whole)
}

// choose gives the content of the parts that a completion names.
func (doc *completion) choose(u *memory.Upload) (parts [][]byte, bad *fault) {
	held := map[int]*memory.Part{}
	for _, p := range u.Parts() {
		held[p.Number] = p
	}
	if len(doc.Parts) == 0 {
		return nil, &fault{400, "parts param can't be empty"}
	}
	for i, want := range doc.Parts {
		p := held[want.PartNumber]
		switch {
		case p == nil || p.ETag != want.ETag:
			return nil, &fault{400, "invalid part"}
		case i > 0 && want.PartNumber <= doc.Parts[i-1].PartNumber:
			return nil, &fault{400, "parts are not in ascending order"}
		case i < len(doc.Parts)-1 && len(p.Data) < smallestPart:
			return nil, &fault{400, "part too small"}
		}
		parts = append(parts, p.Data)
	}
	return parts, nil
}
