package oss

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Types of objects as OSS names them.
const (
	typeNormal     = "Normal"
	typeMultipart  = "Multipart"
	typeAppendable = "Appendable"
	typeSymlink    = "Symlink"
)

const (
	metaPrefix       = "X-Oss-Meta-"
	headerEncryption = "X-Oss-Server-Side-Encryption"
)

func etagOf(data []byte) string {
	sum := md5.Sum(data)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// body reads the content of a request and checks the MD5 that came with it.
func (c *call) body() ([]byte, *fault) {
	data, ok := fakehttp.Body(c.r)
	if !ok {
		return nil, &fault{400, "IncompleteBody", "The request body terminated unexpectedly.", "0002-00000711", ""}
	}
	if want := c.r.Header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(data); base64.StdEncoding.EncodeToString(sum[:]) != want {
			return nil, &fault{400, "InvalidDigest", "The Content-MD5 you specified was invalid.", "0017-00000702", ""}
		}
	}
	return data, nil
}

// keptHeader are the headers of a write that are answered with the object.
func keptHeader(h http.Header) (http.Header, *fault) {
	kept, user := fakehttp.ContentHeaders(h), 0
	if kept.Get("Content-Type") == "" {
		kept.Set("Content-Type", "application/octet-stream")
	}
	if how := h.Get(headerEncryption); how != "" {
		kept.Set(headerEncryption, how)
	}
	for name, v := range h {
		if strings.HasPrefix(name, metaPrefix) {
			kept[name] = v
			user += len(name) - len(metaPrefix) + len(v[0])
		}
	}
	if user > 8<<10 {
		return nil, &fault{400, "InvalidArgument", "The size of user meta should be less than or equal to 8192 bytes.", "0003-00000404", ""}
	}
	return kept, nil
}

func classOf(h http.Header) string {
	if class := h.Get("X-Oss-Storage-Class"); class != "" {
		return class
	}
	return "Standard"
}

// forbidsOverwrite is the only condition of a write that OSS knows
// (https://www.alibabacloud.com/help/en/oss/developer-reference/putobject).
func (c *call) forbidsOverwrite(now *memory.Object) error {
	if now != nil && c.r.Header.Get("X-Oss-Forbid-Overwrite") == "true" {
		return &fault{409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.", "0026-00000001", ""}
	}
	return nil
}

// keep puts an object and gives the fault of a condition that refused.
func (c *call) keep(o *memory.Object) *fault {
	o.Key, o.Modified = c.key, c.s.opts.Now()
	return fakehttp.As[*fault](c.b.Put(o, c.forbidsOverwrite))
}

func (c *call) put() *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	header, bad := keptHeader(c.r.Header)
	if bad != nil {
		return bad
	}
	class, tags, access, bad := details(c.r.Header)
	if bad != nil {
		return bad
	}
	o := &memory.Object{Data: data, ETag: etagOf(data), Header: header, Type: typeNormal, Class: class, Tags: tags, ACL: access}
	if bad := c.keep(o); bad != nil {
		return bad
	}
	c.w.Header().Set("Etag", `"`+o.ETag+`"`)
	c.w.Header().Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(data))
	return nil
}

// append adds to an appendable object (https://www.alibabacloud.com/help/en/oss/developer-reference/appendobject).
func (c *call) append() *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	header, bad := keptHeader(c.r.Header)
	if bad != nil {
		return bad
	}
	old := c.b.Get(c.key)
	if old != nil {
		if old.Type != typeAppendable {
			return &fault{409, "ObjectNotAppendable", "The object is not appendable.", "0026-00000008", ""}
		}
		data, header = append(append([]byte(nil), old.Data...), data...), old.Header
	}
	if at := int64(len(data)) - c.r.ContentLength; c.q.Get("position") != strconv.FormatInt(at, 10) {
		return &fault{409, "PositionNotEqualToLength", "Position is not equal to file length", "0026-00000016", ""}
	}
	// The ETag of an appendable object is no MD5.
	o := &memory.Object{Data: data, ETag: etagOf(append([]byte("appended"), data...)), Header: header, Type: typeAppendable, Class: classOf(c.r.Header)}
	if bad := c.keep(o); bad != nil {
		return bad
	}
	c.w.Header().Set("X-Oss-Next-Append-Position", strconv.Itoa(len(data)))
	c.w.Header().Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(data))
	return nil
}

func (c *call) putLink() *fault {
	to, err := url.PathUnescape(c.r.Header.Get("X-Oss-Symlink-Target"))
	if err != nil || to == "" {
		return &fault{400, "InvalidArgument", "Symlink target is invalid.", "0003-00000501", ""}
	}
	header, bad := keptHeader(c.r.Header)
	if bad != nil {
		return bad
	}
	return c.keep(&memory.Object{Data: []byte(to), ETag: etagOf([]byte(to)), Header: header, Type: typeSymlink, Class: "Standard", Target: to})
}

func (c *call) getLink() *fault {
	o := c.b.Get(c.key)
	switch {
	case o == nil:
		return noSuchKey()
	case o.Type != typeSymlink:
		return &fault{400, "NotSymlink", "The object is not a symlink.", "0026-00000017", ""}
	}
	c.w.Header().Set("X-Oss-Symlink-Target", url.PathEscape(o.Target))
	c.w.Header().Set("Etag", `"`+o.ETag+`"`)
	return nil
}

func noSuchKey() *fault {
	return &fault{404, "NoSuchKey", "The specified key does not exist.", "0026-00000001", ""}
}

// followed gives what a key shows when it is read: for a link, its target's content under its own type.
func followed(b *memory.Bucket, key string) (*memory.Object, *fault) {
	o := b.Get(key)
	if o == nil {
		return nil, noSuchKey()
	}
	if o.Type != typeSymlink {
		return o, nil
	}
	to := b.Get(o.Target)
	switch {
	case to == nil:
		return nil, &fault{404, "SymlinkTargetNotExist", "The symlink target object does not exist", "0026-00000011", ""}
	case to.Type == typeSymlink:
		return nil, &fault{400, "InvalidTargetType", "The symlink's target object type is invalid", "0026-00000012", ""}
	}
	shown := *to
	shown.Type, shown.Header = typeSymlink, o.Header
	return &shown, nil
}

// isArchived tells whether content has to be restored before it can be read.
func isArchived(class string) bool {
	return class == "Archive" || class == "ColdArchive" || class == "DeepColdArchive"
}

func archived() *fault {
	return &fault{403, "InvalidObjectState", "The operation is not valid for the object's state", "0016-00000801", ""}
}

func (c *call) get() *fault {
	o, bad := followed(c.b.Bucket, c.key)
	if bad != nil {
		return bad
	}
	if bad := readCondition(c.r.Header, o); bad != nil {
		return bad
	}
	if c.r.Method == http.MethodGet && c.s.frozen(c.name, o) {
		return archived()
	}
	h := c.w.Header()
	for name, v := range o.Header {
		h[name] = v
	}
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("X-Oss-Object-Type", o.Type)
	h.Set("X-Oss-Storage-Class", o.Class)
	c.restoreHeader(o)
	h.Set("X-Oss-Hash-Crc64ecma", fakehttp.CRC64(o.Data)) // of the whole, for ranges too
	if o.Type == typeNormal {
		sum := md5.Sum(o.Data)
		h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	from, to, status := rangeOf(c.r.Header.Get("Range"), int64(len(o.Data)), c.r.Header.Get("X-Oss-Range-Behavior") == "standard")
	if status == http.StatusRequestedRangeNotSatisfiable {
		return &fault{status, "InvalidRange", "The requested range cannot be satisfied", "0016-00000001", ""}
	}
	fakehttp.Give(c.w, c.r, o.Data, from, to, status)
	return nil
}

// readCondition holds If-Match and If-None-Match against an object.
func readCondition(h http.Header, o *memory.Object) *fault {
	switch fakehttp.ReadStatus(h, o) {
	case http.StatusPreconditionFailed:
		return &fault{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.", "0003-00000308", ""}
	case http.StatusNotModified:
		return &fault{304, "NotModified", "Not modified.", "0003-00000309", ""}
	}
	return nil
}

// rangeOf reads "bytes=FROM-TO". By default a range that is not wholly in the object gives all of it; with standard it is
// cut or refused, as HTTP has it (https://www.alibabacloud.com/help/en/oss/developer-reference/getobject,
// x-oss-range-behavior).
func rangeOf(text string, size int64, standard bool) (from, to int64, status int) {
	from, to, status = fakehttp.Range(text, size)
	if standard || strings.HasPrefix(text, "bytes=-") {
		return from, to, status
	}
	_, last, _ := strings.Cut(text, "-")
	end, err := strconv.ParseInt(last, 10, 64)
	if status == http.StatusRequestedRangeNotSatisfiable || err == nil && end >= size {
		return 0, size, http.StatusOK
	}
	return from, to, status
}
