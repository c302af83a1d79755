package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func multipartChecks() []check {
	cases := []check{
		{name: "multipart around the part size", run: partSizes},
		{name: "multipart in any order", run: anyOrder},
		{name: "multipart resumed", run: resumed},
		{name: "multipart replaced part", run: replacedPart},
		{name: "multipart aborted", run: aborted},
		{name: "multipart metadata", lacks: lacksMetadata, run: multipartMetadata},
		{name: "multipart stopped before commit", run: stoppedBeforeCommit},
		{name: "multipart on condition", lacks: lacksConditionalCreate, run: multipartConditional},
		{name: "multipart wrong sums", lacks: lacksSums, run: multipartWrongSums},
		{name: "multipart short part", run: shortPart},
		{name: "uploads of exactly one key", run: exactUploads},
		{name: "unknown upload", run: unknownUpload},
	}
	for i := range cases {
		own := cases[i].lacks
		cases[i].lacks = func(h Harness) string {
			if _, ok := h.Store.(store.Multiparter); !ok {
				return "takes no parts"
			}
			if own == nil {
				return ""
			}
			return own(h)
		}
	}
	return cases
}

// upload is an open multipart upload of a case.
type upload struct {
	t    *testing.T
	h    Harness
	m    store.Multiparter
	key  string
	id   string
	size int // of a part
}

func newUpload(t *testing.T, h Harness, key string, opts store.PutOptions) *upload {
	t.Helper()
	m := h.Store.(store.Multiparter)
	smallest, _, _ := m.PartLimits()
	id, err := m.CreateUpload(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("create upload of %q: %v", key, err)
	}
	return &upload{t, h, m, key, id, int(max(smallest, 1<<20))}
}

func (u *upload) part(n int, b []byte) store.Part {
	u.t.Helper()
	body := streamed(b)
	if n%2 == 0 {
		body = inMemory(b)
	}
	body.Sums = sumsOf(b)
	p, err := u.m.UploadPart(u.t.Context(), u.key, u.id, n, body)
	if err != nil {
		u.t.Fatalf("upload part %d of %q: %v", n, u.key, err)
	}
	if p.Number != n || p.Size != int64(len(b)) {
		u.t.Errorf("part %d = number %d, %d bytes", n, p.Number, p.Size)
	}
	agree(u.t, fmt.Sprintf("part %d", n), p.Sums, b)
	return p
}

func (u *upload) complete(parts []store.Part, opts store.PutOptions) store.Object {
	u.t.Helper()
	o, err := u.m.CompleteUpload(u.t.Context(), u.key, u.id, parts, opts)
	if err != nil {
		u.t.Fatalf("complete upload of %q: %v", u.key, err)
	}
	return o
}

// holds fails unless the object has this content, and no upload of its key is open.
func (u *upload) holds(o store.Object, want []byte) {
	u.t.Helper()
	if o.Size != int64(len(want)) || o.Key != u.key {
		u.t.Errorf("complete = key %q of %d bytes, want %q of %d", o.Key, o.Size, u.key, len(want))
	}
	agree(u.t, "complete", o.Sums, want)
	stat, err := u.h.Store.Stat(u.t.Context(), u.key)
	if err != nil || stat.Size != int64(len(want)) || stat.ETag != o.ETag {
		u.t.Errorf("stat = %+v, %v; complete said %+v", stat, err, o)
	}
	agree(u.t, "stat", stat.Sums, want)
	if got := readWhole(u.t, u.h.Store, u.key); !bytes.Equal(got, want) {
		u.t.Errorf("%d bytes differ from the %d uploaded", len(got), len(want))
	}
	u.noneOpen()
}

func (u *upload) noneOpen() {
	u.t.Helper()
	open, err := u.m.ListUploads(u.t.Context(), u.key)
	if err != nil || len(open) != 0 {
		u.t.Errorf("uploads of %q = %+v, %v; want none", u.key, open, err)
	}
}

func (u *upload) abort() {
	u.t.Helper()
	if err := u.m.AbortUpload(u.t.Context(), u.key, u.id); err != nil {
		u.t.Errorf("abort upload of %q: %v", u.key, err)
	}
}

func partSizes(t *testing.T, h Harness) {
	for _, extra := range []int{-1, 0, 1} {
		u := newUpload(t, h, fmt.Sprintf("big%+d", extra), store.PutOptions{})
		whole := content(2*u.size+extra, uint64(extra+2))
		var parts []store.Part
		for rest, n := whole, 1; len(rest) > 0; n++ {
			size := min(u.size, len(rest))
			parts = append(parts, u.part(n, rest[:size]))
			rest = rest[size:]
		}
		u.holds(u.complete(parts, store.PutOptions{}), whole)
	}
}

func anyOrder(t *testing.T, h Harness) {
	u := newUpload(t, h, "folder/big object", store.PutOptions{})
	whole := content(2*u.size+100, 9)
	third := u.part(3, whole[2*u.size:])
	first := u.part(1, whole[:u.size])
	second := u.part(2, whole[u.size:2*u.size])
	u.holds(u.complete([]store.Part{first, second, third}, store.PutOptions{}), whole)
}

func resumed(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	whole := content(2*u.size+1, 10)
	u.part(2, whole[u.size:2*u.size])
	u.part(1, whole[:u.size])
	if h.NewStore != nil { // another process goes on
		next := h.NewStore(store.RoleDestination)
		u.h.Store, u.m = next, next.(store.Multiparter)
	}
	open, err := u.m.ListUploads(t.Context(), "big")
	if err != nil || len(open) != 1 || open[0].ID != u.id || open[0].Began.IsZero() {
		t.Fatalf("list uploads = %+v, %v; want %q", open, err, u.id)
	}
	held, err := u.m.ListParts(t.Context(), "big", open[0].ID)
	if err != nil || len(held) != 2 || held[0].Number != 1 || held[1].Number != 2 {
		t.Fatalf("list parts = %+v, %v; want 1 and 2", held, err)
	}
	for i, p := range held {
		if p.Size != int64(u.size) || p.ETag == "" {
			t.Errorf("part %d listed as %+v", i+1, p)
		}
		agree(t, fmt.Sprintf("listed part %d", i+1), p.Sums, whole[i*u.size:(i+1)*u.size])
	}
	u.holds(u.complete(append(held, u.part(3, whole[2*u.size:])), store.PutOptions{}), whole)
}

func replacedPart(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	u.part(1, content(u.size, 1))
	whole := content(u.size, 2)
	u.holds(u.complete([]store.Part{u.part(1, whole)}, store.PutOptions{}), whole)
}

func aborted(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	p := u.part(1, content(u.size, 1))
	u.abort()
	u.abort()
	u.noneOpen()
	_, err := u.m.CompleteUpload(t.Context(), "big", u.id, []store.Part{p}, store.PutOptions{})
	wantClass(t, "complete after abort", err, store.NotFound)
	_, err = u.m.ListParts(t.Context(), "big", u.id)
	wantClass(t, "list parts after abort", err, store.NotFound)
	absent(t, h.Store, "big")
}

func multipartMetadata(t *testing.T, h Harness) {
	want := store.Metadata{ContentType: "video/x-test", CacheControl: "no-store", User: map[string]string{"who": "Zoë", store.MTimeKey: "1.5"}}
	opts := store.PutOptions{Meta: want}
	u := newUpload(t, h, "big", opts)
	u.complete([]store.Part{u.part(1, content(100, 1))}, opts)
	stat, err := h.Store.Stat(t.Context(), "big")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	if diff := cmp.Diff(&want, ofContent(stat.Meta)); diff != "" {
		t.Errorf("metadata differs (-put +read):\n%s", diff)
	}
}

func stoppedBeforeCommit(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	p := u.part(1, content(100, 1))
	cause := errors.New("the lease is lost")
	_, err := u.m.CompleteUpload(t.Context(), "big", u.id, []store.Part{p}, store.PutOptions{BeforeCommit: func() error { return cause }})
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want what BeforeCommit gave", err)
	}
	absent(t, h.Store, "big")
	u.abort()
}

func multipartConditional(t *testing.T, h Harness) {
	put(t, h.Store, "big", []byte("there"))
	u := newUpload(t, h, "big", store.PutOptions{})
	p := u.part(1, content(100, 1))
	_, err := u.m.CompleteUpload(t.Context(), "big", u.id, []store.Part{p}, store.PutOptions{Condition: store.Condition{Absent: true}})
	wantClass(t, "complete, absent, but there", err, store.Precondition)
	if got := readWhole(t, h.Store, "big"); string(got) != "there" {
		t.Error("a refused upload changed the object")
	}
	u.abort()
	u.noneOpen()
}

func multipartWrongSums(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	u.part(1, content(100, 1))
	body := inMemory(content(100, 2))
	body.Sums.MD5 = sumsOf(content(100, 3)).MD5
	_, err := u.m.UploadPart(t.Context(), "big", u.id, 2, body)
	wantClass(t, "part with a wrong MD5", err, store.Mismatch)
	held, err := u.m.ListParts(t.Context(), "big", u.id)
	if err != nil || len(held) != 1 {
		t.Errorf("parts after a refused one: %+v, %v", held, err)
	}
	u.abort()
}

func shortPart(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	for n, body := range map[int]store.Body{1: announced(content(1000, 1), 1001), 2: announced(content(1000, 1), 999)} {
		if _, err := u.m.UploadPart(t.Context(), "big", u.id, n, body); err == nil {
			t.Errorf("1000 bytes announced as %d were taken", body.Size)
		}
	}
	if held, err := u.m.ListParts(t.Context(), "big", u.id); err != nil || len(held) != 0 {
		t.Errorf("parts = %+v, %v; want none", held, err)
	}
	u.abort()
}

func exactUploads(t *testing.T, h Harness) {
	var ups []*upload
	for _, key := range []string{"big", "big2", "big/1", "bi", "big"} {
		ups = append(ups, newUpload(t, h, key, store.PutOptions{}))
	}
	want := []string{ups[0].id, ups[4].id}
	open, err := ups[0].m.ListUploads(t.Context(), "big")
	if err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	var got []string
	for _, u := range open {
		got = append(got, u.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("uploads of \"big\" = %q, want %q", got, want)
	}
	for _, u := range ups {
		u.abort()
		u.notOpen()
	}
}

// notOpen fails when the aborted upload still is listed; others of the key may be.
func (u *upload) notOpen() {
	u.t.Helper()
	open, err := u.m.ListUploads(u.t.Context(), u.key)
	if err != nil {
		u.t.Errorf("list uploads of %q: %v", u.key, err)
	}
	for _, o := range open {
		if o.ID == u.id {
			u.t.Errorf("upload %s of %q is open after its abort", u.id, u.key)
		}
	}
}

func unknownUpload(t *testing.T, h Harness) {
	u := newUpload(t, h, "big", store.PutOptions{})
	p := u.part(1, []byte("x"))
	u.abort()
	for _, id := range []string{u.id, "no-such-upload"} {
		_, err := u.m.CompleteUpload(t.Context(), "big", id, []store.Part{p}, store.PutOptions{})
		wantClass(t, "complete "+id, err, store.NotFound)
		_, err = u.m.ListParts(t.Context(), "big", id)
		wantClass(t, "list parts of "+id, err, store.NotFound)
		_, err = u.m.UploadPart(t.Context(), "big", id, 1, inMemory([]byte("x")))
		wantClass(t, "upload part of "+id, err, store.NotFound)
		if err := u.m.AbortUpload(t.Context(), "big", id); err != nil {
			t.Errorf("abort %s: %v", id, err)
		}
	}
}
