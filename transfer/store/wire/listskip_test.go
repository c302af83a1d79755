package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// skipped lists 1,000 keys from behind a bound. The server begins at the bound, or ignores it.
func skipped(t *testing.T, obeys bool, opts store.ListOptions) (keys []string, requests int) {
	t.Helper()
	g := &Listing{
		PageSize: 100, Skips: true,
		Fetch: func(_ context.Context, token, after string, n int) (*Page, error) {
			requests++
			first := 0
			switch {
			case token != "":
				first, _ = strconv.Atoi(token)
			case obeys && after != "":
				first, _ = strconv.Atoi(after)
			}
			page := &Page{}
			for i := first; i < min(first+n, 1000); i++ {
				page.Entries = append(page.Entries, Entry{Key: fmt.Sprintf("%04d", i)})
			}
			if first+n < 1000 {
				page.Truncated, page.Token = "true", strconv.Itoa(first+n)
			}
			return page, nil
		},
		Object: func(key string, _ *Entry) (store.Object, error) { return store.Object{Key: key}, nil },
		Wrap:   func(_ context.Context, err error) error { return err },
	}
	l := g.List(opts)
	defer l.Close()
	for {
		page, err := l.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return keys, requests
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 || opts.Page > 0 && len(page) > opts.Page {
			t.Fatalf("%+v: a page of %d", opts, len(page))
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
	}
}

// What lies before a bound is read by whole pages, however small those are that are wanted behind it.
func TestSkippingToABound(t *testing.T) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf("%04d", i))
	}
	for _, obeys := range []bool{true, false} {
		for _, first := range []int{0, 1, 100, 995, 1000} {
			for _, page := range []int{0, 1, 3} {
				opts := store.ListOptions{Page: page}
				most := 1
				if first > 0 {
					opts.From = store.Next(all[first-1])
				}
				if !obeys {
					most += 2 + first/100
				}
				if page > 0 {
					most += 2 + (1000-first)/page
				} else {
					most += 1 + (1000-first)/100
				}
				got, requests := skipped(t, obeys, opts)
				if !slices.Equal(got, all[first:]) {
					t.Errorf("obeys %v, from %d by %d: %d keys, want %d", obeys, first, page, len(got), 1000-first)
				}
				if requests > most {
					t.Errorf("obeys %v, from %d by %d: %d requests, want at most %d", obeys, first, page, requests, most)
				}
			}
		}
	}
}
