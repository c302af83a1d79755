package bos

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Types of objects.
const (
	typeNormal     = "Normal"
	typeAppendable = "Appendable"
	typeSymlink    = "Symlink"
)

// What an object has beside its content is kept among its headers.
const (
	metaPrefix       = "X-Bce-Meta-"
	headerACL        = "X-Bce-Acl"
	headerTags       = "X-Bce-Tagging"
	headerEncryption = "X-Bce-Server-Side-Encryption"
	headerRestore    = "X-Bce-Restore"
	headerClass      = "X-Bce-Storage-Class"
)

// Limits (https://cloud.baidu.com/doc/BOS/s/Njwvyseb4); Expires of objects that have none.
const (
	maxMetadata    = 2 << 10 // bytes
	defaultExpires = 72 * time.Hour
)

func md5Of(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// body reads the content of a request and checks the sums that came with it.
func (c *call) body() ([]byte, *fault) {
	data, ok := fakehttp.Body(c.r)
	if !ok {
		return nil, &fault{400, "InvalidHTTPRequest", "There was an error in the body of your HTTP request."}
	}
	sum, sha := md5.Sum(data), sha256.Sum256(data)
	for name, is := range map[string]string{
		"Content-Md5":             base64.StdEncoding.EncodeToString(sum[:]),
		"X-Bce-Content-Sha256":    hex.EncodeToString(sha[:]),
		"X-Bce-Content-Crc64ecma": fakehttp.CRC64(data),
		"X-Bce-Content-Crc32":     strconv.FormatUint(uint64(crc32.ChecksumIEEE(data)), 10),
		"X-Bce-Content-Crc32c":    strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10),
	} {
		if want := c.r.Header.Get(name); want != "" && want != is {
			return nil, &fault{400, "BadDigest", "The " + name + " you specified did not match what we received."}
		}
	}
	return data, nil
}

// userMeta are the headers of user metadata.
func userMeta(h http.Header) (http.Header, *fault) {
	kept, size := http.Header{}, 0
	for name, v := range h {
		if strings.HasPrefix(name, metaPrefix) {
			kept[name] = v
			size += len(name) - len(metaPrefix) + len(v[0])
		}
	}
	if size > maxMetadata {
		return nil, &fault{400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size."}
	}
	return kept, nil
}

// kept are the headers of the request that begins an object, but for user metadata.
func (c *call) kept() (http.Header, *fault) {
	kept := fakehttp.ContentHeaders(c.r.Header)
	if kept.Get("Content-Type") == "" {
		kept.Set("Content-Type", "application/octet-stream")
	}
	return kept, c.keepPlace(kept)
}

// keepPlace checks and keeps access, tags, encryption and class.
func (c *call) keepPlace(kept http.Header) *fault {
	from := c.r.Header
	if acl := from.Get(headerACL); acl != "" {
		if acl != "private" && acl != "public-read" {
			return invalid("The value of x-bce-acl is invalid.")
		}
		kept.Set(headerACL, acl)
	}
	if tags := from.Get(headerTags); tags != "" {
		if _, bad := parseTags(tags); bad != nil {
			return bad
		}
		kept.Set(headerTags, tags)
	}
	if how := from.Get(headerEncryption); how != "" {
		if how != "AES256" && how != "SM4" {
			return &fault{400, "InvalidEncryptionAlgorithm", "The specified encryption algorithm is invalid"}
		}
		kept.Set(headerEncryption, how)
	}
	class := from.Get(headerClass)
	allowed := []string{"", "STANDARD", "STANDARD_IA", "COLD", "ARCHIVE"}
	if c.s.opts.MultiAZ {
		allowed = []string{"", "MAZ_STANDARD", "MAZ_STANDARD_IA", "MAZ_COLD"}
	}
	if !slices.Contains(allowed, class) {
		return &fault{400, "InvalidStorageClass", "The storage class you specified is not valid."}
	}
	if class == "" {
		class = allowed[1]
	}
	kept.Set(headerClass, class)
	return nil
}

// condition holds If-Match and If-None-Match of a write against what is there (https://cloud.baidu.com/doc/BOS/s/Ikc5nv3wc).
func (c *call) condition(now *memory.Object) error {
	match, none := strings.Trim(c.r.Header.Get("If-Match"), `"`), strings.Trim(c.r.Header.Get("If-None-Match"), `"`)
	switch {
	case match != "" && (now == nil || now.ETag != match), now != nil && (none == "*" || none == now.ETag):
		return preconditionFailed()
	}
	return nil
}

func preconditionFailed() *fault {
	return &fault{412, "PreconditionFailed", "The specified If-Match header doesn't match ETag."}
}

// keep puts an object and gives the fault of a condition that refused.
func (c *call) keep(o *memory.Object, allow func(*memory.Object) error) *fault {
	o.Key, o.Modified, o.Class = c.key, c.s.opts.Now(), o.Header.Get(headerClass)
	return fakehttp.As[*fault](c.b.Put(o, allow))
}

func (c *call) put() *fault {
	if c.r.Header.Get("X-Bce-Forbid-Overwrite") == "true" {
		return notImplemented(c.r)
	}
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	header, bad := c.wholeHeader()
	if bad != nil {
		return bad
	}
	o := &memory.Object{Data: data, ETag: md5Of(data), Header: header, Type: typeNormal}
	if bad := c.keep(o, c.condition); bad != nil {
		return bad
	}
	c.stored(o.ETag, data)
	return nil
}

// wholeHeader is what an object gets that is written by one request.
func (c *call) wholeHeader() (http.Header, *fault) {
	header, bad := c.kept()
	if bad != nil {
		return nil, bad
	}
	user, bad := userMeta(c.r.Header)
	for name, v := range user {
		header[name] = v
	}
	return header, bad
}

// stored answers content that was taken.
func (c *call) stored(etag string, data []byte) {
	h, sum := c.w.Header(), md5.Sum(data)
	h.Set("Etag", `"`+etag+`"`)
	h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	setCRCs(h, data)
}

func setCRCs(h http.Header, data []byte) {
	h.Set("X-Bce-Content-Crc64ecma", fakehttp.CRC64(data))
	h.Set("X-Bce-Content-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(data)), 10))
}

// append adds to an appended object, or makes one anew where no offset is told (https://cloud.baidu.com/doc/BOS/s/pkcafu76j).
func (c *call) append() *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	header, bad := c.wholeHeader()
	if bad != nil {
		return bad
	}
	if text := c.q.Get("offset"); text != "" {
		old := c.b.Get(c.key)
		switch {
		case old == nil:
			return noSuchKey()
		case old.Type != typeAppendable:
			return &fault{403, "ObjectUnappendable", "The object is not appendable."}
		case text != strconv.Itoa(len(old.Data)):
			return &fault{409, "OffsetIncorrect", "The offset is not the length of the object."}
		}
		data, header = append(append([]byte(nil), old.Data...), data...), old.Header
	}
	o := &memory.Object{Data: data, ETag: "-" + md5Of(append([]byte("appended"), data...)), Header: header, Type: typeAppendable}
	if bad := c.keep(o, nil); bad != nil {
		return bad
	}
	c.w.Header().Set("Etag", `"`+o.ETag+`"`)
	c.w.Header().Set("X-Bce-Next-Append-Offset", strconv.Itoa(len(data)))
	setCRCs(c.w.Header(), data)
	return nil
}

func (c *call) putLink() *fault {
	to := c.r.Header.Get("X-Bce-Symlink-Target")
	if to == "" || c.r.Header.Get("X-Bce-Symlink-Bucket") != "" {
		return invalid("x-bce-symlink-target is invalid.")
	}
	header, bad := c.wholeHeader()
	if bad != nil {
		return bad
	}
	if header.Get(headerClass) == "ARCHIVE" {
		return invalid("A symbolic link cannot be archived.")
	}
	return c.keep(&memory.Object{Data: []byte(to), ETag: md5Of([]byte(to)), Header: header, Type: typeSymlink, Target: to}, nil)
}

func (c *call) getLink() *fault {
	o := c.b.Get(c.key)
	switch {
	case o == nil:
		return noSuchKey()
	case o.Type != typeSymlink:
		return invalid("The object is no symbolic link.")
	}
	c.w.Header().Set("X-Bce-Symlink-Target", o.Target)
	return nil
}

func noSuchKey() *fault { return &fault{404, "NoSuchKey", "The specified key does not exist."} }

// followed gives what a key shows when it is read: for a link, its target's content under the link's own headers.
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
		return nil, &fault{404, "SymlinkTargetNotExist", "The symlink target object does not exist"}
	case to.Type == typeSymlink:
		return nil, &fault{400, "InvalidTargetType", "The specified object key is symlink, target object of symlink also is symlink."}
	}
	shown := *to
	shown.Type, shown.Header = typeSymlink, o.Header
	return &shown, nil
}

// frozen tells whether content has to be restored before it can be read.
func frozen(o *memory.Object) bool {
	return o.Class == "ARCHIVE" && !strings.Contains(o.Header.Get(headerRestore), `ongoing-request="false"`)
}

func archived() *fault {
	return &fault{403, "InvalidObjectState", "The object is archived and has not been restored."}
}

func (c *call) get() *fault {
	o, bad := followed(c.b.Bucket, c.key)
	if bad != nil {
		return bad
	}
	if bad := readCondition(c.r.Header, o); bad != nil {
		return bad
	}
	if frozen(o) && c.r.Method == http.MethodGet {
		return archived()
	}
	h := c.w.Header()
	h.Set("Expires", c.s.opts.Now().Add(defaultExpires).UTC().Format(http.TimeFormat))
	for name, v := range o.Header {
		if name != headerACL && name != headerTags {
			h[name] = v
		}
	}
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("X-Bce-Object-Type", o.Type)
	h.Set(headerClass, o.Class)
	setCRCs(h, o.Data) // of the whole, for ranges too
	if !strings.HasPrefix(o.ETag, "-") {
		sum := md5.Sum(o.Data)
		h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	from, to, status := rangeOf(c.r.Header.Get("Range"), int64(len(o.Data)))
	switch status {
	case http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable:
		return &fault{status, "InvalidRange", "The requested range is not satisfiable."}
	}
	fakehttp.Give(c.w, c.r, o.Data, from, to, status)
	return nil
}

// readCondition holds If-Match and If-None-Match against an object (https://cloud.baidu.com/doc/BOS/s/6kc5suqj3).
func readCondition(h http.Header, o *memory.Object) *fault {
	switch fakehttp.ReadStatus(h, o) {
	case http.StatusPreconditionFailed:
		return preconditionFailed()
	case http.StatusNotModified:
		return &fault{304, "NotModified", "Not modified."}
	}
	return nil
}

// rangeOf reads "bytes=FROM-TO". A range of an empty object is answered 400 (the vendor's documents of its SDKs).
func rangeOf(text string, size int64) (from, to int64, status int) {
	if strings.HasPrefix(text, "bytes=-") {
		return 0, size, http.StatusOK // it knows none that begin at the end
	}
	from, to, status = fakehttp.Range(text, size)
	if size == 0 && status == http.StatusRequestedRangeNotSatisfiable {
		status = http.StatusBadRequest
	}
	return from, to, status
}
