// Package kodo is a server of Qiniu's object storage Kodo in memory, for tests. It verifies the signature of every request: of
// calls that manage objects (Qiniu and QBox), of uploads, of URLs of private buckets; and answers with the vendor's JSON, headers
// and statuses (https://developer.qiniu.com/kodo/1731/api-overview).
//
// One host serves all of the vendor's hosts (rs, rsf, up, uc, api); each bucket is read at domains of its own. It serves what a
// copy of objects needs: forms, uploads in parts (versions 1 and 2), descriptions, copies, storage types, restoring, listings. What it
// does not know it refuses with 501.
package kodo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Options are the account and the place of a server.
type Options struct {
	AccessKey, SecretKey string
	Region               string           // "" means "z0"
	Now                  func() time.Time // nil means time.Now
}

// Server is one region. It is safe for concurrent use.
type Server struct {
	fakehttp.Front
	opts    Options
	mu      sync.Mutex
	buckets map[string]*bucket
	domains map[string]string // bucket by host
}

// bucket is a bucket, where it is and how it is read.
type bucket struct {
	*memory.Bucket
	region   string
	mu       sync.Mutex
	domains  []string
	public   bool
	restored map[string]int    // 1 under way, 2 done
	md5      map[string]string // of what was written in one request
	blocks   map[string][]byte // of version 1, by context
}

// New returns a server without buckets.
func New(opts Options) *Server {
	if opts.Region == "" {
		opts.Region = "z0"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, buckets: map[string]*bucket{}, domains: map[string]string{}}
}

// Start serves a new server with an account of its own at a free port of this machine, until the test ends.
func Start(t testing.TB) (server *Server, opts Options, url string) {
	t.Helper()
	opts = Options{AccessKey: "access-key-of-the-test", SecretKey: "secret-of-the-test", Region: "z0"}
	server = New(opts)
	return server, opts, fakehttp.Start(t, server)
}

// NewBucket makes an empty private bucket in the server's region, or returns the one that is there.
func (s *Server) NewBucket(name string) *memory.Bucket { return s.NewBucketIn(name, s.opts.Region) }

// NewBucketIn makes an empty bucket in a region: outside its own, the server only tells where it is.
func (s *Server) NewBucketIn(name, region string) *memory.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{Bucket: memory.NewBucket(), region: region, restored: map[string]int{}, md5: map[string]string{}, blocks: map[string][]byte{}}
		s.buckets[name] = b
	}
	return b.Bucket
}

// Bind makes a host a domain of a bucket.
func (s *Server) Bind(bucket, host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains[host] = bucket
	s.buckets[bucket].domains = append(s.buckets[bucket].domains, host)
}

// StartDomain serves a bucket at a free port of this machine, until the test ends, as one of its domains.
func (s *Server) StartDomain(t testing.TB, bucket string) (url string) {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.Bind(bucket, strings.TrimPrefix(h.URL, "http://"))
	return h.URL
}

// SetPublic makes a bucket readable without signatures.
func (s *Server) SetPublic(bucket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[bucket].public = true
}

// FinishRestore ends the restoring of an object: it can be read from then on.
func (s *Server) FinishRestore(bucket, key string) {
	s.mu.Lock()
	b := s.buckets[bucket]
	s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restored[key] = 2
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	domain := s.domains[r.Host]
	s.mu.Unlock()
	h := w.Header()
	h.Set("Server", "openresty")
	h.Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Reqid", fmt.Sprintf("reqid%016X", s.NextID()))
	if s.Answered(w, r) {
		return
	}
	c := &call{s: s, w: w, r: r}
	var bad *fault
	if domain != "" {
		bad = c.download(domain)
	} else {
		bad = c.serve()
	}
	if bad != nil {
		c.refuse(bad)
	}
}

// call is one request that may be answered.
type call struct {
	s *Server
	w http.ResponseWriter
	r *http.Request
	b *bucket
}

func (c *call) serve() *fault {
	path := strings.Split(strings.TrimPrefix(c.r.URL.Path, "/"), "/")
	switch verb := path[0]; verb {
	case "":
		return c.form()
	case "mkblk", "bput", "mkfile", "buckets":
		return c.resumable(path)
	case "stat", "delete", "copy", "move", "chtype", "restoreAr", "list", "batch", "v2", "v6":
		body, bad := c.manager()
		if bad != nil {
			return bad
		}
		return c.manage(path, body)
	}
	return notImplemented(c.r)
}

// manage serves the calls that manage objects.
func (c *call) manage(path []string, body []byte) *fault {
	switch strings.Join(path[:min(len(path), 2)], "/") {
	case "list":
		return c.list()
	case "v2/domains", "v6/domain":
		return c.listDomains()
	case "batch":
		return c.batch(body)
	}
	doc, bad := c.operate(path)
	if bad != nil {
		return bad
	}
	return c.answer(doc)
}

// find looks a bucket up.
func (s *Server) find(name string) (*bucket, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	switch {
	case b == nil:
		return nil, &fault{631, "no such bucket"}
	case b.region != s.opts.Region:
		return nil, &fault{400, "incorrect region, please use up-" + b.region + ".qiniup.com, bucket is: " + name}
	}
	return b, nil
}

// fault is an error answer.
type fault struct {
	status  int
	message string
}

// Error makes it an error for the conditions of writes.
func (f *fault) Error() string { return f.message }

func noSuchKey() *fault { return &fault{612, "no such file or directory"} }

func invalid(what string) *fault { return &fault{400, "invalid " + what} }

func notImplemented(r *http.Request) *fault {
	return &fault{501, "this test server does not know " + r.Method + " " + r.URL.RequestURI()}
}

// refuse writes an error as Kodo does.
func (c *call) refuse(f *fault) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(f.status)
	if c.r.Method != http.MethodHead {
		_ = json.NewEncoder(c.w).Encode(map[string]string{"error": f.message}) // the client may be gone
	}
}

// answer writes a document, nil for an empty answer.
func (c *call) answer(doc any) *fault {
	c.w.Header().Set("Content-Type", "application/json")
	if doc == nil {
		doc = struct{}{}
	}
	_ = json.NewEncoder(c.w).Encode(doc) // the client may be gone
	return nil
}
