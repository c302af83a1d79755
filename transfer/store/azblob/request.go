package azblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// userAgent is what servers log.
const userAgent = "brigade"

// request is one authorised request.
type request struct {
	op        string // as errors name it
	method    string
	key       string // relative
	container bool   // the request is about the container, not about a blob
	query     string // encoded
	header    http.Header
	body      *wire.Payload // nil for none
	document  []byte        // sent instead of a body; the answer then is the caller's to read
	slow      bool          // the server assembles
}

// do sends a request. Its error is classified; its answer has a status below 300, and the caller closes it.
func (s *Store) do(ctx context.Context, r request) (*http.Response, error) {
	resp, refusal, err := s.exchange(ctx, r)
	if refusal != nil {
		return nil, s.fault(r.op, r.key, refusal)
	}
	return resp, wire.Wrap(ctx, r.op, r.key, err)
}

// discard sends a request whose answer has nothing to read.
func (s *Store) discard(ctx context.Context, r request) (http.Header, error) {
	resp, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	wire.Finish(resp.Body)
	return resp.Header, nil
}

// exchange sends a request and gives an answer, a refusal or an error.
func (s *Store) exchange(ctx context.Context, r request) (*http.Response, *wire.Refusal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	req, err := s.newRequest(ctx, &r)
	if err != nil {
		return nil, nil, err
	}
	limit := s.client.Idle
	if r.slow {
		limit = s.client.Slow
	}
	resp, refusal, err := s.client.Exchange(ctx, req, r.body, limit)
	switch {
	case refusal != nil:
		s.clock.learn(refusal.Header, s.now())
	case err == nil:
		s.clock.learn(resp.Header, s.now())
	}
	return resp, refusal, err
}

func (s *Store) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	u := s.base
	u.RawQuery = r.query
	if !r.container {
		full := s.prefix + r.key
		if err := checkKey(full); err != nil {
			class := store.Permanent
			if r.method == http.MethodGet || r.method == http.MethodHead {
				class = store.NotFound // no such blob can exist
			}
			return nil, &store.Error{Op: r.op, Key: r.key, Class: class, Err: err}
		}
		u.Path, u.RawPath = s.base.Path+"/"+full, wire.EscapePath(s.base.Path+"/"+full)
	}
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
		req.ContentLength = int64(len(r.document))
		req.Body = io.NopCloser(bytes.NewReader(r.document))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.document)), nil }
	}
	header["User-Agent"] = []string{userAgent}
	header["Accept-Encoding"] = []string{"identity"}
	return req, s.authorise(ctx, req)
}

// authorise adds the version and what proves who asks.
func (s *Store) authorise(ctx context.Context, req *http.Request) error {
	req.Header["X-Ms-Version"] = []string{s.opts.version}
	req.Header["X-Ms-Date"] = []string{s.now().UTC().Format(http.TimeFormat)}
	with := s.secret.Load()
	switch {
	case with.key != nil:
		sign(req, s.account, with.key)
	case with.sas != "":
		if req.URL.RawQuery != "" {
			req.URL.RawQuery += "&"
		}
		req.URL.RawQuery += with.sas
	case with.token != nil:
		token, err := with.token.get(ctx, s.client, s.now())
		if err != nil {
			return err
		}
		req.Header["Authorization"] = []string{"Bearer " + token}
	}
	return nil
}

// checkKey refuses what Azure does not take for a name, or would take for another
// (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the name is empty")
	case !utf8.ValidString(full):
		return errors.New("the name is not valid UTF-8, which names of Azure are")
	case utf8.RuneCountInString(full) > maxKey:
		return fmt.Errorf("the name has %d characters; Azure takes %d", utf8.RuneCountInString(full), maxKey)
	case strings.Count(full, "/") >= maxSegments:
		return fmt.Errorf("the name has more than %d parts between slashes", maxSegments)
	case strings.IndexByte(full, '\\') >= 0:
		return errors.New(`the name has a "\", which Azure takes for "/"`)
	}
	for segment := range strings.SplitSeq(full, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("a part of the name is %q, which Azure resolves", segment)
		}
	}
	return nil
}

// parseDate reads a date of an answer; the zero time for what is none.
func parseDate(text string) time.Time {
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
