package transfer

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestPlanParts(t *testing.T) {
	const mib = 1 << 20
	tuning := DefaultTuning()
	s3 := partBounds{5 * mib, 5 << 30, 10000}
	etag := func(n int) string { return fmt.Sprintf("%032x-%d", 1, n) }
	for _, tc := range []struct {
		name   string
		size   int64
		etag   string
		bounds partBounds
		part   int64
		n      int
		same   bool
	}{
		{"smallest", 64 * mib, "", s3, 16 * mib, 4, false},
		{"one byte more", 64*mib + 1, "", s3, 16 * mib, 5, false},
		{"10,000 parts", 16 * mib * 10000, "", s3, 16 * mib, 10000, false},
		{"more than 10,000 parts", 16*mib*10000 + 1, "", s3, 17 * mib, 9412, false},
		{"5 TiB", 5 << 40, "", s3, 525 * mib, 9987, false},
		{"few parts", 1 << 30, "", partBounds{mib, 1 << 30, 10}, 103 * mib, 10, false},
		{"large smallest part", 1 << 30, "", partBounds{100 * mib, 1 << 30, 10000}, 100 * mib, 11, false},
		{"source of 8 MiB", 100 * mib, etag(13), s3, 8 * mib, 13, true},
		{"source of 16 MiB", 1000 * mib, etag(63), s3, 16 * mib, 63, true},
		{"source of 5 MiB", 64 * mib, etag(13), s3, 5 * mib, 13, true},
		{"source of 10 MiB, unusual", 200 * mib, etag(20), s3, 10 * mib, 20, true},
		{"two usual sizes lead there", 100 * mib, etag(2), s3, 64 * mib, 2, false},
		{"one part", 70 * mib, etag(1), s3, 70 * mib, 1, true},
		{"parts too small", 100 * mib, etag(50), s3, 16 * mib, 7, false},
		{"parts too large", 5 << 30, etag(2), s3, 16 * mib, 320, false},
		{"more parts than bytes tell", 64 * mib, etag(63), s3, 16 * mib, 4, false},
		{"no number", 64 * mib, "x-y", s3, 16 * mib, 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := store.Object{Size: tc.size, Sums: store.Checksums{PartsMD5: tc.etag}}
			plan, err := planParts(&o, &tuning, tc.bounds, tuning.PartSize)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(partPlan{tc.size, tc.part, tc.n, tc.same}, plan, cmp.AllowUnexported(partPlan{})); diff != "" {
				t.Error(diff)
			}
			off, length := plan.span(plan.n - 1)
			if off+length != tc.size || length < 1 || length > plan.part {
				t.Errorf("last part at %d of %d bytes", off, length)
			}
		})
	}
	if _, err := planParts(&store.Object{Size: 1 << 40}, &tuning, partBounds{mib, 16 * mib, 100}, tuning.PartSize); store.ClassOf(err) != store.Permanent {
		t.Errorf("too large an object: %v", err)
	}
}

// TestSameParts: an object made of parts arrives made of the same parts, so that listings can compare the ETags, and the
// time is not recorded; otherwise it is.
func TestSameParts(t *testing.T) {
	for _, tc := range []struct {
		name string
		to   func(*memStore) store.Destination
		etag bool
	}{
		{"through the node", func(s *memStore) store.Destination { return memMultipart{s} }, true},
		{"server-side", func(s *memStore) store.Destination { return memCopier{memMultipart{s}, 1 << 20} }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			uploadInParts(t, memMultipart{src}, "k", content(1930, 2), 80)
			b := newCopyBench(t, src, tc.to(dst))
			o := src.listed("k")
			res := b.copy(t.Context(), o, nil)
			b.copied(res, src, dst, "k")
			if got := dst.listed("k").ETag; got != o.ETag || res.SentChecked == "" {
				t.Errorf("ETag %s, source %s, shown by %q", got, o.ETag, res.SentChecked)
			}
			if tc.name == "through the node" && res.SourceChecked != "etag" {
				t.Errorf("source checked by %q", res.SourceChecked)
			}
			if got, ok := dst.objects["k"].Meta.User[store.MTimeKey]; ok {
				t.Errorf("time %s was recorded without need", got)
			}
		})
	}
	src, dst := newMemStore(), newMemDisk()
	uploadInParts(t, memMultipart{src}, "k", content(1930, 2), 80)
	b := newCopyBench(t, src, dst)
	res := b.copy(t.Context(), src.listed("k"), nil)
	b.copied(res, src, dst.memStore, "k")
	if res.SourceChecked != "etag" || res.How != "ranged" {
		t.Errorf("to disk %s, source checked by %q", res.How, res.SourceChecked)
	}
}

// uploadInParts stores an object as another tool would.
func uploadInParts(t *testing.T, s memMultipart, key string, data []byte, part int) {
	t.Helper()
	id := s.begin(key, store.PutOptions{})
	var parts []store.Part
	for n, off := 1, 0; off < len(data); n, off = n+1, off+part {
		piece := data[off:min(off+part, len(data))]
		p, err := s.UploadPart(t.Context(), key, id, n, store.Body{Bytes: piece, Size: int64(len(piece))})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if _, err := s.CompleteUpload(t.Context(), key, id, parts, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// takeover is the state that an earlier owner left behind: an upload with some parts.
type takeover struct {
	*copyBench
	src, dst *memStore
	to       memMultipart
	listed   store.Object
	data     []byte
	upload   Upload
}

// newTakeover makes an object of 20 parts, the first 12 of which an upload holds.
func newTakeover(t *testing.T, src *memStore, from store.Source) *takeover {
	dst := newMemStore()
	to := memMultipart{dst}
	o := &takeover{copyBench: newCopyBench(t, from, to), src: src, dst: dst, to: to, data: content(1950, 6)}
	src.set("k", o.data)
	o.listed = src.listed("k")
	o.upload = Upload{Key: "k", ID: to.begin("k", store.PutOptions{}), Version: versionOf(&o.listed), PartSize: 100}
	for n := 1; n <= 12; n++ {
		o.part(n, o.data[(n-1)*100:n*100])
	}
	dst.calls = map[string]int{}
	dst.writings = map[string]int{}
	return o
}

// part stores a part as the earlier owner would.
func (o *takeover) part(n int, data []byte) {
	o.t.Helper()
	_, err := o.to.UploadPart(o.t.Context(), "k", o.upload.ID, n, store.Body{Bytes: data, Size: int64(len(data))})
	if err != nil {
		o.t.Fatal(err)
	}
}

// run copies with the upload committed.
func (o *takeover) run() Result {
	o.task.Uploads = []Upload{{Key: "j", ID: "other"}, o.upload}
	o.ledger.open = map[string]Upload{"k": o.upload}
	return o.copy(o.t.Context(), o.listed, nil)
}

func TestTakeover(t *testing.T) {
	disk := func() (*memStore, store.Source) { d := newMemDisk(); return d.memStore, d }
	s3 := func() (*memStore, store.Source) { s := newMemStore(); return s, s }
	for _, tc := range []struct {
		name   string
		from   func() (*memStore, store.Source)
		change func(o *takeover)
		sent   int // parts that go over the wire
		read   int // bytes read from the source, about: at least
		most   int
	}{
		{"parts of a file are read and not sent", disk, nil, 8, 1950, 1950},
		{"parts that prove themselves are not read", s3, nil, 8, 750, 750},
		{"a corrupt part of a file is sent again", disk, func(o *takeover) { o.part(5, content(100, 99)) }, 9, 2050, 2050},
		{"a corrupt part does not prove itself", s3, func(o *takeover) { o.part(5, content(100, 99)) }, 9, 2050, 2050},
		{"a short part is sent again", disk, func(o *takeover) { o.part(5, []byte("short")) }, 9, 1950, 1950},
		{"a part beyond the end is left out", disk, func(o *takeover) { o.part(21, content(100, 1)) }, 8, 1950, 1950},
		{"sums unknown", disk, func(o *takeover) {
			for n, p := range o.dst.uploads[o.upload.ID].parts {
				p.Sums = store.Checksums{}
				o.dst.uploads[o.upload.ID].parts[n] = p
			}
		}, 20, 1950, 3200},
		{"verify by size trusts sizes", disk, func(o *takeover) { o.job.Verify = "size" }, 8, 750, 750},
		{"another version", disk, func(o *takeover) { o.upload.Version = "older" }, 20, 1950, 1950},
		{"no part size", disk, func(o *takeover) { o.upload.PartSize = 0 }, 20, 1950, 1950},
		{"impossible part size", disk, func(o *takeover) { o.upload.PartSize = 1; o.dst.most = 1000 }, 20, 1950, 1950},
		{"the upload is gone", disk, func(o *takeover) { delete(o.dst.uploads, o.upload.ID) }, 20, 1950, 1950},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, from := tc.from()
			o := newTakeover(t, src, from)
			if tc.change != nil {
				tc.change(o)
				o.dst.calls, o.dst.writings = map[string]int{}, map[string]int{}
			}
			res := o.run()
			o.copied(res, o.src, o.dst, "k")
			if n := o.dst.count("part"); n != tc.sent {
				t.Errorf("%d parts were sent, want %d", n, tc.sent)
			}
			if n := int(o.n.Meter.BytesRead.Load()); n < tc.read || n > tc.most {
				t.Errorf("%d bytes were read, want %d to %d", n, tc.read, tc.most)
			}
			if o.job.Verify == "checksum" && res.SentChecked == "" {
				t.Error("nothing shows that all arrived")
			}
		})
	}
}

// TestTakeoverCompleted: the earlier owner completed the upload and died before it could say so.
func TestTakeoverCompleted(t *testing.T) {
	disk := newMemDisk()
	o := newTakeover(t, disk.memStore, disk)
	delete(o.dst.uploads, o.upload.ID)
	o.dst.keep("k", o.data, store.PutOptions{Meta: store.Metadata{User: map[string]string{store.MTimeKey: formatTime(o.listed.ModTime)}}})
	res := o.run()
	o.copied(res, o.src, o.dst, "k")
	if !res.Found || o.dst.count("create")+o.dst.count("part") > 0 {
		t.Errorf("found %v, %d uploads, %d parts", res.Found, o.dst.count("create"), o.dst.count("part"))
	}
}

// TestTakeoverPlanned: an upload that was planned and may have been created is aborted, those of others are not.
func TestTakeoverPlanned(t *testing.T) {
	for _, created := range []bool{true, false} {
		t.Run(fmt.Sprint(created), func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			to := memMultipart{dst}
			b := newCopyBench(t, src, to)
			known := to.begin("k", store.PutOptions{})
			unlisted := to.begin("k", store.PutOptions{})
			other := to.begin("k2", store.PutOptions{})
			planned, err := dst.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			meanwhile := to.begin("k", store.PutOptions{}) // between reading the clock and listing
			foreign := map[string]bool{known: true, unlisted: true, other: true, meanwhile: true}
			if created {
				to.begin("k", store.PutOptions{})
			}
			foreign[to.begin("k2", store.PutOptions{})] = true
			b.task.Uploads = []Upload{{Key: "k", Known: []string{known, meanwhile}, Planned: planned}}
			b.ledger.open = map[string]Upload{"k": b.task.Uploads[0]}
			res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
			if res.Outcome != Copied {
				t.Fatal(res.Err)
			}
			for id := range dst.uploads {
				if !foreign[id] {
					t.Errorf("upload %s was left", id)
				}
				delete(foreign, id)
			}
			for id := range foreign {
				t.Errorf("upload %s of someone else was aborted", id)
			}
			if diff := cmp.Diff([]string{"close", "plan", "open", "close"}, b.ledger.log); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUploadIsCommitted: the plan names what is open, precedes Create, and the ID precedes the first part.
func TestUploadIsCommitted(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	to := memMultipart{dst}
	b := newCopyBench(t, src, to)
	foreign := to.begin("k", store.PutOptions{})
	dst.fail(memFault{op: "create", do: func() { b.ledger.log = append(b.ledger.log, "create") }})
	dst.fail(memFault{op: "part", do: func() { b.ledger.log = append(b.ledger.log, "part") }})
	dst.fail(memFault{op: "complete", do: func() { b.ledger.log = append(b.ledger.log, "complete") }})
	o := src.set("k", content(1500, 1))
	res := b.copy(t.Context(), o, nil)
	if res.Outcome != Copied {
		t.Fatal(res.Err)
	}
	if diff := cmp.Diff([]string{"plan", "create", "open", "part", "complete", "close"}, b.ledger.log); diff != "" {
		t.Error(diff)
	}
	plan := b.ledger.plans[0]
	if diff := cmp.Diff([]string{foreign}, plan.Known); diff != "" || plan.Planned.IsZero() || plan.Version != o.ETag {
		t.Errorf("plan %+v", plan)
	}
	if _, ok := dst.uploads[foreign]; !ok || len(dst.uploads) != 1 {
		t.Errorf("uploads open: %v", dst.uploads)
	}
}

// TestUploadLeftForNextOwner: a task that ends leaves its upload, and the next owner carries it on.
func TestUploadLeftForNextOwner(t *testing.T) {
	for _, how := range []string{"fence", "cancel"} {
		t.Run(how, func(t *testing.T) {
			src, dst := newMemDisk(), newMemStore()
			to := memMultipart{dst}
			first := newCopyBench(t, src, to)
			src.set("k", content(1950, 1))
			o := src.listed("k")
			ctx, cancel := contextWithCancel(t)
			end := cancel
			if how == "fence" {
				end = first.fence
			}
			dst.fail(memFault{op: "part", nth: 10, do: end})
			res := first.copy(ctx, o, nil)
			if res.Outcome != Failed || store.ClassOf(res.Err) != store.Canceled || dst.count("abort") > 0 {
				t.Fatalf("outcome %s, error %v, %d aborts", res.Outcome, res.Err, dst.count("abort"))
			}
			held := len(dst.uploads["upload-1"].parts)
			sent := dst.count("part")
			next := newCopyBench(t, src, to)
			next.task.Uploads = first.ledger.left()
			res = next.copy(t.Context(), o, nil)
			next.copied(res, src.memStore, dst, "k")
			if n := dst.count("part") - sent; n != 20-held || dst.count("create") != 1 {
				t.Errorf("%d parts were held, %d sent, %d uploads", held, n, dst.count("create"))
			}
		})
	}
}

// TestCompleteCorrupted: what is wrong with the whole after all parts were right makes the object start over.
func TestCompleteCorrupted(t *testing.T) {
	for _, tc := range []struct {
		name  string
		times int
		want  Outcome
	}{{"once", 1, Copied}, {"always", -1, Failed}} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			dst.want = [2]bool{false, true}
			dst.fail(memFault{op: "complete", flip: true, at: 777, times: tc.times})
			b := newCopyBench(t, src, memMultipart{dst})
			res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
			if res.Outcome != tc.want {
				t.Fatalf("outcome %s, error %v", res.Outcome, res.Err)
			}
			b.clean(src, dst)
			if tc.want == Failed && (store.ClassOf(res.Err) != store.Mismatch || dst.data("k") != nil || res.Attempts != rounds) {
				t.Errorf("error %v, %d attempts, object stands: %v", res.Err, res.Attempts, dst.data("k") != nil)
			}
		})
	}
}

// TestAbortRefused: an upload that cannot be aborted stays committed, and no other is made that would hide it.
func TestAbortRefused(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	dst.fail(memFault{op: "part", times: -1, err: memErr("part", "k", store.NotFound, "planned")})
	dst.fail(memFault{op: "abort", times: -1, err: memErr("abort", "k", store.Auth, "planned")})
	b := newCopyBench(t, src, memMultipart{dst})
	res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
	if res.Outcome != Failed || dst.count("create") != 1 || len(b.ledger.left()) != 1 {
		t.Errorf("outcome %s, %d uploads created, %d committed", res.Outcome, dst.count("create"), len(b.ledger.left()))
	}
}

// TestUploadCommitRefused: without a committed plan nothing is created, without a committed ID nothing is sent.
func TestUploadCommitRefused(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newCopyBench(t, src, memMultipart{dst})
	b.ledger.err = fmt.Errorf("stale epoch: %w", ErrFenced)
	res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Canceled || dst.count("create") > 0 {
		t.Errorf("outcome %s, error %v, %d uploads", res.Outcome, res.Err, dst.count("create"))
	}
	b.ledger.err = nil
	dst.fail(memFault{op: "create", do: func() { b.ledger.err = fmt.Errorf("stale epoch: %w", ErrFenced) }})
	res = b.copy(t.Context(), src.listed("k"), nil)
	if res.Outcome != Failed || store.ClassOf(res.Err) != store.Canceled || dst.count("part")+dst.count("abort") > 0 {
		t.Errorf("outcome %s, error %v, %d parts, %d aborts", res.Outcome, res.Err, dst.count("part"), dst.count("abort"))
	}
}

func TestPlannedWithoutClock(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newCopyBench(t, src, clockless{memMultipart{dst}})
	now := time.Date(2024, 5, 1, 12, 30, 0, 0, time.UTC)
	b.n.Now = func() time.Time { return now }
	res := b.copy(t.Context(), src.set("k", content(1500, 1)), nil)
	b.copied(res, src, dst, "k")
	if got := b.ledger.plans[0].Planned; !got.Equal(now.Add(-clockTolerance)) {
		t.Errorf("planned at %s", got)
	}
}
