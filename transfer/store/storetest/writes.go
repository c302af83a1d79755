package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func writeChecks() []check {
	return []check{
		{name: "write on condition", lacks: lacksConditional, run: conditional},
		{name: "write where nothing is", lacks: lacksConditionalCreate, run: conditionalCreate},
		{name: "right sums sent", run: rightSums},
		{name: "wrong sums sent", lacks: lacksSums, run: wrongSums},
		{name: "short content", run: shortContent},
		{name: "long content", run: longContent},
		{name: "content that fails", run: failingContent},
		{name: "canceled while sending", run: canceledPut},
		{name: "canceled before", run: canceledBefore},
		{name: "content is the caller's again", run: contentReused},
	}
}

func lacksConditional(h Harness) string {
	if !h.Store.Abilities().Conditional {
		return "writes without conditions"
	}
	return ""
}

func lacksSums(h Harness) string {
	if !h.ChecksSums {
		return "does not check the sums sent along"
	}
	return ""
}

func lacksConditionalCreate(h Harness) string {
	if a := h.Store.Abilities(); !a.Conditional && !a.ConditionalCreate {
		return "writes without conditions"
	}
	return ""
}

func conditionalCreate(t *testing.T, h Harness) {
	absentOnly := store.PutOptions{Condition: store.Condition{Absent: true}}
	for name, body := range bodies(content(10, 1)) {
		if _, err := h.Store.Put(t.Context(), name, body, absentOnly); err != nil {
			t.Fatalf("absent and so it is: %v", err)
		}
	}
	for name, body := range bodies(content(10, 2)) {
		_, err := h.Store.Put(t.Context(), name, body, absentOnly)
		wantClass(t, "absent, but there", err, store.Precondition)
		if got := readWhole(t, h.Store, name); !bytes.Equal(got, content(10, 1)) {
			t.Error("a refused write changed the object")
		}
	}
}

func conditional(t *testing.T, h Harness) {
	write := func(key string, c store.Condition, seed uint64) error {
		_, err := h.Store.Put(t.Context(), key, inMemory(content(10, seed)), store.PutOptions{Condition: c})
		return err
	}
	if err := write("k", store.Condition{Absent: true}, 1); err != nil {
		t.Fatalf("absent and so it is: %v", err)
	}
	wantClass(t, "absent, but there", write("k", store.Condition{Absent: true}, 2), store.Precondition)
	first, err := h.Store.Stat(t.Context(), "k")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	if err := write("k", store.Condition{ETag: first.ETag}, 3); err != nil {
		t.Fatalf("with the right ETag: %v", err)
	}
	wantClass(t, "with a stale ETag", write("k", store.Condition{ETag: first.ETag}, 4), store.Precondition)
	if got := readWhole(t, h.Store, "k"); !bytes.Equal(got, content(10, 3)) {
		t.Error("a refused write changed the object")
	}
	wantClass(t, "with an ETag, but absent", write("missing", store.Condition{ETag: first.ETag}, 5), store.Precondition, store.NotFound)
	absent(t, h.Store, "missing")
}

// bodies are the two ways to hand content over.
func bodies(b []byte) map[string]store.Body {
	return map[string]store.Body{"bytes": inMemory(b), "stream": streamed(b)}
}

func rightSums(t *testing.T, h Harness) {
	whole := content(5000, 7)
	for name, body := range bodies(whole) {
		body.Sums = sumsOf(whole)
		o, err := h.Store.Put(t.Context(), name, body, store.PutOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		agree(t, name, o.Sums, whole)
	}
}

func wrongSums(t *testing.T, h Harness) {
	// The first request teaches a store what the server knows.
	whole := content(5000, 7)
	body := inMemory(whole)
	body.Sums = sumsOf(whole)
	if _, err := h.Store.Put(t.Context(), "first", body, store.PutOptions{}); err != nil {
		t.Fatalf("right sums: %v", err)
	}
	for name, body := range bodies(content(5000, 8)) {
		body.Sums.MD5 = sumsOf(whole).MD5
		_, err := h.Store.Put(t.Context(), name, body, store.PutOptions{})
		wantClass(t, name, err, store.Mismatch)
		absent(t, h.Store, name)
	}
}

// announced is content with another size than it has.
func announced(b []byte, size int64) store.Body {
	body := streamed(b)
	body.Size = size
	return body
}

func shortContent(t *testing.T, h Harness) {
	for _, n := range []int{0, 1, 100, 100 << 10} {
		key := fmt.Sprintf("short-%d", n)
		_, err := h.Store.Put(t.Context(), key, announced(content(n, 1), int64(n)+1), store.PutOptions{})
		if err == nil {
			t.Errorf("%d bytes announced as %d were taken", n, n+1)
		}
		absent(t, h.Store, key)
		noLeftOvers(t, h)
	}
}

func longContent(t *testing.T, h Harness) {
	for _, n := range []int{1, 2, 100, 100 << 10} {
		key := fmt.Sprintf("long-%d", n)
		_, err := h.Store.Put(t.Context(), key, announced(content(n, 1), int64(n)-1), store.PutOptions{})
		if err == nil {
			t.Errorf("%d bytes announced as %d were taken", n, n-1)
		}
		absent(t, h.Store, key)
		noLeftOvers(t, h)
	}
}

// failAfter gives bytes, then an error.
type failAfter struct {
	r    io.Reader
	fail func() error
}

func (f failAfter) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		return n, f.fail()
	}
	return n, err
}

func failingContent(t *testing.T, h Harness) {
	cause := errors.New("the source broke")
	changed := &store.Error{Op: "read", Class: store.Changed, Err: cause}
	for _, n := range []int{0, 100, 300 << 10} {
		key := fmt.Sprintf("failing-%d", n)
		body := store.Body{Reader: failAfter{bytes.NewReader(content(n, 1)), func() error { return changed }}, Size: int64(n) + 1000}
		_, err := h.Store.Put(t.Context(), key, body, store.PutOptions{})
		if !errors.Is(err, cause) {
			t.Errorf("after %d bytes: error %v, want the source's", n, err)
		}
		wantClass(t, key, err, store.Changed)
		absent(t, h.Store, key)
		noLeftOvers(t, h)
	}
}

func canceledPut(t *testing.T, h Harness) {
	for _, n := range []int{0, 100, 300 << 10} {
		key := fmt.Sprintf("canceled-%d", n)
		ctx, cancel := context.WithCancel(t.Context())
		first := failAfter{bytes.NewReader(content(n, 1)), func() error { cancel(); return io.EOF }}
		body := store.Body{Reader: io.MultiReader(first, bytes.NewReader(content(1000, 2))), Size: int64(n) + 1000}
		_, err := h.Store.Put(ctx, key, body, store.PutOptions{})
		wantClass(t, key, err, store.Canceled)
		absent(t, h.Store, key)
		noLeftOvers(t, h)
		cancel()
	}
}

func canceledBefore(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Store.Put(ctx, "k", inMemory([]byte("x")), store.PutOptions{})
	wantClass(t, "put", err, store.Canceled)
	absent(t, h.Store, "k")
	put(t, h.Store, "kept", []byte("x"))
	wantClass(t, "delete", h.Store.Delete(ctx, "kept"), store.Canceled)
	if got := readWhole(t, h.Store, "kept"); string(got) != "x" {
		t.Errorf("delete after cancel: %q", got)
	}
}

// contentReused overwrites the content as soon as Put returned: under the race detector a store that still reads it
// shows.
func contentReused(t *testing.T, h Harness) {
	buf := content(256<<10, 1)
	put(t, h.Store, "k", buf)
	clear(buf)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Store.Put(ctx, "never", inMemory(buf), store.PutOptions{})
	wantClass(t, "put", err, store.Canceled)
	buf[0]++
	if got := readWhole(t, h.Store, "k"); !bytes.Equal(got, content(256<<10, 1)) {
		t.Error("the object changed with the caller's buffer")
	}
}
