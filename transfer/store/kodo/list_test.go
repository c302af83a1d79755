package kodo

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestMarkers: what is made of a key is read back, in both alphabets of base64 alike.
func TestMarkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		marker := markerOf(key)
		if strings.ContainsAny(marker, "-_+/=") {
			t.Fatalf("marker %s has digits that differ between alphabets", marker)
		}
		if got, ok := keyOfMarker(marker); !ok || got != key {
			t.Fatalf("%q, %v; want %q", got, ok, key)
		}
	})
	for _, bad := range []string{"", "x", "e30=", base64.URLEncoding.EncodeToString([]byte(`{"c":1,"k":"a"}`)), base64.URLEncoding.EncodeToString([]byte(`{"c":0}`))} {
		if key, ok := keyOfMarker(bad); ok {
			t.Errorf("%q is read as %q", bad, key)
		}
	}
}

func listFrom(t *testing.T, s *Store, opts store.ListOptions) (keys []string, err error) {
	t.Helper()
	l := s.List(opts)
	defer func() { _ = l.Close() }()
	for {
		page, err := l.Next(t.Context())
		if err == io.EOF {
			return keys, nil
		}
		if err != nil {
			return keys, err
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
	}
}

// TestMarkersOfAnotherForm: where markers are not what they are made of here, a listing from a bound begins at the start, and is right.
func TestMarkersOfAnotherForm(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	want := []string{"a", "b", "c", "d"}
	for _, key := range want {
		mustPut(t, s, key, "x", store.Metadata{})
	}
	requests := 0
	server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/list" {
			return false
		}
		requests++
		q := r.URL.Query()
		from := 0
		if _, err := fmt.Sscanf(q.Get("marker"), "page%d", &from); q.Has("marker") && err != nil {
			t.Errorf("marker %q was made up", q.Get("marker"))
		}
		next := ""
		if from+1 < len(want) {
			next = fmt.Sprintf("page%d", from+1)
		}
		_, _ = fmt.Fprintf(w, `{"marker":%q,"items":[{"key":%q,"fsize":1,"hash":"F","putTime":15000000000000001}]}`, next, want[from])
		return true
	})
	for range 2 {
		got, err := listFrom(t, s, store.ListOptions{From: store.Next("b")})
		if err != nil || !slices.Equal(got, want[2:]) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if requests != 1+4+4 {
		t.Errorf("%d requests, want one that looks and all pages twice", requests)
	}
}

// TestListingsAreDistrusted: what a server must not answer ends the listing with an error.
func TestListingsAreDistrusted(t *testing.T) {
	const item = `{"key":%q,"fsize":1,"hash":"F","putTime":15000000000000001}`
	page := func(marker string, keys ...string) string {
		var items []string
		for _, key := range keys {
			items = append(items, fmt.Sprintf(item, key))
		}
		return fmt.Sprintf(`{"marker":%q,"items":[%s]}`, marker, strings.Join(items, ","))
	}
	for name, c := range map[string]struct {
		answers []string
		says    string
	}{
		"disorder":        {[]string{page("", "b", "a")}, "out of order"},
		"twice":           {[]string{page("m", "a"), page("", "a")}, "out of order"},
		"marker repeats":  {[]string{page("m", "a"), page("m", "b"), page("m", "c")}, "repeats"},
		"no size":         {[]string{`{"items":[{"key":"a","hash":"F"}]}`}, "no size"},
		"no hash":         {[]string{`{"items":[{"key":"a","fsize":1}]}`}, "no hash"},
		"negative":        {[]string{`{"items":[{"key":"a","fsize":-1,"hash":"F"}]}`}, "no size"},
		"no document":     {[]string{`<html>`}, "makes no sense"},
		"another type":    {[]string{`{"items":{"a":1}}`}, "makes no sense"},
		"only empty ones": {[]string{`{"marker":"m%d","items":null}`}, "empty pages"},
	} {
		n := 0
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			n++
			answer := c.answers[min(n, len(c.answers))-1]
			if strings.Contains(answer, "%d") {
				answer = fmt.Sprintf(answer, n)
			}
			_, _ = w.Write([]byte(answer))
		})
		if got, err := listFrom(t, s, store.ListOptions{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.says)
		}
	}
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		answers := map[bool]string{true: page(markerOf("a"), "a"), false: page("", "a", "b")} // it ignores markers
		_, _ = w.Write([]byte(answers[r.URL.Query().Get("limit") == "1"]))
	})
	if got, err := listFrom(t, s, store.ListOptions{From: store.Next("a")}); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("a page that does not begin behind the bound: %q, %v", got, err)
	}
}

// TestTimes: they count 100 ns.
func TestTimes(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"fsize":1,"hash":"F","mimeType":"text/plain","putTime":13603956734587421,"type":9,"x-qn-meta":{"A":"1","x-qn-meta-b":"2","!Cache-Control":"no-store"}}`))
	})
	o, err := s.Stat(t.Context(), "k")
	if want := time.Date(2013, 2, 9, 7, 41, 13, 458742100, time.UTC); err != nil || !o.ModTime.Equal(want) {
		t.Errorf("%v, %v; want %v", o.ModTime, err, want)
	}
	if o.Meta.User["a"] != "1" || o.Meta.User["b"] != "2" || len(o.Meta.User) != 2 || o.Meta.Class.Tier != store.TierUnknown || o.Meta.Class.Name != "type 9" {
		t.Errorf("%+v", o.Meta)
	}
}
