package storetest

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func otherChecks() []check {
	return []check{
		{name: "ranges written in any order", lacks: lacksRanges, run: rangedWrite},
		{name: "ranged write aborted", lacks: lacksRanges, run: rangedAbort},
		{name: "ranged write stopped before commit", lacks: lacksRanges, run: rangedStopped},
		{name: "copy", lacks: lacksCopy, run: copyObject},
		{name: "copy of a changed object", lacks: lacksCopy, run: copyChanged},
		{name: "copy by parts", lacks: lacksCopy, run: copyParts},
		{name: "sums chosen", lacks: lacksChooser, run: sumsChosen},
	}
}

func lacksRanges(h Harness) string {
	if _, ok := h.Store.(store.RangeWriter); !ok {
		return "writes no ranges"
	}
	return ""
}

func lacksCopy(h Harness) string {
	if _, ok := h.Store.(store.Copier); !ok {
		return "copies nothing by itself"
	}
	return ""
}

func lacksChooser(h Harness) string {
	if _, ok := h.Store.(store.SumChooser); !ok {
		return "does not choose sums"
	}
	return ""
}

func rangedWrite(t *testing.T, h Harness) {
	whole := content(3<<20+17, 4)
	r, err := h.Store.(store.RangeWriter).CreateRanged(t.Context(), "folder/big", int64(len(whole)), store.PutOptions{})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	absent(t, h.Store, "folder/big")
	var wg sync.WaitGroup
	const piece = 300_000
	for off := 0; off < len(whole); off += piece {
		wg.Go(func() {
			b := whole[off:min(off+piece, len(whole))]
			if n, err := r.WriteAt(b, int64(off)); err != nil || n != len(b) {
				t.Errorf("write %d at %d: %d, %v", len(b), off, n, err)
			}
		})
	}
	wg.Wait()
	absent(t, h.Store, "folder/big")
	o, err := r.Commit(t.Context())
	if err != nil || o.Size != int64(len(whole)) || o.Key != "folder/big" {
		t.Fatalf("commit = %+v, %v", o, err)
	}
	if err := r.Abort(); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	if got := readWhole(t, h.Store, "folder/big"); !bytes.Equal(got, whole) {
		t.Errorf("%d bytes differ from the %d written", len(got), len(whole))
	}
}

func rangedAbort(t *testing.T, h Harness) {
	r, err := h.Store.(store.RangeWriter).CreateRanged(t.Context(), "big", 100, store.PutOptions{})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if _, err := r.WriteAt(content(50, 1), 50); err != nil {
		t.Errorf("write: %v", err)
	}
	if err := r.Abort(); err != nil {
		t.Errorf("abort: %v", err)
	}
	absent(t, h.Store, "big")
	if got := keysOf(list(t, h.Store, store.ListOptions{})); len(got) != 0 {
		t.Errorf("listed after the abort: %q", got)
	}
}

func rangedStopped(t *testing.T, h Harness) {
	cause := errors.New("the lease is lost")
	r, err := h.Store.(store.RangeWriter).CreateRanged(t.Context(), "big", 1, store.PutOptions{BeforeCommit: func() error { return cause }})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if _, err := r.WriteAt([]byte("x"), 0); err != nil {
		t.Errorf("write: %v", err)
	}
	if _, err := r.Commit(t.Context()); !errors.Is(err, cause) {
		t.Errorf("commit: %v, want what BeforeCommit gave", err)
	}
	if err := r.Abort(); err != nil {
		t.Errorf("abort: %v", err)
	}
	absent(t, h.Store, "big")
}

// copySource is where copies come from: another handle where there can be one.
func copySource(t *testing.T, h Harness) (store.Copier, store.Source) {
	t.Helper()
	c, src := h.Store.(store.Copier), store.Source(h.Store)
	if h.NewStore != nil {
		src = h.NewStore(store.RoleSource)
	}
	if !c.CanCopyFrom(src) {
		t.Fatal("cannot copy from the same place")
	}
	return c, src
}

func copyObject(t *testing.T, h Harness) {
	c, src := copySource(t, h)
	for _, key := range h.oddKeys(t) {
		whole := []byte("content of " + key)
		meta := store.Metadata{ContentType: "text/x-test", User: map[string]string{"a": "ü"}}
		if _, err := h.Store.Put(t.Context(), key, inMemory(whole), store.PutOptions{Meta: meta}); err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		from, err := src.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("stat %q: %v", key, err)
		}
		for _, want := range []store.Metadata{meta, {ContentType: "application/json", User: map[string]string{"b": "2"}}} {
			o, err := c.Copy(t.Context(), src, from, "copied/"+key[:min(len(key), 200)], store.PutOptions{Meta: want})
			if err != nil {
				t.Errorf("copy %q: %v", key, err)
				continue
			}
			agree(t, "copy", o.Sums, whole)
			got, opened := read(t, h.Store, o.Key, store.OpenOptions{Length: -1})
			if !bytes.Equal(got, whole) {
				t.Errorf("copy of %q holds %q", key, got)
			}
			if diff := cmp.Diff(&want, ofContent(opened.Meta)); diff != "" && h.Store.Abilities().Metadata {
				t.Errorf("metadata of the copy of %q differs (-want +got):\n%s", key, diff)
			}
		}
	}
}

func copyChanged(t *testing.T, h Harness) {
	c, src := copySource(t, h)
	old := put(t, h.Store, "k", content(100, 1))
	put(t, h.Store, "k", content(100, 2))
	_, err := c.Copy(t.Context(), src, old, "copy", store.PutOptions{})
	wantClass(t, "copy of an older version", err, store.Precondition)
	absent(t, h.Store, "copy")
	_, err = c.Copy(t.Context(), src, store.Object{Key: "missing"}, "copy", store.PutOptions{})
	wantClass(t, "copy of a missing object", err, store.NotFound)
}

func copyParts(t *testing.T, h Harness) {
	c, src := copySource(t, h)
	u := newUpload(t, h, "copied/big", store.PutOptions{})
	whole := content(2*u.size+5, 6)
	put(t, h.Store, "big ü+", whole)
	from, err := src.Stat(t.Context(), "big ü+")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	var parts []store.Part
	for off, n := 0, 1; off < len(whole); off, n = off+u.size, n+1 {
		size := min(u.size, len(whole)-off)
		p, err := c.CopyPart(t.Context(), src, from, int64(off), int64(size), u.key, u.id, n)
		if err != nil {
			t.Fatalf("copy part %d: %v", n, err)
		}
		agree(t, "copied part", p.Sums, whole[off:off+size])
		parts = append(parts, p)
	}
	u.holds(u.complete(parts, store.PutOptions{}), whole)
}

// sumsChosen proves that what a store says it can be compared with is what its answers carry.
func sumsChosen(t *testing.T, h Harness) {
	chooser, whole := h.Store.(store.SumChooser), content(1000, 1)
	send := func() store.Object {
		body := inMemory(whole)
		body.Sums = sumsOf(whole)
		o, err := h.Store.Put(t.Context(), "k", body, store.PutOptions{})
		if err != nil {
			t.Fatalf("put: %v", err)
		}
		return o
	}
	send() // the first answer teaches
	wants := chooser.WantSums()
	o := send()
	if wants.MD5 && o.Sums.MD5 == "" {
		t.Error("wants the MD5, but reports none")
	}
	if wants.CRC64NVME && o.Sums.CRC64NVME == "" {
		t.Error("wants the CRC64NVME, but reports none")
	}
	if plain := put(t, h.Store, "plain", whole); wants.CRC64ECMA && (o.Sums.CRC64ECMA == "" || plain.Sums.CRC64ECMA == "") {
		t.Error("wants the CRC64ECMA, but does not always report it")
	}
}
