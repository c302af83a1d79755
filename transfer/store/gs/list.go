package gs

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// List implements store.Source.
func (s *Store) List(opts store.ListOptions) store.Lister {
	listing := &wire.Listing{
		Prefix: s.prefix, PageSize: pageSize, Order: s.opts.listOrder, Fetch: s.fetchPage,
		Object: func(key string, e *wire.Entry) (store.Object, error) {
			o := *e.Known
			o.Key, o.Kind = key, wire.KindOf(s.prefix+key, o.Size)
			return o, nil
		},
		Wrap: func(ctx context.Context, err error) error { return wire.Wrap(ctx, "list", "", err) },
	}
	return listing.List(opts)
}

// listPage is an answer of objects.list (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
type listPage struct {
	Token string     `json:"nextPageToken"`
	Items []resource `json:"items"`
}

// listQuery asks for a page: that of the token, else the first from a name on.
func (s *Store) listQuery(token, from string, keys int) string {
	query := "fields=" + wire.EscapeQuery("nextPageToken,items("+listedFields+")") + "&maxResults=" + strconv.Itoa(keys)
	if s.prefix != "" {
		query += "&prefix=" + wire.EscapeQuery(s.prefix)
	}
	switch {
	case token != "":
		query += "&pageToken=" + wire.EscapeQuery(token)
	case from != "":
		query += "&startOffset=" + wire.EscapeQuery(from)
	}
	return query
}

// Tokens of this package tell the server's from names to start at.
const (
	tokenServer = "t:"
	tokenFrom   = "f:"
)

// fetchPage fetches one page. The server starts at a name, not behind it: one more is asked for, and the name itself left out; where
// it is gone, the last of the page is left for the next, which then starts there.
func (s *Store) fetchPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	from, asked := after, min(keys+1, pageSize)
	if after == "" {
		asked = keys
	}
	own, isOwn := strings.CutPrefix(token, tokenFrom)
	theirs, isTheirs := strings.CutPrefix(token, tokenServer)
	switch {
	case isOwn:
		from, after, asked = own, "", keys
	case isTheirs:
		from, after, asked = "", "", keys
	}
	if !isTheirs {
		theirs = ""
	}
	var doc listPage
	r := request{op: "list", method: http.MethodGet, path: s.objectsPath(), query: s.listQuery(theirs, from, asked)}
	if _, err := s.readJSON(ctx, r, &doc); err != nil {
		return nil, err
	}
	if from != "" && len(doc.Items) > 0 && doc.Items[0].Name < from {
		return nil, wire.Permanent("list", "", errors.New("the server does not start where it is told to (startOffset)"))
	}
	return s.page(&doc, after, keys)
}

// page makes a page of at most so many keys of what the server gave.
func (s *Store) page(doc *listPage, after string, keys int) (*wire.Page, error) {
	items := doc.Items
	if after != "" && len(items) > 0 && items[0].Name == after {
		items = items[1:]
	}
	page := &wire.Page{Entries: make([]wire.Entry, 0, len(items))}
	if doc.Token != "" {
		page.Truncated, page.Token = "true", tokenServer+doc.Token
	}
	if len(items) > keys {
		page.Truncated, page.Token = "true", tokenFrom+items[keys].Name
		items = items[:keys]
	}
	objects := make([]store.Object, len(items)) // at once, which costs less than each on its own
	for i := range items {
		o, err := s.describe(items[i].Name, &items[i])
		if err != nil {
			return nil, wire.Permanent("list", "", err)
		}
		objects[i] = o
		page.Entries = append(page.Entries, wire.Entry{Key: items[i].Name, Known: &objects[i]})
	}
	return page, nil
}
