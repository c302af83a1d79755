// Package uss is a server of UPYUN's storage (USS) in memory, for tests. It verifies the signature of every request and
// answers with the vendor's JSON, headers and codes (https://help.upyun.com/knowledge-base/rest_api/ and
// https://help.upyun.com/knowledge-base/errno/).
//
// Names are files and folders, as the vendor has them: a folder is made with the first file in it, stays when it is empty, and
// nothing is both. What the vendor does not say, such as the longest name, is as strict here as seems possible.
package uss

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// Options are the operator of a server.
type Options struct {
	Operator, Password string
	Now                func() time.Time // nil means time.Now
	// NoReplacing refuses a part that is there already. Whether the vendor does is not documented, only the code for it.
	NoReplacing bool
	// KeepsType leaves the type of a copy as the source's even where its metadata is replaced, which is not documented either.
	KeepsType bool
	// HeadHidesMeta leaves user metadata out of answers to HEAD: the vendor's documentation speaks of GET alone.
	HeadHidesMeta bool
}

// Server is the storage of one account. It is safe for concurrent use.
type Server struct {
	fakehttp.Front
	opts    Options
	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is a service: its tree and its uploads.
type bucket struct {
	tree    sync.Mutex // held by whatever changes names
	objects *memory.Bucket
	uploads map[string]*upload
	fault   *fault // that everything here ends in
	denied  string // methods that the operator has no right to, separated by spaces
}

// New returns a server without services.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{opts: opts, buckets: map[string]*bucket{}}
}

// Start serves a new server with an operator of its own at a free port of this machine, until the test ends.
func Start(t testing.TB) (server *Server, opts Options, url string) {
	t.Helper()
	opts = Options{Operator: "operator1", Password: "password-of-the-test"}
	return StartWith(t, opts)
}

// StartWith does the same with options.
func StartWith(t testing.TB, given Options) (server *Server, opts Options, url string) {
	t.Helper()
	server = New(given)
	return server, given, fakehttp.Start(t, server)
}

// NewBucket makes an empty service, or returns the one that is there.
func (s *Server) NewBucket(name string) *memory.Bucket { return s.bucket(name).objects }

func (s *Server) bucket(name string) *bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{objects: memory.NewBucket(), uploads: map[string]*upload{}}
		s.buckets[name] = b
	}
	return b
}

// NewForeignBucket makes a service that the operator was not given.
func (s *Server) NewForeignBucket(name string) {
	s.bucket(name).fault = &fault{401, 40100006, "user not exists"}
}

// Deny takes the right to some methods in a service away: "PUT DELETE".
func (s *Server) Deny(name, methods string) { s.bucket(name).denied = methods }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	id := fmt.Sprintf("%032x", s.NextID())
	h.Set("Server", "marco/2.19")
	h.Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Request-Id", id)
	if s.Answered(w, r) {
		return
	}
	if bad := s.serve(w, r); bad != nil {
		bad.write(w, id)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) *fault {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == "" {
		return &fault{400, 40000003, "need bucket name"}
	}
	if bad := s.authenticate(r); bad != nil {
		return bad
	}
	s.mu.Lock()
	b := s.buckets[name]
	s.mu.Unlock()
	switch {
	case b == nil:
		return &fault{401, 40100012, "bucket not exist"}
	case b.fault != nil:
		return b.fault
	case strings.Contains(b.denied, r.Method):
		return &fault{401, 40100017, "user need permission"}
	}
	if bad := checkPath(key); bad != nil {
		return bad
	}
	c := &call{s: s, b: b, w: w, r: r, name: name, key: strings.TrimSuffix(key, "/"), slash: key == "" || strings.HasSuffix(key, "/")}
	return c.serve()
}

// call is one request that may be answered.
type call struct {
	s     *Server
	b     *bucket
	w     http.ResponseWriter
	r     *http.Request
	name  string // of the service
	key   string // without a "/" at its end
	slash bool   // there was one
}

func (c *call) serve() *fault {
	h := c.r.Header
	switch c.r.Method {
	case http.MethodGet:
		switch {
		case h.Get("X-Upyun-List-Type") == "multi":
			return c.listUploads()
		case h.Get("X-Upyun-Multi-Uuid") != "":
			return c.listParts()
		case c.r.URL.RawQuery == "usage":
			return c.usage()
		}
		return c.get()
	case http.MethodHead:
		return c.head()
	case http.MethodPut:
		switch {
		case h.Get("X-Upyun-Multi-Stage") != "":
			return c.stage(h.Get("X-Upyun-Multi-Stage"))
		case h.Get("X-Upyun-Copy-Source") != "":
			return c.copyObject(h.Get("X-Upyun-Copy-Source"), false)
		case h.Get("X-Upyun-Move-Source") != "":
			return c.copyObject(h.Get("X-Upyun-Move-Source"), true)
		}
		return c.put()
	case http.MethodPost:
		if h.Get("Folder") == "true" || h.Get("X-Upyun-Folder") == "true" {
			return c.makeFolder()
		}
	case http.MethodDelete:
		return c.remove()
	case http.MethodPatch:
		return c.patch(c.r.URL.Query().Get("metadata"))
	}
	return &fault{405, 40500000, "this test server does not know " + c.r.Method}
}

// Longest names, in bytes: the vendor has codes for longer ones and publishes no figures.
const (
	maxName = 255
	maxPath = 1024
)

// checkPath refuses names that the vendor has codes for.
func checkPath(key string) *fault {
	if strings.ContainsAny(key, "\r\n\t") {
		return &fault{403, 40300001, `file name contains invalid chars (\r\n\t)`}
	}
	if len(key) > maxPath {
		return &fault{403, 40300002, "file path too long"}
	}
	for i, name := range strings.Split(strings.TrimSuffix(key, "/"), "/") {
		switch {
		case len(name) > maxName:
			return &fault{403, 40300003, "file name too long"}
		case name == "." || name == ".." || name == "" && i > 0:
			return &fault{406, 40600001, "dir not acceptable"}
		}
	}
	return nil
}

// fault is an error answer.
type fault struct {
	status, code int
	message      string
}

// Error makes it an error for the conditions of writes.
func (f *fault) Error() string { return f.message }

// write answers with the fault; to a HEAD only its status arrives.
func (f *fault) write(w http.ResponseWriter, id string) {
	body, err := json.Marshal(map[string]any{"msg": f.message, "code": f.code, "id": id})
	if err != nil {
		panic(err) // strings always can be written
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // the client may be gone
}

func notFound() *fault { return &fault{404, 40400001, "file or directory not found"} }

func notAcceptable() *fault { return &fault{406, 40600001, "dir not acceptable"} }

// answer writes a document.
func (c *call) answer(doc any) *fault {
	body, err := json.Marshal(doc)
	if err != nil {
		return &fault{503, 50300000, "unknown error"}
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(body) // the client may be gone
	return nil
}
