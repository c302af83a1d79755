package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// listAll reads a listing to its end.
func listAll(ctx context.Context, l store.Lister) (keys []string, err error) {
	for {
		page, err := l.Next(ctx)
		if err == io.EOF {
			return keys, l.Close()
		}
		if err != nil {
			return keys, err
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
	}
}

func TestListingsThatCannotBeTrusted(t *testing.T) {
	for name, pages := range map[string][]string{
		"order within a page":      {entries("p/b", "p/a")},
		"repeated key":             {entries("p/a", "p/a")},
		"order across pages":       {entries("p/b") + more("1"), entries("p/a")},
		"repeated key across":      {entries("p/b") + more("1"), entries("p/b")},
		"outside the prefix":       {entries("p/a", "q/b")},
		"above the prefix":         {entries("p")},
		"repeated token":           {entries("p/a") + more("1"), entries("p/b") + more("1")},
		"no token":                 {entries("p/a") + "<IsTruncated>true</IsTruncated>"},
		"key that is not encoded":  {"<EncodingType>url</EncodingType>" + entries("p/100%")},
		"negative size":            {`<Contents><Key>p/a</Key><Size>-1</Size></Contents>`},
		"keys folded":              {entries("p/a") + "<CommonPrefixes><Prefix>p/b/</Prefix></CommonPrefixes>"},
		"keys folded, many":        {entries("p/a") + strings.Repeat("<CommonPrefixes><Prefix>p/b/</Prefix></CommonPrefixes>", 2)},
		"fewer than announced":     {"<KeyCount>3</KeyCount>" + entries("p/a", "p/b")},
		"fewer in a page amid":     {"<KeyCount>1</KeyCount>" + entries("p/a") + more("1"), "<KeyCount>1</KeyCount>" + more("2"), entries("p/b")},
		"key before the bound":     {entries("p/a")},
		"the same key as the last": {entries("p/m")},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			s := openFake(t, "p/", func(w http.ResponseWriter, r *http.Request) {
				i := int(n.Add(1)) - 1
				if i >= len(pages) {
					i = len(pages) - 1
				}
				_, _ = io.WriteString(w, listing(pages[i]))
			})
			from := ""
			if strings.HasPrefix(name, "key before") || strings.HasPrefix(name, "the same") {
				from = store.Next("m")
			}
			l := s.List(store.ListOptions{From: from})
			_, err := listAll(t.Context(), l)
			if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "out of order") {
				t.Errorf("error %v, want a listing out of order", err)
			}
			if _, again := l.Next(t.Context()); !errors.Is(again, err) {
				t.Errorf("then %v, want the same error", again)
			}
			if err := l.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestListingsThatEndTooSoon: a server that says that a full page, or one with a token, is the last is asked what follows.
func TestListingsThatEndTooSoon(t *testing.T) {
	for name, c := range map[string]struct {
		keys, page, requests int // of the bucket; of a page at most; that the listing should take
		token                bool
	}{
		"more behind a full page":   {keys: 2500, page: 1000, requests: 3},
		"nothing behind one":        {keys: 1000, page: 1000, requests: 2},
		"a page that is not full":   {keys: 999, page: 1000, requests: 1},
		"nothing at all":            {keys: 0, page: 1000, requests: 1},
		"a token that is left over": {keys: 70, page: 30, requests: 4, token: true},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			s := openFake(t, "p/", func(w http.ResponseWriter, r *http.Request) {
				requests++
				first := 0
				if after := r.URL.Query().Get("start-after"); after != "" {
					_, _ = fmt.Sscanf(after, "p/%d", &first)
					first++
				}
				var keys []string
				for i := first; i < min(c.keys, first+c.page); i++ {
					keys = append(keys, fmt.Sprintf("p/%04d", i))
				}
				inner := fmt.Sprintf("<KeyCount>%d</KeyCount><IsTruncated>false</IsTruncated>", len(keys)) + entries(keys...)
				if c.token {
					inner += "<NextContinuationToken>t</NextContinuationToken>"
				}
				_, _ = io.WriteString(w, listing(inner))
			})
			keys, err := listAll(t.Context(), s.List(store.ListOptions{}))
			if err != nil || len(keys) != c.keys || !slices.IsSorted(keys) {
				t.Errorf("%d keys, %v; want %d", len(keys), err, c.keys)
			}
			if requests != c.requests {
				t.Errorf("%d requests, want %d", requests, c.requests)
			}
		})
	}
}

// TestCharactersThatXMLLacks: keys that a server wrote into its listing as they are come through whole; what it replaced stays
// replaced, and is found out when the object is not there.
func TestCharactersThatXMLLacks(t *testing.T) {
	for raw, want := range map[string]string{
		"a\x01b": "a\x01b", "a&#1;b": "a\x01b", "a&#x1F;b": "a\x1fb", "a\ufffdb": "a\ufffdb", "a&#xFFFD;b": "a\ufffdb", "a&#13;b": "a\rb",
	} {
		s := openFake(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, listing(entries(raw))) })
		if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err != nil || !slices.Equal(keys, []string{want}) {
			t.Errorf("%q: %q, %v", raw, keys, err)
		}
	}
	for _, refused := range []string{"a\x01b<!-- -->", "a&#0;b<![CDATA[x]]>", "a\xffb<!-- -->"} { // only encoding/xml reads these, and it refuses them
		s := openFake(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, listing(entries(refused))) })
		if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err == nil {
			t.Errorf("%q was read as %q", refused, keys)
		}
	}
}

func TestKeysAreDecodedOnlyWhenTheAnswerSaysSo(t *testing.T) {
	for encoded, want := range map[string]string{"": "a%20b+c", "<EncodingType>url</EncodingType>": "a b c"} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("encoding-type") != "url" {
				t.Errorf("query %q asks for no encoding", r.URL.RawQuery)
			}
			_, _ = io.WriteString(w, listing(encoded+entries("a%20b+c")))
		})
		if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err != nil || !slices.Equal(keys, []string{want}) {
			t.Errorf("%q: keys %q, %v; want %q", encoded, keys, err, want)
		}
	}
}

func TestListedEntries(t *testing.T) {
	s := openFake(t, "p/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, listing(
			`<Contents><Key>p/</Key><Size>0</Size></Contents>`+
				`<Contents><Key>p/dir/</Key><Size>0</Size></Contents>`+
				`<Contents><Key>p/full/</Key><Size>3</Size></Contents>`+
				`<Contents><Key>p/parts</Key><Size>9</Size><ETag>&quot;0123456789ABCDEF0123456789abcdef-3&quot;</ETag></Contents>`+entries("p/z")))
	})
	page, err := s.List(store.ListOptions{}).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		key  string
		kind store.Kind
	}{{"", store.KindDir}, {"dir/", store.KindDir}, {"full/", store.KindObject}, {"parts", store.KindObject}, {"z", store.KindObject}}
	for i, w := range want {
		if page[i].Key != w.key || page[i].Kind != w.kind {
			t.Errorf("entry %d: %+v, want %+v", i, page[i], w)
		}
	}
	if got := page[3].Sums.PartsMD5; got != "0123456789abcdef0123456789abcdef-3" {
		t.Errorf("multipart ETag read as %q", got)
	}
	if page[4].Sums.MD5 == "" || page[4].ModTime.IsZero() || page[4].Size != 1 {
		t.Errorf("entry z: %+v", page[4])
	}
}

func TestListingGoesOnAfterAFailure(t *testing.T) {
	var n atomic.Int32
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			_, _ = io.WriteString(w, listing(entries("a")+more("t1")))
		case 2:
			refuse(w, 503, "SlowDown", "slowly")
		default:
			if got := r.URL.Query().Get("continuation-token"); got != "t1" {
				t.Errorf("token %q, want t1", got)
			}
			_, _ = io.WriteString(w, listing(entries("b")))
		}
	})
	l := s.List(store.ListOptions{})
	first, err := l.Next(t.Context())
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	if _, err := l.Next(t.Context()); store.ClassOf(err) != store.Throttled {
		t.Errorf("second page: %v", err)
	}
	if page, err := l.Next(t.Context()); err != nil || page[0].Key != "b" {
		t.Errorf("second page again: %v, %v", page, err)
	}
	if _, err := l.Next(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestEmptyPagesAreSkippedButNotForEver(t *testing.T) {
	var n atomic.Int32
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		if i == 3 {
			_, _ = io.WriteString(w, listing(entries("a")+more("t3")))
			return
		}
		_, _ = io.WriteString(w, listing(more(fmt.Sprint("t", i))))
	})
	l := s.List(store.ListOptions{})
	if page, err := l.Next(t.Context()); err != nil || page[0].Key != "a" {
		t.Fatalf("first page: %v, %v", page, err)
	}
	if _, err := l.Next(t.Context()); store.ClassOf(err) != store.Permanent {
		t.Errorf("endless empty pages: %v", err)
	}
	if got := n.Load(); got > wire.MaxEmptyPages+10 {
		t.Errorf("%d requests", got)
	}
}

func TestNothingIsListedBehindTo(t *testing.T) {
	var n atomic.Int32
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		_, _ = io.WriteString(w, listing(entries(fmt.Sprintf("k%03d", i))+more(fmt.Sprint("t", i))))
	})
	keys, err := listAll(t.Context(), s.List(store.ListOptions{To: "k003"}))
	if err != nil || !slices.Equal(keys, []string{"k001", "k002"}) {
		t.Errorf("keys %q, %v", keys, err)
	}
	if got := n.Load(); got != 3 {
		t.Errorf("%d requests, want 3", got)
	}
}

func TestClosedListingWaitsForItsFetch(t *testing.T) {
	reached, ended := make(chan struct{}), make(chan struct{})
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("continuation-token") == "" {
			_, _ = io.WriteString(w, listing(entries("a")+more("t")))
			return
		}
		close(reached)
		<-r.Context().Done()
		close(ended)
	})
	l := s.List(store.ListOptions{})
	if _, err := l.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := l.Next(t.Context()); err != io.EOF {
		t.Errorf("next after close: %v", err)
	}
}

// TestFirstPageIsAsLargeAsHinted: a short range costs a short answer, and the pages of a long one are full from the second on.
func TestFirstPageIsAsLargeAsHinted(t *testing.T) {
	var asked []string
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("max-keys"))
		if len(asked) < 3 {
			_, _ = io.WriteString(w, listing(entries(fmt.Sprint(len(asked)))+more(fmt.Sprint("t", len(asked)))))
			return
		}
		_, _ = io.WriteString(w, listing(entries("9")))
	})
	if _, err := listAll(t.Context(), s.List(store.ListOptions{First: 100})); err != nil {
		t.Fatal(err)
	}
	if want := []string{"100", "1000", "1000"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v keys, want %v", asked, want)
	}
}
