package transfer

import (
	"context"
	"io"
	"path"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// cleaning is a store over folders: "x//y" and "/x/y" reach "x/y", and it is listed as that.
type cleaning struct{ *memStore }

func cleaned(key string) string { return path.Clean("/" + key)[1:] }

func (s cleaning) Stat(ctx context.Context, key string) (store.Object, error) {
	o, err := s.memStore.Stat(ctx, cleaned(key))
	o.Key = key
	return o, err
}

func (s cleaning) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	return s.memStore.Open(ctx, cleaned(key), opts)
}

func (s cleaning) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	return s.memStore.Put(ctx, cleaned(key), body, opts)
}

// TestKeysThatReachAnother: what a key that the destination takes for another reaches is not overwritten, whether the destination
// heeds conditions or not; the key fails.
func TestKeysThatReachAnother(t *testing.T) {
	for _, conditional := range []bool{true, false} {
		for _, byKeys := range []bool{true, false} {
			src, dst := newMemStore(), newMemStore()
			dst.ab.Conditional, dst.ab.ListsByKeys = conditional, byKeys
			odd := []string{"/x/y", "x//y", "x/./y", "z/../x/y"}
			for i, key := range odd {
				src.set(key, content(50, uint64(10+i)))
			}
			src.set("x/y", content(50, 1))
			dst.set("x/y", content(50, 1))
			b := newBench(t, src, cleaning{dst})
			b.pass()
			if b.totals.Failed != int64(len(odd)) || b.totals.Skipped != 1 || b.totals.Copied != 0 {
				t.Errorf("conditions %v, lists by keys %v: %+v", conditional, byKeys, b.totals)
			}
			if string(dst.data("x/y")) != string(content(50, 1)) {
				t.Errorf("conditions %v, lists by keys %v: another key's content was changed", conditional, byKeys)
			}
			if n := dst.count("put"); !byKeys && n > 0 || n > len(odd) {
				t.Errorf("conditions %v, lists by keys %v: %d writes", conditional, byKeys, n)
			}
		}
	}
}

// TestOddKeysOfTheirOwn: where such keys are kept as they are they are copied, and copied again once they changed.
func TestOddKeysOfTheirOwn(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	for i, key := range []string{"/x/y", "x//y", "x/./y", "x/y"} {
		src.set(key, content(50, uint64(i)))
	}
	b := newBench(t, src, dst)
	b.pass()
	b.equal(src, dst)
	if b.totals.Copied != 4 || b.totals.Failed != 0 {
		t.Errorf("%+v", b.totals)
	}
}

func TestAmbiguousKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"a": false, "a/b": false, "a/": false, "a.b/..c/.d/e.": false, "": false,
		"/a": true, "a//b": true, "a//": true, "./a": true, "a/.": true, "a/./b": true, "../a": true, "a/..": true, ".": true,
	} {
		if got := ambiguous(key); got != want {
			t.Errorf("%q: %v", key, got)
		}
	}
}
