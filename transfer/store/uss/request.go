package uss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	op     string // as errors name it
	method string
	key    string // relative, as errors name it
	path   string // in the service
	header http.Header
	body   *wire.Payload // nil for none
	slow   bool          // the server copies or assembles
}

// on makes the request about a file, or about a folder by its marker. Names that cannot be are refused: at reads as missing.
func (s *Store) on(op, method, key string) (request, error) {
	full := s.prefix + key
	path := strings.TrimSuffix(full, "/")
	if err := checkKey(path); err != nil {
		class := store.Permanent
		if method == http.MethodGet || method == http.MethodHead {
			class = store.NotFound // no such file can exist
		}
		return request{}, &store.Error{Op: op, Key: key, Class: class, Err: err}
	}
	return request{op: op, method: method, key: key, path: path, header: make(http.Header, 12)}, nil
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
	limit := s.client.Idle
	if r.slow {
		limit = s.client.Slow
	}
	return s.client.Exchange(ctx, s.newRequest(&r), r.body, limit)
}

func (s *Store) newRequest(r *request) *http.Request {
	u := s.base
	u.Path, u.RawPath = s.base.Path+"/"+r.path, s.base.Path+"/"+wire.EscapePath(r.path)
	req := plainRequest(r.method, &u, r.header)
	if r.body != nil {
		r.body.Attach(req)
	}
	s.key.Load().sign(req, s.now())
	return req
}

func plainRequest(method string, u *url.URL, header http.Header) *http.Request {
	header["User-Agent"] = []string{userAgent}
	header["Accept-Encoding"] = []string{"identity"}
	return &http.Request{Method: method, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

// read sends a request and reads the JSON that answers it.
func (s *Store) read(ctx context.Context, r request, doc any) (http.Header, error) {
	resp, refused, err := s.exchange(ctx, r)
	switch {
	case refused != nil:
		return refused.Header, s.fault(r.op, r.key, refused)
	case err != nil:
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	data, err := wire.ReadAnswer(resp)
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, &store.Error{Op: r.op, Key: r.key, Class: store.Transient, RequestID: requestID(resp.Header), Err: fmt.Errorf("the answer makes no sense: %w", err)}
	}
	return resp.Header, nil
}

// since reads a time in seconds since 1970; what is no time is the zero one.
func since(seconds int64) time.Time {
	if seconds <= 0 || seconds > 1<<38 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// checkKey refuses what cannot be the name of a file or folder.
func checkKey(path string) error {
	switch {
	case path == "":
		return errors.New("the key is empty")
	case len(path) > maxKey:
		return fmt.Errorf("the key has %d bytes; USS takes %d", len(path), maxKey)
	case !utf8.ValidString(path):
		return errors.New("the key is not valid UTF-8, which names of USS are")
	case strings.ContainsAny(path, "\r\n\t\x00"):
		return errors.New("names of USS have no tabs and no ends of lines")
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("names of USS are paths: no \"/\" at the beginning and no \"//\" in them")
	case name == ".", name == "..":
		return fmt.Errorf("names of USS are paths: %q cannot be in them", name)
	case len(name) > maxName:
		return fmt.Errorf("%q has %d bytes between two \"/\"; USS takes %d", wire.Clip(name, 40), len(name), maxName)
	}
	return nil
}
