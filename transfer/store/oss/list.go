package oss

import (
	"context"
	"net/http"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// List implements store.Source.
func (s *Store) List(opts store.ListOptions) store.Lister {
	listing := &wire.Listing{
		Prefix: s.prefix, PageSize: pageSize, Fetch: s.listPage, Object: s.listed, Order: s.opts.listOrder,
		Wrap: func(ctx context.Context, err error) error { return wire.Wrap(ctx, "list", "", err) },
	}
	return listing.List(opts)
}

// listQuery asks for a page. Its parameters are sorted, as signatures want them.
func (s *Store) listQuery(token, after string, keys int) string {
	query := "encoding-type=url&list-type=2&max-keys=" + strconv.Itoa(keys) + "&prefix=" + wire.EscapeQuery(s.prefix)
	if s.prefix == "" {
		query = query[:len(query)-1] // signed without "="
	}
	switch {
	case token != "":
		query = "continuation-token=" + wire.EscapeQuery(token) + "&" + query
	case after != "":
		query += "&start-after=" + wire.EscapeQuery(after)
	}
	return query
}

// listPage fetches one page, and what the links in it lead to, where they are followed.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "list", Method: http.MethodGet, Bucket: true, Query: s.listQuery(token, after, keys)})
	if err != nil {
		return nil, err
	}
	page, err := wire.ReadPage(resp)
	if err != nil || !s.opts.follow || s.role != store.RoleSource {
		return page, err
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; e.Type == typeSymlink {
			if e.Known, err = s.followed(ctx, e, page.Encoding == "url"); err != nil {
				return nil, err
			}
		}
	}
	return page, nil
}

// followed looks at what a link leads to. One that leads nowhere is an entry with that error.
func (s *Store) followed(ctx context.Context, e *wire.Entry, encoded bool) (*store.Object, error) {
	key := e.Key
	if encoded {
		key = wire.Unescaped(key)
	}
	if len(key) <= len(s.prefix) || key[:len(s.prefix)] != s.prefix {
		return nil, nil // refused with the rest of the page
	}
	o, err := s.Stat(ctx, key[len(s.prefix):])
	switch class := store.ClassOf(err); {
	case err == nil:
		o.Meta = nil
		return &o, nil
	case class == store.NotFound, class == store.Permanent:
		return &store.Object{Kind: store.KindSkipped, Reason: "symlink to a missing object", ModTime: e.Written(), Err: err}, nil
	}
	return nil, err
}

// listed describes an entry.
func (s *Store) listed(key string, e *wire.Entry) (store.Object, error) {
	if e.Known != nil {
		o := *e.Known
		o.Key = key
		return o, nil
	}
	size, err := e.Bytes()
	if err != nil {
		return store.Object{}, err
	}
	etag := wire.Unquote(e.ETag)
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ModTime: e.Written(), ETag: etag, Sums: s.sumsOfETag(etag, e.Type),
	}
	if e.Class != "" {
		o.Class = classes().Named(wire.Clip(e.Class, 64))
		o.Archived = o.Class.Tier.Archived()
	}
	if e.Type == typeSymlink && s.skipsLinks() {
		o.Kind, o.Reason = store.KindSkipped, reasonLink
	}
	return o, nil
}
