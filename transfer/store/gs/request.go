package gs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// request is one request.
type request struct {
	op       string // as errors name it
	method   string
	key      string // relative; for errors
	path     string // encoded, with the leading "/"
	query    string // encoded
	header   http.Header
	body     *wire.Payload // nil for none
	document []byte        // sent instead of a body; nil for none
	slow     bool          // the server copies or assembles
}

// objectsPath is the collection of the bucket's objects.
func (s *Store) objectsPath() string { return "/storage/v1/b/" + wire.EscapeQuery(s.bucket) + "/o" }

// objectPath is an object in the JSON API.
func (s *Store) objectPath(full string) string { return s.objectsPath() + "/" + wire.EscapeQuery(full) }

// xmlPath is an object in the XML API. Slashes stand as they are, but where somebody on the way may clean a path of what looks
// superfluous.
func (s *Store) xmlPath(full string) string {
	path := "/" + wire.EscapeQuery(s.bucket) + "/"
	for _, segment := range strings.Split(full, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return path + wire.EscapeQuery(full)
		}
	}
	return path + wire.EscapePath(full)
}

// full gives the whole name of an object, or the classified error of one that cannot be.
func (s *Store) full(op, key string, reads bool) (string, error) {
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return "", wire.BadKey(op, key, reads, err)
	}
	return full, nil
}

// checkKey refuses what cannot be an object's name (https://cloud.google.com/storage/docs/objects#naming).
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; Cloud Storage takes %d", len(full), maxKey)
	case full == "." || full == "..":
		return fmt.Errorf("no object can be named %q in Cloud Storage", full)
	case strings.ContainsAny(full, "\r\n"):
		return errors.New("the key has a line break in it, which Cloud Storage does not take")
	case strings.HasPrefix(full, ".well-known/acme-challenge/"):
		return errors.New("names under .well-known/acme-challenge/ are kept by Cloud Storage for itself")
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which names in Cloud Storage are")
	}
	return nil
}

// exchange sends a request and gives an answer, a refusal or an error.
func (s *Store) exchange(ctx context.Context, r request) (*http.Response, error) {
	req, token, err := s.newRequest(ctx, &r)
	if err != nil {
		return nil, err
	}
	resp, refused, err := s.client.Exchange(ctx, req, r.body, s.client.Limit(r.slow))
	if refused != nil {
		return nil, s.fault(&r, token, refused)
	}
	return resp, wire.Wrap(ctx, r.op, r.key, err)
}

// read sends a request and gives the document that answers it.
func (s *Store) read(ctx context.Context, r request) (http.Header, []byte, error) {
	req, token, err := s.newRequest(ctx, &r)
	if err != nil {
		return nil, nil, err
	}
	resp, data, refused, err := s.client.ExchangeRead(ctx, req, r.body, s.client.Limit(r.slow))
	switch {
	case refused != nil:
		return nil, nil, s.fault(&r, token, refused)
	case err != nil:
		return nil, nil, wire.Wrap(ctx, r.op, r.key, err)
	}
	return resp.Header, data, nil
}

// readJSON sends a request and reads the document that answers it.
func (s *Store) readJSON(ctx context.Context, r request, doc any) (http.Header, error) {
	h, data, err := s.read(ctx, r)
	if err == nil {
		if bad := json.Unmarshal(data, doc); bad != nil {
			err = nonsense(&r, h, bad)
		}
	}
	return h, err
}

// codeNonsense is that of answers that are none of Cloud Storage.
const codeNonsense = "UnexpectedAnswer"

func nonsense(r *request, h http.Header, err error) *store.Error {
	e := wire.Nonsense(r.op, r.key, requestID(h), err)
	e.Code = codeNonsense
	return e
}

// newRequest builds a request with a token; token is "" where none is sent.
func (s *Store) newRequest(ctx context.Context, r *request) (req *http.Request, token string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", wire.Wrap(ctx, r.op, r.key, err)
	}
	if token, err = s.tokens.Load().token(); err != nil {
		return nil, "", tokenFault(r.op, r.key, err)
	}
	u := s.base
	if u.Path, err = url.PathUnescape(r.path); err != nil {
		return nil, "", wire.Permanent(r.op, r.key, err)
	}
	u.RawPath, u.RawQuery = r.path, r.query
	header := r.header
	if header == nil {
		header = make(http.Header, 4)
	}
	if token != "" {
		header["Authorization"] = []string{"Bearer " + token}
	}
	if s.opts.project != "" {
		header["X-Goog-User-Project"] = []string{s.opts.project}
	}
	req = wire.NewRequest(r.method, &u, header)
	wire.Introduce(req)
	switch {
	case r.body != nil:
		r.body.Attach(req)
	case len(r.document) > 0:
		wire.AttachDocument(req, r.document)
	}
	return req, token, nil
}
