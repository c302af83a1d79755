package s3

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
		Prefix: s.prefix, PageSize: pageSize, Fetch: s.listPage, Object: s.listed, Order: s.listOrder,
		Wrap: func(ctx context.Context, err error) error { return s.wrap(ctx, "list", "", err) },
	}
	return listing.List(opts)
}

// listPage fetches one page. Its parameters are sorted, as signatures want them.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	query := "encoding-type=url&list-type=2&max-keys=" + strconv.Itoa(keys) + "&prefix=" + wire.EscapeQuery(s.prefix)
	switch {
	case token != "":
		query = "continuation-token=" + wire.EscapeQuery(token) + "&" + query
	case after != "":
		query += "&start-after=" + wire.EscapeQuery(after)
	}
	resp, err := s.do(ctx, request{op: "list", method: http.MethodGet, bucket: true, query: query})
	if err != nil {
		return nil, err
	}
	return wire.ReadPage(resp)
}

// listed describes an entry.
func (s *Store) listed(key string, e *wire.Entry) (store.Object, error) {
	size, err := e.Bytes()
	if err != nil {
		return store.Object{}, err
	}
	etag := wire.Unquote(e.ETag)
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ModTime: e.Written(), ETag: etag, Sums: s.sumsOfETag(etag),
		Class: s.classOf(e.Class),
	}
	o.Archived = o.Class.Tier.Archived()
	return o, nil
}
