package azblob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// caller sends requests to the container.
func (s *Store) caller() wire.Caller {
	return wire.Caller{
		Client: s.client, URL: s.url, Sign: s.authorise, Fault: s.fault, RequestID: requestID,
		Answered: func(h http.Header) { s.clock.learn(h, s.now()) },
	}
}

func (s *Store) url(r *wire.Request) (*url.URL, error) {
	u := s.base
	u.RawQuery = r.Query
	if !r.Bucket {
		full := s.prefix + r.Key
		if err := checkKey(full); err != nil {
			return nil, err
		}
		u.Path, u.RawPath = s.base.Path+"/"+full, wire.EscapePath(s.base.Path+"/"+full)
	}
	return &u, nil
}

// authorise adds the version and what proves who asks.
func (s *Store) authorise(ctx context.Context, req *http.Request, _ *wire.Request) error {
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
