package cos

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
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

// request is one signed request.
type request struct {
	op       string // as errors name it
	method   string
	key      string // relative
	bucket   bool   // the request is about the bucket, not about a key
	query    string // encoded
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
	u.Path, u.RawPath = s.base.Path+"/"+full, s.base.Path+"/"+wire.EscapeQuery(full)
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
		attach(req, r.document)
	case r.method == http.MethodPut || r.method == http.MethodPost:
		req.Body = http.NoBody // so that the length is sent that was signed
	}
	sign(req, *s.creds.Load(), s.now())
	header["User-Agent"] = []string{userAgent}
	header["Accept-Encoding"] = []string{"identity"}
	return req, nil
}

// attach makes a document the request's content, with its MD5.
func attach(req *http.Request, document []byte) {
	sum := md5.Sum(document)
	req.Header["Content-Md5"] = []string{base64.StdEncoding.EncodeToString(sum[:])}
	req.Header["Content-Type"] = []string{"application/xml"}
	req.ContentLength = int64(len(document))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(document)), nil }
	req.Body = io.NopCloser(bytes.NewReader(document))
}

// checkKey refuses what COS does not take for a name (https://www.tencentcloud.com/document/product/436/13324).
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; COS takes %d", len(full), maxKey)
	case full[0] == '/', full[0] == '\\':
		return fmt.Errorf("keys of COS do not begin with %q", full[:1])
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of COS are")
	case strings.ContainsAny(full, "\x18\x19\x1a\x1b"):
		return errors.New("the key has one of the control characters 24 to 27, which COS refuses")
	case path.Clean("/"+full) == "/":
		// A server that merges paths would take a request about it for one about the bucket: the vendor's SDK refuses it too.
		return errors.New("the key stands for the bucket itself, as a path")
	}
	return nil
}

// read sends a request and reads the document that answers it.
func (s *Store) read(ctx context.Context, r request, doc any) (http.Header, error) {
	resp, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(wire.Bounded(resp.Body))
	wire.Finish(resp.Body)
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	data = bytes.TrimSpace(data) // while it assembles, COS sends spaces
	var failed refusal
	if bytes.Contains(data, []byte("<Error")) && xml.Unmarshal(data, &failed) == nil && failed.Code != "" {
		// The status was sent before the work was done, and then it failed.
		return nil, s.fault(r.op, r.key, &wire.Refusal{Status: http.StatusInternalServerError, Header: resp.Header, Body: data})
	}
	if err := xml.Unmarshal(data, doc); err != nil {
		return nil, &store.Error{Op: r.op, Key: r.key, Class: store.Transient, RequestID: requestID(resp.Header), Err: fmt.Errorf("the answer makes no sense: %w", err)}
	}
	return resp.Header, nil
}
