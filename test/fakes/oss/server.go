// Package oss is a server of Aliyun's Object Storage Service in memory, for tests. It verifies the signature of every
// request, V1 and V4, of headers and of URLs that were signed ahead, and answers with the vendor's XML, headers and codes
// (https://www.alibabacloud.com/help/en/oss/developer-reference/list-of-operations-by-function).
//
// It serves what a copy of objects needs: objects, listings, multipart uploads, server-side copies, appendable objects
// and symbolic links. What it does not know it refuses with NotImplemented.
package oss

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
	AccessKey, SecretKey string
	Token                string // session token that goes with the key; "" for none
	Region               string // "" means "cn-hangzhou"
	// Domain is where buckets are sub-domains, such as "oss-cn-hangzhou.aliyuncs.com"; at an IP address or localhost
	// the bucket stands in the path, as the vendor's SDKs do it too.
	Domain string
	// Bound are domains of the account's own, bound to a bucket each.
	Bound map[string]string
	Now   func() time.Time // nil means time.Now
}

// Server is one region. It is safe for concurrent use.
type Server struct {
	fakehttp.Front
	opts    Options
	mu      sync.Mutex
	buckets map[string]*bucket
	thawing map[string]thaw // by bucket, "/" and key
	thaws   time.Duration   // how long restoring takes
}

// bucket is a bucket and where it is.
type bucket struct {
	*memory.Bucket
	region string
}

// New returns a server without buckets.
func New(opts Options) *Server {
	if opts.Region == "" {
		opts.Region = "cn-hangzhou"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, buckets: map[string]*bucket{}, thawing: map[string]thaw{}}
}

// Start serves a new server with an account of its own at a free port of this machine, until the test ends.
func Start(t testing.TB) (server *Server, opts Options, url string) {
	t.Helper()
	opts = Options{AccessKey: "LTAItest", SecretKey: "secret-of-the-test", Region: "cn-hangzhou"}
	server = New(opts)
	return server, opts, fakehttp.Start(t, server)
}

// NewBucket makes an empty bucket in the server's region, or returns the one that is there.
func (s *Server) NewBucket(name string) *memory.Bucket { return s.NewBucketIn(name, s.opts.Region) }

// NewBucketIn makes an empty bucket in a region: outside its own, the server only tells where it is.
func (s *Server) NewBucketIn(name, region string) *memory.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{memory.NewBucket(), region}
		s.buckets[name] = b
	}
	return b.Bucket
}

// target is what a request is about.
type target struct{ bucket, key string }

// targetOf finds bucket and key in the host and the path.
func (s *Server) targetOf(r *http.Request) (target, *fault) {
	host := fakehttp.Host(r.Host)
	path := strings.TrimPrefix(r.URL.Path, "/")
	if name := s.opts.Bound[host]; name != "" {
		return target{name, path}, nil
	}
	if name, ok := strings.CutSuffix(host, "."+s.opts.Domain); ok && s.opts.Domain != "" {
		return target{name, path}, nil
	}
	if net.ParseIP(host) == nil && host != "localhost" {
		return target{}, &fault{403, "SecondLevelDomainForbidden", "The bucket you are attempting to access must be addressed using OSS third level domain.", "0016-00000902", ""}
	}
	name, key, _ := strings.Cut(path, "/")
	return target{name, key}, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "AliyunOSS")
	h.Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Oss-Request-Id", fmt.Sprintf("6720%020X", s.NextID()))
	if s.Answered(w, r) {
		return
	}
	if bad := s.serve(w, r); bad != nil {
		s.refuse(w, r, bad)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) *fault {
	t, bad := s.targetOf(r)
	if bad == nil {
		bad = s.authenticate(r, t)
	}
	if bad != nil {
		return bad
	}
	if t.bucket == "" {
		return notImplemented(r)
	}
	if t.key == "" && r.Method == http.MethodPut && r.URL.RawQuery == "" {
		s.NewBucket(t.bucket)
		return nil
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

// find looks a bucket up.
func (s *Server) find(name string) (*bucket, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	switch {
	case b == nil:
		return nil, &fault{404, "NoSuchBucket", "The specified bucket does not exist.", "0015-00000101", ""}
	case b.region != s.opts.Region:
		return nil, &fault{403, "AccessDenied", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.", "0003-00001403", "oss-" + b.region + ".aliyuncs.com"}
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
	switch {
	case c.r.Method == http.MethodGet && c.q.Has("uploads"):
		return c.listUploads()
	case c.r.Method == http.MethodGet && !c.q.Has("delimiter") && (c.q.Get("list-type") == "2" || !c.q.Has("list-type")):
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
		switch {
		case c.q.Has("tagging"):
			return c.getTags()
		case c.q.Has("acl"):
			return c.getACL()
		case c.q.Has("symlink"):
			return c.getLink()
		case c.q.Has("uploadId"):
			return c.listParts()
		}
		return c.get()
	case http.MethodPut:
		switch {
		case c.q.Has("partNumber"):
			return c.putPart()
		case c.q.Has("symlink"):
			return c.putLink()
		case c.r.Header.Get("X-Oss-Copy-Source") != "":
			return c.copyObject()
		}
		return c.put()
	case http.MethodPost:
		switch {
		case c.q.Has("uploads"):
			return c.createUpload()
		case c.q.Has("uploadId"):
			return c.complete()
		case c.q.Has("append"):
			return c.append()
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

// checkKey refuses names that the vendor does
// (https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions).
func checkKey(key string) *fault {
	if len(key) > 1023 || strings.HasPrefix(key, "/") || strings.HasPrefix(key, `\`) {
		return &fault{400, "InvalidObjectName", "The specified object is not valid.", "0003-00000301", ""}
	}
	return nil
}

// fault is an error answer.
type fault struct {
	status                      int
	code, message, ec, endpoint string
}

// Error makes it an error for the conditions of writes.
func (f *fault) Error() string { return f.code }

func notImplemented(r *http.Request) *fault {
	return &fault{501, "NotImplemented", "This test server does not know " + r.Method + " " + r.URL.RequestURI(), "0001-00000001", ""}
}

func malformed(why string) *fault {
	return &fault{400, "MalformedXML", "The XML you provided was not well-formed: " + why, "0001-00000002", ""}
}

// refuse writes an error as OSS does: for HEAD, which has no body, in a header.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	type doc struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestId string //nolint:revive // the name of the element
		HostId    string //nolint:revive // the name of the element
		Endpoint  string `xml:",omitempty"`
		EC        string
	}
	id := w.Header().Get("X-Oss-Request-Id")
	body, err := xml.Marshal(doc{Code: f.code, Message: f.message, RequestId: id, HostId: r.Host, Endpoint: f.endpoint, EC: f.ec})
	if err != nil {
		panic(err) // strings always can be written
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("X-Oss-Ec", f.ec)
	w.Header().Set("Content-Type", "application/xml")
	if r.Method == http.MethodHead {
		w.Header().Set("X-Oss-Err", base64.StdEncoding.EncodeToString(body))
		w.WriteHeader(f.status)
		return
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // the client may be gone
}

// answer writes a document.
func (c *call) answer(doc any) *fault {
	body, err := xml.Marshal(doc)
	if err != nil {
		return &fault{500, "InternalError", err.Error(), "0001-00000003", ""}
	}
	c.w.Header().Set("Content-Type", "application/xml")
	_, _ = c.w.Write(append([]byte(xml.Header), body...)) // the client may be gone
	return nil
}
