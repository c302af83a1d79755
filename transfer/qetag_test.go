package transfer

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestPublishedQETags takes those that the vendor's tests have (test/testdata/wire/kodo-vectors.json has their sources).
func TestPublishedQETags(t *testing.T) {
	for _, c := range []struct {
		zeros int // before the last byte, which is "0"; -1 for empty content
		want  string
	}{{-1, "Fto5o-5ea0sNMlW_75VgGJCv2AcJ"}, {1<<20 - 1, "FnlAdmDasGTQOIgrU1QIZaGDv_1D"}, {4 << 20, "ljF323utglY3GI6AvLgawSJ4_dgk"}} {
		data := make([]byte, c.zeros+1)
		if len(data) > 0 {
			data[c.zeros] = '0'
		}
		if got := base64.URLEncoding.EncodeToString([]byte(sumsOf(wanted{qetag: true}, data).QETag)); got != c.want {
			t.Errorf("%d bytes: %s, want %s", len(data), got, c.want)
		}
	}
}

// partsOf cuts data and sums up each part.
func partsOf(data []byte, size int) (parts []store.Part) {
	for off := 0; off < len(data); off += size {
		p := data[off:min(off+size, len(data))]
		parts = append(parts, store.Part{Number: len(parts) + 1, Size: int64(len(p)), Sums: sumsOf(wanted{qetag: true}, p)})
	}
	return parts
}

// TestCombineQETags: parts that are whole blocks give the QETag of the content, whatever else they give that of an upload in parts.
func TestCombineQETags(t *testing.T) {
	const mib = 1 << 20
	data := content(13*mib+5, 7)
	whole := sumsOf(wanted{qetag: true}, data).QETag
	for _, c := range []struct {
		part          int
		whole, asPart bool
	}{{4 * mib, true, false}, {8 * mib, true, true}, {12 * mib, true, true}, {5 * mib, false, true}, {mib, false, true}, {20 * mib, true, false}} {
		parts := partsOf(data, c.part)
		got := combineParts(parts)
		if (got.QETag != "") != c.whole || c.whole && got.QETag != whole || (got.PartsQETag != "") != c.asPart {
			t.Errorf("parts of %d MiB: %v, whole %v", c.part/mib, got.Hex(), store.Checksums{QETag: whole}.Hex())
		}
		for i := range parts {
			parts[i].Sums.QBlocks = "" // as a listing of parts tells it
		}
		blocks := c.part <= 4*mib && c.whole
		if again := combineParts(parts); again.PartsQETag != got.PartsQETag || (again.QETag == whole) != blocks {
			t.Errorf("listed parts of %d MiB: %v", c.part/mib, again.Hex())
		}
		parts[0].Sums = store.Checksums{}
		if got := combineParts(parts); !got.IsZero() {
			t.Errorf("with a part unknown: %v", got.Hex())
		}
	}
}

func TestQETagInPieces(t *testing.T) {
	data := content(9<<20, 3)
	want := sumsOf(wanted{qetag: true}, data)
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
		h := newHasher(wanted{qetag: true})
		h.add(data[:cut])
		h.sums() // looking changes nothing
		h.add(data[cut:])
		if diff := cmp.Diff(want, h.sums()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestPartsAreBlocks where the destination reports QETags, as long as they are not too many.
func TestPartsAreBlocks(t *testing.T) {
	tuning := DefaultTuning()
	for _, c := range []struct {
		size, part int64
		dst        store.Destination
	}{
		{100 << 20, qetagBlock, qetagStore{newMemStore()}}, {10000 * qetagBlock, qetagBlock, qetagStore{newMemStore()}},
		{10000*qetagBlock + 1, 5 << 20, qetagStore{newMemStore()}}, {100 << 20, 8 << 20, newMemStore()},
	} {
		to := memMultipart{newMemStore()}
		to.smallest, to.largest, to.most = 1<<20, 1<<30, 10000
		m := &multipart{copier: &copier{n: &Node{Tuning: tuning}, job: &Job{Destination: c.dst}}, to: to}
		m.src = store.Object{Size: c.size, Sums: store.Checksums{PartsMD5: "0123456789abcdef0123456789abcdef-13"}}
		plan, err := m.planNew()
		if err != nil || plan.part != c.part {
			t.Errorf("%d bytes in parts of %d, %v; want %d", c.size, plan.part, err, c.part)
		}
	}
}
