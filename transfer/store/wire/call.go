package wire

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// userAgent is what servers log.
const userAgent = "brigade"

// Request is a request about a bucket or something in it, before it has an address and a signature.
type Request struct {
	Op       string // as errors name it
	Method   string
	Key      string // relative, as errors name it
	Bucket   bool   // the request is about the bucket, not about a key
	Path     string // in the bucket, for providers that do not make it of the key
	Query    string // encoded, in the order that the vendor's signatures want
	Header   http.Header
	Body     *Payload // nil for none
	Document []byte   // sent instead of a body; the answer then is the caller's to read
	Slow     bool     // the server copies or assembles
}

// Reads tells whether a request only looks.
func (r *Request) Reads() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// Caller sends the requests of a provider.
type Caller struct {
	Client *Client
	// URL addresses a request. It fails where the key is no name.
	URL func(r *Request) (*url.URL, error)
	// Sign adds the headers that the vendor wants, and what proves who asks. The content is attached already.
	Sign func(ctx context.Context, req *http.Request, r *Request) error
	// Fault makes the classified error of a refusal.
	Fault func(op, key string, refused *Refusal) *store.Error
	// Unmarshal decodes documents.
	Unmarshal func(data []byte, doc any) error
	// Failed tells whether a document is that of an error, for vendors that send the status before the work is done; may be nil.
	Failed func(data []byte) bool
	// RequestID names an answer in errors.
	RequestID func(h http.Header) string
	// Answered is told the headers of all answers; may be nil.
	Answered func(h http.Header)
}

// Exchange sends a request and gives an answer, a refusal or an error that need not be classified yet.
func (c *Caller) Exchange(ctx context.Context, r Request) (*http.Response, *Refusal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	req, err := c.newRequest(ctx, &r)
	if err != nil {
		return nil, nil, err
	}
	resp, refused, err := c.Client.Exchange(ctx, req, r.Body, c.Client.Limit(r.Slow))
	switch {
	case c.Answered == nil:
	case refused != nil:
		c.Answered(refused.Header)
	case err == nil:
		c.Answered(resp.Header)
	}
	return resp, refused, err
}

func (c *Caller) newRequest(ctx context.Context, r *Request) (*http.Request, error) {
	u, err := c.URL(r)
	if err != nil {
		return nil, BadKey(r.Op, r.Key, r.Reads(), err)
	}
	if r.Header == nil {
		r.Header = make(http.Header, 8)
	}
	req := NewRequest(r.Method, u, r.Header)
	switch {
	case r.Body != nil:
		r.Body.Attach(req)
	case r.Document != nil:
		AttachDocument(req, r.Document)
	}
	if err := c.Sign(ctx, req, r); err != nil {
		return nil, err
	}
	Introduce(req)
	return req, nil
}

// Do sends a request. Its error is classified; its answer has a status below 300, and the caller closes it.
func (c *Caller) Do(ctx context.Context, r Request) (*http.Response, error) {
	resp, refused, err := c.Exchange(ctx, r)
	if refused != nil {
		return nil, c.Fault(r.Op, r.Key, refused)
	}
	return resp, Wrap(ctx, r.Op, r.Key, err)
}

// Discard sends a request whose answer has nothing to read.
func (c *Caller) Discard(ctx context.Context, r Request) (http.Header, error) {
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	Finish(resp.Body)
	return resp.Header, nil
}

// Remove sends a request to remove something; what is not there is no error.
func (c *Caller) Remove(ctx context.Context, r Request) error {
	_, err := c.Discard(ctx, r)
	if store.ClassOf(err) == store.NotFound {
		return nil
	}
	return err
}

// Send sends content. The answer has been read.
func (c *Caller) Send(ctx context.Context, r Request, body store.Body) (*http.Response, error) {
	content, err := NewPayload(ctx, body)
	if err != nil {
		return nil, Wrap(ctx, r.Op, r.Key, err)
	}
	r.Body = content
	return c.Do(ctx, r)
}

// SendWithMD5 is Send with the header Content-MD5 where the sum is known.
func (c *Caller) SendWithMD5(ctx context.Context, r Request, body store.Body) (*http.Response, error) {
	if body.Sums.MD5 != "" {
		r.Header["Content-Md5"] = []string{base64.StdEncoding.EncodeToString([]byte(body.Sums.MD5))}
	}
	return c.Send(ctx, r, body)
}

// Read sends a request and reads the document that answers it. The headers of a refusal are given too.
func (c *Caller) Read(ctx context.Context, r Request, doc any) (http.Header, error) {
	resp, refused, err := c.Exchange(ctx, r)
	switch {
	case refused != nil:
		return refused.Header, c.Fault(r.Op, r.Key, refused)
	case err != nil:
		return nil, Wrap(ctx, r.Op, r.Key, err)
	}
	data, err := ReadDocument(resp)
	if err != nil {
		return nil, Wrap(ctx, r.Op, r.Key, err)
	}
	data = bytes.TrimSpace(data) // servers send spaces while they assemble
	if c.Failed != nil && c.Failed(data) {
		return nil, c.Fault(r.Op, r.Key, &Refusal{Status: http.StatusInternalServerError, Header: resp.Header, Body: data})
	}
	if err := c.Unmarshal(data, doc); err != nil {
		return nil, Nonsense(r.Op, r.Key, c.RequestID(resp.Header), err)
	}
	return resp.Header, nil
}

// NewRequest makes a request without content.
func NewRequest(method string, u *url.URL, header http.Header) *http.Request {
	return &http.Request{Method: method, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

// AttachDocument makes a document in memory the content of a request.
func AttachDocument(req *http.Request, document []byte) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(document)), nil }
	req.ContentLength, req.GetBody = int64(len(document)), open
	req.Body = io.NopCloser(bytes.NewReader(document))
}

// Introduce adds the headers that are in no signature, as intermediaries change them.
func Introduce(req *http.Request) {
	req.Header["User-Agent"] = []string{userAgent}
	if req.Header["Accept-Encoding"] == nil {
		req.Header["Accept-Encoding"] = []string{"identity"}
	}
}

// Limit is how long nothing may move in a request before its answer begins; slow is one in which the server copies or assembles.
func (c *Client) Limit(slow bool) time.Duration {
	if slow {
		return c.Slow
	}
	return c.Idle
}

// IsXMLError tells whether a document is an error as S3 and those like it have it.
func IsXMLError(data []byte) bool {
	var failed struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	return bytes.Contains(data, []byte("<Error")) && xml.Unmarshal(data, &failed) == nil && failed.Code != ""
}

// Permanent is the error of what cannot be asked for, or of an answer that makes no sense.
func Permanent(op, key string, err error) *store.Error {
	return &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
}

// Nonsense is the error of an answer that no server of the vendor gives, and the next may not be.
func Nonsense(op, key, requestID string, err error) *store.Error {
	return &store.Error{Op: op, Key: key, Class: store.Transient, RequestID: requestID, Err: fmt.Errorf("the answer makes no sense: %w", err)}
}

// BadKey is the error of a key that is no name: nothing can be there to be read.
func BadKey(op, key string, reads bool, err error) *store.Error {
	class := store.Permanent
	if reads {
		class = store.NotFound
	}
	return &store.Error{Op: op, Key: key, Class: class, Err: err}
}

// KeyURL addresses a request about the bucket at base, or about a key in it; check refuses keys that are no names, escape encodes them.
func KeyURL(base url.URL, prefix string, r *Request, check func(full string) error, escape func(string) string) (*url.URL, error) {
	full := ""
	if !r.Bucket {
		full = prefix + r.Key
		if err := check(full); err != nil {
			return nil, err
		}
	}
	base.Path, base.RawPath, base.RawQuery = base.Path+"/"+full, base.Path+"/"+escape(full), r.Query
	return &base, nil
}
