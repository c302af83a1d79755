package uss

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Types of names.
const (
	typeFile   = "file"
	typeFolder = "folder"
)

const metaPrefix = "X-Upyun-Meta-"

func sumOf(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// body reads the content of a request and checks the MD5 that came with it.
func (c *call) body() ([]byte, *fault) {
	if c.r.ContentLength < 0 || len(c.r.TransferEncoding) > 0 {
		return nil, &fault{400, 40000011, "chunked request bodies not supported yet"}
	}
	data, err := io.ReadAll(c.r.Body)
	if err != nil || int64(len(data)) != c.r.ContentLength {
		return nil, &fault{408, 40800001, "read client request timeout"}
	}
	want := c.r.Header.Get("Content-Md5")
	if want != "" && len(data) == 0 {
		return nil, &fault{400, 40000014, "need content-md5 but no content provided"}
	}
	if want != "" && want != sumOf(data) {
		return nil, &fault{400, 40000006, "content md5 not match"}
	}
	return data, nil
}

// keptHeader are the headers of a write that are answered with the object; the type has a header of its own in uploads.
func (c *call) keptHeader(kind string) http.Header {
	kept := http.Header{}
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(c.key))
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	kept.Set("Content-Type", kind)
	for name, v := range c.r.Header {
		if strings.HasPrefix(name, metaPrefix) {
			kept[name] = v
		}
	}
	return kept
}

// fileAt and folderAt tell what a name is; b.tree is held where the answer must last. The root is a folder at all times.
func (b *bucket) fileAt(key string) *memory.Object { return b.objects.Get(key) }

func (b *bucket) folderAt(key string) bool { return key == "" || b.objects.Get(key+"/") != nil }

// makeFolders makes the folder of a name and those above it.
func (c *call) makeFolders(key string) *fault {
	if key == "" || key == "." || c.b.folderAt(key) {
		return nil
	}
	if c.b.fileAt(key) != nil {
		return notAcceptable()
	}
	if bad := c.makeFolders(path.Dir(key)); bad != nil {
		return bad
	}
	return fakehttp.As[*fault](c.b.objects.Put(&memory.Object{Key: key + "/", Type: typeFolder, Modified: c.s.opts.Now()}, nil))
}

// keep puts a file, with the folders that it is in.
func (c *call) keep(data []byte, header http.Header) (replaced bool, bad *fault) {
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	return c.keepLocked(data, header)
}

func (c *call) keepLocked(data []byte, header http.Header) (replaced bool, bad *fault) {
	if c.slash || c.b.folderAt(c.key) {
		return false, notAcceptable()
	}
	if bad := c.makeFolders(path.Dir(c.key)); bad != nil {
		return false, bad
	}
	replaced = c.b.fileAt(c.key) != nil
	o := &memory.Object{Key: c.key, Data: data, ETag: sumOf(data), Header: header, Type: typeFile, Modified: c.s.opts.Now()}
	return replaced, fakehttp.As[*fault](c.b.objects.Put(o, nil))
}

func (c *call) put() *fault {
	data, bad := c.body()
	if bad == nil {
		_, bad = c.keep(data, c.keptHeader(c.r.Header.Get("Content-Type")))
	}
	return bad
}

func (c *call) makeFolder() *fault {
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	if c.b.folderAt(c.key) {
		return &fault{406, 40600002, "folder already exists"}
	}
	return c.makeFolders(c.key)
}

// remove removes a file, or a folder that is empty.
func (c *call) remove() *fault {
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	onlyFolder := c.slash || c.r.Header.Get("X-Upyun-Folder") == "true"
	if !onlyFolder && c.b.objects.Delete(c.key) {
		return nil
	}
	if c.key == "" || !c.b.folderAt(c.key) {
		return notFound()
	}
	if below, _ := c.b.objects.List(c.key+"/", c.key+"/", 1); len(below) > 0 {
		return &fault{403, 40300005, "directory not empty"}
	}
	c.b.objects.Delete(c.key + "/")
	return nil
}

func (c *call) head() *fault {
	h := c.w.Header()
	if o := c.b.fileAt(c.key); o != nil && !c.slash {
		describe(h, o)
		for name := range o.Header {
			if c.s.opts.HeadHidesMeta && strings.HasPrefix(name, metaPrefix) {
				h.Del(name)
			}
		}
		h.Set("X-Upyun-File-Type", typeFile)
		h.Set("X-Upyun-File-Size", strconv.Itoa(len(o.Data)))
		h.Set("X-Upyun-File-Date", strconv.FormatInt(o.Modified.Unix(), 10))
		return nil
	}
	if !c.b.folderAt(c.key) {
		return notFound()
	}
	at := c.s.opts.Now()
	if o := c.b.objects.Get(c.key + "/"); o != nil {
		at = o.Modified
	}
	h.Set("X-Upyun-File-Type", typeFolder)
	h.Set("X-Upyun-File-Size", "0")
	h.Set("X-Upyun-File-Date", strconv.FormatInt(at.Unix(), 10))
	return nil
}

func describe(h http.Header, o *memory.Object) {
	for name, v := range o.Header {
		h[name] = v
	}
	h.Set("Content-Md5", o.ETag)
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
}

// get answers with a file, or with what is in a folder.
func (c *call) get() *fault {
	o := c.b.fileAt(c.key)
	if c.slash || o == nil {
		if c.b.folderAt(c.key) {
			return c.list()
		}
		return notFound()
	}
	h := c.w.Header()
	describe(h, o)
	from, to, status := fakehttp.Range(c.r.Header.Get("Range"), int64(len(o.Data)))
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(o.Data)))
	case http.StatusPartialContent:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(o.Data)))
	}
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(o.Data[from:to]) // the client may be gone
	return nil
}

// copyObject makes a file of another one of the same service.
func (c *call) copyObject(source string, move bool) *fault {
	plain, err := url.PathUnescape(source)
	name, key, ok := strings.Cut(strings.TrimPrefix(plain, "/"), "/")
	if err != nil || !ok || name != c.name {
		return notFound()
	}
	if c.r.ContentLength != 0 {
		return &fault{403, 40300027, "request body too big"}
	}
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	from := c.b.fileAt(key)
	if from == nil {
		return notFound()
	}
	header, bad := c.copiedHeader(from)
	if bad == nil {
		_, bad = c.keepLocked(from.Data, header)
	}
	if bad == nil && move && key != c.key {
		c.b.objects.Delete(key)
	}
	return bad
}

// copiedHeader is the metadata of a copy, as X-Upyun-Metadata-Directive wants it.
func (c *call) copiedHeader(from *memory.Object) (http.Header, *fault) {
	kind := c.r.Header.Get("Content-Type")
	if kind == "" || c.s.opts.KeepsType {
		kind = from.Header.Get("Content-Type")
	}
	given := c.keptHeader(kind)
	switch c.r.Header.Get("X-Upyun-Metadata-Directive") {
	case "", "copy":
		return from.Header, nil
	case "replace":
		return given, nil
	case "merge":
		return merged(from.Header, given), nil
	}
	return nil, &fault{400, 40000015, "missing required arguments"}
}

func merged(have, given http.Header) http.Header {
	all := have.Clone()
	for name, v := range given {
		all[name] = v
	}
	return all
}

// patch changes the metadata of a file.
func (c *call) patch(how string) *fault {
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	o := c.b.fileAt(c.key)
	if o == nil {
		return notFound()
	}
	given, now := c.keptHeader(o.Header.Get("Content-Type")), *o
	switch how {
	case "", "merge":
		now.Header = merged(o.Header, given)
	case "replace":
		now.Header = given
	case "delete":
		now.Header = o.Header.Clone()
		for name := range given {
			if strings.HasPrefix(name, metaPrefix) {
				now.Header.Del(name)
			}
		}
	default:
		return &fault{400, 40000015, "missing required arguments"}
	}
	return fakehttp.As[*fault](c.b.objects.Put(&now, nil))
}

func (c *call) usage() *fault {
	total := 0
	for o := range slices.Values(c.all("")) {
		total += len(o.Data)
	}
	_, _ = io.WriteString(c.w, strconv.Itoa(total)) // the client may be gone
	return nil
}
