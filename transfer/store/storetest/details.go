package storetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func detailChecks() []check {
	return []check{
		{name: "tags", lacks: lacks("tags", func(a store.Abilities) bool { return a.Tags }), run: tags},
		{name: "access", lacks: lacks("access", func(a store.Abilities) bool { return a.Access }), run: access},
		{name: "storage classes", lacks: lacks("class", func(a store.Abilities) bool { return len(a.Classes) > 0 }), run: storageClasses},
		{name: "encryption", lacks: lacks("encryption", func(a store.Abilities) bool { return a.Encryption }), run: encryption},
		{name: "what fits is taken", lacks: lacksMetadata, run: fitted},
	}
}

func lacks(what string, has func(store.Abilities) bool) func(Harness) string {
	return func(h Harness) string {
		switch {
		case !has(h.Store.Abilities()):
			return "has no " + what
		case slices.Contains(h.Forgets, what):
			return "the server does not keep it"
		}
		return ""
	}
}

// everyWay writes an object with metadata in every way that the store has, and calls visit with its key.
func everyWay(t *testing.T, h Harness, meta store.Metadata, visit func(way, key string)) {
	t.Helper()
	opts := store.PutOptions{Meta: meta}
	if _, err := h.Store.Put(t.Context(), "put", inMemory([]byte("x")), opts); err != nil {
		t.Fatalf("put: %v", err)
	}
	visit("put", "put")
	if _, ok := h.Store.(store.Multiparter); ok {
		u := newUpload(t, h, "big", opts)
		u.complete([]store.Part{u.part(1, content(100, 1))}, opts)
		visit("upload", "big")
	}
	if _, ok := h.Store.(store.Copier); ok && !h.CopiesAsIs {
		c, src := copySource(t, h)
		put(t, h.Store, "plain", []byte("y"))
		from, err := src.Stat(t.Context(), "plain")
		if err != nil {
			t.Fatalf("stat: %v", err)
		}
		own := *from.Meta
		own.Class, own.Encryption, own.Tags, own.Access = meta.Class, meta.Encryption, meta.Tags, meta.Access
		if _, err := c.Copy(t.Context(), src, from, "copy", store.PutOptions{Meta: own}); err != nil {
			t.Fatalf("copy: %v", err)
		}
		visit("copy", "copy")
	}
}

// detail asks the store for details of a key.
func detail(t *testing.T, h Harness, key string, want store.Details) (m store.Metadata) {
	t.Helper()
	d, ok := h.Store.(store.Detailer)
	if !ok {
		t.Fatal("the store keeps details and is no store.Detailer")
	}
	lost, err := d.Detail(t.Context(), key, want, &m)
	if err != nil || len(lost) > 0 {
		t.Errorf("detail of %q: lost %v, error %v", key, lost, err)
	}
	return m
}

func tags(t *testing.T, h Harness) {
	want := h.fit(store.Metadata{Tags: map[string]string{"colour": "red", "a key": "a/b=c +d", "empty": ""}}).Tags
	if len(want) < 2 {
		t.Errorf("of three tags only %v fit", want)
	}
	everyWay(t, h, store.Metadata{Tags: want}, func(way, key string) {
		if got := detail(t, h, key, store.Details{Tags: true}).Tags; !maps.Equal(got, want) {
			t.Errorf("%s: tags %v, want %v", way, got, want)
		}
	})
	put(t, h.Store, "put", []byte("none"))
	if got := detail(t, h, "put", store.Details{Tags: true}).Tags; len(got) != 0 {
		t.Errorf("written again without: tags %v", got)
	}
	_, err := h.Store.(store.Detailer).Detail(t.Context(), "absent", store.Details{Tags: true}, &store.Metadata{})
	wantClass(t, "tags of nothing", err, store.NotFound)
}

func access(t *testing.T, h Harness) {
	everyWay(t, h, store.Metadata{Access: store.AccessPublicRead}, func(way, key string) {
		if got := detail(t, h, key, store.Details{Access: true}).Access; got != store.AccessPublicRead {
			t.Errorf("%s: access %q", way, got)
		}
	})
	put(t, h.Store, "put", []byte("x"))
	if got := detail(t, h, "put", store.Details{Access: true}).Access; got != store.AccessUnknown && got != store.AccessPrivate {
		t.Errorf("written again without: access %q", got)
	}
}

func storageClasses(t *testing.T, h Harness) {
	for _, class := range h.Store.Abilities().Classes {
		everyWay(t, h, store.Metadata{Class: class}, func(way, key string) {
			o, err := h.Store.Stat(t.Context(), key)
			if err != nil {
				t.Fatalf("%s: stat: %v", way, err)
			}
			if o.Meta.Class != class || o.Archived != class.Tier.Archived() {
				t.Errorf("%s: class %+v, archived %t, want %+v", way, o.Meta.Class, o.Archived, class)
			}
			if class.Tier.Archived() {
				_, _, err := h.Store.Open(t.Context(), key, store.OpenOptions{Length: -1})
				wantClass(t, way+" of class "+class.Name+": open", err, store.Archived)
			}
		})
	}
}

func encryption(t *testing.T, h Harness) {
	everyWay(t, h, store.Metadata{Encryption: store.EncryptionStore}, func(way, key string) {
		o, err := h.Store.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("%s: stat: %v", way, err)
		}
		if o.Meta.Encryption != store.EncryptionStore {
			t.Errorf("%s: encryption %q", way, o.Meta.Encryption)
		}
	})
}

// fitted writes what Fit made of more than the store can keep.
func fitted(t *testing.T, h Harness) {
	f, ok := h.Store.(store.Fitter)
	if !ok {
		t.Skip("is no store.Fitter yet")
	}
	wild := store.Metadata{
		ContentType: "text/x\x00", CacheControl: "no-store", User: map[string]string{"ok": "1", "b a d": "2", "long": string(make([]byte, 20<<10))},
		Class: store.StorageClass{Name: "somebody's", Tier: store.TierCold}, Access: "nobody-else", Encryption: "rot13",
		Tags: map[string]string{"\x00": "bad", "t": "\u2028"},
	}
	m, lost := f.Fit(wild)
	if len(lost) < 6 {
		t.Errorf("lost only %v", lost)
	}
	if _, err := h.Store.Put(t.Context(), "k", inMemory([]byte("x")), store.PutOptions{Meta: m}); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
	if again, more := f.Fit(m); len(more) > 0 {
		t.Errorf("fitted again: %+v, lost %v", again, more)
	}
}
