package kodo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Stat implements store.Source.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	if s.opts.headByRead {
		return s.head(ctx, "stat", key, "")
	}
	return s.stat(ctx, "stat", key)
}

func (s *Store) stat(ctx context.Context, op, key string) (store.Object, error) {
	r, err := s.manage(op, "stat", key, "")
	if err != nil {
		return store.Object{}, absent(err)
	}
	r.method = http.MethodGet
	var d described
	if _, err := s.read(ctx, r, &d); err != nil {
		return store.Object{}, err
	}
	o, err := s.object(key, &d)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	o.Meta = metaOf(d.MIME, d.User, d.Type)
	return o, nil
}

// domainOf gives the domain to read from: the one of the location, else the first that the bucket has
// (https://developer.qiniu.com/kodo/3949/get-the-bucket-space-domain).
func (s *Store) domainOf(ctx context.Context) (*url.URL, error) {
	if u := s.domain.Load(); u != nil {
		return u, nil
	}
	const op = "find a domain"
	var names []string
	r := request{op: op, method: http.MethodGet, host: s.opts.uc, path: "/v2/domains", query: "tbl=" + wire.EscapeQuery(s.bucket)}
	if _, err := s.read(ctx, r, &names); err != nil {
		return nil, wire.FirstContact(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "*") {
			continue // stands for all below it
		}
		u, err := wire.ParseHost("domain", name, "https://host")
		if err != nil {
			continue
		}
		s.domain.Store(u)
		return u, nil
	}
	return nil, &store.Error{
		Op: op, Class: store.Misconfigured, Hint: "bind a domain to the bucket, or name one with domain=...",
		Err: fmt.Errorf("bucket %q has no domain to read from", s.bucket),
	}
}

// fetch sends a request to the domain.
func (s *Store) fetch(ctx context.Context, op, method, key string, header http.Header) (*http.Response, *wire.Refusal, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	full := s.prefix + key
	if err := checkKey(full); err != nil {
		return nil, nil, &store.Error{Op: op, Key: key, Class: store.NotFound, Err: err} // no such object can exist
	}
	domain, err := s.domainOf(ctx)
	if err != nil {
		return nil, nil, err
	}
	u := *domain
	u.Path, u.RawPath = "/"+full, "/"+wire.EscapePath(full)
	if !s.opts.public {
		u.RawQuery = privateURL(*s.creds.Load(), u.Scheme+"://"+u.Host+u.RawPath, s.now().Add(tokenLife))
	}
	req := wire.NewRequest(method, &u, header)
	wire.Introduce(req)
	resp, refused, err := s.client.Exchange(ctx, req, nil, s.client.Idle)
	return resp, refused, s.aboutDomain(wire.Wrap(ctx, op, key, err))
}

// aboutDomain says of a failure to reach the domain that it is the domain's.
func (s *Store) aboutDomain(err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.Misconfigured {
		e.Hint = fmt.Sprintf("%s: %s; domains without a certificate are written domain=http://host", s.domain.Load().Host, e.Hint)
	}
	return err
}

// head describes an object by the answer of the domain.
func (s *Store) head(ctx context.Context, op, key, ifMatch string) (store.Object, error) {
	resp, refused, err := s.fetch(ctx, op, http.MethodHead, key, http.Header{})
	if refused != nil {
		return store.Object{}, s.unreadable(ctx, op, key, refused)
	}
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	if resp.ContentLength < 0 {
		return store.Object{}, wire.Permanent(op, key, errors.New("the domain tells no size"))
	}
	o := s.objectOf(key, resp.Header, resp.ContentLength)
	return o, s.pinned(op, &o, ifMatch)
}

// objectOf describes an object by the headers of an answer of the domain.
func (s *Store) objectOf(key string, h http.Header, size int64) store.Object {
	etag := wire.Unquote(strings.TrimPrefix(h.Get("Etag"), "W/"))
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: etag, Sums: sumsOf(etag, ""), Meta: metaOfHeaders(h),
	}
	o.ModTime = wire.Date(h.Get("Last-Modified"))
	return o
}

// pinned fails unless what was answered is the version that was asked for.
func (s *Store) pinned(op string, o *store.Object, ifMatch string) error {
	if ifMatch == "" || o.ETag == ifMatch {
		return nil
	}
	return &store.Error{
		Op: op, Key: o.Key, Class: store.Precondition, Code: "412",
		Hint: "if this lasts, the domain is a CDN that holds an older copy; name the bucket's source domain with domain=...",
		Err:  fmt.Errorf("the domain has version %q, not %q", wire.Clip(o.ETag, 50), wire.Clip(ifMatch, 50)),
	}
}

// unreadable makes the error of a refusal of the domain. That an object is archived, only its description tells for sure.
func (s *Store) unreadable(ctx context.Context, op, key string, refused *wire.Refusal) error {
	e := s.fault(op, key, refused)
	if e.Class != store.Auth {
		return e
	}
	if e.Hint == wire.HintKeys && s.opts.public {
		e.Hint = "the bucket is private; leave private=false out"
	}
	if o, err := s.stat(ctx, op, key); err == nil && o.Archived {
		e.Class, e.Hint = store.Archived, "restore the object first"
	}
	return e
}

// Open implements store.Source.
func (s *Store) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	const op = "open"
	if opts.Offset < 0 {
		return nil, store.Object{}, wire.Permanent(op, key, fmt.Errorf("offset %d", opts.Offset))
	}
	if opts.Length == 0 {
		return s.openNothing(ctx, key, opts)
	}
	header := make(http.Header, 4)
	ranged := opts.Offset > 0 || opts.Length > 0
	if ranged {
		header["Range"] = []string{wire.RangeOf(opts)}
	}
	resp, refused, err := s.fetch(ctx, op, http.MethodGet, key, header)
	switch {
	case refused != nil && refused.Status == http.StatusRequestedRangeNotSatisfiable:
		return s.openNothing(ctx, key, opts)
	case refused != nil:
		return nil, store.Object{}, s.unreadable(ctx, op, key, refused)
	case err != nil:
		return nil, store.Object{}, err
	}
	body, found, err := wire.OpenBody(ctx, key, opts, ranged, resp, requestID(resp.Header))
	if err != nil {
		return nil, store.Object{}, err
	}
	o := s.objectOf(key, resp.Header, found.Size)
	if err := s.pinned(op, &o, opts.IfMatch); err != nil {
		_ = resp.Body.Close() // of another version
		return nil, store.Object{}, err
	}
	return body, o, nil
}

// openNothing opens a range without bytes: of length 0, or at the very end of the object, which a GET refuses.
func (s *Store) openNothing(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	o, err := s.head(ctx, "open", key, opts.IfMatch)
	return wire.OpenNothing(key, opts, o, err)
}

// mostDays is how long a restored object can be read at most (https://developer.qiniu.com/kodo/6380/restore-archive).
const mostDays = 7

// Restore implements store.Restorer. More than seven days are seven.
func (s *Store) Restore(ctx context.Context, key string, days int, speed string) error {
	const op = "restore"
	if speed != "" {
		return wire.Permanent(op, key, fmt.Errorf("kodo has no speeds of restoring such as %q", wire.Clip(speed, 50)))
	}
	under, err := s.restoring(ctx, key)
	if err != nil || under {
		return err
	}
	r, err := s.manage(op, "restoreAr", key, fmt.Sprintf("/freezeAfterDays/%d", min(max(days, 1), mostDays)))
	if err != nil {
		return err
	}
	_, err = s.read(ctx, r, nil)
	if store.ClassOf(err) == store.Permanent { // it may have begun meanwhile
		if under, statErr := s.restoring(ctx, key); statErr == nil && under {
			return nil
		}
	}
	return err
}

// restoring tells that nothing is left to be asked for: the object can be read, or is being restored.
func (s *Store) restoring(ctx context.Context, key string) (bool, error) {
	r, err := s.manage("restore", "stat", key, "")
	if err != nil {
		return false, absent(err)
	}
	r.method = http.MethodGet
	var d described
	if _, err := s.read(ctx, r, &d); err != nil {
		return false, err
	}
	return !classOf(d.Type).Tier.Archived() || d.Restore > 0, nil
}
