package azblob

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// List implements store.Source. Snapshots, versions, deleted and uncommitted blobs are not listed.
func (s *Store) List(opts store.ListOptions) store.Lister {
	listing := &wire.Listing{
		Prefix: s.prefix, PageSize: pageSize, Order: s.opts.listOrder, Skips: true, Fetch: s.listPage, Object: listed,
		Wrap: func(ctx context.Context, err error) error { return wire.Wrap(ctx, "list", "", err) },
	}
	return listing.List(opts)
}

// listQuery asks for a page
// (https://learn.microsoft.com/rest/api/storageservices/list-blobs). A listing that begins at a name has no prefix:
// it then cannot matter what the name is relative to.
func (s *Store) listQuery(token, after string, keys int) string {
	query := "comp=list&restype=container&maxresults=" + strconv.Itoa(keys)
	if s.role == store.RoleSource {
		query += "&include=metadata" // tells what stands for a directory
	}
	if token != "" {
		query += "&marker=" + wire.EscapeQuery(token)
	}
	switch {
	case after != "" && s.opts.startFrom():
		query += "&startFrom=" + wire.EscapeQuery(after)
	case s.prefix != "":
		query += "&prefix=" + wire.EscapeQuery(s.prefix)
	}
	return query
}

// listPage fetches one page. The name to start from comes with every page, as the service wants it.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	resp, err := s.calls.Do(ctx, wire.Request{Op: "list", Method: http.MethodGet, Bucket: true, Query: s.listQuery(token, after, keys)})
	if err != nil {
		return nil, err
	}
	found, err := readPage(resp)
	if err != nil {
		return nil, err
	}
	page := &wire.Page{Token: found.Next, Entries: make([]wire.Entry, 0, len(found.Blobs))}
	if found.Next != "" {
		page.Truncated = "true"
	}
	objects := make([]store.Object, 0, len(found.Blobs)) // at once, which costs less than each on its own
	for i := range found.Blobs {
		b := &found.Blobs[i]
		name, err := b.name()
		if err != nil {
			return nil, wire.Permanent("list", "", err)
		}
		if !strings.HasPrefix(name, s.prefix) && after != "" && s.opts.startFrom() {
			if name > s.prefix { // behind the folder there is nothing to see
				page.Truncated = ""
				break
			}
			continue
		}
		if b.left() || s.role == store.RoleDestination && b.folder() {
			continue
		}
		o, err := s.objectOfEntry(name, b)
		if err != nil {
			return nil, wire.Permanent("list", "", err)
		}
		objects = append(objects, o)
		page.Entries = append(page.Entries, wire.Entry{Key: name, Known: &objects[len(objects)-1]})
	}
	return page, nil
}

// listed gives what objectOfEntry found out.
func listed(key string, e *wire.Entry) (store.Object, error) {
	o := *e.Known
	o.Key = key
	return o, nil
}

// objectOfEntry describes an entry.
func (s *Store) objectOfEntry(name string, b *entry) (store.Object, error) {
	size, err := b.size()
	if err != nil {
		return store.Object{}, err
	}
	p := &b.Properties
	o := store.Object{
		Kind: wire.KindOf(name, size), Size: size, ModTime: wire.Date(p.Modified), ETag: wire.Unquote(p.ETag),
		Sums: sumsOfType(p.Type, p.MD5), Archived: p.Tier == tierArchive,
	}
	if b.folder() {
		o.Kind, o.Reason = store.KindSkipped, reasonFolder
	}
	return o, nil
}
