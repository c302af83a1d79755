package bos

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestLosses: what BOS cannot keep is told with its reason, the rest fits, and the record of the modification time comes first.
func TestLosses(t *testing.T) {
	_, at := newPlace(t)
	tags := map[string]string{"good": "value 1", "empty": "", "bad!": "x", strings.Repeat("n", 129): "x", "long": strings.Repeat("v", 257)}
	for i := range 12 {
		tags[fmt.Sprintf("more-%02d", i)] = "x"
	}
	m := store.Metadata{
		ContentType: "text/plain", CacheControl: "bad\nvalue", Tags: tags, Access: store.AccessAuthenticated, Encryption: store.EncryptionKMS,
		User:  map[string]string{"a": strings.Repeat("a", 1500), "b": strings.Repeat("b", 1500), store.MTimeKey: "1.5", "bad name": "x"},
		Class: store.StorageClass{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive},
	}
	for name, c := range map[string]struct{ multiAZ, class string }{"one zone": {"false", "ARCHIVE"}, "several zones": {"true", "MAZ_COLD"}} {
		t.Run(name, func(t *testing.T) {
			kept, lost := openWith(t, at.config("", store.RoleDestination, "multi_az", c.multiAZ)).Fit(m)
			if kept.Class.Name != c.class || kept.Access != "" || kept.Encryption != "" || kept.CacheControl != "" || kept.ContentType != "text/plain" {
				t.Errorf("kept %+v", kept)
			}
			if len(kept.Tags) != mostTags || kept.Tags["good"] != "value 1" || len(kept.User) != 2 || kept.User[store.MTimeKey] != "1.5" || kept.User["a"] == "" {
				t.Errorf("kept tags %v, metadata %v", kept.Tags, kept.User)
			}
			var told []string
			for _, l := range lost {
				told = append(told, l.What)
			}
			want := "header metadata metadata tag tag tag tag tag tag tag storage class access encryption"
			if got := strings.Join(told, " "); got != want {
				t.Errorf("lost %s, want %s\n%v", got, want, lost)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	server, at := newPlace(t)
	s, c := openWith(t, at.config("", store.RoleSource)), vendorOf(t, at)
	for acl, want := range map[string]struct {
		access store.Access
		lost   int
	}{
		"":            {store.AccessUnknown, 0},
		"private":     {store.AccessPrivate, 0},
		"public-read": {store.AccessPublicRead, 0},
		`{"accessControlList":[{"grantee":[{"id":"*"}],"permission":["READ","WRITE"]},{"grantee":[{"id":"o"}],"permission":["FULL_CONTROL"]},{"grantee":[{"id":"*"}],"permission":["READ"]}]}`: {store.AccessPublicWrite, 0},
		`{"accessControlList":[{"grantee":[{"id":"o"}],"permission":["FULL_CONTROL"]},{"grantee":[{"id":"f"},{"id":"g"}],"permission":["READ"]}]}`:                                             {store.AccessPrivate, 2},
	} {
		put(t, s, "k", "x", store.Metadata{})
		var err error
		switch {
		case strings.HasPrefix(acl, "{"):
			err = c.PutObjectAclFromString(at.bucket, "k", acl)
		case acl != "":
			err = c.PutObjectAclFromCanned(at.bucket, "k", acl)
		}
		if err != nil {
			t.Fatal(err)
		}
		m := store.Metadata{Access: "stale"}
		lost, err := s.Detail(t.Context(), "k", store.Details{Access: true}, &m)
		if err != nil || m.Access != want.access || len(lost) != want.lost {
			t.Errorf("%s: %q, lost %v, %v", acl, m.Access, lost, err)
		}
	}
	var m store.Metadata
	if _, err := s.Detail(t.Context(), "missing", store.Details{Tags: true, Access: true}, &m); store.ClassOf(err) != store.NotFound {
		t.Errorf("of a missing object: %v", err)
	}
	// Some servers say that what was not set is missing.
	server.OnRequest(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(document("NoSuchTagging", "The tag set does not exist")))
		return true
	})
	if lost, err := s.Detail(t.Context(), "k", store.Details{Tags: true, Access: true}, &m); err != nil || len(lost) > 0 || !cmp.Equal(m, store.Metadata{}) {
		t.Errorf("of nothing set: %+v, %v, %v", m, lost, err)
	}
}

func put(t *testing.T, s *Store, key, text string, m store.Metadata) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, store.Body{Bytes: []byte(text), Size: int64(len(text))}, store.PutOptions{Meta: m}); err != nil {
		t.Fatal(err)
	}
}

// TestRestore: an archived object cannot be read until it is restored, asking twice is no error, and then it can.
func TestRestore(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	put(t, s, "cold", "content", store.Metadata{Class: store.StorageClass{Name: "ARCHIVE", Tier: store.TierArchive}})
	put(t, s, "warm", "content", store.Metadata{})
	is := func(archived bool) {
		t.Helper()
		if o, err := s.Stat(t.Context(), "cold"); err != nil || o.Archived != archived || o.Meta.Class.Name != "ARCHIVE" {
			t.Errorf("stat: %+v, %v", o, err)
		}
		r, _, err := s.Open(t.Context(), "cold", store.OpenOptions{Offset: 1, Length: 3})
		if archived && (store.ClassOf(err) != store.Archived || !strings.Contains(err.Error(), "restore it")) {
			t.Errorf("open: %v", err)
		}
		if _, copyErr := s.Copy(t.Context(), s, store.Object{Key: "cold"}, "copy", store.PutOptions{}); archived != (store.ClassOf(copyErr) == store.Archived) {
			t.Errorf("copy: %v", copyErr)
		}
		if archived {
			return
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != "ont" || r.Close() != nil {
			t.Errorf("read %q, %v", text, err)
		}
	}
	is(true)
	for range 2 {
		if err := s.Restore(t.Context(), "cold", 3, "Expedited"); err != nil {
			t.Errorf("restore: %v", err)
		}
		is(true)
	}
	server.FinishRestore(at.bucket, "cold")
	is(false)
	for _, key := range []string{"cold", "warm"} {
		if err := s.Restore(t.Context(), key, 3, ""); err != nil {
			t.Errorf("restore %s: %v", key, err)
		}
	}
	for name, err := range map[string]error{
		"0 days": s.Restore(t.Context(), "cold", 0, ""), "31 days": s.Restore(t.Context(), "cold", 31, ""), "speed": s.Restore(t.Context(), "cold", 1, "Bulk"),
	} {
		if store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Restore(t.Context(), "missing", 1, ""); store.ClassOf(err) != store.NotFound {
		t.Errorf("missing: %v", err)
	}
}

// TestArchivedUnderOtherCodes: whatever the refusal calls it, the object itself tells that it is archived. Where it is not, the
// refusal stays.
func TestArchivedUnderOtherCodes(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	put(t, s, "cold", "content", store.Metadata{Class: store.StorageClass{Name: "ARCHIVE", Tier: store.TierArchive}})
	put(t, s, "warm", "content", store.Metadata{})
	for code, status := range map[string]int{"AccessDenied": 403, "SomethingNew": 400, "ObjectNotInActiveTier": 409} {
		server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(document(code, "no")))
			return true
		})
		for _, opts := range []store.OpenOptions{{Length: -1}, {Offset: 2, Length: 2}} {
			if _, _, err := s.Open(t.Context(), "cold", opts); store.ClassOf(err) != store.Archived || !strings.Contains(err.Error(), code) {
				t.Errorf("%s: %v", code, err)
			}
			if _, _, err := s.Open(t.Context(), "warm", opts); err == nil || store.ClassOf(err) == store.Archived || !strings.Contains(err.Error(), code) {
				t.Errorf("%s of what is not archived: %v", code, err)
			}
		}
	}
}

// TestListingsThatLie end in an error that says so, whatever is wrong with them.
func TestListingsThatLie(t *testing.T) {
	entry := func(key string) string { return fmt.Sprintf(`{"key":%q,"size":1,"eTag":"x"}`, key) }
	for name, pages := range map[string][]string{
		"out of order":        {`{"contents":[` + entry("b") + `,` + entry("a") + `]}`},
		"a key twice":         {`{"contents":[` + entry("a") + `,` + entry("a") + `]}`},
		"a page twice":        {`{"isTruncated":true,"nextMarker":"a","contents":[` + entry("a") + `]}`, `{"isTruncated":true,"nextMarker":"a","contents":[` + entry("a") + `]}`},
		"a marker that stays": {`{"isTruncated":true,"nextMarker":"a","contents":[` + entry("a") + `]}`, `{"isTruncated":true,"nextMarker":"a","contents":[]}`},
		"more, but not where": {`{"isTruncated":true,"contents":[]}`},
		"a size below zero":   {`{"contents":[{"key":"a","size":-1}]}`},
		"a size in words":     {`{"contents":[{"key":"a","size":"many"}]}`},
		"no contents":         {`{"isTruncated":false}`},
		"cut off":             {`{"contents":[` + entry("a")},
		"a web page":          {`<html/>`},
		"an error":            {document("InternalError", "try again")},
	} {
		n := 0
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(pages[min(n, len(pages)-1)]))
			n++
		})
		l := s.List(store.ListOptions{})
		var err error
		for range 10 {
			if _, err = l.Next(t.Context()); err != nil {
				break
			}
		}
		if err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		_ = l.Close()
	}
	// Where the answer does not say where the next page begins, it begins behind the last key.
	n, asked := 0, ""
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		asked += r.URL.Query().Get("marker") + ";"
		_, _ = fmt.Fprintf(w, `{"isTruncated":%t,"contents":[%s]}`, n == 1, entry(fmt.Sprint("k", n)))
	})
	if rows := rowsOf(t, s); len(rows) != 2 || asked != ";k1;" {
		t.Errorf("%v, asked %q", rows, asked)
	}
}

// TestPartsThatLie: listings of parts and uploads that do not go on, or go back, end in an error.
func TestPartsThatLie(t *testing.T) {
	for name, text := range map[string]string{
		"the same again": `{"isTruncated":true,"nextPartNumberMarker":1,"parts":[{"partNumber":1,"size":1}],"nextKeyMarker":"k","nextUploadIdMarker":"u"}`,
		"no way on":      `{"isTruncated":true,"parts":[]}`,
		"below zero":     `{"isTruncated":true,"parts":[{"partNumber":1,"size":-1}]}`,
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
		if parts, err := s.ListParts(t.Context(), "k", "id"); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: parts %+v, %v", name, parts, err)
		}
		if uploads, err := s.ListUploads(t.Context(), "k"); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: uploads %+v, %v", name, uploads, err)
		}
	}
}

// TestManyParts: more parts and uploads than one page holds are all found.
func TestManyParts(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= pageSize+2; n++ {
		if _, err := s.UploadPart(t.Context(), "k", id, n, store.Body{Bytes: []byte{byte(n)}, Size: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if parts, err := s.ListParts(t.Context(), "k", id); err != nil || len(parts) != pageSize+2 || parts[pageSize+1].Number != pageSize+2 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	if uploads, err := s.ListUploads(t.Context(), "k"); err != nil || len(uploads) != pageSize+3 {
		t.Errorf("%d uploads, %v", len(uploads), err)
	}
}

// TestMetadataThatIsTooLong is refused before an upload begins, and before content is sent.
func TestMetadataThatIsTooLong(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	opts := store.PutOptions{Meta: store.Metadata{User: map[string]string{"k": strings.Repeat("v", maxMetadata)}}}
	_, putErr := s.Put(t.Context(), "k", store.Body{Reader: bytes.NewReader([]byte("x")), Size: 1}, opts)
	_, createErr := s.CreateUpload(t.Context(), "k", opts)
	_, completeErr := s.CompleteUpload(t.Context(), "k", "id", nil, opts)
	for what, err := range map[string]error{"put": putErr, "create": createErr, "complete": completeErr} {
		if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "2048") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
