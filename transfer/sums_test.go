package transfer

import (
	"context"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"
	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestCombineCRC: the CRC of a whole from those of its pieces is the CRC taken directly.
func TestCombineCRC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := content(rapid.IntRange(0, 5000).Draw(t, "size"), rapid.Uint64().Draw(t, "seed"))
		cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
		a, b := data[:cut], data[cut:]
		if got := combineCRC64(crc64nvme.Checksum(a), crc64nvme.Checksum(b), int64(len(b)), polyCRC64NVME); got != crc64nvme.Checksum(data) {
			t.Fatalf("crc64nvme %x, directly %x", got, crc64nvme.Checksum(data))
		}
		xz := func(p []byte) uint64 { return crc64.Checksum(p, ecma) }
		if got := combineCRC64(xz(a), xz(b), int64(len(b)), crc64.ECMA); got != xz(data) {
			t.Fatalf("crc64ecma %x, directly %x", got, xz(data))
		}
		sum := func(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }
		if got := combineCRC32C(sum(a), sum(b), int64(len(b))); got != sum(data) {
			t.Fatalf("crc32c %x, directly %x", got, sum(data))
		}
	})
}

func TestCombineParts(t *testing.T) {
	all := wanted{md5: true, crc64: true, crc32c: true, sha256: true, ecma: true}
	data := content(1000, 8)
	var parts []store.Part
	for off := 0; off < len(data); off += 300 {
		p := data[off:min(off+300, len(data))]
		parts = append(parts, store.Part{Size: int64(len(p)), Sums: sumsOf(all, p)})
	}
	got, whole := combineParts(parts), sumsOf(all, data)
	if got.CRC64NVME != whole.CRC64NVME || got.CRC32C != whole.CRC32C || got.CRC64ECMA != whole.CRC64ECMA || got.MD5 != "" || got.SHA256 != "" {
		t.Errorf("combined %v, whole %v", got.Hex(), whole.Hex())
	}
	s := memMultipart{newMemStore()}
	uploadInParts(t, s, "k", data, 300)
	if got.PartsMD5 != s.listed("k").ETag {
		t.Errorf("multipart ETag %s, store %s", got.PartsMD5, s.listed("k").ETag)
	}
	parts[2].Sums = store.Checksums{CRC32C: parts[2].Sums.CRC32C}
	if diff := cmp.Diff(store.Checksums{CRC32C: whole.CRC32C}, combineParts(parts)); diff != "" {
		t.Error(diff)
	}
	if !combineParts(nil).IsZero() {
		t.Error("sums of nothing")
	}
}

func TestHasherIsSumsOf(t *testing.T) {
	for i := range 64 {
		w := wanted{i&1 > 0, i&2 > 0, i&4 > 0, i&8 > 0, i&16 > 0, i&32 > 0}
		h := newHasher(w)
		data := content(1000, 3)
		h.add(data[:7])
		h.add(nil)
		h.add(data[7:])
		if diff := cmp.Diff(sumsOf(w, data), h.sums()); diff != "" || h.size != 1000 {
			t.Errorf("%+v: %s", w, diff)
		}
	}
}

// chooser is a destination that reports sums of choice.
type chooser struct {
	*memStore
	md5, crc64 bool
}

func (c chooser) WantSums() store.SumKinds { return store.SumKinds{MD5: c.md5, CRC64NVME: c.crc64} }

// ecmaStore is a destination that reports a CRC64ECMA and an MD5 of all that it takes.
type ecmaStore struct{ *memStore }

func (ecmaStore) WantSums() store.SumKinds { return store.SumKinds{MD5: true, CRC64ECMA: true} }

// crc32cStore is a destination that reports a CRC32C of all that it takes, and an MD5 of what comes in one piece.
type crc32cStore struct{ *memStore }

func (crc32cStore) WantSums() store.SumKinds { return store.SumKinds{MD5: true, CRC32C: true} }

// qetagStore is a destination that reports a QETag of all objects and an MD5 of all parts.
type qetagStore struct{ *memStore }

func (qetagStore) WantSums() store.SumKinds { return store.SumKinds{QETag: true} }

// plainDestination hides all optional interfaces.
type plainDestination struct{ store.Destination }

func TestWantedSums(t *testing.T) {
	s, disk := newMemStore(), newMemDisk()
	md5, crc64, crc32c, sha256 := store.Checksums{MD5: "m"}, store.Checksums{CRC64NVME: "c"}, store.Checksums{CRC32C: "3"}, store.Checksums{SHA256: "s"}
	ecmaSum := store.Checksums{CRC64ECMA: "e"}
	for i, tc := range []struct {
		dst    store.Destination
		verify string
		src    store.Checksums
		sent   sending
		want   wanted
	}{
		{chooser{s, true, false}, "none", md5, summedBefore, wanted{}},
		{chooser{s, true, false}, "size", md5, summedBefore, wanted{}},
		{plainDestination{s}, "checksum", store.Checksums{}, summedBefore, wanted{md5: true}},
		{plainDestination{s}, "checksum", crc64, summedBefore, wanted{md5: true, crc64: true}},
		{chooser{s, true, false}, "checksum", md5, summedBefore, wanted{md5: true}},
		{chooser{s, true, true}, "checksum", md5, summedBefore, wanted{md5: true}},
		{chooser{s, true, true}, "checksum", md5.Merge(crc64), summedBefore, wanted{crc64: true}},
		{chooser{s, true, true}, "checksum", store.Checksums{}, summedBefore, wanted{crc64: true}},
		{chooser{s, true, true}, "checksum", crc32c, summedBefore, wanted{crc64: true, crc32c: true}},
		{chooser{s, false, true}, "checksum", md5, summedBefore, wanted{md5: true, crc64: true}},
		{chooser{s, false, false}, "checksum", store.Checksums{}, summedBefore, wanted{crc64: true}},
		{chooser{s, false, false}, "checksum", sha256, summedBefore, wanted{sha256: true}},
		{disk, "checksum", store.Checksums{}, summedBefore, wanted{crc64: true}},
		{disk, "checksum", md5, summedBefore, wanted{md5: true}},
		{disk, "checksum", md5.Merge(crc32c), summedBefore, wanted{crc32c: true}},
		{chooser{s, true, true}, "checksum", md5, summedAfter, wanted{md5: true, crc64: true}},
		{chooser{s, true, true}, "checksum", store.Checksums{}, summedAfter, wanted{md5: true, crc64: true}},
		{chooser{s, true, false}, "checksum", store.Checksums{}, summedAfter, wanted{md5: true}},
		{ecmaStore{s}, "checksum", store.Checksums{}, summedBefore, wanted{ecma: true}},
		{ecmaStore{s}, "checksum", store.Checksums{}, summedAfter, wanted{ecma: true}},
		{ecmaStore{s}, "checksum", md5, summedAfter, wanted{md5: true, ecma: true}},
		{ecmaStore{s}, "checksum", md5.Merge(ecmaSum), summedAfter, wanted{ecma: true}},
		{crc32cStore{s}, "checksum", store.Checksums{}, summedBefore, wanted{crc32c: true}},
		{crc32cStore{s}, "checksum", store.Checksums{}, summedAfter, wanted{crc32c: true}},
		{crc32cStore{s}, "checksum", md5, summedAfter, wanted{md5: true, crc32c: true}},
		{crc32cStore{s}, "checksum", md5.Merge(crc32c), summedAfter, wanted{crc32c: true}},
		{crc32cStore{s}, "checksum", crc64, summedBefore, wanted{crc64: true, crc32c: true}},
		{qetagStore{s}, "checksum", store.Checksums{}, summedBefore, wanted{qetag: true}},
		{qetagStore{s}, "checksum", md5, summedAfter, wanted{md5: true, qetag: true}},
		{qetagStore{s}, "checksum", store.Checksums{QETag: "q"}.Merge(md5), summedAfter, wanted{qetag: true}},
		{chooser{s, true, false}, "checksum", store.Checksums{QETag: "q"}, summedAfter, wanted{md5: true, qetag: true}},
		{disk, "checksum", store.Checksums{QETag: "q", MD5: "m"}, summedBefore, wanted{md5: true}},
		{chooser{s, false, false}, "checksum", ecmaSum.Merge(md5), summedBefore, wanted{ecma: true}},
		{chooser{s, true, true}, "checksum", ecmaSum, summedAfter, wanted{md5: true, crc64: true, ecma: true}},
	} {
		if diff := cmp.Diff(tc.want, wantedSums(&Job{Destination: tc.dst, Verify: tc.verify}, tc.src, tc.sent), cmp.AllowUnexported(wanted{})); diff != "" {
			t.Errorf("row %d: %s", i, diff)
		}
	}
}

func BenchmarkSums(b *testing.B) {
	data := content(256<<10, 1)
	for _, w := range []struct {
		name string
		want wanted
	}{{"md5", wanted{md5: true}}, {"crc64nvme", wanted{crc64: true}}, {"crc32c", wanted{crc32c: true}}, {"sha256", wanted{sha256: true}},
		{"crc64ecma", wanted{ecma: true}}, {"md5+crc64nvme", wanted{md5: true, crc64: true}}} {
		b.Run(w.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			h := newHasher(w.want)
			for b.Loop() {
				h.add(data)
			}
		})
	}
}

func BenchmarkCombine(b *testing.B) {
	parts := make([]store.Part, 10000)
	for i := range parts {
		parts[i] = store.Part{Size: 16 << 20, Sums: store.Checksums{CRC64NVME: "12345678"}}
	}
	for b.Loop() {
		combineParts(parts)
	}
}

func BenchmarkCopySmall(b *testing.B) {
	src, dst := newMemStore(), newMemStore()
	dst.ab.Conditional = false
	bench := newCopyBench(b, src, memMultipart{dst})
	bench.n.Tuning = DefaultTuning()
	for i := range 100 {
		src.set(fmt.Sprint(i), content(4096, uint64(i)))
	}
	objects := make([]store.Object, 100)
	for i := range objects {
		objects[i] = src.listed(fmt.Sprint(i))
	}
	b.SetBytes(4096)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		res := bench.n.copyObject(context.Background(), bench.job, bench.task, objects[i%100], nil, bench, &bench.ledger)
		if res.Outcome != Copied {
			b.Fatal(res.Err)
		}
		i++
	}
}
