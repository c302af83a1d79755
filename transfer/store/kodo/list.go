package kodo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// putTimeUnit is what times of objects count (https://developer.qiniu.com/kodo/1308/stat, putTime).
const putTimeUnit = 100 * time.Nanosecond

// described is what stat and list tell of an object.
type described struct {
	Key     string            `json:"key"` // of a listing
	Size    *int64            `json:"fsize"`
	Hash    string            `json:"hash"`
	MIME    string            `json:"mimeType"`
	PutTime int64             `json:"putTime"` // in 100 ns since 1970
	Type    int               `json:"type"`
	MD5     string            `json:"md5"`           // of what was written in one request
	Restore int               `json:"restoreStatus"` // of stat: 1 under way, 2 done
	User    map[string]string `json:"x-qn-meta"`     // of stat
}

// restored is the value of restoreStatus of what can be read for a time.
const restored = 2

// object describes an object without its metadata.
func (s *Store) object(key string, d *described) (store.Object, error) {
	if d.Size == nil || *d.Size < 0 || d.Hash == "" {
		return store.Object{}, fmt.Errorf("key %q has no size or no hash", wire.Clip(key, 200))
	}
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, *d.Size), Size: *d.Size, ETag: d.Hash, Sums: sumsOf(d.Hash, d.MD5),
		Archived: classOf(d.Type).Tier.Archived() && d.Restore != restored,
	}
	if d.PutTime > 0 {
		o.ModTime = time.Unix(d.PutTime/1e7, d.PutTime%1e7*100).UTC()
	}
	return o, nil
}

// listing is an answer of list (https://developer.qiniu.com/kodo/1284/list). Whether there is more, only the marker tells.
type listing struct {
	Marker string      `json:"marker"`
	Items  []described `json:"items"`
}

// List implements store.Source.
func (s *Store) List(opts store.ListOptions) store.Lister {
	g := &wire.Listing{
		Prefix: s.prefix, PageSize: pageSize, Order: s.opts.listOrder, Fetch: s.listPage,
		Object: func(key string, e *wire.Entry) (store.Object, error) {
			o := *e.Known
			o.Key = key
			o.Kind = wire.KindOf(s.prefix+key, o.Size)
			return o, nil
		},
		Wrap: func(ctx context.Context, err error) error { return wire.Wrap(ctx, "list", "", err) },
	}
	return g.List(opts)
}

func (s *Store) listRequest(op, marker string, keys int) request {
	query := "bucket=" + wire.EscapeQuery(s.bucket) + "&limit=" + strconv.Itoa(keys)
	if marker != "" {
		query += "&marker=" + wire.EscapeQuery(marker)
	}
	if s.prefix != "" {
		query += "&prefix=" + wire.EscapeQuery(s.prefix)
	}
	return request{op: op, method: http.MethodGet, host: s.opts.rsf, path: "/list", query: query}
}

// listPage fetches one page.
func (s *Store) listPage(ctx context.Context, token, after string, keys int) (*wire.Page, error) {
	if token != "" || after == "" {
		return s.pageAt(ctx, token, keys)
	}
	known, err := s.markersKnown(ctx)
	if err != nil {
		return nil, err
	}
	if known {
		return s.pageAt(ctx, markerOf(after), keys)
	}
	return s.pageFromStart(ctx, after)
}

// pageAt fetches the page that a marker leads to.
func (s *Store) pageAt(ctx context.Context, marker string, keys int) (*wire.Page, error) {
	var found listing
	if _, err := s.read(ctx, s.listRequest("list", marker, keys), &found); err != nil {
		return nil, err
	}
	page := &wire.Page{Truncated: strconv.FormatBool(found.Marker != ""), Token: found.Marker, Entries: make([]wire.Entry, len(found.Items))}
	objects := make([]store.Object, len(found.Items)) // at once, which costs less than each on its own
	for i := range found.Items {
		o, err := s.object(found.Items[i].Key, &found.Items[i])
		if err != nil {
			return nil, wire.Permanent("list", "", err)
		}
		objects[i] = o
		page.Entries[i] = wire.Entry{Key: found.Items[i].Key, Known: &objects[i]}
	}
	return page, nil
}

// pageFromStart reads the listing from its start until keys behind a bound come.
func (s *Store) pageFromStart(ctx context.Context, after string) (*wire.Page, error) {
	for marker := ""; ; {
		page, err := s.pageAt(ctx, marker, pageSize)
		if err != nil {
			return nil, err
		}
		for len(page.Entries) > 0 && page.Entries[0].Key <= after {
			page.Entries = page.Entries[1:]
		}
		if len(page.Entries) > 0 || page.Token == "" {
			return page, nil
		}
		if page.Token == marker {
			return nil, wire.Permanent("list", "", fmt.Errorf("the marker repeats"))
		}
		marker = page.Token
	}
}

// What is known of the form of markers.
const (
	markersUnseen int32 = iota
	markersMade         // they are what markerOf makes
	markersOpaque
)

// markersKnown tells whether markers can be made of keys. The server shows by the marker that it gives after one key; where
// there is no second key, it gives none, and a listing is short enough.
func (s *Store) markersKnown(ctx context.Context) (bool, error) {
	if state := s.markers.Load(); state != markersUnseen {
		return state == markersMade, nil
	}
	var found listing
	if _, err := s.read(ctx, s.listRequest("list", "", 1), &found); err != nil {
		return false, err
	}
	if found.Marker == "" || len(found.Items) == 0 {
		return false, nil
	}
	state := markersOpaque
	if key, ok := keyOfMarker(found.Marker); ok && key == found.Items[len(found.Items)-1].Key {
		state = markersMade
	}
	s.markers.Store(state)
	return state == markersMade, nil
}

// keyOfMarker reads the last key out of a marker.
func keyOfMarker(marker string) (string, bool) {
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(marker, "="))
	text, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		return "", false
	}
	var m struct {
		C *int    `json:"c"`
		K *string `json:"k"`
	}
	if json.Unmarshal(text, &m) != nil || m.C == nil || *m.C != 0 || m.K == nil {
		return "", false
	}
	return *m.K, true
}

// markerOf makes the marker behind a key. Whether the alphabet of base64 is that of URLs is not known, so the text is written
// with such characters only as both alphabets have the same digits for, and as long as needs no padding.
func markerOf(key string) string {
	var b strings.Builder
	b.WriteString(`{"c":0,"k":"`)
	for _, r := range key {
		switch {
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		case r < 0x20, r > 0x7d, r == '"', r == '\\', r == '>', r == '?':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(`"}`)
	for b.Len()%3 != 0 {
		b.WriteByte(' ')
	}
	return base64.URLEncoding.EncodeToString([]byte(b.String()))
}
