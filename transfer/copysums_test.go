package transfer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestCopyShownSums: whatever sums a destination offers and then shows, a flipped byte is found wherever one of them can
// show it, and the result names the sum that did.
func TestCopyShownSums(t *testing.T) {
	onlyMD5 := func(c store.Checksums) store.Checksums { return store.Checksums{MD5: c.MD5, PartsMD5: c.PartsMD5} }
	onlyCRC := func(c store.Checksums) store.Checksums { return store.Checksums{CRC64NVME: c.CRC64NVME} }
	onlyParts := func(c store.Checksums) store.Checksums { return store.Checksums{MD5: c.MD5} }
	nothing := func(store.Checksums) store.Checksums { return store.Checksums{} }
	for _, tc := range []struct {
		name       string
		md5, crc64 bool
		show       func(store.Checksums) store.Checksums
		size       int
		want       string
	}{
		{"offers both, shows md5, small", true, true, onlyMD5, 10, "md5"},
		{"offers both, shows md5, stream", true, true, onlyMD5, 500, "md5"},
		{"offers both, shows md5, parts", true, true, onlyMD5, 1500, "etag"},
		{"offers both, shows crc64nvme, small", true, true, onlyCRC, 10, "crc64nvme"},
		{"offers both, shows crc64nvme, stream", true, true, onlyCRC, 500, "crc64nvme"},
		{"offers both, shows crc64nvme, parts", true, true, onlyCRC, 1500, "crc64nvme"},
		{"shows sums of parts only", true, false, onlyParts, 1500, "md5"},
		{"offers none, shows md5, small", false, false, onlyMD5, 10, "md5"},
		{"shows nothing, small", true, true, nothing, 10, ""},
		{"shows nothing, stream", true, true, nothing, 500, ""},
		{"shows nothing, parts", true, true, nothing, 1500, ""},
	} {
		for _, flip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/flip=%v", tc.name, flip), func(t *testing.T) {
				src, dst := newMemDisk(), newMemStore()
				dst.want, dst.show = [2]bool{tc.md5, tc.crc64}, tc.show
				b := newCopyBench(t, src, memMultipart{dst})
				if flip {
					dst.fail(memFault{op: "put", flip: true})
					dst.fail(memFault{op: "part", nth: 2, flip: true})
				}
				src.set("k", content(tc.size, 1))
				res := b.copy(t.Context(), src.listed("k"), nil)
				if res.SentChecked != tc.want {
					t.Errorf("shown by %q, want %q", res.SentChecked, tc.want)
				}
				if flip && tc.want == "" {
					b.clean(src.memStore, dst)
					return
				}
				b.copied(res, src.memStore, dst, "k")
			})
		}
	}
}

// TestCopyCompleteOfOtherParts: an ETag that cannot be of the parts sent is a mismatch, though no sum of the whole is told.
func TestCopyCompleteOfOtherParts(t *testing.T) {
	src, dst := newMemDisk(), newMemStore()
	b := newCopyBench(t, src, memMultipart{dst})
	dst.show = func(c store.Checksums) store.Checksums {
		if c.PartsMD5 != "" {
			c.PartsMD5 = fmt.Sprintf("%032x-15", 1)
		}
		return c
	}
	src.set("k", content(1500, 1))
	res := b.copy(t.Context(), src.listed("k"), nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Mismatch || dst.data("k") != nil {
		t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
	}
	b.clean(src.memStore, dst)
}

// TestCopyToDiskOfWholeSums: a large object of which only the MD5 of the whole is known is read in one piece, so that
// nothing that is read wrongly reaches the disk.
func TestCopyToDiskOfWholeSums(t *testing.T) {
	for _, tc := range []struct{ verify, how, checked string }{{"checksum", "stream", "md5"}, {"size", "ranged", ""}} {
		src, dst := newMemStore(), newMemDisk()
		src.show = func(c store.Checksums) store.Checksums { return store.Checksums{MD5: c.MD5} }
		b := newCopyBench(t, src, dst)
		b.job.Verify = tc.verify
		if tc.verify == "checksum" {
			src.fail(memFault{op: "open", flip: true, at: 1234})
		}
		res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
		b.copied(res, src, dst.memStore, "k")
		if res.How != tc.how || res.SourceChecked != tc.checked || dst.writings["k"] != 1 {
			t.Errorf("verify %s: %s, checked by %q, written %d times", tc.verify, res.How, res.SourceChecked, dst.writings["k"])
		}
	}
}

// TestCopyToDiskTaken: a name that was free when compared and is taken now is not overwritten unseen.
func TestCopyToDiskTaken(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		for _, equal := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/%v", size, equal), func(t *testing.T) {
				src, dst := newMemStore(), newMemDisk()
				o := src.set("k", content(size, 1))
				there, at := content(size, 1), o.ModTime
				if !equal {
					at = at.AddDate(1, 0, 0)
				}
				dst.set("k", there, func(d *store.Object) { d.ModTime = at })
				b := newCopyBench(t, src, dst)
				res := b.copy(t.Context(), o, nil)
				b.copied(res, src, dst.memStore, "k")
				if res.Found != equal || dst.writings["k"] != map[bool]int{true: 0, false: 1}[equal] {
					t.Errorf("found %v, written %d times", res.Found, dst.writings["k"])
				}
			})
		}
	}
}

// TestCopyByStoreMetadata: without preserve.metadata a server-side copy drops it.
func TestCopyByStoreMetadata(t *testing.T) {
	for _, size := range []int{10, 1500} {
		src, dst := newMemStore(), newMemStore()
		src.set("k", content(size, 1), func(o *store.Object) {
			o.Meta = &store.Metadata{ContentType: "image/png", User: map[string]string{"owner": "a"}}
		})
		b := newCopyBench(t, src, memCopier{memMultipart{dst}, 500})
		b.job.Metadata = false
		res := b.copy(t.Context(), src.listed("k"), nil)
		b.copied(res, src, dst, "k")
		meta := dst.objects["k"].Meta
		if res.How != "server-side" || meta.ContentType != "" || meta.User["owner"] != "" {
			t.Errorf("%d bytes: %s, metadata %+v", size, res.How, meta)
		}
	}
}

// TestCopyByStoreSource: what is wrong with the source of a server-side copy is told from what is wrong with the destination.
func TestCopyByStoreSource(t *testing.T) {
	for _, size := range []int{10, 1500} {
		for _, tc := range []struct {
			name   string
			change func(src, dst *memStore)
			want   Outcome
			found  bool
		}{
			{"changed", func(src, _ *memStore) { src.set("k", content(size, 2)) }, Copied, false},
			{"gone", func(src, _ *memStore) { src.remove("k") }, Vanished, false},
			{"destination came", func(_, dst *memStore) { dst.set("k", []byte("other")) }, Copied, false},
			{"destination came, equal", func(_, dst *memStore) { dst.set("k", content(size, 1)) }, Copied, true},
		} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				src, dst := newMemStore(), newMemStore()
				b := newCopyBench(t, src, memCopier{memMultipart{dst}, 500})
				src.set("k", content(size, 1))
				o := src.listed("k")
				tc.change(src, dst)
				res := b.copy(t.Context(), o, nil)
				if res.Outcome != tc.want || res.Found != tc.found {
					t.Fatalf("outcome %s, found %v, error %v", res.Outcome, res.Found, res.Err)
				}
				if tc.want == Copied {
					b.copied(res, src, dst, "k")
				}
				b.clean(src, dst)
			})
		}
	}
}

// TestCopyBlamesSource: an error says at which side it happened, since only those of the destination stop a job.
func TestCopyBlamesSource(t *testing.T) {
	auth := memErr("x", "k", store.Auth, "no permission")
	for _, size := range []int{10, 500, 1500} {
		for _, side := range []string{"source", "destination"} {
			for _, to := range []string{"parts", "disk", "plain"} {
				t.Run(fmt.Sprintf("%s/%s/%d", to, side, size), func(t *testing.T) {
					w := freshWay(to)
					b := newCopyBench(t, w.from, w.to)
					if side == "source" {
						w.src.fail(memFault{op: "open", times: -1, err: auth})
					} else {
						for _, op := range []string{"put", "part", "writeat"} {
							w.dst.fail(memFault{op: op, times: -1, err: auth})
						}
					}
					res := b.copy(t.Context(), w.src.set("k", content(size, 1)), nil)
					var at *sourceError
					if res.Outcome != Failed || store.ClassOf(res.Err) != store.Auth || errors.As(res.Err, &at) != (side == "source") {
						t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
					}
					b.clean(w.src, w.dst)
				})
			}
		}
	}
}

// TestUploadWithoutCheck: the destination's clock is of use, not a condition.
func TestUploadWithoutCheck(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	dst.fail(memFault{op: "check", times: -1, err: memErr("check", "", store.Misconfigured, "nothing answers")})
	b := newCopyBench(t, src, memMultipart{dst})
	b.copied(b.copy(t.Context(), src.set("k", content(1500, 1)), nil), src, dst, "k")
}

// TestCopyRangesWrong: content that never fits what the source reports does not come to be.
func TestCopyRangesWrong(t *testing.T) {
	src, dst := newMemStore(), newMemDisk()
	src.fail(memFault{op: "open", flip: true, at: 3, times: -1})
	b := newCopyBench(t, src, dst)
	res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Mismatch || dst.data("k") != nil || res.Attempts != rounds {
		t.Errorf("outcome %s, error %v, %d attempts", res.Outcome, res.Err, res.Attempts)
	}
	b.clean(src, dst.memStore)
}
