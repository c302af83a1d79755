package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestCopySizes(t *testing.T) {
	for _, size := range sizes() {
		for _, verify := range []string{"checksum", "size", "none"} {
			for _, w := range ways() {
				t.Run(fmt.Sprintf("%s/%d/%s", w.name, size, verify), func(t *testing.T) {
					b := newCopyBench(t, w.from, w.to)
					b.job.Verify = verify
					src := w.src.set("k", content(size, uint64(size)))
					src.Meta = nil
					res := b.copy(t.Context(), src, nil)
					b.copied(res, w.src, w.dst, "k")
					if moved := res.Moved; moved != int64(size) && res.How != "server-side" {
						t.Errorf("moved %d bytes of %d", moved, size)
					}
					if res.How == "server-side" && (res.Moved != 0 || res.SourceChecked != "") {
						t.Errorf("server-side copy moved %d bytes, checked %q", res.Moved, res.SourceChecked)
					}
					wantSent := verify == "checksum" && !w.to.Abilities().HashedBeforeWrite
					if (res.SentChecked != "") != wantSent {
						t.Errorf("sent = received shown by %q", res.SentChecked)
					}
					if res.Attempts != 1 || res.Found {
						t.Errorf("attempts %d, found %v", res.Attempts, res.Found)
					}
				})
			}
		}
	}
}

func TestCopyWays(t *testing.T) {
	for _, tc := range []struct {
		way  string
		size int
		want string
	}{
		{"plain", 64, "put"}, {"plain", 65, "stream"}, {"plain", 1000, "stream"},
		{"parts", 999, "stream"}, {"parts", 1000, "multipart"},
		{"disk", 999, "stream"}, {"disk", 1000, "ranged"},
		{"server-side", 1, "server-side"}, {"server-side", 501, "server-side"}, {"server-side", 5000, "server-side"},
		{"disk to parts", 1000, "multipart"}, {"disk to disk", 1000, "ranged"},
	} {
		for _, w := range ways() {
			if w.name != tc.way {
				continue
			}
			b := newCopyBench(t, w.from, w.to)
			res := b.copy(t.Context(), w.src.set("k", content(tc.size, 1)), nil)
			b.copied(res, w.src, w.dst, "k")
			if res.How != tc.want {
				t.Errorf("%s, %d bytes: by %s, want %s", tc.way, tc.size, res.How, tc.want)
			}
		}
	}
}

// TestCopySourceChecked: what is read is held against what the source reports wherever it reports something usable.
func TestCopySourceChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		way  string
		size int
		sums func(*store.Object)
		want string
	}{
		{"md5 of a small object", "plain", 10, nil, "md5"},
		{"md5 of a stream", "plain", 500, nil, "md5"},
		{"crc64nvme over parts", "parts", 5000, nil, "crc64nvme"},
		{"crc64nvme over ranges", "disk", 5000, nil, "crc64nvme"},
		{"crc32c over parts", "parts", 5000, func(o *store.Object) {
			o.Sums = store.Checksums{CRC32C: sumsOf(wanted{crc32c: true}, content(5000, 3)).CRC32C}
		}, "crc32c"},
		{"only sha256", "plain", 10, func(o *store.Object) {
			o.Sums = store.Checksums{SHA256: sumsOf(wanted{sha256: true}, content(10, 3)).SHA256}
		}, "sha256"},
		{"nothing", "plain", 10, func(o *store.Object) { o.Sums = store.Checksums{} }, ""},
		{"whole md5 over parts", "parts", 5000, func(o *store.Object) { o.Sums.CRC64NVME = "" }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, w := range ways() {
				if w.name != tc.way {
					continue
				}
				b := newCopyBench(t, w.from, w.to)
				var change []func(*store.Object)
				if tc.sums != nil {
					change = append(change, tc.sums)
				}
				w.src.set("k", content(tc.size, 3), change...)
				res := b.copy(t.Context(), w.src.listed("k"), nil)
				b.copied(res, w.src, w.dst, "k")
				if res.SourceChecked != tc.want {
					t.Errorf("checked by %q, want %q", res.SourceChecked, tc.want)
				}
			}
		})
	}
}

// TestCopyFaults: each fault is survived or ends in the outcome and class that it means, with nothing left behind.
func TestCopyFaults(t *testing.T) {
	throttled := &store.Error{Op: "x", Class: store.Throttled, RetryAfter: time.Minute, Err: errors.New("slow down")}
	plain := func(class store.Class) error { return memErr("x", "k", class, "planned") }
	for _, tc := range []struct {
		name    string
		way     string
		size    int
		src     []memFault
		dst     []memFault
		outcome Outcome
		class   store.Class
	}{
		{name: "open fails once", way: "plain", size: 10, src: []memFault{{op: "open", err: plain(store.Transient)}}},
		{name: "open throttled", way: "plain", size: 500, src: []memFault{{op: "open", err: throttled}}},
		{name: "read breaks off", way: "plain", size: 10, src: []memFault{{op: "open", body: true, at: 5, err: errLostAnswer}}},
		{name: "stream breaks off", way: "plain", size: 500, src: []memFault{{op: "open", body: true, at: 300, err: errLostAnswer}}},
		{name: "short answer", way: "plain", size: 500, src: []memFault{{op: "open", short: true, at: 300}}},
		{name: "short answer, small", way: "plain", size: 50, src: []memFault{{op: "open", short: true, at: 3}}},
		{name: "short part", way: "parts", size: 1500, src: []memFault{{op: "open", nth: 3, short: true, at: 30}}},
		{name: "short range", way: "disk", size: 1500, src: []memFault{{op: "open", nth: 3, short: true, at: 30}}},
		{name: "byte flipped while read", way: "plain", size: 50, src: []memFault{{op: "open", flip: true, at: 7}}},
		{name: "byte flipped in a stream", way: "plain", size: 500, src: []memFault{{op: "open", flip: true, at: 7}}},
		{name: "byte flipped always", way: "plain", size: 500, src: []memFault{{op: "open", flip: true, at: 7, times: -1}},
			outcome: Failed, class: store.Mismatch},
		{name: "byte flipped in a part", way: "parts", size: 1500, src: []memFault{{op: "open", nth: 4, flip: true, at: 7}}},
		{name: "byte flipped in a range", way: "disk", size: 1500, src: []memFault{{op: "open", nth: 4, flip: true, at: 7}}},
		{name: "put fails", way: "plain", size: 10, dst: []memFault{{op: "put", err: plain(store.Transient), times: 4}}},
		{name: "put fails on", way: "plain", size: 10, dst: []memFault{{op: "put", err: plain(store.Transient), times: 5}},
			outcome: Failed, class: store.Transient},
		{name: "put refused", way: "plain", size: 10, dst: []memFault{{op: "put", err: plain(store.Auth)}}, outcome: Failed, class: store.Auth},
		{name: "disk full", way: "plain", size: 500, dst: []memFault{{op: "put", err: plain(store.Full)}}, outcome: Failed, class: store.Full},
		{name: "bad name", way: "plain", size: 500, dst: []memFault{{op: "put", err: plain(store.Permanent)}}, outcome: Failed, class: store.Permanent},
		{name: "put's answer lost", way: "plain", size: 10, dst: []memFault{{op: "put", late: true, err: errLostAnswer}}},
		{name: "stream's answer lost", way: "plain", size: 500, dst: []memFault{{op: "put", late: true, err: errLostAnswer}}},
		{name: "put arrives wrong", way: "plain", size: 10, dst: []memFault{{op: "put", flip: true, at: 3}}},
		{name: "stream arrives wrong", way: "plain", size: 500, dst: []memFault{{op: "put", flip: true, at: 3}}},
		{name: "put arrives wrong always", way: "plain", size: 10, dst: []memFault{{op: "put", flip: true, times: -1}},
			outcome: Failed, class: store.Mismatch},
		{name: "part arrives wrong", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 2, flip: true, at: 3}}},
		{name: "part arrives wrong always", way: "parts", size: 1500, dst: []memFault{{op: "part", flip: true, times: -1}},
			outcome: Failed, class: store.Mismatch},
		{name: "part fails", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 2, err: plain(store.Throttled)}}},
		{name: "part's answer lost", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 2, late: true, err: errLostAnswer}}},
		{name: "part refused", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 2, err: plain(store.Auth)}},
			outcome: Failed, class: store.Auth},
		{name: "create fails", way: "parts", size: 1500, dst: []memFault{{op: "create", err: plain(store.Transient)}}},
		{name: "create's answer lost", way: "parts", size: 1500, dst: []memFault{{op: "create", late: true, err: errLostAnswer}}},
		{name: "create refused", way: "parts", size: 1500, dst: []memFault{{op: "create", err: plain(store.Permanent)}},
			outcome: Failed, class: store.Permanent},
		{name: "create's answers all lost", way: "parts", size: 1500, dst: []memFault{{op: "create", late: true, times: -1, err: errLostAnswer}},
			outcome: Failed, class: store.Transient},
		{name: "complete fails", way: "parts", size: 1500, dst: []memFault{{op: "complete", err: plain(store.Transient)}}},
		{name: "complete's answer lost", way: "parts", size: 1500, dst: []memFault{{op: "complete", late: true, err: errLostAnswer}}},
		{name: "complete refused", way: "parts", size: 1500, dst: []memFault{{op: "complete", err: plain(store.Permanent)}},
			outcome: Failed, class: store.Permanent},
		{name: "upload vanished", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 5, err: plain(store.NotFound)}}},
		{name: "upload vanishes always", way: "parts", size: 1500, dst: []memFault{{op: "part", nth: 5, times: -1, err: plain(store.NotFound)}},
			outcome: Failed, class: store.NotFound},
		{name: "write at fails", way: "disk", size: 1500, dst: []memFault{{op: "writeat", nth: 9, err: plain(store.Full)}},
			outcome: Failed, class: store.Full},
		{name: "commit refused", way: "disk", size: 1500, dst: []memFault{{op: "commit", err: plain(store.Permanent)}},
			outcome: Failed, class: store.Permanent},
		{name: "copy not implemented", way: "server-side", size: 10, dst: []memFault{{op: "copy", err: plain(store.Permanent)}}},
		{name: "copy of parts not implemented", way: "server-side", size: 1500, dst: []memFault{{op: "copypart", err: plain(store.Permanent)}}},
		{name: "copy made wrong", way: "server-side", size: 10, dst: []memFault{{op: "copy", flip: true}}},
		{name: "part copied fails", way: "server-side", size: 5000, dst: []memFault{{op: "copypart", err: plain(store.Transient)}}},
		{name: "source refuses", way: "parts", size: 1500, src: []memFault{{op: "open", times: -1, err: plain(store.Auth)}},
			outcome: Failed, class: store.Auth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, w := range ways() {
				if w.name != tc.way {
					continue
				}
				b := newCopyBench(t, w.from, w.to)
				for _, f := range tc.src {
					w.src.fail(f)
				}
				for _, f := range tc.dst {
					w.dst.fail(f)
				}
				w.src.set("k", content(tc.size, 9))
				res := b.copy(t.Context(), w.src.listed("k"), nil)
				if tc.outcome == "" {
					b.copied(res, w.src, w.dst, "k")
					return
				}
				if res.Outcome != tc.outcome || store.ClassOf(res.Err) != tc.class {
					t.Errorf("outcome %s, class %q (%v)", res.Outcome, store.ClassOf(res.Err), res.Err)
				}
				if w.dst.data("k") != nil {
					t.Error("a failed object stands at the destination")
				}
				b.clean(w.src, w.dst)
			}
		})
	}
}

func TestCopyMismatchNamesBothSums(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	dst.fail(memFault{op: "put", flip: true, times: -1})
	b := newCopyBench(t, src, dst)
	o := src.set("k", []byte("hello"))
	res := b.copy(t.Context(), o, nil)
	wrong := memSums([]byte("iello")).Hex()["md5"]
	if res.Outcome != Failed || !strings.Contains(res.Err.Error(), o.ETag) || !strings.Contains(res.Err.Error(), wrong) {
		t.Errorf("error %v names not both of %s and %s", res.Err, o.ETag, wrong)
	}
}

// TestCopyWrongObjectOfOthersStays: only what this copy wrote wrongly is deleted.
func TestCopyWrongObjectOfOthersStays(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	dst.ab.Conditional = false
	dst.fail(memFault{op: "put", flip: true, times: -1})
	stranger := []byte("hullo")
	dst.fail(memFault{op: "stat", do: func() { dst.keep("k", stranger, store.PutOptions{}) }})
	b := newCopyBench(t, src, dst)
	res := b.copy(t.Context(), src.set("k", []byte("hello")), nil)
	if res.Outcome != Failed || string(dst.data("k")) != string(stranger) {
		t.Errorf("outcome %s, stranger's object %d bytes", res.Outcome, len(dst.data("k")))
	}
}

// TestCopyConditions: a write depends on what compare saw; what somebody else wrote meanwhile is looked at first.
func TestCopyConditions(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		for _, tc := range []struct {
			name   string
			before func(dst *memStore, want []byte) *store.Object
			found  bool
		}{
			{"absent as seen", func(*memStore, []byte) *store.Object { return nil }, false},
			{"present as seen", func(dst *memStore, _ []byte) *store.Object { o := dst.set("k", []byte("old")); return &o }, false},
			{"came since, other", func(dst *memStore, _ []byte) *store.Object { dst.set("k", []byte("old")); return nil }, false},
			{"came since, equal", func(dst *memStore, want []byte) *store.Object { dst.set("k", want); return nil }, true},
			{"went since", func(dst *memStore, _ []byte) *store.Object {
				o := dst.set("k", []byte("old"))
				dst.remove("k")
				return &o
			}, false},
			{"replaced since", func(dst *memStore, _ []byte) *store.Object {
				o := dst.set("k", []byte("old"))
				dst.set("k", []byte("older"))
				return &o
			}, false},
		} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				src, dst := newMemStore(), newMemStore()
				b := newCopyBench(t, src, memMultipart{dst})
				o := src.set("k", content(size, 4))
				res := b.copy(t.Context(), o, tc.before(dst, content(size, 4)))
				b.copied(res, src, dst, "k")
				if res.Found != tc.found {
					t.Errorf("found %v", res.Found)
				}
				if tc.found && dst.writings["k"] != 0 {
					t.Error("an equal object was written again")
				}
			})
		}
	}
}

// TestCopyConditionGivesUp: somebody who writes all the time is not fought for ever.
func TestCopyConditionGivesUp(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	i := uint64(0)
	dst.fail(memFault{op: "put", times: -1, do: func() { i++; dst.keep("k", content(9, i), store.PutOptions{}) }})
	b := newCopyBench(t, src, dst)
	res := b.copy(t.Context(), src.set("k", []byte("hello")), nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Precondition || dst.count("put") != rounds {
		t.Errorf("outcome %s, error %v, %d puts", res.Outcome, res.Err, dst.count("put"))
	}
}

func TestCopyChangingSource(t *testing.T) {
	for _, w := range ways() {
		for _, size := range []int{10, 500, 1500} {
			for _, tc := range []struct {
				name  string
				op    string
				times int
				gone  bool
				want  Outcome
			}{
				{"changes once", "open", 1, false, Copied},
				{"changes always", "open", -1, false, Changed},
				{"goes", "open", 1, true, Vanished},
			} {
				if w.name == "server-side" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%s", w.name, size, tc.name), func(t *testing.T) {
					w := freshWay(w.name)
					b := newCopyBench(t, w.from, w.to)
					w.src.set("k", content(size, 1))
					listed := w.src.listed("k")
					seed := uint64(1)
					w.src.fail(memFault{op: "open", key: "k", times: tc.times, do: func() {
						seed++
						if tc.gone {
							delete(w.src.objects, "k")
							return
						}
						w.src.keep("k", content(size+int(seed%2), seed), store.PutOptions{})
					}})
					res := b.copy(t.Context(), listed, nil)
					if res.Outcome != tc.want {
						t.Fatalf("outcome %s, error %v", res.Outcome, res.Err)
					}
					if tc.want == Copied {
						b.copied(res, w.src, w.dst, "k")
						if now := w.src.listed("k"); res.Source.Size != now.Size || res.Source.ETag != now.ETag {
							t.Errorf("result tells of version %+v", res.Source)
						}
					} else if w.dst.data("k") != nil {
						t.Error("a version that never was stands at the destination")
					}
					b.clean(w.src, w.dst)
				})
			}
		}
	}
}

// freshWay returns new stores for a way.
func freshWay(name string) way {
	for _, w := range ways() {
		if w.name == name {
			return w
		}
	}
	panic("no way " + name)
}

// TestCopyFileChangesWhileRead: reads of a file are not pinned, so size and time are looked at again afterwards.
func TestCopyFileChangesWhileRead(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		for _, to := range []string{"disk to parts", "disk to disk"} {
			for _, last := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", to, size, last), func(t *testing.T) {
					w := freshWay(to)
					b := newCopyBench(t, w.from, w.to)
					w.src.set("k", content(size, 1))
					listed := w.src.listed("k")
					nth := 1
					if last && size >= 1000 {
						nth = size / 100 // no part is opened after the change
					}
					w.src.fail(memFault{op: "open", nth: nth, body: true, at: 5, do: func() { w.src.set("k", content(size, 2)) }})
					res := b.copy(t.Context(), listed, nil)
					b.copied(res, w.src, w.dst, "k")
					if w.dst.writings["k"] != 1 {
						t.Errorf("%d versions became visible", w.dst.writings["k"])
					}
				})
			}
		}
	}
}

// TestCopyListingLies: an object that is not as large as listed is taken again as it is, also under the same ETag.
func TestCopyListingLies(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		src, dst := newMemStore(), newMemStore()
		b := newCopyBench(t, src, memMultipart{dst})
		o := src.set("k", content(size, 1))
		o.Size -= 3
		b.copied(b.copy(t.Context(), o, nil), src, dst, "k")
	}
}

func TestCopyEndsWithLease(t *testing.T) {
	for _, w := range ways() {
		for _, size := range []int{10, 500, 1500} {
			t.Run(fmt.Sprintf("%s/%d", w.name, size), func(t *testing.T) {
				w := freshWay(w.name)
				b := newCopyBench(t, w.from, w.to)
				o := w.src.set("k", content(size, 1))
				b.fence()
				res := b.copy(t.Context(), o, nil)
				if res.Outcome != Failed || !errors.Is(res.Err, ErrFenced) || store.ClassOf(res.Err) != store.Canceled {
					t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
				}
				for _, op := range []string{"put", "create", "part", "complete", "copy", "copypart", "ranged", "commit", "abort"} {
					if w.dst.count(op) > 0 {
						t.Errorf("%s without a lease", op)
					}
				}
			})
		}
	}
}

// TestCopyLeaseLostInBody: once the lease is lost no byte follows, and nothing becomes visible.
func TestCopyLeaseLostInBody(t *testing.T) {
	for _, w := range ways() {
		if w.name == "server-side" {
			continue
		}
		for _, size := range []int{50, 500, 1500} {
			t.Run(fmt.Sprintf("%s/%d", w.name, size), func(t *testing.T) {
				w := freshWay(w.name)
				b := newCopyBench(t, w.from, w.to)
				o := w.src.set("k", content(size, 1))
				w.src.fail(memFault{op: "open", body: true, at: 33, do: b.fence})
				res := b.copy(t.Context(), o, nil)
				if res.Outcome != Failed || !errors.Is(res.Err, ErrFenced) || store.ClassOf(res.Err) != store.Canceled {
					t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
				}
				if w.dst.data("k") != nil || w.dst.count("complete")+w.dst.count("commit")+w.dst.count("abort") > 0 {
					t.Error("something was written after the lease was lost")
				}
			})
		}
	}
}

// TestCopyCanceled: a cancelled copy has nothing in flight when it returns.
func TestCopyCanceled(t *testing.T) {
	for _, w := range ways() {
		for _, size := range []int{50, 500, 5000} {
			t.Run(fmt.Sprintf("%s/%d", w.name, size), func(t *testing.T) {
				w := freshWay(w.name)
				b := newCopyBench(t, w.from, w.to)
				o := w.src.set("k", content(size, 1))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				op := map[string]string{"server-side": "copypart"}[w.name]
				if op == "" {
					w.src.fail(memFault{op: "open", body: true, at: 33, do: cancel})
				} else {
					w.dst.fail(memFault{op: op, do: cancel})
					w.dst.fail(memFault{op: "copy", do: cancel, err: errLostAnswer})
				}
				res := b.copy(ctx, o, nil)
				if w.name == "server-side" && res.Outcome == Copied {
					t.Fatal("copied though cancelled")
				}
				if res.Outcome != Failed || store.ClassOf(res.Err) != store.Canceled {
					t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
				}
				w.dst.mu.Lock()
				defer w.dst.mu.Unlock()
				if w.dst.writes != 0 || w.src.open != 0 || w.dst.ranged != 0 || w.dst.calls["abort"] != 0 {
					t.Errorf("%d writes, %d readers, %d ranged in flight, %d aborts", w.dst.writes, w.src.open, w.dst.ranged, w.dst.calls["abort"])
				}
			})
		}
	}
}
