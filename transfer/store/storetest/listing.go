package storetest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func listChecks() []check {
	return []check{
		{name: "list nothing", run: listNothing},
		{name: "list odd keys in order", lacks: lacksByteOrder, run: listOddKeys},
		{name: "list what objects are", run: listEntries},
		{name: "list from bounds", lacks: lacksByteOrder, run: listBounds},
		{name: "list pages", run: listPages},
		{name: "list ended early", run: listEndedEarly},
		{name: "list canceled", run: listCanceled},
	}
}

func lacksByteOrder(h Harness) string {
	if h.Store.Abilities().Order != store.OrderBytes {
		return "lists in an order of its own"
	}
	return ""
}

func listNothing(t *testing.T, h Harness) {
	for _, opts := range []store.ListOptions{{}, {From: store.Next("x")}, {To: "x"}, {Page: 1}} {
		if got := list(t, h.Store, opts); len(got) != 0 {
			t.Errorf("%+v: %q", opts, keysOf(got))
		}
	}
}

func listOddKeys(t *testing.T, h Harness) {
	want := h.oddKeys(t)
	for _, key := range want {
		put(t, h.Store, key, []byte("x"))
	}
	slices.Sort(want)
	for _, page := range []int{0, 1, 3} {
		if diff := cmp.Diff(want, keysOf(list(t, h.Store, store.ListOptions{Page: page}))); diff != "" {
			t.Errorf("page %d: keys differ (-want +listed):\n%s", page, diff)
		}
	}
	for i, key := range want {
		if diff := cmp.Diff(want[i+1:], keysOf(list(t, h.Store, store.ListOptions{From: store.Next(key)})), equateEmpty()); diff != "" {
			t.Errorf("behind %q: keys differ (-want +listed):\n%s", key, diff)
		}
	}
}

// equateEmpty sees no difference between nil and empty lists of keys.
func equateEmpty() cmp.Option {
	return cmp.Comparer(slices.Equal[[]string])
}

func listEntries(t *testing.T, h Harness) {
	whole := content(1234, 5)
	made := put(t, h.Store, "folder/object", whole)
	got := list(t, h.Store, store.ListOptions{})
	if len(got) != 1 {
		t.Fatalf("listed %q", keysOf(got))
	}
	o := got[0]
	if o.Kind != store.KindObject || o.Size != 1234 || o.ETag != made.ETag {
		t.Errorf("listed %+v, put said %+v", o, made)
	}
	if age := time.Since(o.ModTime); age > time.Minute || age < -time.Minute {
		t.Errorf("listed as modified at %v", o.ModTime)
	}
	stat, err := h.Store.Stat(t.Context(), "folder/object")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	if unit := h.Store.Abilities().ModTimeUnit; !stat.ModTime.Truncate(unit).Equal(o.ModTime.Truncate(unit)) {
		t.Errorf("modified at %v by stat, at %v by list", stat.ModTime, o.ModTime)
	}
	agree(t, "list", o.Sums, whole)
}

func listBounds(t *testing.T, h Harness) {
	all := []string{"a", "b", "b-", "b0", "c", "d/1", "d/2", "d0", "e"}
	for _, key := range all {
		put(t, h.Store, key, []byte("x"))
	}
	if err := h.Store.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(k string) bool { return k == "c" })
	for _, from := range []string{"", "a", "b", "b0", "c", "d/1", "d/2", "e", "zz"} {
		for _, to := range []string{"", "b0", "c", store.Next("d/1"), "zz"} {
			bound := ""
			if from != "" {
				bound = store.Next(from)
			}
			var want, got []string
			for _, k := range all {
				if k >= bound && (to == "" || k < to) {
					want = append(want, k)
				}
			}
			for _, k := range keysOf(list(t, h.Store, store.ListOptions{From: bound, To: to, Page: 2})) {
				if to == "" || k < to { // a lister may return some behind To
					got = append(got, k)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("from %q to %q: %q, want %q", bound, to, got, want)
			}
		}
	}
}

// manyKeys is more than two pages of most servers.
const manyKeys = 2500

func listPages(t *testing.T, h Harness) {
	keys := make([]string, manyKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("%02d/%04d", i/100, i)
	}
	putAll(t, h.Store, keys)
	slices.Sort(keys)
	for _, c := range []struct{ page, last int }{{0, manyKeys}, {1000, manyKeys}, {2, 100}, {1, 50}} {
		rest := keys[len(keys)-c.last:]
		opts := store.ListOptions{Page: c.page}
		if c.last < len(keys) {
			opts.From = store.Next(keys[len(keys)-c.last-1])
		}
		got := keysOf(list(t, h.Store, opts))
		if h.Store.Abilities().Order != store.OrderBytes {
			slices.Sort(got)
		}
		if !slices.Equal(got, rest) {
			t.Errorf("pages of %d: %d keys, want the last %d of %d", c.page, len(got), c.last, len(keys))
		}
	}
}

func listEndedEarly(t *testing.T, h Harness) {
	putAll(t, h.Store, []string{"a", "b", "c", "d", "e"})
	l := h.Store.List(store.ListOptions{Page: 1})
	if _, err := l.Next(t.Context()); err != nil {
		t.Fatalf("next: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := h.Store.List(store.ListOptions{}).Close(); err != nil {
		t.Errorf("close before the first page: %v", err)
	}
}

func listCanceled(t *testing.T, h Harness) {
	putAll(t, h.Store, []string{"a", "b", "c"})
	ctx, cancel := context.WithCancel(t.Context())
	l := h.Store.List(store.ListOptions{Page: 1})
	if _, err := l.Next(ctx); err != nil {
		t.Fatalf("next: %v", err)
	}
	cancel()
	if page, err := l.Next(ctx); err == nil || err == io.EOF {
		t.Errorf("next after cancel = %q, %v", keysOf(page), err)
	} else {
		wantClass(t, "next after cancel", err, store.Canceled)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
