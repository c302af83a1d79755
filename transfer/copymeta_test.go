package transfer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// clockless is a destination that does not tell its clock.
type clockless struct{ memMultipart }

func (clockless) Check(context.Context) (time.Time, error) { return time.Time{}, nil }

// contextWithCancel is context.WithCancel that ends with the test.
func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func TestFormatTime(t *testing.T) {
	for _, tc := range []struct {
		t    time.Time
		want string
	}{
		{time.Unix(0, 0), "0"},
		{time.Unix(1714564800, 0), "1714564800"},
		{time.Unix(1714564800, 1), "1714564800.000000001"},
		{time.Unix(1714564800, 120000000), "1714564800.12"},
		{time.Unix(-1, 0), "-1"},
		{time.Unix(-2, 500000000), "-1.5"},
		{time.Unix(-1, 500000000), "-0.5"},
	} {
		if got := formatTime(tc.t); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.t, got, tc.want)
		}
	}
	for _, tm := range []time.Time{time.Unix(0, 0), time.Unix(1, 999999999), time.Unix(-5, 0), time.Unix(-7, 300), time.Unix(-1, 5), time.Unix(1714564800, 10)} {
		if back, ok := parseTime(formatTime(tm)); !ok || !back.Equal(tm) {
			t.Errorf("%v: %s reads as %v", tm, formatTime(tm), back)
		}
	}
}

func TestCopyMetadata(t *testing.T) {
	full := store.Metadata{ContentType: "image/png", CacheControl: "no-cache", ContentDisposition: "inline", ContentEncoding: "gzip",
		ContentLanguage: "de", Expires: "Wed, 21 Oct 2026 07:28:00 GMT", User: map[string]string{"owner": "a"}}
	withTime := withUser(full, store.MTimeKey, "1714564800.25")
	for _, size := range []int{0, 10, 500, 1500} {
		for _, tc := range []struct {
			name string
			meta store.Metadata
			keep bool
			sums bool // the source has comparable sums
			want func(o *store.Object, multipart bool) store.Metadata
		}{
			{"kept as it is", full, true, true, func(o *store.Object, multipart bool) store.Metadata {
				if multipart {
					return withUser(full, store.MTimeKey, formatTime(o.ModTime))
				}
				return full
			}},
			{"recorded time stays", withTime, true, false, func(*store.Object, bool) store.Metadata { return withTime }},
			{"time recorded for want of sums", full, true, false, func(o *store.Object, _ bool) store.Metadata {
				return withUser(full, store.MTimeKey, formatTime(o.ModTime))
			}},
			{"not kept", full, false, true, func(o *store.Object, multipart bool) store.Metadata {
				m := store.Metadata{User: map[string]string{}}
				if multipart {
					m = withUser(m, store.MTimeKey, formatTime(o.ModTime))
				}
				return m
			}},
			{"not kept, but the recorded time", withTime, false, false, func(*store.Object, bool) store.Metadata {
				return store.Metadata{User: map[string]string{store.MTimeKey: "1714564800.25"}}
			}},
			{"an invalid recorded time stays", withUser(full, store.MTimeKey, "noon"), true, false, func(*store.Object, bool) store.Metadata {
				return withUser(full, store.MTimeKey, "noon")
			}},
		} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				src, dst := newMemStore(), newMemStore()
				meta := tc.meta
				src.set("k", content(size, 1), func(o *store.Object) {
					o.Meta = &meta
					if !tc.sums {
						o.Sums = store.Checksums{}
					}
				})
				b := newCopyBench(t, src, memMultipart{dst})
				b.job.Metadata = tc.keep
				o := src.listed("k")
				res := b.copy(t.Context(), o, nil)
				b.copied(res, src, dst, "k")
				if diff := cmp.Diff(tc.want(&o, res.How == "multipart"), *dst.objects["k"].Meta); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(tc.meta, *src.objects["k"].Meta); diff != "" {
					t.Errorf("the source's metadata was changed: %s", diff)
				}
			})
		}
	}
}

// TestCopyTimes: a file's time is recorded with an object, and set again on the file made of it, to the nanosecond.
func TestCopyTimes(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		there, back := newMemStore(), newMemDisk()
		from := newMemDisk()
		at := time.Date(2023, 2, 3, 4, 5, 6, 7, time.UTC)
		from.set("k", content(size, 1), func(o *store.Object) { o.ModTime = at })
		b := newCopyBench(t, from, memMultipart{there})
		b.copied(b.copy(t.Context(), from.listed("k"), nil), from.memStore, there, "k")
		if got := there.objects["k"].Meta.User[store.MTimeKey]; got != formatTime(at) {
			t.Errorf("%d bytes: recorded %q", size, got)
		}
		b = newCopyBench(t, memMultipart{there}, back)
		b.copied(b.copy(t.Context(), there.listed("k"), nil), there, back.memStore, "k")
		if got := back.listed("k").ModTime; !got.Equal(at) {
			t.Errorf("%d bytes: back with %s", size, got)
		}
	}
}

func TestCopyKinds(t *testing.T) {
	disk := newMemDisk()
	disk.keep("d/", nil, store.PutOptions{Kind: store.KindDir})
	disk.keep("l", nil, store.PutOptions{Kind: store.KindSymlink, Target: "../other"})
	mem, back, twin := newMemStore(), newMemDisk(), newMemDisk()
	for _, leg := range []struct {
		from store.Source
		to   store.Destination
	}{{disk, mem}, {mem, back}, {disk, twin}} {
		b := newCopyBench(t, leg.from, leg.to)
		for _, key := range []string{"d/", "l"} {
			o, err := leg.from.Stat(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			o.Meta = nil
			if res := b.copy(t.Context(), o, nil); res.Outcome != Copied {
				t.Fatalf("%s: %s, %v", key, res.Outcome, res.Err)
			}
		}
	}
	if got := string(mem.data("l")); got != "../other" || mem.objects["l"].Meta.User[kindKey] != kindSymlink {
		t.Errorf("link as object: %q, metadata %v", got, mem.objects["l"].Meta.User)
	}
	if o := mem.listed("d/"); o.Kind != store.KindDir || o.Size != 0 {
		t.Errorf("marker: %+v", o)
	}
	for _, d := range []*memDisk{back, twin} {
		if o := d.listed("l"); o.Kind != store.KindSymlink || o.Target != "../other" {
			t.Errorf("link: %+v", o)
		}
		if o := d.listed("d/"); o.Kind != store.KindDir {
			t.Errorf("directory: %+v", o)
		}
	}
	b := newCopyBench(t, disk, mem)
	res := b.copy(t.Context(), store.Object{Key: "s", Kind: store.KindSkipped, Reason: "socket"}, nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Permanent {
		t.Errorf("socket: %s, %v", res.Outcome, res.Err)
	}
}
