// Package bos is a server of Baidu's object storage in memory, for tests. It verifies the signature of every request, in a
// header or in the URL, and answers with the vendor's JSON, headers and codes (https://cloud.baidu.com/doc/BOS/s/Rjwvysdnp).
//
// It serves what a copy of objects needs: objects with their access, tags and storage classes, listings, multipart uploads,
// server-side copies, restores, appended objects and symbolic links. What it does not know it refuses with NotImplemented.
package bos

import (
	"encoding/json"
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
	Region               string // "" means "bj"
	// Domain is where buckets are sub-domains, such as "bj.bcebos.com"; at an IP address or localhost the bucket stands in the
	// path, as the vendor's SDKs do it too.
	Domain string
	// Bound are domains of the account's own, bound to a bucket each.
	Bound map[string]string
	// MultiAZ lets buckets take the storage classes of several zones only.
	MultiAZ bool
	Now     func() time.Time // nil means time.Now
}

// Server is one region. It is safe for concurrent use.
type Server struct {
	fakehttp.Front
	opts    Options
	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is a bucket and where it is.
type bucket struct {
	*memory.Bucket
	region string
}

// New returns a server without buckets.
func New(opts Options) *Server {
	if opts.Region == "" {
		opts.Region = "bj"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, buckets: map[string]*bucket{}}
}

// Start serves a new server with an account of its own at a free port of this machine, until the test ends.
func Start(t testing.TB) (server *Server, opts Options, at string) {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith does the same with options, in which an account is filled in.
func StartWith(t testing.TB, opts Options) (*Server, Options, string) {
	t.Helper()
	opts.AccessKey, opts.SecretKey, opts.Region = "test-access-key", "secret-of-the-test", "bj"
	server := New(opts)
	return server, opts, fakehttp.Start(t, server)
}

// NewBucket makes an empty bucket in the server's region, or returns the one that is there.
func (s *Server) NewBucket(name string) *memory.Bucket { return s.NewBucketIn(name, s.opts.Region) }

// NewBucketIn makes an empty bucket in a region: outside its own, the server does not know it.
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
	if net.ParseIP(host) == nil && host != "localhost" && host != s.opts.Domain {
		return target{}, &fault{404, "NoSuchBucket", "The specified bucket does not exist."}
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(path, "v1/"), "/")
	return target{name, key}, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	n := s.NextID()
	h.Set("Server", "BceBos")
	h.Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Bce-Request-Id", fmt.Sprintf("4db2b34d-654d-4d8a-b49b-%012x", n))
	h.Set("X-Bce-Debug-Id", fmt.Sprintf("debug-%d", n))
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
	t, bad := s.targetOf(r)
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
	if b == nil || b.region != s.opts.Region {
		return nil, &fault{404, "NoSuchBucket", "The specified bucket does not exist."}
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
	case c.r.Method == http.MethodGet && c.q.Get("delimiter") == "" && !c.q.Has("versions"):
		return c.listObjects()
	case c.r.Method == http.MethodPost && c.q.Has("delete"):
		return c.deleteMany()
	case c.r.Method == http.MethodHead:
		return nil
	}
	return notImplemented(c.r)
}

func (c *call) onObject() *fault {
	if len(c.key) > 1024 {
		return &fault{400, "InvalidObjectName", "The length of the object name is too long."}
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return c.onGet()
	case http.MethodPut:
		return c.onPut()
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
		switch {
		case c.q.Has("uploadId"):
			return c.abort()
		case c.q.Has("acl"):
			return c.change(func(o *memory.Object) { o.Header.Del(headerACL) })
		case c.q.Has("tagging"):
			return c.change(func(o *memory.Object) { o.Header.Del(headerTags) })
		}
		if !c.b.Delete(c.key) {
			return noSuchKey()
		}
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return notImplemented(c.r)
}

func (c *call) onGet() *fault {
	switch {
	case c.q.Has("symlink"):
		return c.getLink()
	case c.q.Has("uploadId"):
		return c.listParts()
	case c.q.Has("acl"):
		return c.getACL()
	case c.q.Has("tagging"):
		return c.getTags()
	}
	return c.get()
}

func (c *call) onPut() *fault {
	switch {
	case c.q.Has("partNumber"):
		return c.putPart()
	case c.q.Has("symlink"):
		return c.putLink()
	case c.q.Has("acl"):
		return c.putACL()
	case c.q.Has("tagging"):
		return c.putTags()
	case c.r.Header.Get("X-Bce-Copy-Source") != "":
		return c.copyObject()
	}
	return c.put()
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

func invalid(why string) *fault { return &fault{400, "InvalidArgument", why} }

// refuse writes an error as BOS does: for HEAD, the status only (https://cloud.baidu.com/doc/BOS/s/Ajwvysfpl).
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	if r.Method == http.MethodHead || f.status == http.StatusNotModified {
		w.WriteHeader(f.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(f.status)
	doc := map[string]string{"code": f.code, "message": f.message, "requestId": w.Header().Get("X-Bce-Request-Id")}
	_ = json.NewEncoder(w).Encode(doc) // the client may be gone
}

// answer writes a document.
func (c *call) answer(doc any) *fault {
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e := json.NewEncoder(c.w)
	e.SetEscapeHTML(false)
	_ = e.Encode(doc) // the client may be gone
	return nil
}
