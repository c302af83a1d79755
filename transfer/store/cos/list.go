package cos

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// List implements store.Source.
func (s *Store) List(opts store.ListOptions) store.Lister {
	listing := &wire.Listing{
		Prefix: s.prefix, PageSize: pageSize, Order: s.opts.listOrder, Fetch: s.listPage, Object: s.listed,
		Wrap: func(ctx context.Context, err error) error { return wire.Wrap(ctx, "list", "", err) },
	}
	return listing.List(opts)
}

// listQuery asks for a page of keys behind a marker (https://www.tencentcloud.com/document/product/436/30614).
func (s *Store) listQuery(marker string, keys int) string {
	query := "encoding-type=url"
	if marker != "" {
		query += "&marker=" + wire.EscapeQuery(marker)
	}
	return query + "&max-keys=" + strconv.Itoa(keys) + "&prefix=" + wire.EscapeQuery(s.prefix)
}

// listPage fetches one page. Its token is the marker of the next.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	marker := after
	if token != "" {
		marker = token
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: "list", Method: http.MethodGet, Bucket: true, Query: s.listQuery(marker, keys)})
	if err != nil {
		return nil, err
	}
	page, err := wire.ReadPage(resp)
	if err != nil {
		return nil, err
	}
	if page.Truncated != "true" {
		return page, nil
	}
	page.Token, err = nextMarker(page, marker)
	return page, err
}

// nextMarker tells where a listing goes on: behind the page's last key, or further on where the server says so.
func nextMarker(page *wire.Page, marker string) (string, error) {
	plain := func(text string) string { return text }
	if page.Encoding == "url" {
		plain = wire.Unescaped
	}
	next := plain(page.Marker)
	if n := len(page.Entries); n > 0 {
		next = max(next, plain(page.Entries[n-1].Key))
	}
	if next <= marker {
		return "", wire.Permanent("list", "", errors.New("the listing does not go on"))
	}
	return next, nil
}

// listed describes an entry.
func (s *Store) listed(key string, e *wire.Entry) (store.Object, error) {
	size, err := e.Bytes()
	if err != nil {
		return store.Object{}, err
	}
	etag, class := wire.Unquote(e.ETag), classNamed(wire.Clip(e.Class, 100))
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ModTime: e.Written(), ETag: etag, Sums: s.sumsOfETag(etag),
		Archived: class.Tier.Archived(), Class: class,
	}, nil
}
