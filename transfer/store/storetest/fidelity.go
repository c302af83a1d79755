package storetest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func fidelityChecks() []check {
	return []check{
		{name: "what fits is kept", lacks: lacksFit, run: fits},
		{name: "what fits is kept of parts", lacks: lacksFitOfParts, run: fitsOfParts},
		{name: "what fits is kept of a copy", lacks: lacksFitOfCopy, run: fitsOfCopy},
		{name: "nothing fits badly", lacks: lacksFit, run: fitsNothing},
	}
}

func lacksFit(h Harness) string {
	if _, ok := h.Store.(store.Fitter); !ok {
		return "tells not what it keeps"
	}
	return ""
}

func lacksFitOfParts(h Harness) string {
	if _, ok := h.Store.(store.Multiparter); !ok {
		return "takes no parts"
	}
	return lacksFit(h)
}

func lacksFitOfCopy(h Harness) string {
	if reason := lacksCopy(h); reason != "" {
		return reason
	}
	if h.CopiesAsIs {
		return "copies objects with what they have"
	}
	return lacksFit(h)
}

// rich is metadata of every kind, with values that some store or other cannot hold.
func rich() store.Metadata {
	return store.Metadata{
		ContentType: "text/x-test; charset=utf-8", CacheControl: "max-age=60", ContentDisposition: `attachment; filename="a b.txt"`,
		ContentEncoding: "br", ContentLanguage: "de-CH", Expires: "Wed, 21 Oct 2037 07:28:00 GMT",
		User: map[string]string{
			store.MTimeKey: "1700000000.123456789", "two-words": "one two", "under_score": "x", "cjk": "東京", "long": strings.Repeat("l", 1200), "longer": strings.Repeat("m", 9000),
		},
		Class: store.StorageClass{Name: "ANOTHER_VENDORS", Tier: store.TierInfrequent}, Access: store.AccessPublicRead,
		Tags: map[string]string{"color": "blue", "path": "a/b:c d"},
	}
}

// fit gives what the store keeps, and fails when something is lost without a reason.
func fit(t *testing.T, s store.Destination, m store.Metadata) store.Metadata {
	t.Helper()
	kept, lost := s.(store.Fitter).Fit(m)
	for _, l := range lost {
		if l.What == "" || l.Reason == "" {
			t.Errorf("a loss without a reason: %+v", l)
		}
	}
	again, more := s.(store.Fitter).Fit(kept)
	if diff := cmp.Diff(kept, again); diff != "" || len(more) > 0 {
		t.Errorf("what fits does not fit again, lost %v:\n%s", more, diff)
	}
	return kept
}

// wantKept compares what is told of an object with what was said to be kept.
func wantKept(t *testing.T, h Harness, key string, want store.Metadata) {
	t.Helper()
	s := h.Store
	forgets := func(what string) bool { return slices.Contains(h.Forgets, what) }
	o, err := s.Stat(t.Context(), key)
	if err != nil || o.Meta == nil {
		t.Fatalf("stat %q = %+v, %v", key, o, err)
	}
	got := *o.Meta
	a := s.Abilities()
	if d, ok := s.(store.Detailer); ok {
		if _, err := d.Detail(t.Context(), key, store.Details{Tags: a.Tags, Access: a.Access}, &got); err != nil {
			t.Fatalf("details of %q: %v", key, err)
		}
	}
	if want.Class.Tier != "" && !forgets("class") && got.Class.Tier != want.Class.Tier {
		t.Errorf("%q is of class %+v, want %+v", key, got.Class, want.Class)
	}
	if want.Access != "" && !forgets("access") && got.Access != want.Access {
		t.Errorf("%q: access %q, want %q", key, got.Access, want.Access)
	}
	if !forgets("tags") && !maps.Equal(got.Tags, want.Tags) {
		t.Errorf("%q has the tags %v, want %v", key, got.Tags, want.Tags)
	}
	if diff := cmp.Diff(headersOf(want), headersOf(got)); diff != "" {
		t.Errorf("%q: metadata differs (-want +got):\n%s", key, diff)
	}
}

// headersOf is metadata without what a store may add by itself.
func headersOf(m store.Metadata) store.Metadata {
	m.Class, m.Encryption, m.Tags, m.Access = store.StorageClass{}, "", nil, ""
	if len(m.User) == 0 {
		m.User = nil
	}
	return m
}

func fits(t *testing.T, h Harness) {
	kept := fit(t, h.Store, rich())
	if _, err := h.Store.Put(t.Context(), "k", inMemory([]byte("x")), store.PutOptions{Meta: kept}); err != nil {
		t.Fatalf("put: %v", err)
	}
	wantKept(t, h, "k", kept)
}

func fitsOfParts(t *testing.T, h Harness) {
	kept := fit(t, h.Store, rich())
	m := h.Store.(store.Multiparter)
	id, err := m.CreateUpload(t.Context(), "k", store.PutOptions{Meta: kept})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	part, err := m.UploadPart(t.Context(), "k", id, 1, inMemory([]byte("x")))
	if err != nil {
		t.Fatalf("part: %v", err)
	}
	if _, err := m.CompleteUpload(t.Context(), "k", id, []store.Part{part}, store.PutOptions{Meta: kept}); err != nil {
		t.Fatalf("complete: %v", err)
	}
	wantKept(t, h, "k", kept)
}

func fitsOfCopy(t *testing.T, h Harness) {
	kept := fit(t, h.Store, rich())
	put(t, h.Store, "from", []byte("x"))
	from, err := h.Store.Stat(t.Context(), "from")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Store.(store.Copier).Copy(t.Context(), h.Store, from, "k", store.PutOptions{Meta: kept}); err != nil {
		t.Fatalf("copy: %v", err)
	}
	wantKept(t, h, "k", kept)
}

// fitsNothing: what tells nothing loses nothing, and stays.
func fitsNothing(t *testing.T, h Harness) {
	if kept, lost := h.Store.(store.Fitter).Fit(store.Metadata{}); len(lost) > 0 || !cmp.Equal(kept, store.Metadata{}) {
		t.Errorf("of nothing %+v is kept and %v lost", kept, lost)
	}
}
