package azblob

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// entryXML is one entry of a page.
func entryXML(name, more string) string {
	return `<Blob>` + name + `<Properties><Last-Modified>Sat, 21 Nov 2026 17:00:00 GMT</Last-Modified><Etag>0x8D1</Etag>` +
		`<Content-Length>0</Content-Length><Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5><BlobType>BlockBlob</BlobType>` + more + `</Blob>`
}

func named(name string) string { return entryXML("<Name>"+name+"</Name>", "</Properties>") }

// pageXML is an answer of List Blobs; it begins with a byte order mark, as the service's do.
func pageXML(next string, blobs ...string) string {
	return "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://acc.blob.core.windows.net/" ContainerName="con"><Blobs>` +
		strings.Join(blobs, "") + `</Blobs><NextMarker>` + next + `</NextMarker></EnumerationResults>`
}

// pages answers with pages by their markers.
func pages(all map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, all[r.URL.Query().Get("marker")]) }
}

func TestOddEntries(t *testing.T) {
	h := pages(map[string]string{"": pageXML("m1",
		named("dir/a &amp; b"),
		entryXML(`<Name Encoded="true">dir/c%EF%BF%BEd%25e</Name>`, "</Properties>"),
		entryXML("<Name>dir/d</Name><Snapshot>2026-01-01T00:00:00.0000000Z</Snapshot>", "</Properties>"),
		entryXML("<Name>dir/e</Name><Deleted>true</Deleted>", "</Properties>"),
		entryXML("<Name>dir/f</Name><VersionId>1</VersionId><IsCurrentVersion>false</IsCurrentVersion>", "</Properties>"),
		entryXML("<Name>dir/g</Name>", "<ResourceType>directory</ResourceType></Properties>"),
		entryXML("<Name>dir/h</Name>", "</Properties><Metadata><Hdi_isfolder>true</Hdi_isfolder></Metadata>"),
		entryXML("<Name>dir/i/</Name>", "</Properties>"),
	), "m1": pageXML("m2"), "m2": pageXML("", entryXML("<Name>dir/k</Name>", "<AccessTier>Archive</AccessTier></Properties><Metadata><a>b</a></Metadata>"))})
	for role, want := range map[store.Role]map[string]store.Kind{
		store.RoleSource:      {"a & b": store.KindObject, "c\ufffed%e": store.KindObject, "g": store.KindSkipped, "h": store.KindSkipped, "i/": store.KindDir, "k": store.KindObject},
		store.RoleDestination: {"a & b": store.KindObject, "c\ufffed%e": store.KindObject, "i/": store.KindDir, "k": store.KindObject},
	} {
		got := listAll(t, answering(t, role, h), store.ListOptions{})
		if len(got) != len(want) {
			t.Errorf("%s: %d entries, want %d", role, len(got), len(want))
		}
		for _, o := range got {
			if kind, ok := want[o.Key]; !ok || kind != o.Kind || o.Archived != (o.Key == "k") || o.ETag != "0x8D1" || o.ModTime.Hour() != 17 || o.Sums.MD5 == "" {
				t.Errorf("%s: listed %+v", role, o)
			}
		}
	}
}

// A listing that lies ends in an error, not in an endless loop or in keys that are left out.
func TestListingsAreDistrusted(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"marker repeats":    pages(map[string]string{"": pageXML("x", named("dir/a")), "x": pageXML("x", named("dir/b"))}),
		"page repeats":      pages(map[string]string{"": pageXML("x", named("dir/a")), "x": pageXML("y", named("dir/a")), "y": pageXML("x", named("dir/a"))}),
		"out of order":      pages(map[string]string{"": pageXML("", named("dir/b"), named("dir/a"))}),
		"another prefix":    pages(map[string]string{"": pageXML("", named("other/b"))}),
		"no size":           pages(map[string]string{"": pageXML("", `<Blob><Name>dir/a</Name></Blob>`)}),
		"broken encoding":   pages(map[string]string{"": pageXML("", entryXML(`<Name Encoded="true">dir/%zz</Name>`, "</Properties>"))}),
		"empty without end": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, pageXML(r.URL.Query().Get("marker")+"x")) },
	} {
		l := answering(t, store.RoleSource, h).List(store.ListOptions{})
		var err error
		for err == nil {
			_, err = l.Next(t.Context())
		}
		if store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: ended with %v", name, err)
		}
		if again, second := l.Next(t.Context()); second == nil || len(again) > 0 {
			t.Errorf("%s: goes on after the error with %v", name, again)
		}
	}
}

// beginning is a proxy before Azurite that begins listings at startFrom, as the service does since version 2026-02-06 and
// Azurite 3.35 does not: by the marker, which in Azurite is the name that a page begins behind.
func beginning(t *testing.T, to string) (base string, listings *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	listings = new(atomic.Int64)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		q := r.In.URL.Query()
		if q.Get("comp") != "list" {
			return
		}
		listings.Add(1)
		if from := q.Get("startFrom"); from != "" && q.Get("marker") == "" {
			if q.Get("prefix") != "" {
				t.Errorf("a listing from %q has the prefix %q", from, q.Get("prefix"))
			}
			q.Set("marker", from[:len(from)-1]+string(rune(from[len(from)-1]-1))+"~")
			q.Del("startFrom")
			r.Out.URL.RawQuery = q.Encode()
		}
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL, listings
}

// A listing from a bound costs no pages before it where the service can begin there, and is the same where it cannot.
func TestListingFromABound(t *testing.T) {
	at := newPlace(t)
	all := openWith(t, at.config("", store.RoleDestination))
	var want []string
	for i := range 60 {
		key := fmt.Sprintf("k%03d", i)
		put(t, all, "dir/"+key, "x", store.PutOptions{})
		want = append(want, key)
	}
	for _, key := range []string{"a", "dir", "dir.", "dir0", "z"} {
		put(t, all, key, "x", store.PutOptions{})
	}
	base, listings := beginning(t, at.azurite.URL)
	// The proxy changes requests, so they must not be signed over the query: a SAS does that.
	whole := at.sasFor(t, everything(), longAgo(), soon())
	for name, c := range map[string]struct {
		options []string
		byKeys  bool
	}{
		"begins there":                 {[]string{"endpoint", base}, true},
		"ignores it":                   {nil, true},
		"a version that does not know": {[]string{"api_version", "2025-11-05"}, false},
	} {
		cfg := at.config("dir/", store.RoleSource, c.options...)
		cfg.Credentials = whole
		s := openWith(t, cfg)
		if got := s.Abilities().ListsByKeys; got != c.byKeys {
			t.Errorf("%s: lists by keys: %v", name, got)
		}
		for _, from := range []int{0, 1, 30, 59} {
			for _, page := range []int{0, 1, 7} {
				listings.Store(0)
				var got []string
				for _, o := range listAll(t, s, store.ListOptions{From: store.Next(want[from]), Page: page}) {
					got = append(got, o.Key)
				}
				if !slices.Equal(got, want[from+1:]) {
					t.Errorf("%s: behind %s by pages of %d: %q", name, want[from], page, got)
				}
				most := int64(3)
				if page > 0 {
					most += int64((60-from)/page) + 2
				}
				if n := listings.Load(); n > most {
					t.Errorf("%s: behind %s by pages of %d: %d requests, want at most %d", name, want[from], page, n, most)
				}
			}
		}
	}
}
