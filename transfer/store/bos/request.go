package bos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// userAgent is what servers log.
const userAgent = "brigade"

// codeSuccess is the code of what went well, where an answer has one (https://cloud.baidu.com/doc/BOS/s/Ajwvysfpl).
const codeSuccess = "success"

// request is one signed request.
type request struct {
	op       string // as errors name it
	method   string
	key      string // relative
	bucket   bool   // the request is about the bucket, not about a key
	query    string // encoded and sorted, names without a value with "="
	header   http.Header
	body     *wire.Payload // nil for none
	document []byte        // sent instead of a body; the answer then is the caller's to read
	slow     bool          // the server copies or assembles
}

// do sends a request. Its error is classified; its answer has a status below 300, and the caller closes it.
func (s *Store) do(ctx context.Context, r request) (*http.Response, error) {
	resp, refused, err := s.exchange(ctx, r)
	if refused != nil {
		return nil, s.fault(r.op, r.key, refused)
	}
	return resp, wire.Wrap(ctx, r.op, r.key, err)
}

// exchange sends a request and gives an answer, a refusal or an error.
func (s *Store) exchange(ctx context.Context, r request) (*http.Response, *wire.Refusal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	req, err := s.newRequest(&r)
	if err != nil {
		return nil, nil, err
	}
	return s.client.Exchange(ctx, req, r.body, s.limit(&r))
}

func (s *Store) limit(r *request) time.Duration {
	if r.slow {
		return s.client.Slow
	}
	return s.client.Idle
}

func (s *Store) newRequest(r *request) (*http.Request, error) {
	u := s.base
	u.RawQuery = r.query
	full := ""
	if !r.bucket {
		full = s.prefix + r.key
		if err := checkKey(full); err != nil {
			class := store.Permanent
			if r.method == http.MethodGet || r.method == http.MethodHead {
				class = store.NotFound // no such object can exist
			}
			return nil, &store.Error{Op: r.op, Key: r.key, Class: class, Err: err}
		}
	}
	u.Path, u.RawPath = s.base.Path+"/"+full, s.base.Path+"/"+wire.EscapePath(full)
	header := r.header
	if header == nil {
		header = make(http.Header, 8)
	}
	req := &http.Request{
		Method: r.method, URL: &u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch {
	case r.body != nil:
		r.body.Attach(req)
	case r.document != nil:
		header["Content-Type"] = []string{"application/json; charset=utf-8"}
		req.ContentLength = int64(len(r.document))
		req.Body = io.NopCloser(bytes.NewReader(r.document))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.document)), nil }
	}
	sign(req, u.Path, *s.creds.Load(), s.now())
	header["User-Agent"] = []string{userAgent}
	header["Accept-Encoding"] = []string{"identity"}
	return req, nil
}

// read sends a request and reads the document that answers it.
func (s *Store) read(ctx context.Context, r request, doc any) (http.Header, error) {
	resp, refused, err := s.exchange(ctx, r)
	switch {
	case refused != nil:
		return nil, s.fault(r.op, r.key, refused)
	case err != nil:
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	data, err := io.ReadAll(wire.Bounded(resp.Body))
	wire.Finish(resp.Body)
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	var failed refusal
	if json.Unmarshal(data, &failed) == nil && failed.Code != "" && failed.Code != codeSuccess {
		// The status was sent before the work was done, and then it failed.
		return nil, s.fault(r.op, r.key, &wire.Refusal{Status: http.StatusInternalServerError, Header: resp.Header, Body: data})
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, &store.Error{Op: r.op, Key: r.key, Class: store.Transient, RequestID: requestID(resp.Header), Err: fmt.Errorf("the answer makes no sense: %w", err)}
	}
	return resp.Header, nil
}

// checkKey refuses what BOS does not take for a name, and what the vendor's tools hold back because it would be taken for
// another path: "..", and the API's version (https://cloud.baidu.com/doc/BOS/s/Rjwvysdnp). An empty key is the bucket itself.
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; BOS takes %d", len(full), maxKey)
	case full[0] == '/':
		return errors.New("keys of BOS do not begin with \"/\"")
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of BOS are")
	case hasDots(full):
		return errors.New("BOS takes no \"..\" as a folder")
	}
	if clean := strings.Trim(path.Clean("/"+full), "/"); clean == "" || clean == "v1" {
		return fmt.Errorf("the key %q would lead to the bucket itself", full)
	}
	return nil
}

// hasDots tells whether a part of a path is "..".
func hasDots(text string) bool {
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
