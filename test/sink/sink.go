// Package sink is an S3 server for measuring clients at a scale that no store on the same machine would keep up with.
// It hashes what is put without keeping it, but remembers key, size, ETag, checksums and metadata, so that HEAD and
// LIST tell the truth, and it serves synthetic buckets: "syn1000000-4096" holds a million objects of 4,096 bytes, keys
// "k000000000" and up, for reading only. All other buckets exist as soon as they are named.
//
// Requests must be signed, but signatures are not checked. Whatever a client lets the server check is checked:
// Content-MD5, CRC32, CRC32C and CRC64NVME checksums, conditions of reads and writes.
package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/test/s3op"
)

// Options configure a Server. The zero value forgets contents and answers at once.
type Options struct {
	Latency time.Duration    // waited before each answer
	Keep    int64            // bytes of content to keep in memory at most, so that it can be read back; 0 keeps none
	Now     func() time.Time // nil means time.Now
	Order   Order            // of listings; nil is the order of bytes
}

// Server answers S3 requests, path-style. It is safe for concurrent use.
type Server struct {
	opts Options
	syn  synthetic
	kept atomic.Int64 // bytes of content held
	// At thousands of requests a second, allocating the bodies' buffers would be most of the work.
	buffers sync.Pool
	count   counters

	mu      sync.Mutex
	buckets map[string]*bucket
	uploads map[string]*upload
	lastID  uint64
}

// New returns an empty server.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, buckets: map[string]*bucket{}, uploads: map[string]*upload{}}
	s.buffers.New = func() any { b := make([]byte, 128<<10); return &b }
	return s
}

// Stats are counters since the start and what is held now.
type Stats struct {
	Requests map[string]int64 `json:"requests"`  // by operation, named as in S3's API
	BytesIn  int64            `json:"bytes_in"`  // of objects and parts
	BytesOut int64            `json:"bytes_out"` // of objects
	Refused  int64            `json:"refused"`   // answers of 400 and above, but for 404, 412 and 304
	Objects  int64            `json:"objects"`
	Uploads  int64            `json:"uploads"` // multipart uploads open
}

type counters struct {
	requests          [s3op.Count]atomic.Int64
	in, out, refusals atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	st := Stats{
		Requests: map[string]int64{}, BytesIn: s.count.in.Load(), BytesOut: s.count.out.Load(),
		Refused: s.count.refusals.Load(),
	}
	for o := range s3op.Count {
		if n := s.count.requests[o].Load(); n > 0 {
			st.Requests[o.String()] = n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Uploads = int64(len(s.uploads))
	for _, b := range s.buckets {
		st.Objects += int64(len(b.objects))
	}
	return st
}

// request is one request taken apart.
type request struct {
	*http.Request
	op          s3op.Operation
	bucket, key string
	query       url.Values
}

// ServeHTTP answers one request. GET /-/stats gives the counters as JSON.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	if hr.URL.Path == "/-/stats" {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.Stats())
		return
	}
	if s.opts.Latency > 0 {
		time.Sleep(s.opts.Latency)
	}
	q := s3op.Parse(hr)
	r := &request{Request: hr, op: q.Op, bucket: q.Bucket, key: q.Key, query: q.Query}
	s.count.requests[r.op].Add(1)
	if !strings.HasPrefix(hr.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") && !r.query.Has("X-Amz-Signature") {
		s.refuse(w, errAccessDenied)
		return
	}
	if err := s.serve(w, r); err != nil {
		s.refuse(w, err)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *request) *apiError {
	switch r.op {
	case s3op.PutObject:
		return s.putObject(w, r)
	case s3op.GetObject, s3op.HeadObject:
		return s.getObject(w, r)
	case s3op.DeleteObject:
		return s.deleteObject(w, r)
	case s3op.CopyObject:
		return s.copyObject(w, r)
	case s3op.ListObjects:
		return s.listObjects(w, r)
	case s3op.HeadBucket:
		return nil
	case s3op.CreateMultipartUpload:
		return s.createUpload(w, r)
	case s3op.UploadPart:
		return s.uploadPart(w, r)
	case s3op.ListParts:
		return s.listParts(w, r)
	case s3op.ListMultipartUploads:
		return s.listUploads(w, r)
	case s3op.CompleteMultipartUpload:
		return s.completeUpload(w, r)
	case s3op.AbortMultipartUpload:
		return s.abortUpload(w, r)
	}
	return s.other(w, r)
}

// other answers the few questions about buckets that clients ask on the way.
func (s *Server) other(w http.ResponseWriter, r *request) *apiError {
	switch {
	case r.Method == http.MethodGet && r.bucket == "":
		s.answer(w, "<ListAllMyBucketsResult><Owner><ID>sink</ID></Owner><Buckets></Buckets></ListAllMyBucketsResult>")
	case r.Method == http.MethodGet && r.key == "" && r.query.Has("location"):
		s.answer(w, "<LocationConstraint></LocationConstraint>")
	case r.Method == http.MethodGet && r.key == "" && r.query.Has("versioning"):
		s.answer(w, "<VersioningConfiguration></VersioningConfiguration>")
	case r.Method == http.MethodPut && r.key == "":
		return nil
	default:
		return errNotImplemented
	}
	return nil
}

// apiError is an error as S3 answers it.
type apiError struct {
	status        int
	code, message string
}

var (
	errAccessDenied       = &apiError{http.StatusForbidden, "AccessDenied", "The request is not signed."}
	errNotImplemented     = &apiError{http.StatusNotImplemented, "NotImplemented", "This server does not know the request."}
	errNoSuchKey          = &apiError{http.StatusNotFound, "NoSuchKey", "The key does not exist."}
	errNoSuchUpload       = &apiError{http.StatusNotFound, "NoSuchUpload", "The upload does not exist."}
	errPrecondition       = &apiError{http.StatusPreconditionFailed, "PreconditionFailed", "A condition does not hold."}
	errNotModified        = &apiError{http.StatusNotModified, "NotModified", ""}
	errInvalidRange       = &apiError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range is not satisfiable."}
	errIncompleteBody     = &apiError{http.StatusBadRequest, "IncompleteBody", "The body ended early."}
	errBadDigest          = &apiError{http.StatusBadRequest, "BadDigest", "The content does not match the checksum sent."}
	errInvalidDigest      = &apiError{http.StatusBadRequest, "InvalidDigest", "The checksum is malformed."}
	errEntityTooLarge     = &apiError{http.StatusBadRequest, "EntityTooLarge", "The object is too large."}
	errEntityTooSmall     = &apiError{http.StatusBadRequest, "EntityTooSmall", "A part but the last is too small."}
	errInvalidPart        = &apiError{http.StatusBadRequest, "InvalidPart", "A part was not found or its ETag differs."}
	errInvalidPartOrder   = &apiError{http.StatusBadRequest, "InvalidPartOrder", "The parts are not in ascending order."}
	errInvalidArgument    = &apiError{http.StatusBadRequest, "InvalidArgument", "An argument is out of its range."}
	errMalformedXML       = &apiError{http.StatusBadRequest, "MalformedXML", "The XML is malformed."}
	errMethodNotAllowed   = &apiError{http.StatusMethodNotAllowed, "MethodNotAllowed", "A synthetic bucket is for reading."}
	errNotKept            = &apiError{http.StatusNotImplemented, "NotImplemented", "The content was not kept."}
	errInsufficientMemory = &apiError{http.StatusInsufficientStorage, "InsufficientStorage", "No more content can be kept."}
)

func (s *Server) refuse(w http.ResponseWriter, e *apiError) {
	switch e.status {
	case http.StatusNotFound, http.StatusPreconditionFailed, http.StatusNotModified:
	default:
		s.count.refusals.Add(1)
	}
	if e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>%s</Message></Error>", xmlHeader, e.code, e.message)
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// answer sends an XML document of status 200.
func (s *Server) answer(w http.ResponseWriter, document string) {
	var b bytes.Buffer
	b.WriteString(xmlHeader)
	b.WriteString(document)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.Write(b.Bytes())
}
