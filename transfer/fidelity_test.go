package transfer

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// memKeeper is a store that keeps tags, access and classes, and tells them as vendors do. It keeps two tags an object.
type memKeeper struct{ memMultipart }

var memClasses = store.StorageClasses{{Name: "HOT", Tier: store.TierStandard}, {Name: "COOL", Tier: store.TierInfrequent}}

func (s memKeeper) Abilities() store.Abilities {
	ab := s.ab
	ab.Classes, ab.Tags, ab.Access, ab.Encryption = memClasses, true, true, true
	return ab
}

func (s memKeeper) Fit(m store.Metadata) (store.Metadata, []store.Loss) {
	var lost []store.Loss
	class, exact := memClasses.For(m.Class)
	if !exact {
		lost = append(lost, store.Loss{What: "storage class", Name: m.Class.Name, Reason: "none like it, kept as " + class.Name})
	}
	m.Class = class
	if len(m.Tags) > 2 {
		lost = append(lost, store.Loss{What: "tag", Name: "many", Reason: "two an object"})
		m.Tags = nil
	}
	return m, lost
}

func (s memKeeper) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if _, err := s.enter(ctx, "detail", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	if o == nil {
		return nil, memErr("detail", key, store.NotFound, "no such key")
	}
	if want.Tags {
		m.Tags = o.Meta.Tags
	}
	if want.Access {
		m.Access = o.Meta.Access
		return []store.Loss{{What: "access", Name: "READ of bob", Reason: "no word for it"}}, nil
	}
	return nil, nil
}

// rich is an object with all that can be kept.
func rich(s *memStore, size int) {
	s.set("k", content(size, 1), func(o *store.Object) {
		o.Meta = &store.Metadata{
			ContentType: "text/x", User: map[string]string{"a": "1"}, Class: store.StorageClass{Name: "Chilly", Tier: store.TierInfrequent},
			Tags: map[string]string{"t": "v"}, Access: store.AccessPublicRead, Encryption: store.EncryptionStore,
		}
	})
}

// TestKeepsWhatIsAsked: in every way that an object takes, what the job asks for arrives, in the destination's words; what it does
// not ask for costs nothing and does not.
func TestKeepsWhatIsAsked(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		for _, way := range []string{"sent", "copied by the store"} {
			for _, all := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d/%s/%t", size, way, all), func(t *testing.T) {
					src, dst := newMemStore(), newMemStore()
					rich(src, size)
					var to store.Destination = memKeeper{memMultipart{dst}}
					if way != "sent" {
						to = keepingCopier{memCopier{memMultipart{dst}, 1 << 20}, memKeeper{memMultipart{dst}}}
					}
					b := newCopyBench(t, memKeeper{memMultipart{src}}, to)
					if all {
						b.job.Keep = Keep{Tags: true, Access: true, SourceClass: true, Encryption: true}
					}
					res := b.copy(t.Context(), src.listed("k"), nil)
					b.copied(res, src, dst, "k")
					got := dst.objects["k"].Meta
					want := &store.Metadata{ContentType: "text/x", User: map[string]string{"a": "1"}}
					var lost []string
					if all {
						want.Class, want.Access, want.Encryption = memClasses[1], store.AccessPublicRead, store.EncryptionStore
						want.Tags = map[string]string{"t": "v"}
						lost = []string{`access "READ of bob": no word for it`}
					}
					delete(got.User, store.MTimeKey)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("kept (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(lost, lossLines(res.Lost)); diff != "" {
						t.Errorf("lost (-want +got):\n%s", diff)
					}
					if n := src.count("detail"); (n == 1) != all {
						t.Errorf("%d requests for details", n)
					}
				})
			}
		}
	}
}

// keepingCopier is a memKeeper that copies by itself.
type keepingCopier struct {
	memCopier
	keeper memKeeper
}

func (s keepingCopier) Abilities() store.Abilities { return s.keeper.Abilities() }

func (s keepingCopier) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return s.keeper.Fit(m) }

// TestOneClassForAll: the class that the job names, whatever the source's.
func TestOneClassForAll(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	rich(src, 10)
	b := newCopyBench(t, src, memKeeper{memMultipart{dst}})
	b.job.Keep.Class = "HOT"
	b.copied(b.copy(t.Context(), src.listed("k"), nil), src, dst, "k")
	if got := dst.objects["k"].Meta.Class; got != memClasses[0] {
		t.Errorf("class %+v", got)
	}
}

// TestDetailsThatCannotBeRead fail the object: it would lose what it was to keep.
func TestDetailsThatCannotBeRead(t *testing.T) {
	for class, want := range map[store.Class]Outcome{store.Auth: Failed, store.NotFound: Vanished} {
		src, dst := newMemStore(), newMemStore()
		rich(src, 10)
		src.fail(memFault{op: "detail", times: -1, err: memErr("get tags", "k", class, "no")})
		b := newCopyBench(t, memKeeper{memMultipart{src}}, memKeeper{memMultipart{dst}})
		b.job.Keep.Tags = true
		res := b.copy(t.Context(), src.listed("k"), nil)
		if res.Outcome != want || want == Failed && store.ClassOf(res.Err) != class || dst.data("k") != nil {
			t.Errorf("%s: outcome %s, error %v", class, res.Outcome, res.Err)
		}
	}
}

// TestClassThatIsRefused: servers that do not know a class say so once; the object goes without, and so do the next ones.
func TestClassThatIsRefused(t *testing.T) {
	for _, size := range []int{10, 500, 1500} {
		src, dst := newMemStore(), newMemStore()
		rich(src, size)
		refused := &store.Error{Op: "put", Class: store.Permanent, Code: "InvalidStorageClass", Err: fmt.Errorf("no such class")}
		op := "put"
		if size == 1500 {
			op = "create"
		}
		dst.fail(memFault{op: op, err: refused})
		b := newCopyBench(t, src, memKeeper{memMultipart{dst}})
		b.job.Keep.SourceClass = true
		for range 2 {
			res := b.copy(t.Context(), src.listed("k"), nil)
			if res.Found { // the first one stands there
				res.Lost = nil
			} else if len(res.Lost) != 1 || res.Lost[0].What != "storage class" {
				t.Errorf("%d bytes: lost %v", size, res.Lost)
			}
			b.copied(res, src, dst, "k")
		}
		if dst.objects["k"].Meta.Class != (store.StorageClass{}) {
			t.Errorf("%d bytes: class %+v", size, dst.objects["k"].Meta.Class)
		}
		b.job.Keep.Class = "COOL" // named by the job: then it fails
		dst.fail(memFault{op: op, times: -1, err: refused})
		if res := b.copy(t.Context(), src.listed("k"), ptr(dst.listed("k"))); res.Outcome != Failed {
			t.Errorf("%d bytes: %s of a class that was asked for", size, res.Outcome)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestMD5IsRecorded where it is known before the write, as rclone does; else it is a loss.
func TestMD5IsRecorded(t *testing.T) {
	for _, c := range []struct {
		size     int
		reported bool
		known    bool
	}{{10, true, true}, {10, false, true}, {500, true, true}, {500, false, false}, {1500, true, true}, {1500, false, false}} {
		src, dst := newMemStore(), newMemStore()
		data := content(c.size, 1)
		src.set("k", data, func(o *store.Object) {
			if !c.reported {
				o.Sums = store.Checksums{}
			}
		})
		b := newCopyBench(t, src, memMultipart{dst})
		b.job.Keep.MD5 = true
		res := b.copy(t.Context(), src.listed("k"), nil)
		b.copied(res, src, dst, "k")
		sum := md5.Sum(data)
		want := ""
		if c.known {
			want = base64.StdEncoding.EncodeToString(sum[:])
		}
		if got := dst.objects["k"].Meta.User[md5Key]; got != want || (len(res.Lost) == 0) != c.known {
			t.Errorf("%+v: %q, lost %v", c, got, res.Lost)
		}
	}
}

// TestTimeIsRecordedAlways where the job asks for it.
func TestTimeIsRecordedAlways(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.set("k", content(10, 1))
	b := newCopyBench(t, src, dst)
	b.copied(b.copy(t.Context(), src.listed("k"), nil), src, dst, "k")
	if got := dst.objects["k"].Meta.User[store.MTimeKey]; got != "" {
		t.Errorf("recorded %q without need", got)
	}
	b.job.Keep.AlwaysMTime = true
	b.copied(b.copy(t.Context(), src.listed("k"), ptr(dst.listed("k"))), src, dst, "k")
	if got := dst.objects["k"].Meta.User[store.MTimeKey]; got != formatTime(src.listed("k").ModTime) {
		t.Errorf("recorded %q", got)
	}
}

// TestLossesAreCounted: in counts and records of a job, on the way to a file system, which keeps bytes and times.
func TestLossesAreCounted(t *testing.T) {
	src, dst := newMemStore(), newMemDisk()
	for key, m := range map[string]store.Metadata{
		"plain": {ContentType: "binary/octet-stream", User: map[string]string{store.MTimeKey: "5"}, Class: memClasses[0]},
		"rich": {
			ContentType: "text/x", Expires: "never", User: map[string]string{"a": "1", store.MTimeKey: "5"}, Class: memClasses[1],
			Tags: map[string]string{"t": "v"}, Access: store.AccessPublicRead,
		},
	} {
		src.set(key, content(10, 1), func(o *store.Object) { o.Meta = &m })
	}
	b := newBench(t, memKeeper{memMultipart{src}}, dst)
	b.job.Keep = Keep{Tags: true, Access: true, SourceClass: true}
	b.job.Keep.Access = false
	b.pass()
	if b.totals.Copied != 2 || b.totals.Lossy != 1 {
		t.Errorf("%+v", b.totals)
	}
	const reason = ": a file system does not keep it"
	want := []string{
		`header "Content-Type"` + reason, `header "Expires"` + reason, `metadata "a"` + reason, `tag "t"` + reason, `storage class "COOL"` + reason,
	}
	if diff := cmp.Diff(want, b.record("rich").Lost); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	if lost := b.record("plain").Lost; len(lost) > 0 {
		t.Errorf("lost %q", lost)
	}
	src.set("gone", content(10, 2), func(o *store.Object) { o.Meta = &store.Metadata{ContentType: "text/x"} })
	dst.fail(memFault{op: "put", key: "gone", lose: true})
	b.again()
	b.pass()
	if b.totals.Failed != 1 || b.totals.Lossy != 0 {
		t.Errorf("of an object that is not there any more: %+v", b.totals)
	}
}

// TestLossLines are bounded.
func TestLossLines(t *testing.T) {
	var many []store.Loss
	for i := range 100 {
		many = append(many, store.Loss{What: "tag", Name: strings.Repeat("ü", 1000), Reason: fmt.Sprint(i)})
	}
	lines, size := lossLines(many), 0
	for _, l := range lines {
		size += len(l)
	}
	if len(lines) != maxLosses+1 || size > 6000 || lines[maxLosses] != "and 84 more" || LossKind(lines[0]) != "tag" || LossKind(lines[maxLosses]) != "more" {
		t.Errorf("%d lines of %d bytes, the last %q", len(lines), size, lines[len(lines)-1])
	}
	if kind := LossKind(store.Loss{What: "storage class", Reason: "none"}.String()); kind != "storage class" {
		t.Errorf("kind %q", kind)
	}
}

// restorer is a source with an archive.
type restorer struct {
	*memStore
	asked map[string]int
}

func (s restorer) Restore(ctx context.Context, key string, days int, speed string) error {
	if _, err := s.enter(ctx, "restore", key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if days != 3 || speed != "Bulk" {
		return memErr("restore", key, store.Permanent, "%d days, speed %q", days, speed)
	}
	s.asked[key]++
	return nil
}

// TestArchivedObjects: by the rule of the job they fail, are left out, or are asked to be restored, and a retry copies them.
func TestArchivedObjects(t *testing.T) {
	frozen := func(rule string) (*bench, *memStore, *memFault, restorer) {
		src, dst := newMemStore(), newMemStore()
		src.set("cold", content(10, 1))
		src.set("warm", content(10, 2))
		fault := src.fail(memFault{op: "open", key: "cold", times: -1, err: memErr("open", "cold", store.Archived, "in the archive")})
		from := restorer{src, map[string]int{}}
		b := newBench(t, from, dst)
		b.job.Archived, b.job.RestoreDays, b.job.RestoreSpeed = rule, 3, "Bulk"
		return b, dst, fault, from
	}
	b, _, _, from := frozen("")
	b.pass()
	if r := b.record("cold"); b.classes["archived"] != 1 || !strings.Contains(r.Reason, "archived: restore") || len(from.asked) > 0 {
		t.Errorf("%+v, %+v", b.classes, r)
	}
	b, _, _, from = frozen("skip")
	b.pass()
	if r := b.record("cold"); b.totals.Filtered != 1 || b.totals.Failed != 0 || r.Reason != "archived" || len(from.asked) > 0 {
		t.Errorf("%+v, %+v", b.totals, r)
	}
	b, dst, fault, from := frozen("restore")
	b.pass()
	if r := b.record("cold"); b.classes["archived"] != 1 || from.asked["cold"] != 1 || !strings.Contains(r.Reason, "to be restored for 3 days") {
		t.Errorf("%+v, %+v, asked %v", b.classes, r, from.asked)
	}
	fault.times = 0 // restored
	b.todo = append(b.todo, Task{ID: 99, Kind: List, Segment: b.failed[0], EndLine: b.failed[0].Lines, Retry: true})
	b.records, b.failed = b.records[:0], nil
	task := b.todo[0]
	if done, err := b.one(&task); err != nil || !done {
		t.Fatal(done, err)
	}
	if b.totals.Copied != 2 || b.totals.Failed != 0 || b.classes["archived"] != 0 || dst.data("cold") == nil {
		t.Errorf("after the retry: %+v, %v", b.totals, b.classes)
	}
	b, _, _, from = frozen("restore")
	from.fail(memFault{op: "restore", times: -1, err: memErr("restore", "cold", store.Auth, "may not")})
	b.pass()
	if b.classes["auth"] != 1 {
		t.Errorf("may not restore: %+v", b.classes)
	}
	b, _, _, from = frozen("restore")
	b.job.Source = from.memStore
	b.pass()
	if b.classes["permanent"] != 1 {
		t.Errorf("cannot restore: %+v", b.classes)
	}
}
