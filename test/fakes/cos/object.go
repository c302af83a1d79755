package cos

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Types of objects.
const (
	typeNormal  = "normal"
	typeSymlink = "symlink"
)

// Headers that are kept with an object, and those of them that are not answered with it.
const (
	metaPrefix    = "X-Cos-Meta-"
	headerSSE     = "X-Cos-Server-Side-Encryption"
	headerTags    = "X-Cos-Tagging"
	headerACL     = "X-Cos-Acl"
	headerRestore = "X-Cos-Restore"
	headerCRC     = "X-Cos-Hash-Crc64ecma"
)

func md5Of(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// etagOf is the MD5 of what is stored, which for content encrypted by the key service is not the content.
func etagOf(data []byte, h http.Header) string {
	if h.Get(headerSSE) == "cos/kms" {
		return md5Of(append([]byte("encrypted "), data...))
	}
	return md5Of(data)
}

// body reads the content of a request and checks the sums that came with it.
func (c *call) body() ([]byte, *fault) {
	data, ok := fakehttp.Body(c.r)
	if !ok {
		return nil, &fault{400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header."}
	}
	if want := c.r.Header.Get("Content-Md5"); want != "" {
		raw, err := base64.StdEncoding.DecodeString(want)
		if err != nil || len(raw) != md5.Size {
			return nil, &fault{400, "InvalidDigest", "The Content-MD5 you specified is not valid."}
		}
		if sum := md5.Sum(data); string(sum[:]) != string(raw) {
			return nil, &fault{400, "BadDigest", "The Content-MD5 you specified did not match what we received."}
		}
	}
	if want := c.r.Header.Get("X-Cos-Content-Sha1"); want != "" {
		if sum := sha1.Sum(data); hex.EncodeToString(sum[:]) != want {
			return nil, &fault{400, "InvalidSHA1Digest", "The x-cos-content-sha1 you specified did not match what we received."}
		}
	}
	return data, nil
}

// isUserName tells whether user metadata can have a name (https://www.tencentcloud.com/document/product/436/7749).
func isUserName(name string) bool {
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// kept are the headers of a write that stay with the object.
func (c *call) kept() (http.Header, *fault) {
	h, out, user := c.r.Header, fakehttp.ContentHeaders(c.r.Header), 0
	for name, v := range h {
		short, ok := strings.CutPrefix(name, metaPrefix)
		if !ok {
			continue
		}
		if !isUserName(short) {
			return nil, &fault{400, "InvalidArgument", "The name of the metadata " + short + " is not supported."}
		}
		out[name] = v
		user += len(short) + len(v[0])
	}
	if user > 2<<10 {
		return nil, &fault{400, "InvalidArgument", "The size of user metadata exceeds 2 KB."}
	}
	return out, c.keepPlacement(out)
}

// keepPlacement keeps encryption, tags and ACL.
func (c *call) keepPlacement(out http.Header) *fault {
	switch how := c.r.Header.Get(headerSSE); how {
	case "":
	case "AES256", "cos/kms":
		out.Set(headerSSE, how)
	default:
		return &fault{400, "InvalidArgument", "Unknown x-cos-server-side-encryption."}
	}
	if tags := c.r.Header.Get(headerTags); tags != "" {
		q, err := url.ParseQuery(tags)
		if err != nil || len(q) > 10 {
			return &fault{400, "InvalidTag", "The tags are not valid, or more than 10."}
		}
		out.Set(headerTags, tags)
	}
	switch acl := c.r.Header.Get(headerACL); acl {
	case "", "default":
	case "private", "public-read", "authenticated-read":
		out.Set(headerACL, acl)
	default:
		return &fault{400, "InvalidArgument", "Unknown x-cos-acl for an object."}
	}
	return nil
}

// class reads the storage class of a write (https://www.tencentcloud.com/document/product/436/30925).
func (c *call) class() (string, *fault) {
	class := c.r.Header.Get("X-Cos-Storage-Class")
	switch class {
	case "":
		if c.b.kind.ManyZones {
			return "MAZ_STANDARD", nil
		}
		return "STANDARD", nil
	case "MAZ_STANDARD", "MAZ_STANDARD_IA", "MAZ_INTELLIGENT_TIERING":
		if !c.b.kind.ManyZones {
			return "", &fault{400, "MAZOperationNotSupportOnOAZBucket", "MAZ operation not support on OAZ bucket."}
		}
	case "STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "COLD", "ARCHIVE", "DEEP_ARCHIVE":
		if c.b.kind.ManyZones {
			return "", &fault{400, "OAZOperationNotSupportOnMAZBucket", "OAZ operation not support on MAZ bucket."}
		}
	default:
		return "", &fault{400, "NotSupportedStorageClass", "The storage class you specified is not supported."}
	}
	return class, nil
}

// forbidsOverwrite is the only condition of a write that COS knows, and not in buckets with versioning
// (https://www.tencentcloud.com/document/product/436/7749).
func (c *call) forbidsOverwrite(now *memory.Object) error {
	if now != nil && !c.b.kind.Versioned && c.r.Header.Get("X-Cos-Forbid-Overwrite") == "true" {
		return &fault{409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."}
	}
	return nil
}

func (c *call) put() *fault {
	if c.r.ContentLength > 5<<30 {
		return &fault{400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size."}
	}
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	header, bad := c.kept()
	if bad != nil {
		return bad
	}
	class, bad := c.class()
	if bad != nil {
		return bad
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	o := &memory.Object{
		Key: c.key, Data: data, ETag: etagOf(data, header), Header: header, Type: typeNormal, Class: class, Modified: c.s.opts.Now(),
	}
	if bad := fakehttp.As[*fault](c.b.Put(o, c.forbidsOverwrite)); bad != nil {
		return bad
	}
	c.acknowledge(o.ETag, data, header)
	return nil
}

// acknowledge answers a write.
func (c *call) acknowledge(etag string, data []byte, kept http.Header) {
	h := c.w.Header()
	h.Set("Etag", `"`+etag+`"`)
	h.Set(headerCRC, fakehttp.CRC64(data))
	if how := kept.Get(headerSSE); how != "" {
		h.Set(headerSSE, how)
	}
}

// putLink makes a link: an object of its own, whose content is its target's name
// (https://cloud.tencent.com/document/product/436/109082).
func (c *call) putLink() *fault {
	to, err := url.PathUnescape(c.r.Header.Get("X-Cos-Symlink-Target"))
	if err != nil || to == "" {
		return &fault{400, "InvalidArgument", "x-cos-symlink-target is not valid."}
	}
	header, bad := c.kept()
	if bad != nil {
		return bad
	}
	return fakehttp.As[*fault](c.b.Put(&memory.Object{
		Key: c.key, Data: []byte(to), ETag: md5Of([]byte(to)), Header: header, Type: typeSymlink, Class: "STANDARD", Target: to, Modified: c.s.opts.Now(),
	}, c.forbidsOverwrite))
}

func (c *call) getLink() *fault {
	o := c.b.Get(c.key)
	switch {
	case o == nil:
		return noSuchKey()
	case o.Type != typeSymlink:
		return &fault{400, "InvalidArgument", "The object is no symlink."}
	}
	c.w.Header().Set("X-Cos-Symlink-Target", encode(o.Target))
	c.w.Header().Set("Etag", `"`+o.ETag+`"`)
	return nil
}

func noSuchKey() *fault { return &fault{404, "NoSuchKey", "The specified key does not exist."} }

// shown gives what a key shows when it is read: for a link, its target's content under the link's own ETag and headers.
func (c *call) shown(b *bucket, key string) (*memory.Object, *fault) {
	o := b.Get(key)
	if o == nil {
		return nil, noSuchKey()
	}
	if o.Type != typeSymlink {
		return o, nil
	}
	to := b.Get(o.Target)
	if to == nil || to.Type == typeSymlink {
		return nil, noSuchKey()
	}
	link := *o
	link.Data, link.Class = to.Data, to.Class
	return &link, nil
}

// isArchived tells whether content has to be restored before it can be read.
func isArchived(o *memory.Object) bool {
	return (o.Class == "ARCHIVE" || o.Class == "DEEP_ARCHIVE") && !strings.Contains(o.Header.Get(headerRestore), `"false"`)
}

func archived() *fault {
	return &fault{403, "InvalidObjectState", "The operation is not valid for the object storage class."}
}

func (c *call) get() *fault {
	o, bad := c.shown(c.b, c.key)
	if bad != nil {
		return bad
	}
	if bad := readCondition(c.r.Header, o); bad != nil {
		return bad
	}
	h := c.w.Header()
	if o.Class != "STANDARD" {
		h.Set("X-Cos-Storage-Class", o.Class)
	}
	if isArchived(o) && c.r.Method == http.MethodGet {
		return archived()
	}
	maps.Copy(h, o.Header)
	h.Del(headerTags)
	h.Del(headerACL)
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	if o.Type == typeSymlink {
		h.Set("X-Cos-Object-Type", typeSymlink)
	} else {
		h.Set(headerCRC, fakehttp.CRC64(o.Data)) // of the whole, for ranges too
	}
	from, to, status := fakehttp.Range(c.r.Header.Get("Range"), int64(len(o.Data)))
	if status == http.StatusRequestedRangeNotSatisfiable {
		return &fault{status, "InvalidRange", "The requested range is not satisfiable."}
	}
	fakehttp.Give(c.w, c.r, o.Data, from, to, status)
	return nil
}

// readCondition holds If-Match and If-None-Match against an object.
func readCondition(h http.Header, o *memory.Object) *fault {
	switch fakehttp.ReadStatus(h, o) {
	case http.StatusPreconditionFailed:
		return &fault{412, "PreconditionFailed", "Precondition not match."}
	case http.StatusNotModified:
		return &fault{304, "NotModified", "Not Modified"}
	}
	return nil
}
