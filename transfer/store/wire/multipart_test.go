package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestListUploads: pages are followed to the end of the key, siblings are left out, and a listing that does not move ends.
func TestListUploads(t *testing.T) {
	upload := func(key, id string) KeyedUpload {
		return KeyedUpload{key, store.Upload{ID: id, Began: time.Unix(1, 0)}}
	}
	for name, c := range map[string]struct {
		pages []UploadsPage // the last again and again
		want  []string
		says  string
	}{
		"one page":     {pages: []UploadsPage{{Uploads: []KeyedUpload{upload("k", "1"), upload("k2", "2")}}}, want: []string{"1"}},
		"two pages":    {pages: []UploadsPage{{Uploads: []KeyedUpload{upload("k", "1")}, Truncated: true, NextKey: "k", NextID: "1"}, {Uploads: []KeyedUpload{upload("k", "2")}}}, want: []string{"1", "2"}},
		"behind it":    {pages: []UploadsPage{{Uploads: []KeyedUpload{upload("k", "1")}, Truncated: true, NextKey: "k1"}}, want: []string{"1"}},
		"repeats":      {pages: []UploadsPage{{Truncated: true, NextKey: "k", NextID: "1"}}, says: "repeats"},
		"no marker":    {pages: []UploadsPage{{Truncated: true}}, says: "repeats"},
		"nothing open": {pages: []UploadsPage{{}}},
	} {
		n := 0
		found, err := ListUploads("k", "k", func(keyMarker, idMarker string) (*UploadsPage, error) {
			if n > 0 && n < len(c.pages) && (keyMarker != c.pages[n-1].NextKey || idMarker != c.pages[n-1].NextID) {
				t.Errorf("%s: page %d begins at %q, %q", name, n, keyMarker, idMarker)
			}
			n++
			return &c.pages[min(n, len(c.pages))-1], nil
		})
		var ids []string
		for _, u := range found {
			ids = append(ids, u.ID)
		}
		if !slices.Equal(ids, c.want) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v; want %q, %q", name, ids, err, c.want, c.says)
		}
	}
	n := 0
	_, err := ListUploads("k", "k", func(string, string) (*UploadsPage, error) {
		n++
		return &UploadsPage{Truncated: true, NextKey: "k", NextID: fmt.Sprint(n)}, nil
	})
	if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "no end") || n != maxPages {
		t.Errorf("after %d pages: %v", n, err)
	}
}

// TestListParts: parts come in order, with sizes and numbers that can be, and a page that is not the last leads on.
func TestListParts(t *testing.T) {
	page := func(truncated bool, next int, numbers ...int) PartsPage {
		p := PartsPage{Truncated: truncated, Next: next}
		for _, n := range numbers {
			p.Parts = append(p.Parts, store.Part{Number: n, Size: 5})
		}
		return p
	}
	small := page(false, 0, 1)
	small.Parts[0].Size = -1
	for name, c := range map[string]struct {
		pages []PartsPage
		parts int
		says  string
	}{
		"one page":      {pages: []PartsPage{page(false, 0, 1, 3)}, parts: 2},
		"two pages":     {pages: []PartsPage{page(true, 2, 1, 2), page(false, 0, 5)}, parts: 3},
		"twice":         {pages: []PartsPage{page(false, 0, 1, 1)}, says: "out of order"},
		"again":         {pages: []PartsPage{page(true, 2, 1, 2), page(true, 2, 1, 2)}, says: "out of order"},
		"number 0":      {pages: []PartsPage{page(false, 0, 0)}, says: "out of order"},
		"too many":      {pages: []PartsPage{page(false, 0, 11)}, says: "out of order"},
		"negative size": {pages: []PartsPage{small}, says: "out of order"},
		"other marker":  {pages: []PartsPage{page(true, 9, 1, 2)}, says: "does not go on"},
		"empty page":    {pages: []PartsPage{page(true, 0)}, says: "does not go on"},
	} {
		n := 0
		parts, err := ListParts("k", 10, func(int) (*PartsPage, error) {
			n++
			return &c.pages[min(n, len(c.pages))-1], nil
		})
		if len(parts) != c.parts || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, parts, err)
		}
	}
}

// TestParseHost: a host is taken with a scheme or without one, and nothing that would end in another place or tell a secret.
func TestParseHost(t *testing.T) {
	for text, want := range map[string]string{"Host": "https://host", "http://h:1/": "http://h:1", "https://[::1]:9": "https://[::1]:9"} {
		if u, err := ParseHost("endpoint", text, "https://example"); err != nil || u.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, u, err, want)
		}
	}
	for text, want := range map[string]string{
		"https://u:secret@h": "credentials do not go", "ftp://h": "http://", "h/path": "without a path", "h?sig=secret": "credentials not in it", "https://": "want https://host",
		"http://h:port/secret": "no URL",
	} {
		if _, err := ParseHost("endpoint", text, "https://example"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
