// Package gcs is a server of Google Cloud Storage for tests: fake-gcs-server (package servers), with what it lacks in front of it.
//
// The front checks access tokens and the signed assertions that they are exchanged for, takes the XML API's multipart uploads as the
// vendor documents them (https://cloud.google.com/storage/docs/multipart-uploads), holds conditions of reads and copies that
// fake-gcs-server passes over, and tells the storage class with what is read. Everything else goes through as it is.
package gcs

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/servers"
)

// Server is the front. Its exported fields are set before requests come.
type Server struct {
	fakehttp.Front
	URL string
	// Open takes requests without a token as well.
	Open bool
	// Now is the server's clock.
	Now func() time.Time
	// Pieces is how many requests a copy takes.
	Pieces int

	backend string
	proxy   *httputil.ReverseProxy
	account account

	mu       sync.Mutex
	tokens   map[string]time.Time // until when they are good
	issued   int
	uploads  map[string]*upload
	nextID   int
	composed map[string]bool // "bucket/name#generation" of objects made of parts, which have no MD5
	copies   map[string]int  // requests that copies have left, by token
}

// Start starts the front before a running fake-gcs-server, and ends it with the test.
func Start(t testing.TB, behind *servers.GCSServer) *Server {
	t.Helper()
	target, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Now: time.Now, Pieces: 1, backend: behind.URL, account: account{key: key, email: "tester@test.iam.gserviceaccount.com"},
		tokens: map[string]time.Time{}, uploads: map[string]*upload{}, composed: map[string]bool{}, copies: map[string]int{},
	}
	s.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = target.Host // it tells buckets by the host
			r.Out.Header.Del("Authorization")
		},
		Transport:      &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		ModifyResponse: s.hideSums,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	srv := httptest.NewServer(s)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.URL = srv.URL
	t.Cleanup(srv.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Guploader-Uploadid", "test-upload-id")
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if s.Answered(w, r) {
		return
	}
	if r.URL.Path == "/token" {
		s.serveToken(w, r)
		return
	}
	if !s.allowed(w, r) {
		return
	}
	bucket, key, isXML := xmlTarget(r)
	q := r.URL.Query()
	switch {
	case isXML && (q.Has("uploads") || q.Has("uploadId")):
		s.serveMultipart(w, r, bucket, key)
	case isXML && r.Method == http.MethodGet:
		s.serveRead(w, r, bucket, key)
	case strings.Contains(r.URL.EscapedPath(), "/rewriteTo/"):
		s.serveRewrite(w, r)
	default:
		s.forward(w, r)
	}
}

// forward sends a request to the server behind, once all of it is here: that one answers before it has read the end of a body, and a
// server of net/http that begins to answer closes what it still has to read, which would break the answer off.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		jsonError(w, http.StatusBadRequest, "uploadBrokenConnection", "The request ended early.")
		return
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	s.proxy.ServeHTTP(w, r)
}

// xmlTarget gives bucket and key of a request of the XML API.
func xmlTarget(r *http.Request) (bucket, key string, ok bool) {
	path := r.URL.EscapedPath()
	for _, prefix := range []string{"/storage/", "/upload/", "/download/", "/batch/", "/_internal/"} {
		if strings.HasPrefix(path, prefix) {
			return "", "", false
		}
	}
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	key, err := url.PathUnescape(key)
	return bucket, key, err == nil
}

// attrs is what the front wants to know of an object.
type attrs struct {
	Name       string `json:"name"`
	Bucket     string `json:"bucket"`
	Size       string `json:"size"`
	Generation string `json:"generation"`
	Class      string `json:"storageClass"`
	CRC32C     string `json:"crc32c"`
}

// look asks the server behind for an object; ok is false where there is none.
func (s *Server) look(bucket, key string) (a attrs, ok bool, err error) {
	resp, err := http.Get(s.backend + "/storage/v1/b/" + bucket + "/o/" + url.PathEscape(key))
	if err != nil {
		return attrs{}, false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return attrs{Generation: "0"}, false, nil
	}
	if resp.StatusCode != http.StatusOK {
		return attrs{}, false, fmt.Errorf("look at %s/%s: %s", bucket, key, resp.Status)
	}
	return a, true, json.NewDecoder(resp.Body).Decode(&a)
}

// serveRead holds the condition of a read and tells the class.
func (s *Server) serveRead(w http.ResponseWriter, r *http.Request, bucket, key string) {
	a, ok, err := s.look(bucket, key)
	if err != nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	if !ok {
		xmlError(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	if want := r.Header.Get("X-Goog-If-Generation-Match"); want != "" && want != a.Generation {
		xmlError(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	w.Header().Set("X-Goog-Storage-Class", a.Class)
	s.proxy.ServeHTTP(w, r)
}

// hideSums takes the MD5 out of answers about objects that were made of parts.
func (s *Server) hideSums(resp *http.Response) error {
	s.mu.Lock()
	none := len(s.composed) == 0
	s.mu.Unlock()
	if none || resp.Request.Method != http.MethodGet || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return nil
	}
	if hash := resp.Header.Get("X-Goog-Hash"); hash != "" {
		// The path of what goes to the server behind is the one that came.
		bucket, key, _ := xmlTarget(resp.Request)
		if s.isComposed(bucket, key, resp.Header.Get("X-Goog-Generation")) {
			crc, _, _ := strings.Cut(hash, ",")
			resp.Header.Set("X-Goog-Hash", crc)
		}
		return nil
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	var doc map[string]any
	err := json.NewDecoder(resp.Body).Decode(&doc)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	s.hideIn(doc)
	items, _ := doc["items"].([]any)
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			s.hideIn(o)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(text))), int64(len(text))
	resp.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return nil
}

func (s *Server) hideIn(o map[string]any) {
	bucket, _ := o["bucket"].(string)
	name, _ := o["name"].(string)
	generation, _ := o["generation"].(string)
	if s.isComposed(bucket, name, generation) {
		delete(o, "md5Hash")
	}
}

func (s *Server) isComposed(bucket, key, generation string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.composed[bucket+"/"+key+"#"+generation]
}

// jsonError answers as the JSON API does.
func jsonError(w http.ResponseWriter, status int, reason, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": status, "message": message, "errors": []map[string]string{{"message": message, "domain": "global", "reason": reason}},
	}})
}

// xmlError answers as the XML API does.
func xmlError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
