package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// served is a server of given pages: the token of a page is its number.
type served struct {
	pages [][]string
	next  map[int]int // what page follows another, where it is not the next one
	fail  map[int]int // how often a page fails
	asked int
}

func (s *served) fetch(ctx context.Context, token, after string, keys int) (*Page, error) {
	s.asked++
	n, _ := strconv.Atoi(token)
	if after != "" || keys != 1000 {
		return nil, fmt.Errorf("asked for %d keys behind %q", keys, after)
	}
	if s.fail[n] > 0 {
		s.fail[n]--
		return nil, &store.Error{Op: "list", Class: store.Transient, Err: errors.New("no page now")}
	}
	p := &Page{Truncated: "false"}
	for _, key := range s.pages[n] {
		p.Entries = append(p.Entries, Entry{Key: key, Size: "1"})
	}
	follows, ok := s.next[n]
	if !ok {
		follows = n + 1
	}
	if follows < len(s.pages) {
		p.Truncated, p.Token = "true", strconv.Itoa(follows)
	}
	return p, ctx.Err()
}

func (s *served) listing(order ListOrder) *Listing {
	return &Listing{
		Prefix: "p/", PageSize: 1000, Fetch: s.fetch, Order: order,
		Object: func(key string, e *Entry) (store.Object, error) {
			size, err := e.Bytes()
			return store.Object{Key: key, Size: size, ModTime: time.Unix(5, 0).UTC()}, err
		},
		Wrap: func(_ context.Context, err error) error { return err },
	}
}

func drain(ctx context.Context, l store.Lister) (keys []string, err error) {
	for {
		page, err := l.Next(ctx)
		if errors.Is(err, io.EOF) {
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

func TestListingsWithoutOrderAreSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var keys []string
	for i := range 5000 {
		keys = append(keys, fmt.Sprintf("%s%d", []string{"a", "B", "é", "\uffee", "\U0001f600", "~", "a/", "A/"}[rng.IntN(8)], i))
	}
	want := slices.Sorted(slices.Values(keys))
	s := &served{}
	for some := range slices.Chunk(keys, 700) {
		page := slices.Clone(some)
		for i := range page {
			page[i] = "p/" + page[i]
		}
		s.pages = append(s.pages, page, nil) // and an empty one
	}
	for _, opts := range []store.ListOptions{{}, {Page: 10}, {From: store.Next(want[1000]), To: want[2000]}, {First: 7}} {
		s.asked, s.fail = 0, map[int]int{3: 1, 5: 1, 6: 2}
		l := s.listing(ListNone).List(opts)
		fails := 0
		var got []string
		for {
			some, err := drain(t.Context(), l)
			got = append(got, some...)
			if err == nil {
				break
			}
			if fails++; fails > 5 {
				t.Fatal(err)
			}
		}
		expected := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return k < opts.From || opts.To != "" && k >= opts.To })
		if !slices.Equal(got, expected) {
			t.Errorf("%+v: %d keys, want %d in order", opts, len(got), len(expected))
		}
		if s.asked != len(s.pages)+4 {
			t.Errorf("%+v: %d requests for %d pages of which 4 answers failed", opts, s.asked, len(s.pages))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestListingsWithoutOrderThatCannotBeTrusted: what is wrong beside the order is found without it, too, and no listing is endless.
func TestListingsWithoutOrderThatCannotBeTrusted(t *testing.T) {
	for name, s := range map[string]*served{
		"a key twice in a page":      {pages: [][]string{{"p/b", "p/a", "p/b"}}},
		"a key twice in two pages":   {pages: [][]string{{"p/b", "p/a"}, {"p/c", "p/b"}}},
		"a page again":               {pages: [][]string{{"p/b", "p/a"}, {"p/d"}, {"p/b", "p/a"}}},
		"outside the prefix":         {pages: [][]string{{"p/b", "q/a"}}},
		"a token again at once":      {pages: [][]string{{"p/b"}, {"p/a"}}, next: map[int]int{1: 1}},
		"tokens that go round":       {pages: [][]string{{"p/b"}, {"p/a"}, {"p/c"}, {"p/d"}}, next: map[int]int{3: 1}},
		"tokens that go round empty": {pages: [][]string{{"p/b"}, {}, {}, {}, {}}, next: map[int]int{4: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := drain(t.Context(), s.listing(ListNone).List(store.ListOptions{}))
			if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "cannot be trusted") {
				t.Errorf("%q, %v", keys, err)
			}
			if s.asked > 50 {
				t.Errorf("%d requests before that was seen", s.asked)
			}
		})
	}
}

// TestPagesThatRepeatForEver: a server that takes no notice of tokens, but makes new ones, is seen through before it fills a disk.
func TestPagesThatRepeatForEver(t *testing.T) {
	for _, period := range []int{1, 2, 3, 10, 57} {
		asked := 0
		g := (&served{}).listing(ListNone)
		g.Fetch = func(context.Context, string, string, int) (*Page, error) {
			asked++
			key := fmt.Sprint("p/", asked%period)
			return &Page{Truncated: "true", Token: strconv.Itoa(asked), Entries: []Entry{{Key: key, Size: "1"}}}, nil
		}
		l := g.List(store.ListOptions{})
		if _, err := drain(t.Context(), l); store.ClassOf(err) != store.Permanent {
			t.Errorf("period %d: %v", period, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if asked > 4*period+4 {
			t.Errorf("period %d: %d requests before that was seen", period, asked)
		}
	}
}

// TestDisorderNamesTheOption: whoever meets a listing in another order is told how to read it, unless that would not help.
func TestDisorderNamesTheOption(t *testing.T) {
	for name, c := range map[string]struct {
		order ListOrder
		keys  []string
		want  bool
	}{
		"another order":              {ListBytes, []string{"p/b", "p/a"}, true},
		"a key twice":                {ListBytes, []string{"p/b", "p/b"}, false},
		"outside the prefix":         {ListBytes, []string{"p/b", "q/b"}, false},
		"a provider that has it not": {"", []string{"p/b", "p/a"}, false},
	} {
		_, err := drain(t.Context(), (&served{pages: [][]string{c.keys}}).listing(c.order).List(store.ListOptions{}))
		if store.ClassOf(err) != store.Permanent || strings.Contains(err.Error(), "list_order=none") != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListOrderOption(t *testing.T) {
	for value, want := range map[string]ListOrder{"": ListBytes, "bytes": ListBytes, "none": ListNone} {
		got, err := ParseListOrder(store.Location{Options: url.Values{OptionListOrder: {value}}})
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	for _, bad := range []string{"None", "utf16", " "} {
		if _, err := ParseListOrder(store.Location{Options: url.Values{OptionListOrder: {bad}}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
