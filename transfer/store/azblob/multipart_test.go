package azblob

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// body is content with its MD5.
func body(text string) store.Body {
	sum := md5.Sum([]byte(text))
	return store.Body{Bytes: []byte(text), Size: int64(len(text)), Sums: store.Checksums{MD5: string(sum[:])}}
}

func create(t *testing.T, s *Store, key string) string {
	t.Helper()
	id, err := s.CreateUpload(t.Context(), key, store.PutOptions{})
	if err != nil {
		t.Fatalf("create upload: %v", err)
	}
	return id
}

func send(t *testing.T, s *Store, key, id string, n int, text string) store.Part {
	t.Helper()
	p, err := s.UploadPart(t.Context(), key, id, n, body(text))
	if err != nil {
		t.Fatalf("upload part %d: %v", n, err)
	}
	return p
}

func (p place) uncommitted(t *testing.T, name string) []string {
	t.Helper()
	list, err := p.vendor(t).NewBlockBlobClient(name).GetBlockList(t.Context(), blockblob.BlockListTypeAll, nil)
	if err != nil {
		t.Fatalf("block list: %v", err)
	}
	var names []string
	for _, b := range list.UncommittedBlocks {
		names = append(names, *b.Name)
	}
	return names
}

// Blocks of others, and of other uploads of ours, are never listed as parts, nor committed.
func TestForeignBlocksAreNotCommitted(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	foreign := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("f"), nameSize)) // of the length that ours have
	if _, err := at.vendor(t).NewBlockBlobClient("k").StageBlock(t.Context(), foreign, streaming.NopCloser(strings.NewReader("foreign")), nil); err != nil {
		t.Fatal(err)
	}
	if open, err := s.ListUploads(t.Context(), "k"); err != nil || len(open) != 0 {
		t.Errorf("uploads = %v, %v; want none", open, err)
	}
	one, two := create(t, s, "k"), create(t, s, "k")
	send(t, s, "k", one, 1, "of the other upload")
	send(t, s, "k", one, 2, "of the other upload too")
	part := send(t, s, "k", two, 1, "ours")
	if parts, err := s.ListParts(t.Context(), "k", two); err != nil || len(parts) != 1 || parts[0] != part {
		t.Errorf("parts = %+v, %v; want %+v", parts, err, part)
	}
	// A part of another upload cannot slip in.
	if _, err := s.CompleteUpload(t.Context(), "k", one, []store.Part{part}, store.PutOptions{}); store.ClassOf(err) != store.Permanent {
		t.Errorf("complete with a part of another upload: %v", err)
	}
	if !slices.Contains(at.uncommitted(t, "k"), foreign) {
		t.Error("the foreign block is gone before anything was committed")
	}
	if _, err := s.CompleteUpload(t.Context(), "k", two, []store.Part{part}, store.PutOptions{}); err != nil {
		t.Fatalf("complete: %v", err)
	}
	if got := readAll(t, s, "k"); got != "ours" {
		t.Errorf("the blob holds %q", got)
	}
	// Azure drops all other blocks at a commit: the other upload is gone, which is told.
	if _, err := s.ListParts(t.Context(), "k", one); store.ClassOf(err) != store.NotFound {
		t.Errorf("parts of the upload that went: %v", err)
	}
	if _, err := s.CompleteUpload(t.Context(), "k", two, []store.Part{part}, store.PutOptions{}); store.ClassOf(err) != store.NotFound {
		t.Errorf("completed twice: %v", err)
	}
}

// Azure wants the names of all blocks of a blob to have one length: what someone else left is in the way, and is said to be.
func TestForeignBlocksOfAnotherLength(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	if _, err := at.vendor(t).NewBlockBlobClient("k").StageBlock(t.Context(), "QUFB", streaming.NopCloser(strings.NewReader("foreign")), nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "unfinished upload") {
		t.Errorf("class %q, %v", store.ClassOf(err), err)
	}
	if got := at.uncommitted(t, "k"); len(got) != 1 || got[0] != "QUFB" {
		t.Errorf("blocks = %q, want the foreign one", got)
	}
}

// An upload that one process aborted is not carried on by another: its blocks stay, and are never committed.
func TestAbortIsSeenByOthers(t *testing.T) {
	at := newPlace(t)
	s, other := openWith(t, at.config("", store.RoleDestination)), openWith(t, at.config("", store.RoleDestination))
	id := create(t, s, "k")
	part := send(t, s, "k", id, 1, "content")
	if err := other.AbortUpload(t.Context(), "k", id); err != nil {
		t.Fatal(err)
	}
	late, err := s.UploadPart(t.Context(), "k", id, 2, body("late"))
	if err != nil {
		t.Fatalf("Azure takes blocks of whatever name: %v", err)
	}
	if _, err := s.CompleteUpload(t.Context(), "k", id, []store.Part{part, late}, store.PutOptions{}); store.ClassOf(err) != store.NotFound {
		t.Errorf("complete: %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.NotFound {
		t.Errorf("there is a blob: %v", err)
	}
	if open, err := s.ListUploads(t.Context(), "k"); err != nil || len(open) != 0 {
		t.Errorf("uploads = %v, %v", open, err)
	}
	// Nothing is left in the way of the next upload.
	next := create(t, s, "k")
	part = send(t, s, "k", next, 1, "next")
	if _, err := s.CompleteUpload(t.Context(), "k", next, []store.Part{part}, store.PutOptions{}); err != nil || readAll(t, s, "k") != "next" {
		t.Errorf("the next upload: %v", err)
	}
	if left := at.uncommitted(t, "k"); len(left) != 0 {
		t.Errorf("%d blocks left", len(left))
	}
}

// The sums of parts are found again in the names of their blocks. A part that was sent twice with different content is sent
// once more, unless the caller knows which it was.
func TestListedPartsHaveSums(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	id := create(t, s, "k")
	one, old := send(t, s, "k", id, 1, "one"), send(t, s, "k", id, 2, "old")
	unsummed, err := s.UploadPart(t.Context(), "k", id, 3, store.Body{Reader: strings.NewReader("three"), Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, "k", id, 1, "one") // again, the same
	now := send(t, s, "k", id, 2, "new")
	parts, err := s.ListParts(t.Context(), "k", id)
	if err != nil || len(parts) != 2 || parts[0] != one || parts[0].Sums.MD5 != body("one").Sums.MD5 || parts[1] != unsummed {
		t.Errorf("parts = %+v, %v", parts, err)
	}
	if old.ETag == now.ETag {
		t.Error("two contents have one block")
	}
	if _, err := s.CompleteUpload(t.Context(), "k", id, []store.Part{one, now, unsummed}, store.PutOptions{}); err != nil || readAll(t, s, "k") != "onenewthree" {
		t.Errorf("complete: %v", err)
	}
	for name, c := range map[string]struct {
		n    int
		body store.Body
	}{"part 0": {0, body("x")}, "part 50000": {50000, body("x")}, "an empty part": {1, store.Body{}}, "a large part": {1, store.Body{Size: largestPart + 1}}} {
		if _, err := s.UploadPart(t.Context(), "k", id, c.n, c.body); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An upload says when it began by the store's clock, never earlier than a plan that was made before.
func TestUploadsBegin(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	ahead := 3 * time.Hour
	s.now = func() time.Time { return time.Now().Add(ahead) } // this machine's clock is wrong, the store's is not
	planned, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := create(t, s, "k")
	open, err := s.ListUploads(t.Context(), "k")
	if err != nil || len(open) != 1 || open[0].ID != id {
		t.Fatalf("uploads = %v, %v", open, err)
	}
	if began := open[0].Began; began.Before(planned) || began.After(planned.Add(time.Minute)) {
		t.Errorf("began at %v, planned at %v", began, planned)
	}
	head, ok := parseID(id)
	if !ok || head.id() != id || !head.began().Equal(open[0].Began) {
		t.Errorf("ID %q is read as %q, %v", id, head.id(), ok)
	}
	for _, bad := range []string{"", "brigade1", id[1:], id + "0", strings.Replace(id, "brigade1", "brigade2", 1), id[:len(id)-1] + "x"} {
		if _, ok := parseID(bad); ok {
			t.Errorf("ID %q is taken", bad)
		}
	}
}

func TestUploadOverOtherKinds(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	if _, err := at.vendor(t).NewPageBlobClient("page").Create(t.Context(), 512, nil); err != nil {
		t.Fatal(err)
	}
	if open, err := s.ListUploads(t.Context(), "page"); err != nil || len(open) != 0 {
		t.Errorf("uploads = %v, %v", open, err)
	}
	_, err := s.CreateUpload(t.Context(), "page", store.PutOptions{})
	if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "remove it first") {
		t.Errorf("class %q, %v", store.ClassOf(err), err)
	}
	put(t, s, "page", "replaced whole", store.PutOptions{})
	if got := readAll(t, s, "page"); got != "replaced whole" {
		t.Errorf("holds %q", got)
	}
}
