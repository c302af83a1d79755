package kodo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// request is one request to a host of the vendor.
type request struct {
	op     string // as errors name it
	method string
	key    string   // relative, as errors name it
	host   *url.URL // scheme and host
	path   string   // what stands in it needs no escapes
	query  string   // encoded
	header http.Header
	token  string        // of an upload; "" for a call that manages objects, which is signed as a whole
	body   *wire.Payload // nil for none
	slow   bool          // the server copies or assembles
}

// do sends a request. Its error is classified; its answer has a status below 300, and the caller closes it.
func (s *Store) do(ctx context.Context, r request) (*http.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	// The answer to an upload stands in its body, so it is read here and not by Exchange.
	resp, err := s.client.Send(ctx, s.newRequest(&r), s.client.Limit(r.slow))
	if err != nil && r.body != nil {
		if own := r.body.Wait(); own != nil {
			err = own
		}
	}
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	refused := wire.Refused(resp)
	if r.body != nil {
		if own := r.body.Wait(); own != nil {
			return nil, wire.Wrap(ctx, r.op, r.key, own) // the server refused what it got because it did not get all
		}
	}
	return nil, s.fault(r.op, r.key, refused)
}

func (s *Store) newRequest(r *request) *http.Request {
	u := *r.host
	u.Path, u.RawQuery = r.path, r.query
	header := r.header
	if header == nil {
		header = make(http.Header, 8)
	}
	req := wire.NewRequest(r.method, &u, header)
	if r.body != nil {
		r.body.Attach(req)
	}
	if r.token != "" {
		header["Authorization"] = []string{"UpToken " + r.token}
	} else if header["Content-Type"] == nil { // a form tells its token in itself
		header["Content-Type"] = []string{contentForm}
		signManage(req, *s.creds.Load(), "")
	}
	wire.Introduce(req)
	return req
}

// read sends a request and reads the document that answers it, if one is wanted.
func (s *Store) read(ctx context.Context, r request, doc any) (http.Header, error) {
	resp, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	data, err := wire.ReadDocument(resp)
	if r.body != nil {
		if own := r.body.Wait(); own != nil { // an answer to content that was not all sent answers nothing
			err = own
		}
	}
	if err != nil {
		return nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	if doc == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, wire.Nonsense(r.op, r.key, requestID(resp.Header), err)
	}
	return resp.Header, nil
}

// manage is a call about one object.
func (s *Store) manage(op, verb, key, rest string) (request, error) {
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return request{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	return request{op: op, method: http.MethodPost, key: key, host: s.opts.rs, path: "/" + verb + "/" + encoded(s.bucket+":"+full) + rest}, nil
}

// checkKey refuses what Kodo does not take for a name. An empty key would be an object without a name.
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; Kodo takes %d", len(full), maxKey)
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of Kodo are")
	}
	return nil
}

// absent sees a key that cannot be as one that is not there.
func absent(err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.Permanent && e.Code == "" {
		e.Class = store.NotFound
	}
	return err
}
