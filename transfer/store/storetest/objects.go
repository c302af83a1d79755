package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func objectChecks() []check {
	return []check{
		{name: "round trip", run: roundTrip},
		{name: "odd keys", run: oddKeys},
		{name: "overwrite", run: overwrite},
		{name: "metadata", lacks: lacksMetadata, run: metadata},
		{name: "metadata beyond ASCII", lacks: lacksMetadata, run: metadataBeyondASCII},
		{name: "ranges", run: ranges},
		{name: "ranges of an empty object", run: rangesOfEmpty},
		{name: "missing key", run: missingKey},
		{name: "read of a changed object", lacks: lacksPinned, run: readChanged},
		{name: "delete", run: deleteTwice},
		{name: "directory marker", run: directoryMarker},
		{name: "check", run: checkClock},
		{name: "second handle", lacks: lacksNewStore, run: secondHandle},
	}
}

func lacksMetadata(h Harness) string {
	if !h.Store.Abilities().Metadata {
		return "keeps no metadata"
	}
	return ""
}

func lacksPinned(h Harness) string {
	if !h.Store.Abilities().Pinned {
		return "reads are not pinned to a version"
	}
	return ""
}

func lacksNewStore(h Harness) string {
	if h.NewStore == nil {
		return "one handle is all there can be"
	}
	return ""
}

func roundTrip(t *testing.T, h Harness) {
	for _, size := range []int{0, 1, 64 << 10} {
		for name, body := range map[string]func([]byte) store.Body{"bytes": inMemory, "stream": streamed} {
			key, want := fmt.Sprintf("dir/%s-%d", name, size), content(size, uint64(size))
			before := time.Now()
			o, err := h.Store.Put(t.Context(), key, body(want), store.PutOptions{})
			if err != nil {
				t.Fatalf("put %q: %v", key, err)
			}
			if o.Key != key || o.Size != int64(size) {
				t.Errorf("put %q = key %q, %d bytes", key, o.Key, o.Size)
			}
			agree(t, "put "+key, o.Sums, want)
			stat, err := h.Store.Stat(t.Context(), key)
			if err != nil {
				t.Fatalf("stat %q: %v", key, err)
			}
			if stat.Key != key || stat.Kind != store.KindObject || stat.Size != int64(size) || stat.ETag != o.ETag {
				t.Errorf("stat %q = %+v, put said %+v", key, stat, o)
			}
			if age := stat.ModTime.Sub(before); age < -time.Minute || age > time.Minute {
				t.Errorf("stat %q: modified at %v, put at %v", key, stat.ModTime, before)
			}
			agree(t, "stat "+key, stat.Sums, want)
			got, opened := read(t, h.Store, key, store.OpenOptions{Length: -1})
			if !bytes.Equal(got, want) {
				t.Errorf("open %q: %d bytes differ from the %d put", key, len(got), size)
			}
			if opened.Key != key || opened.Size != int64(size) || opened.ETag != stat.ETag {
				t.Errorf("open %q = %+v, stat said %+v", key, opened, stat)
			}
			if h.Store.Abilities().Metadata && (stat.Meta == nil || opened.Meta == nil) {
				t.Errorf("%q: no metadata from stat (%v) or open (%v)", key, stat.Meta, opened.Meta)
			}
		}
	}
}

// agree fails when sums that a store reports are not those of the content.
func agree(t *testing.T, what string, got store.Checksums, want []byte) {
	t.Helper()
	sums := sumsOf(want)
	if got.MD5 != "" && got.MD5 != sums.MD5 {
		t.Errorf("%s: MD5 %x, content has %x", what, got.MD5, sums.MD5)
	}
	if got.CRC64NVME != "" && got.CRC64NVME != sums.CRC64NVME {
		t.Errorf("%s: CRC64NVME %x, content has %x", what, got.CRC64NVME, sums.CRC64NVME)
	}
	if got.CRC64ECMA != "" && got.CRC64ECMA != sums.CRC64ECMA {
		t.Errorf("%s: CRC64ECMA %x, content has %x", what, got.CRC64ECMA, sums.CRC64ECMA)
	}
}

// oddNames are keys that escaping, sorting or cleaning may break.
func oddNames() []string {
	return []string{
		"a-", "a/b", "a0", "a b", "a+b", "a%20b", "a%2Fb", "a&b=c", "a?b", "a#b", "a'b", "a\"b", "a<b>", "a;b,c", "a:b@c", "a*b",
		"a~b", "a!b$(c)", "a[b]{c}", "a^b`c|d", "...", "..a", ".hidden", " lead", "trail ", "ä", "a\u0308", "日本語/キー", "中文", "🪣", "ÿ",
		strings.Repeat("long-name-of-a-folder/", 40) + strings.Repeat("n", 100),
	}
}

func (h Harness) oddKeys(t *testing.T) []string {
	var keys []string
	for _, key := range oddNames() {
		if reason := h.refuses(key); reason != "" {
			t.Logf("key %q: %s", key, reason)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func oddKeys(t *testing.T, h Harness) {
	keys := h.oddKeys(t)
	for i, key := range keys {
		put(t, h.Store, key, []byte(fmt.Sprintf("content %d", i)))
	}
	for i, key := range keys {
		if got, want := string(readWhole(t, h.Store, key)), fmt.Sprintf("content %d", i); got != want {
			t.Errorf("%q holds %q, want %q", key, got, want)
		}
	}
	for _, key := range keys {
		if err := h.Store.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
		absent(t, h.Store, key)
	}
}

func overwrite(t *testing.T, h Harness) {
	first := put(t, h.Store, "k", content(100, 1))
	second := put(t, h.Store, "k", content(50, 2))
	if first.ETag != "" && first.ETag == second.ETag {
		t.Errorf("two contents have the ETag %q", first.ETag)
	}
	if got := readWhole(t, h.Store, "k"); !bytes.Equal(got, content(50, 2)) {
		t.Errorf("%d bytes after overwriting 100 with 50", len(got))
	}
}

func metadata(t *testing.T, h Harness) {
	want := store.Metadata{
		ContentType: "text/x-test; charset=utf-8", CacheControl: "max-age=60", ContentDisposition: `attachment; filename="a b.txt"`,
		ContentEncoding: "gzip", ContentLanguage: "de-CH", Expires: "Wed, 21 Oct 2037 07:28:00 GMT",
		User: map[string]string{store.MTimeKey: "1700000000.123456789", "two-words": "one two", "empty-not": "x"},
	}
	sameMetadata(t, h, "k", want)
	sameMetadata(t, h, "k", store.Metadata{ContentType: "application/json"}) // an overwrite leaves nothing of the old
}

func metadataBeyondASCII(t *testing.T, h Harness) {
	sameMetadata(t, h, "k", store.Metadata{ContentType: "text/plain", User: map[string]string{
		"umlaut": "Grüße", "cjk": "東京", "emoji": "🪣", "encoded": "=?UTF-8?B?eA==?=", "spaces": "  two  each  ", "percent": "a%20b+c",
		"long": strings.Repeat("ö", 200), "quote": `"q" \ back`,
	}})
}

func sameMetadata(t *testing.T, h Harness, key string, want store.Metadata) {
	t.Helper()
	if _, err := h.Store.Put(t.Context(), key, inMemory([]byte("x")), store.PutOptions{Meta: want}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	stat, err := h.Store.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("stat %q: %v", key, err)
	}
	_, opened := read(t, h.Store, key, store.OpenOptions{Length: -1})
	for from, got := range map[string]*store.Metadata{"stat": stat.Meta, "open": opened.Meta} {
		if diff := cmp.Diff(&want, ofContent(got)); diff != "" {
			t.Errorf("%s: metadata differs (-put +read):\n%s", from, diff)
		}
	}
}

func ranges(t *testing.T, h Harness) {
	whole := content(1000, 3)
	put(t, h.Store, "k", whole)
	for _, r := range []struct{ off, length, from, to int64 }{
		{0, -1, 0, 1000}, {0, 1, 0, 1}, {0, 1000, 0, 1000}, {0, 2000, 0, 1000}, {1, -1, 1, 1000}, {999, 1, 999, 1000}, {999, -1, 999, 1000},
		{100, 200, 100, 300}, {900, 500, 900, 1000}, {0, 0, 0, 0}, {500, 0, 500, 500}, {1000, -1, 1000, 1000}, {1000, 0, 1000, 1000},
	} {
		got, o := read(t, h.Store, "k", store.OpenOptions{Offset: r.off, Length: r.length})
		if !bytes.Equal(got, whole[r.from:r.to]) {
			t.Errorf("range %d+%d: %d bytes, want [%d,%d)", r.off, r.length, len(got), r.from, r.to)
		}
		if o.Size != 1000 {
			t.Errorf("range %d+%d: object of %d bytes, want the whole's 1000", r.off, r.length, o.Size)
		}
		agree(t, fmt.Sprintf("range %d+%d", r.off, r.length), o.Sums, whole)
	}
}

func rangesOfEmpty(t *testing.T, h Harness) {
	put(t, h.Store, "empty", nil)
	for _, length := range []int64{-1, 0, 10} {
		if got, o := read(t, h.Store, "empty", store.OpenOptions{Length: length}); len(got) != 0 || o.Size != 0 {
			t.Errorf("length %d: %d bytes of %d", length, len(got), o.Size)
		}
	}
}

func missingKey(t *testing.T, h Harness) {
	for _, key := range []string{"missing", "missing/folder/key"} {
		absent(t, h.Store, key)
		for _, opts := range []store.OpenOptions{{Length: -1}, {Offset: 5, Length: 5}, {Length: 0}} {
			_, _, err := h.Store.Open(t.Context(), key, opts)
			wantClass(t, "open "+key, err, store.NotFound)
		}
	}
}

func readChanged(t *testing.T, h Harness) {
	old := put(t, h.Store, "k", content(100, 1))
	now := put(t, h.Store, "k", content(100, 2))
	for _, opts := range []store.OpenOptions{{Length: -1}, {Offset: 10, Length: 10}, {Length: 0}} {
		opts.IfMatch = old.ETag
		_, _, err := h.Store.Open(t.Context(), "k", opts)
		wantClass(t, fmt.Sprintf("open %+v", opts), err, store.Precondition)
		opts.IfMatch = now.ETag
		read(t, h.Store, "k", opts)
	}
}

func deleteTwice(t *testing.T, h Harness) {
	put(t, h.Store, "folder/k", []byte("x"))
	put(t, h.Store, "folder/other", []byte("y"))
	for range 2 {
		if err := h.Store.Delete(t.Context(), "folder/k"); err != nil {
			t.Errorf("delete: %v", err)
		}
		absent(t, h.Store, "folder/k")
	}
	if err := h.Store.Delete(t.Context(), "never/was/here"); err != nil {
		t.Errorf("delete a key in a missing folder: %v", err)
	}
	if got := readWhole(t, h.Store, "folder/other"); string(got) != "y" {
		t.Errorf("the neighbour holds %q", got)
	}
}

func directoryMarker(t *testing.T, h Harness) {
	if _, err := h.Store.Put(t.Context(), "marked/", store.Body{}, store.PutOptions{Kind: store.KindDir}); err != nil {
		t.Fatalf("put: %v", err)
	}
	o, err := h.Store.Stat(t.Context(), "marked/")
	if err != nil || o.Kind != store.KindDir || o.Size != 0 {
		t.Errorf("stat = %+v, %v; want a directory marker", o, err)
	}
}

func checkClock(t *testing.T, h Harness) {
	clock, err := h.Store.Check(t.Context())
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	if off := time.Since(clock); !clock.IsZero() && (off > time.Minute || off < -time.Minute) {
		t.Errorf("the store's clock is off by %v", off)
	}
}

func secondHandle(t *testing.T, h Harness) {
	put(t, h.Store, "k", []byte("x"))
	for _, role := range []store.Role{store.RoleSource, store.RoleDestination} {
		other := h.NewStore(role)
		if got := readWhole(t, other, "k"); string(got) != "x" {
			t.Errorf("as %s: %q", role, got)
		}
		if err := other.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if got := readWhole(t, h.Store, "k"); string(got) != "x" {
		t.Errorf("after another handle was closed: %q", got)
	}
}
