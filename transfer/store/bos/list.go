package bos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// listQuery asks for a page behind a key. Its parameters are sorted, as signatures want them.
func (s *Store) listQuery(after string, keys int) string {
	query := "maxKeys=" + strconv.Itoa(keys) + "&prefix=" + wire.EscapeQuery(s.prefix)
	if after != "" {
		query = "marker=" + wire.EscapeQuery(after) + "&" + query
	}
	return query
}

// listPage fetches one page. The token of a page is a key as well: the last one of the page before.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	if token == "" {
		token = after
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: "list", Method: http.MethodGet, Bucket: true, Query: s.listQuery(token, keys)})
	if err != nil {
		return nil, err
	}
	return readListing(resp)
}

// objectsPage is an answer of ListObjects (https://cloud.baidu.com/doc/BOS/s/Ekc4epj6m).
type objectsPage struct {
	Contents *[]struct {
		Key      string      `json:"key"`
		Modified string      `json:"lastModified"`
		ETag     string      `json:"eTag"`
		Size     json.Number `json:"size"`
		Class    string      `json:"storageClass"`
	} `json:"contents"`
	Truncated bool   `json:"isTruncated"`
	Next      string `json:"nextMarker"`
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// readListing reads a page and closes the answer.
func readListing(resp *http.Response) (*wire.Page, error) {
	data, err := wire.ReadDocument(resp)
	if err != nil {
		return nil, err
	}
	var doc objectsPage
	switch err := json.Unmarshal(data, &doc); {
	case err != nil:
		return nil, fmt.Errorf("the answer is no listing of objects: %w", err)
	case doc.Code != "":
		return nil, fmt.Errorf("the listing ends with %s: %s", wire.Clip(doc.Code, 100), wire.Message(doc.Message, resp.StatusCode))
	case doc.Contents == nil:
		return nil, errors.New("the answer is no listing of objects: it has no contents")
	}
	page := &wire.Page{Truncated: strconv.FormatBool(doc.Truncated), Token: doc.Next, Entries: make([]wire.Entry, 0, len(*doc.Contents))}
	for _, o := range *doc.Contents {
		page.Entries = append(page.Entries, wire.Entry{Key: o.Key, Size: o.Size.String(), ETag: o.ETag, Modified: o.Modified, Class: o.Class})
	}
	if doc.Truncated && page.Token == "" && len(page.Entries) > 0 {
		page.Token = page.Entries[len(page.Entries)-1].Key // what the marker is, where the answer does not say it
	}
	return page, nil
}

// listed describes an entry.
func (s *Store) listed(key string, e *wire.Entry) (store.Object, error) {
	size, err := e.Bytes()
	if err != nil {
		return store.Object{}, err
	}
	etag := wire.Unquote(e.ETag)
	return store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ModTime: e.Written(), ETag: etag, Sums: s.sumsOfETag(etag),
		Archived: allClasses().Named(e.Class).Tier.Archived(),
	}, nil
}
