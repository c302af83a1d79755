// Package cos is a server of Tencent Cloud's Cloud Object Storage in memory, for tests. It verifies the signature of every request,
// of headers and of URLs that were signed ahead, and answers with the vendor's XML, headers and codes
// (https://www.tencentcloud.com/document/product/436/10111).
//
// It serves what a copy of objects needs: objects, listings, multipart uploads, server-side copies, tags, ACLs, storage classes,
// the restoring of archived objects, and symbolic links. What it does not know it refuses with NotImplemented. It is stricter
// than the vendor in one thing: host, parameters and x-cos- headers must all be covered by the signature, as the vendor's SDKs
// have it.
package cos

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// ExpiredToken is a session token that the server takes for one that has expired.
const ExpiredToken = "expired-token"

// Options are the account and the place of a server.
type Options struct {
	AccessKey, SecretKey string // SecretId and SecretKey, as the vendor calls them
	Token                string // session token that goes with the key; "" for none
	Region               string // "" means "ap-guangzhou"
	// Domain is where buckets are sub-domains; "" means those of the vendor in the region. At an IP address or localhost that is
	// not bound, the bucket stands in the path.
	Domain string
	// Bound are hosts that stand for one bucket each, without a port.
	Bound map[string]string
	Now   func() time.Time // nil means time.Now
}

// Server is one region. It is safe for concurrent use.
type Server struct {
	fakehttp.Front
	opts    Options
	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is a bucket and what is particular about it.
type bucket struct {
	*memory.Bucket
	kind Kind
}

// Kind is what is particular about a bucket.
type Kind struct {
	Foreign   bool // it is another account's, which lets nobody in
	Versioned bool // it has versioning: conditions of writes are ignored (versions themselves are not kept here)
	ManyZones bool // it lies in several zones: its classes are those named MAZ_
}

// New returns a server without buckets.
func New(opts Options) *Server {
	if opts.Region == "" {
		opts.Region = "ap-guangzhou"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, buckets: map[string]*bucket{}}
}

// Start serves a new server with an account of its own at a free port of this machine, until the test ends.
func Start(t testing.TB) (server *Server, opts Options, url string) {
	t.Helper()
	opts = Options{AccessKey: "AKIDtest", SecretKey: "secret-of-the-test", Region: "ap-guangzhou"}
	server = New(opts)
	return server, opts, fakehttp.Start(t, server)
}

// NewBucket makes an empty bucket of the server's account, or returns the one that is there.
func (s *Server) NewBucket(name string) *memory.Bucket { return s.NewBucketOf(name, Kind{}) }

// NewBucketOf makes an empty bucket of a kind, or returns the one that is there.
func (s *Server) NewBucketOf(name string, kind Kind) *memory.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{memory.NewBucket(), kind}
		s.buckets[name] = b
	}
	return b.Bucket
}

// target is what a request is about.
type target struct{ bucket, key string }

// targetOf finds bucket and key in the host and the path.
func (s *Server) targetOf(host string, u *url.URL) (target, *fault) {
	path, bad := mergedPath(u)
	if bad != nil {
		return target{}, bad
	}
	host = fakehttp.Host(host)
	if name := s.opts.Bound[host]; name != "" {
		return target{name, path}, nil
	}
	for _, domain := range s.domains() {
		if name, ok := strings.CutSuffix(host, "."+domain); ok {
			return target{name, path}, nil
		}
	}
	if net.ParseIP(strings.Trim(host, "[]")) == nil && host != "localhost" {
		return target{}, noSuchBucket() // whatever bucket it is, it is not in this region
	}
	name, key, _ := strings.Cut(path, "/")
	return target{name, key}, nil
}

// domains are those that buckets of the region are sub-domains of.
func (s *Server) domains() []string {
	if s.opts.Domain != "" {
		return []string{s.opts.Domain}
	}
	r := s.opts.Region
	return []string{
		"cos." + r + ".myqcloud.com", "cos." + r + ".tencentcos.cn", "cos-internal." + r + ".tencentcos.cn",
		"cos.accelerate.myqcloud.com", "cos-internal.accelerate.tencentcos.cn",
	}
}

// mergedPath decodes a path after merging its segments "." and "..", as the vendor's server does: slashes that are encoded
// do not part segments.
func mergedPath(u *url.URL) (string, *fault) {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return "", &fault{400, "InvalidURI", "Could not parse the specified URI."}
		}
		last := i == len(segments)-1
		switch {
		case plain == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case plain == "." || plain == "..":
		default:
			kept = append(kept, plain)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/"), nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "tencent-cos")
	h.Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Cos-Request-Id", base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "6720_%012d", s.NextID())))
	if s.Answered(w, r) {
		return
	}
	if bad := s.serve(w, r); bad != nil {
		s.refuse(w, r, bad)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) *fault {
	if bad := s.authenticate(r); bad != nil {
		return bad
	}
	t, bad := s.targetOf(r.Host, r.URL)
	if bad != nil {
		return bad
	}
	if t.bucket == "" {
		return notImplemented(r)
	}
	b, bad := s.find(t.bucket)
	if bad != nil {
		return bad
	}
	c := &call{s: s, b: b, w: w, r: r, q: r.URL.Query(), key: t.key, name: t.bucket}
	if t.key == "" {
		return c.onBucket()
	}
	return c.onObject()
}

func noSuchBucket() *fault {
	return &fault{404, "NoSuchBucket", "The specified bucket does not exist."}
}

// find looks a bucket up.
func (s *Server) find(name string) (*bucket, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	switch {
	case b == nil:
		return nil, noSuchBucket()
	case b.kind.Foreign:
		return nil, &fault{403, "AccessDenied", "Access Denied."}
	}
	return b, nil
}

// call is one request that may be answered.
type call struct {
	s    *Server
	b    *bucket
	w    http.ResponseWriter
	r    *http.Request
	q    url.Values
	name string // of the bucket
	key  string
}

func (c *call) onBucket() *fault {
	c.w.Header().Set("X-Cos-Bucket-Region", c.s.opts.Region)
	switch {
	case c.r.Method == http.MethodHead:
		return nil
	case c.r.Method == http.MethodGet && c.q.Has("uploads"):
		return c.listUploads()
	case c.r.Method == http.MethodGet && !c.q.Has("versions") && !c.q.Has("acl") && !c.q.Has("list-type"):
		return c.listObjects()
	case c.r.Method == http.MethodPost && c.q.Has("delete"):
		return c.deleteMany()
	}
	return notImplemented(c.r)
}

func (c *call) onObject() *fault {
	if bad := checkKey(c.key); bad != nil {
		return bad
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return c.onRead()
	case http.MethodPut:
		return c.onPut()
	case http.MethodPost:
		switch {
		case c.q.Has("uploads"):
			return c.createUpload()
		case c.q.Has("uploadId"):
			return c.complete()
		case c.q.Has("restore"):
			return c.restore()
		}
	case http.MethodDelete:
		if c.q.Has("uploadId") {
			return c.abort()
		}
		c.b.Delete(c.key)
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return notImplemented(c.r)
}

func (c *call) onRead() *fault {
	switch {
	case c.q.Has("symlink"):
		return c.getLink()
	case c.q.Has("uploadId"):
		return c.listParts()
	case c.q.Has("tagging"):
		return c.getTags()
	case c.q.Has("acl"):
		return c.getACL()
	}
	return c.get()
}

func (c *call) onPut() *fault {
	switch {
	case c.q.Has("partNumber"):
		return c.putPart()
	case c.q.Has("symlink"):
		return c.putLink()
	case c.q.Has("tagging"):
		return c.putTags()
	case c.q.Has("acl"):
		return c.putACL()
	case c.r.Header.Get("X-Cos-Copy-Source") != "":
		return c.copyObject()
	}
	return c.put()
}

// checkKey refuses names that the vendor does (https://www.tencentcloud.com/document/product/436/13324).
func checkKey(key string) *fault {
	switch {
	case len(key) > 850:
		return &fault{400, "KeyTooLong", "The specified key is too long."}
	case strings.HasPrefix(key, "/"), strings.HasPrefix(key, `\`), strings.ContainsAny(key, "\x18\x19\x1a\x1b"):
		return &fault{400, "InvalidObjectName", "The specified object name is invalid."}
	}
	return nil
}

// fault is an error answer.
type fault struct {
	status        int
	code, message string
}

// Error makes it an error for the conditions of writes.
func (f *fault) Error() string { return f.code }

func notImplemented(r *http.Request) *fault {
	return &fault{501, "NotImplemented", "This test server does not know " + r.Method + " " + r.URL.RequestURI()}
}

func malformed(why string) *fault {
	return &fault{400, "MalformedXML", "The XML you provided was not well-formed: " + why}
}

// refuse writes an error as COS does; HEAD has no body.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	type doc struct {
		XMLName                 xml.Name `xml:"Error"`
		Code, Message, Resource string
		RequestId, TraceId      string //nolint:revive // names of elements
	}
	id := w.Header().Get("X-Cos-Request-Id")
	trace := base64.StdEncoding.EncodeToString([]byte("trace of " + id))
	body, err := xml.Marshal(doc{Code: f.code, Message: f.message, Resource: r.Host + r.URL.Path, RequestId: id, TraceId: trace})
	if err != nil {
		panic(err) // strings always can be written
	}
	w.Header().Set("X-Cos-Trace-Id", trace)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead && f.status != http.StatusNotModified {
		_, _ = w.Write(append([]byte("<?xml version='1.0' encoding='utf-8' ?>\n"), body...)) // the client may be gone
	}
}

// answer writes a document.
func (c *call) answer(doc any) *fault {
	body, err := xml.Marshal(doc)
	if err != nil {
		return &fault{500, "InternalError", err.Error()}
	}
	c.w.Header().Set("Content-Type", "application/xml")
	_, _ = c.w.Write(append([]byte(xml.Header), body...)) // the client may be gone
	return nil
}
