package sorting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// of makes a producer of keys, in the order given.
func of(keys ...string) func(context.Context, func(store.Object) error) error {
	return func(_ context.Context, emit func(store.Object) error) error {
		for i, key := range keys {
			if err := emit(store.Object{Key: key, Size: int64(i)}); err != nil {
				return err
			}
		}
		return nil
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
		if len(page) == 0 {
			return keys, errors.New("an empty page")
		}
		for _, o := range page {
			keys = append(keys, o.Key)
		}
	}
}

func TestListingIsSortedBetweenItsBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for range 3000 {
		seen[odd(rng)] = true
	}
	var keys []string
	for key := range seen {
		keys = append(keys, key)
	}
	sorted := slices.Sorted(slices.Values(keys))
	for range 50 {
		bound := func() string {
			if rng.IntN(3) == 0 {
				return ""
			}
			return store.Next(keys[rng.IntN(len(keys))])
		}
		opts := store.ListOptions{From: bound(), To: bound(), Page: rng.IntN(50)}
		want := slices.DeleteFunc(slices.Clone(sorted), func(k string) bool { return k < opts.From || opts.To != "" && k >= opts.To })
		g := Listing{Read: of(keys...), Limit: 1 + rng.IntN(20000)}
		got, err := drain(t.Context(), g.List(opts))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %d keys, %v; want %d in order", opts, len(got), err, len(want))
		}
	}
}

func TestListingIsReadOnce(t *testing.T) {
	reads := 0
	g := Listing{Read: func(ctx context.Context, emit func(store.Object) error) error {
		reads++
		return of("b", "a", "c")(ctx, emit)
	}}
	l := g.List(store.ListOptions{Page: 1})
	if reads != 0 {
		t.Error("List itself reads")
	}
	got, err := drain(t.Context(), l)
	if err != nil || !slices.Equal(got, []string{"a", "b", "c"}) || reads != 1 {
		t.Errorf("%q, %v, %d reads", got, err, reads)
	}
}

func TestListingWithAKeyTwiceIsNotTrusted(t *testing.T) {
	for _, limit := range []int{0, 1} {
		g := Listing{Read: of("c", "a", "b", "a"), Limit: limit}
		l := g.List(store.ListOptions{})
		_, err := l.Next(t.Context())
		if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), `"a" twice`) {
			t.Errorf("limit %d: %v", limit, err)
		}
		if _, again := l.Next(t.Context()); !errors.Is(again, err) {
			t.Errorf("limit %d: then %v", limit, again)
		}
	}
	g := Listing{Read: of("c", "a", "b", "a")}
	if got, err := drain(t.Context(), g.List(store.ListOptions{From: "b"})); err != nil || len(got) != 2 {
		t.Errorf("behind the key that comes twice: %q, %v", got, err)
	}
	_, err := drain(t.Context(), (&Listing{Read: of(strings.Repeat("k", 5000), strings.Repeat("k", 5000))}).List(store.ListOptions{}))
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("%v", err)
	}
}

// A producer of numbers that fails again and again.
type flaky struct {
	resumes bool
	fail    map[int]int // how often before which number
	class   store.Class
	at      int
	calls   int
}

func (f *flaky) read(_ context.Context, emit func(store.Object) error) error {
	f.calls++
	if !f.resumes {
		f.at = 0
	}
	for ; f.at < 10; f.at++ {
		if f.fail[f.at] > 0 {
			f.fail[f.at]--
			return &store.Error{Op: "list", Class: f.class, Err: errors.New("no page")}
		}
		if err := emit(store.Object{Key: fmt.Sprint(9 - f.at)}); err != nil {
			return err
		}
	}
	return nil
}

func TestListingGoesOnAfterAFailure(t *testing.T) {
	want := "0 1 2 3 4 5 6 7 8 9"
	for name, c := range map[string]struct {
		f            *flaky
		fails, calls int
	}{
		"a failure behind progress is not the caller's": {&flaky{resumes: true, class: store.Transient, fail: map[int]int{3: 1, 5: 1, 9: 1}}, 0, 4},
		"a failure at once again is":                    {&flaky{resumes: true, class: store.Transient, fail: map[int]int{0: 1, 5: 3}}, 3, 5},
		"from the start where it must":                  {&flaky{class: store.Throttled, fail: map[int]int{3: 1, 5: 1}}, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			g := Listing{Read: c.f.read, Resumes: c.f.resumes, Limit: 1}
			l := g.List(store.ListOptions{})
			if got := l.(store.Resumer).Resumes(); got != c.f.resumes {
				t.Errorf("resumes: %v", got)
			}
			fails := 0
			for {
				got, err := drain(t.Context(), l)
				if err == nil {
					if text := strings.Join(got, " "); text != want {
						t.Errorf("listed %q", text)
					}
					break
				}
				if fails++; fails > 10 {
					t.Fatal(err)
				}
			}
			if fails != c.fails || c.f.calls != c.calls {
				t.Errorf("%d failures were told and %d calls made, want %d and %d", fails, c.f.calls, c.fails, c.calls)
			}
		})
	}
}

func TestListingEndsWithAFailureThatStays(t *testing.T) {
	before := openFiles(t)
	f := &flaky{resumes: true, class: store.Auth, fail: map[int]int{5: 100}}
	g := Listing{Read: f.read, Resumes: true, Limit: 1}
	l := g.List(store.ListOptions{})
	if _, err := l.Next(t.Context()); store.ClassOf(err) != store.Auth {
		t.Errorf("%v", err)
	}
	if left := openFiles(t) - before; left != 0 {
		t.Errorf("%d temporary files left open", left)
	}
}

func TestListingClosedWhileItIsRead(t *testing.T) {
	before := openFiles(t)
	reached := make(chan struct{})
	g := Listing{Limit: 1, Read: func(ctx context.Context, emit func(store.Object) error) error {
		must(t, emit(store.Object{Key: "a"}))
		must(t, emit(store.Object{Key: "b"}))
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	}}
	l := g.List(store.ListOptions{})
	ended := make(chan error)
	go func() {
		_, err := l.Next(context.Background())
		ended <- err
	}()
	<-reached
	must(t, l.Close())
	if err := <-ended; store.ClassOf(err) != store.Canceled {
		t.Errorf("next: %v", err)
	}
	if _, err := l.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("next after close: %v", err)
	}
	must(t, l.Close())
	if left := openFiles(t) - before; left != 0 {
		t.Errorf("%d temporary files left open", left)
	}
}

func TestListingCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := (&Listing{Read: of("a", "b")}).List(store.ListOptions{Page: 1})
	if _, err := l.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := l.Next(ctx); store.ClassOf(err) != store.Canceled {
		t.Errorf("next after cancel: %v", err)
	}
	must(t, l.Close())
}

// heapPeak runs f and returns how far the heap grew meanwhile, in bytes.
func heapPeak(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, peak := m.HeapAlloc, m.HeapAlloc
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}()
	f()
	close(stop)
	<-done
	return peak - base
}

// Objects as S3 describes them, shuffled: 30 MB of records, sorted in batches of 1 MiB.
func TestListingInBoundedMemory(t *testing.T) {
	const objects, limit, bound = 250_000, 1 << 20, 8 << 20
	modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := Listing{Limit: limit, Read: func(_ context.Context, emit func(store.Object) error) error {
		for i := range objects {
			n := i * 7919 % objects
			o := store.Object{
				Key: fmt.Sprintf("data/2026/%03d/part-%07d.parquet", n/1000, n), Size: int64(n), ModTime: modified,
				ETag: fmt.Sprintf("%032x", n), Sums: store.Checksums{MD5: fmt.Sprintf("%016x", n)},
			}
			if err := emit(o); err != nil {
				return err
			}
		}
		return nil
	}}
	n := 0
	began := time.Now()
	grown := heapPeak(func() {
		l := g.List(store.ListOptions{})
		defer l.Close()
		for {
			page, err := l.Next(t.Context())
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, o := range page {
				if o.Size != int64(n) {
					t.Fatalf("object %d is %q", n, o.Key)
				}
				n++
			}
		}
	})
	t.Logf("%d objects in %v; the heap grew by %.1f MiB", n, time.Since(began).Round(time.Millisecond), float64(grown)/(1<<20))
	if n != objects || grown > bound {
		t.Errorf("%d objects, want %d; the heap grew by %d bytes, want at most %d", n, objects, grown, bound)
	}
}

func BenchmarkListing(b *testing.B) {
	b.ReportAllocs()
	g := Listing{Limit: 4 << 20, Read: func(_ context.Context, emit func(store.Object) error) error {
		for i := range b.N {
			if err := emit(store.Object{Key: fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15), Size: int64(i), ETag: "0123456789abcdef0123456789abcdef"}); err != nil {
				return err
			}
		}
		return nil
	}}
	if _, err := drain(b.Context(), g.List(store.ListOptions{})); err != nil {
		b.Fatal(err)
	}
}
