package transfer

import (
	"bytes"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Parts that fit into memory are read once, whatever happens to them on the way, and prove themselves by one sum.
func TestPartsFromMemory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		want  [2]bool // md5, crc64: what answers can be compared with
		fault *memFault
		by    string
	}{
		{"md5", [2]bool{true, false}, nil, "etag"},
		{"crc64", [2]bool{true, true}, nil, "crc64nvme"},
		{"a part corrupted", [2]bool{true, true}, &memFault{op: "part", nth: 3, flip: true}, "crc64nvme"},
		{"a part refused for now", [2]bool{true, false}, &memFault{op: "part", nth: 3, err: memErr("part", "k", store.Throttled, "slow down")}, "etag"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			src.checks, dst.checks = true, true
			dst.want = tc.want
			data := bytes.Repeat([]byte("0123456789abc"), 97) // 1,261 bytes: 13 parts
			listed := src.set("k", data)
			if tc.fault != nil {
				dst.fail(*tc.fault)
			}
			b := newCopyBench(t, src, memMultipart{dst})
			b.n.Tuning.PartPatience = time.Minute
			res := b.copy(t.Context(), listed, nil)
			if res.Outcome != Copied || !bytes.Equal(dst.data("k"), data) {
				t.Fatalf("%+v", res)
			}
			if res.SentChecked != tc.by {
				t.Errorf("shown by %q, want %q", res.SentChecked, tc.by)
			}
			if got := src.count("open"); got != 13 {
				t.Errorf("%d reads for 13 parts", got)
			}
			if left := dst.leftovers(); left != "" {
				t.Error(left)
			}
		})
	}
}

// What does not fit, or not soon, is streamed, and nobody else waits for it.
func TestPartMemoryIsBounded(t *testing.T) {
	m := NewMemory(8 << 20)
	at := time.Unix(1e9, 0)
	now := func() time.Time { return at }
	tuning := &Tuning{PartPatience: time.Nanosecond, PartRest: time.Minute}
	if b := m.TryPart(t.Context(), 7<<20, now, tuning); b != nil {
		t.Error("a part took more than its share")
	}
	var held [][]byte
	for range 6 {
		b := m.TryPart(t.Context(), 1<<20, now, tuning)
		if b == nil {
			t.Fatal("no memory for a part")
		}
		held = append(held, b)
	}
	if b := m.TryPart(t.Context(), 1<<20, now, tuning); b != nil {
		t.Error("parts took more than their share")
	}
	tuning.PartPatience = time.Hour // which nobody spends now: the last wait was in vain
	if b := m.TryPart(t.Context(), 1<<20, now, tuning); b != nil {
		t.Error("parts took more than their share")
	}
	at = at.Add(2 * time.Minute)
	got := make(chan []byte)
	go func() { got <- m.TryPart(t.Context(), 1<<20, now, tuning) }()
	m.PutPart(held[0])
	if held[0] = <-got; held[0] == nil {
		t.Error("a part did not wait for memory")
	}
	small, err := m.Get(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m.Put(small)
	for _, b := range held {
		m.PutPart(b)
	}
	if !m.sem.tryAcquire(m.Total()) || !m.parts.tryAcquire(m.Total()/4*3) {
		t.Error("memory was not given back")
	}
}
