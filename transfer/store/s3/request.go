package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// request is one directly signed request about one key.
type request struct {
	op     string // as errors name it
	method string
	key    string // relative
	bucket bool   // the request is about the bucket, not about a key
	part   bool   // the body is a part of an upload
	query  string // encoded
	header http.Header
	body   *wire.Payload // nil for none
}

// do sends a request. Its error is classified; its answer has a status below 300, and the caller closes it.
func (s *Store) do(ctx context.Context, r request) (*http.Response, error) {
	resp, refused, err := s.exchange(ctx, r)
	if refused != nil {
		return nil, s.fault(r.op, r.key, refused)
	}
	return resp, s.wrap(ctx, r.op, r.key, err)
}

// exchange sends a request and gives an answer, a refusal or an error.
func (s *Store) exchange(ctx context.Context, r request) (*http.Response, *refusal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	req, err := s.newRequest(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	resp, refused, err := s.client.Exchange(ctx, req, r.body, s.client.Idle)
	if refused != nil {
		return nil, refusalOf(refused), nil
	}
	return resp, nil, err
}

func (s *Store) newRequest(ctx context.Context, r request) (*http.Request, error) {
	u := s.base
	u.RawQuery = r.query
	if r.bucket {
		if u.Path == "" {
			u.Path = "/"
		}
		return s.sign(ctx, r, &u)
	}
	full := s.prefix + r.key
	if err := s.checkKey(r.method, full); err != nil {
		class := store.Permanent
		if errors.Is(err, errNotUTF8) && r.reads() {
			class = store.NotFound // no such object can exist
		}
		return nil, &store.Error{Op: r.op, Key: r.key, Class: class, Err: err}
	}
	u.Path, u.RawPath = s.base.Path+"/"+full, wire.EscapePath(s.base.Path)+"/"+wire.EscapePath(full)
	return s.sign(ctx, r, &u)
}

// errNotUTF8 is why a file's name may not do as a key (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
var errNotUTF8 = errors.New("the key is not valid UTF-8, which S3 keys are")

func (r *request) reads() bool { return r.method == http.MethodGet || r.method == http.MethodHead }

// checkKey refuses keys that would reach something else than an object of that name. An empty key is the bucket itself.
// Servers over file systems clean paths: a write to "a/../b" would overwrite "b".
func (s *Store) checkKey(method, full string) error {
	if full == "" {
		return errors.New("the key is empty")
	}
	if len(full) > maxKey {
		return fmt.Errorf("the key has %d bytes; S3 takes %d", len(full), maxKey)
	}
	if !utf8.ValidString(full) {
		return errNotUTF8
	}
	if method == http.MethodGet || method == http.MethodHead || s.keepsDots || !strings.Contains(full, ".") {
		return nil
	}
	for segment := range strings.SplitSeq(full, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("the key has a path segment %q, which this server may resolve to another key", segment)
		}
	}
	return nil
}

func (s *Store) sign(ctx context.Context, r request, u *url.URL) (*http.Request, error) {
	header := r.header
	if header == nil {
		header = make(http.Header, 8)
	}
	req := wire.NewRequest(r.method, u, header)
	if r.body != nil {
		r.body.Attach(req)
	}
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrCredentials, err)
	}
	s.signer.sign(req, creds, s.now())
	wire.Introduce(req)
	return req, nil
}
