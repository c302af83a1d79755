package gs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func put(t *testing.T, s store.Destination, key string, content []byte, opts store.PutOptions) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, store.Body{Bytes: content, Size: int64(len(content))}, opts)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func statOf(t *testing.T, s store.Source, key string) store.Object {
	t.Helper()
	o, err := s.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("stat %q: %v", key, err)
	}
	return o
}

func readOf(t *testing.T, s store.Source, key string, opts store.OpenOptions) ([]byte, store.Object) {
	t.Helper()
	r, o, err := s.Open(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return b, o
}

// TestSumsOfParts: everything has a CRC32C; what was made of parts has no MD5, wherever one asks.
func TestSumsOfParts(t *testing.T) {
	front, bucket := newFront(t)
	s := openFront(t, front, bucket, "", store.RoleDestination).(*Parallel)
	whole := bytes.Repeat([]byte("part"), 1000)
	one := put(t, s, "one", whole, store.PutOptions{})
	id, err := s.CreateUpload(t.Context(), "parts", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.UploadPart(t.Context(), "parts", id, 1, store.Body{Bytes: whole, Size: int64(len(whole))})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := s.CompleteUpload(t.Context(), "parts", id, []store.Part{part}, store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Sums.MD5 == "" || one.Sums.CRC32C == "" || part.Sums != one.Sums {
		t.Errorf("in one piece %+v, as a part %+v", one.Sums.Hex(), part.Sums.Hex())
	}
	only := store.Checksums{CRC32C: one.Sums.CRC32C}
	if parts.Sums != only || statOf(t, s, "parts").Sums != only {
		t.Errorf("made of parts: %v", parts.Sums.Hex())
	}
	if _, o := readOf(t, s, "parts", store.OpenOptions{Offset: 3, Length: 5}); o.Sums != only {
		t.Errorf("read of parts: %v", o.Sums.Hex())
	}
	l := s.List(store.ListOptions{})
	defer l.Close()
	page, err := l.Next(t.Context())
	if err != nil || len(page) != 2 || page[0].Sums != one.Sums || page[1].Sums != only {
		t.Errorf("listed %+v, %v", page, err)
	}
}

func TestClasses(t *testing.T) {
	front, bucket := newFront(t)
	s := openFront(t, front, bucket, "", store.RoleDestination).(*Parallel)
	for _, class := range classes() {
		opts := store.PutOptions{Meta: store.Metadata{ContentType: "text/plain", Class: class}}
		put(t, s, class.Name, []byte("x"), opts)
		_, opened := readOf(t, s, class.Name, store.OpenOptions{Length: -1})
		if got := statOf(t, s, class.Name).Meta.Class; got != class || opened.Meta.Class != class {
			t.Errorf("%v: stat says %v, open %v", class, got, opened.Meta.Class)
		}
		from := statOf(t, s, "STANDARD")
		if _, err := s.Copy(t.Context(), s, from, "copy", opts); err != nil {
			t.Fatal(err)
		}
		if got := statOf(t, s, "copy").Meta; got.Class != class || got.ContentType != "text/plain" {
			t.Errorf("a copy asked for as %v: %+v", class, got)
		}
		id, err := s.CreateUpload(t.Context(), "parts", opts)
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.UploadPart(t.Context(), "parts", id, 1, store.Body{Bytes: []byte("x"), Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CompleteUpload(t.Context(), "parts", id, []store.Part{part}, opts); err != nil {
			t.Fatal(err)
		}
		if got := statOf(t, s, "parts").Meta.Class; got != class {
			t.Errorf("parts of %v: %v", class, got)
		}
	}
	// Metadata that is not known stays, also where only the class is asked for.
	from := statOf(t, s, "STANDARD")
	from.Meta = nil
	if _, err := s.Copy(t.Context(), s, from, "copy", store.PutOptions{Meta: store.Metadata{Class: classArchive}}); err != nil {
		t.Fatal(err)
	}
	if got := statOf(t, s, "copy").Meta; got.Class != classArchive || got.ContentType != "text/plain" {
		t.Errorf("copy of an object that was only listed: %+v", got)
	}
	if got := classOf("REGIONAL"); got.Tier != store.TierStandard {
		t.Errorf("REGIONAL is %v", got)
	}
	if got := classOf("NEW"); got.Tier != store.TierUnknown || got.Name != "NEW" {
		t.Errorf("NEW is %v", got)
	}
}

func TestFit(t *testing.T) {
	s := &Store{}
	keyed := &Store{opts: options{kmsKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k"}}
	for name, c := range map[string]struct {
		s    *Store
		from store.Metadata
		want store.Metadata
		lost string
	}{
		"all kept": {s, store.Metadata{ContentType: "a/b", User: map[string]string{"k": "v"}, Access: store.AccessPublicRead, Encryption: store.EncryptionStore},
			store.Metadata{ContentType: "a/b", User: map[string]string{"k": "v"}, Access: store.AccessPublicRead, Encryption: store.EncryptionStore}, ""},
		"Expires":      {s, store.Metadata{Expires: "Wed, 21 Oct 2037 07:28:00 GMT"}, store.Metadata{}, `header "Expires"`},
		"tags":         {s, store.Metadata{Tags: map[string]string{"a": "b"}}, store.Metadata{Tags: map[string]string{}}, `tag "a"`},
		"archive":      {s, store.Metadata{Class: store.StorageClass{Name: "GLACIER", Tier: store.TierArchive}}, store.Metadata{Class: classArchive}, "kept as ARCHIVE"},
		"deep archive": {s, store.Metadata{Class: store.StorageClass{Name: "ColdArchive", Tier: store.TierDeepArchive}}, store.Metadata{Class: classArchive}, "kept as ARCHIVE"},
		"cold":         {s, store.Metadata{Class: store.StorageClass{Name: "GLACIER_IR", Tier: store.TierCold}}, store.Metadata{Class: classes()[2]}, ""},
		"own archive":  {s, store.Metadata{Class: classArchive}, store.Metadata{Class: classArchive}, ""},
		"infrequent":   {s, store.Metadata{Class: store.StorageClass{Name: "IA", Tier: store.TierInfrequent}}, store.Metadata{Class: classes()[1]}, ""},
		"KMS":          {s, store.Metadata{Encryption: store.EncryptionKMS}, store.Metadata{}, "kms_key"},
		"KMS and key":  {keyed, store.Metadata{Encryption: store.EncryptionKMS}, store.Metadata{Encryption: store.EncryptionKMS}, ""},
		"public write": {s, store.Metadata{Access: store.AccessPublicWrite}, store.Metadata{}, "access"},
		"large":        {s, store.Metadata{User: map[string]string{"big": strings.Repeat("x", 8<<10)}}, store.Metadata{User: map[string]string{}}, `metadata "big"`},
	} {
		got, lost := c.s.Fit(c.from)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if (len(lost) > 0) != (c.lost != "") || len(lost) > 1 || len(lost) == 1 && !strings.Contains(lost[0].String(), c.lost) {
			t.Errorf("%s: lost %v, want %q", name, lost, c.lost)
		}
		if _, again := c.s.Fit(got); len(again) > 0 {
			t.Errorf("%s: what was kept loses %v", name, again)
		}
	}
}

// TestAccess: an ACL that is asked for is what readers are told.
func TestAccess(t *testing.T) {
	front, bucket := newFront(t)
	s := openFront(t, front, bucket, "", store.RoleDestination).(*Parallel)
	for _, access := range []store.Access{store.AccessPublicRead, store.AccessUnknown} {
		put(t, s, "k", []byte("x"), store.PutOptions{Meta: store.Metadata{Access: access}})
		var m store.Metadata
		lost, err := s.Detail(t.Context(), "k", store.Details{Access: true}, &m)
		if want := access; err != nil || len(lost) > 0 || m.Access != want && (want != "" || m.Access != store.AccessPrivate) {
			t.Errorf("%q: %+v, lost %v, %v", access, m, lost, err)
		}
	}
	for name, c := range map[string]struct {
		grants []grant
		want   store.Access
		lost   int
	}{
		"project":       {[]grant{{"project-owners-1", "OWNER"}, {"project-viewers-1", "READER"}, {"user-a@b", "OWNER"}}, store.AccessPrivate, 0},
		"everybody":     {[]grant{{"allUsers", "READER"}, {"allAuthenticatedUsers", "READER"}}, store.AccessPublicRead, 0},
		"accounts":      {[]grant{{"allAuthenticatedUsers", "READER"}}, store.AccessAuthenticated, 0},
		"another owner": {[]grant{{"user-a@b", "OWNER"}, {"user-c@d", "OWNER"}}, store.AccessPrivate, 1},
		"some":          {[]grant{{"group-x@y", "READER"}, {"domain-z", "READER"}}, store.AccessPrivate, 2},
	} {
		if got, lost := accessOf(c.grants); got != c.want || len(lost) != c.lost {
			t.Errorf("%s: %q, lost %v", name, got, lost)
		}
	}
	uniform := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, jsonRefusal(400, "invalid", "Cannot get legacy ACL for an object when uniform bucket-level access is enabled."))
	})
	var m store.Metadata
	if lost, err := uniform.Detail(t.Context(), "k", store.Details{Access: true}, &m); err != nil || len(lost) > 0 || m.Access != "" {
		t.Errorf("uniform: %+v, %v, %v", m, lost, err)
	}
}

// TestCopies: conditions of both sides, and copies that take several requests.
func TestCopies(t *testing.T) {
	front, bucket := newFront(t)
	front.Pieces = 3
	s := openFront(t, front, bucket, "", store.RoleDestination).(*Parallel)
	src := openFront(t, front, bucket, "", store.RoleSource)
	from := put(t, s, "from", []byte("content"), store.PutOptions{})
	there := put(t, s, "there", []byte("there"), store.PutOptions{})
	if _, err := s.Copy(t.Context(), src, from, "there", store.PutOptions{Condition: store.Condition{Absent: true}}); store.ClassOf(err) != store.Precondition {
		t.Errorf("where something is: %v", err)
	}
	o, err := s.Copy(t.Context(), src, from, "there", store.PutOptions{Condition: store.Condition{ETag: there.ETag}})
	if err != nil || o.Size != 7 || o.Sums != from.Sums || o.ETag == there.ETag {
		t.Errorf("on what was seen: %+v, %v", o, err)
	}
	if _, err := s.Copy(t.Context(), src, from, "there", store.PutOptions{Condition: store.Condition{ETag: there.ETag}}); store.ClassOf(err) != store.Precondition {
		t.Errorf("on what is gone: %v", err)
	}
	other := openAs(t, front, bucket, store.Credentials{AccessKey: "token", SecretKey: "another"})
	if s.CanCopyFrom(other) || !s.CanCopyFrom(src) || !s.CanCopyFrom(s.Store) {
		t.Error("copies depend on credentials and endpoint")
	}
	if _, err := s.CopyPart(t.Context(), src, from, 0, 1, "k", "id", 1); store.ClassOf(err) != store.Permanent {
		t.Errorf("part: %v", err)
	}
}

// TestStoredWithGzip: what is stored is what is read, whole and by ranges, and its sums are its own.
func TestStoredWithGzip(t *testing.T) {
	s := openAt(t, shared.FakeGCS(t).URL, shared.FakeGCS(t).NewBucket(t), "", store.RoleDestination)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(bytes.Repeat([]byte("to be packed "), 1000))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	made := put(t, s, "k", packed.Bytes(), store.PutOptions{Meta: store.Metadata{ContentType: "text/plain", ContentEncoding: "gzip"}})
	got, o := readOf(t, s, "k", store.OpenOptions{Length: -1})
	if !bytes.Equal(got, packed.Bytes()) || o.Sums != made.Sums || o.Meta.ContentEncoding != "gzip" {
		t.Errorf("%d bytes of %d stored, %+v", len(got), packed.Len(), o)
	}
	if got, _ := readOf(t, s, "k", store.OpenOptions{Offset: 5, Length: 10}); !bytes.Equal(got, packed.Bytes()[5:15]) {
		t.Errorf("range %x", got)
	}
}

// TestWhatIsSent looks at requests whose effect no server here can show: keys of the key service, and who is billed.
func TestWhatIsSent(t *testing.T) {
	const key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	var seen []string
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		seen = append(seen, q.Get("kmsKeyName")+q.Get("destinationKmsKeyName")+r.Header.Get("X-Goog-Encryption-Kms-Key-Name")+" "+
			q.Get("predefinedAcl")+q.Get("destinationPredefinedAcl")+r.Header.Get("X-Goog-Acl")+" "+r.Header.Get("X-Goog-User-Project"))
		_, _ = io.Copy(io.Discard, r.Body)
		object := fmt.Sprintf(`{"name":"k","size":"1","generation":"7","kmsKeyName":%q}`, key+"/cryptoKeyVersions/1")
		switch {
		case q.Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
		case strings.Contains(r.URL.Path, "rewriteTo"):
			_, _ = io.WriteString(w, `{"done":true,"resource":`+object+`}`)
		default:
			_, _ = io.WriteString(w, object)
		}
	})
	s.opts.kmsKey, s.opts.project = key, "payer"
	opts := store.PutOptions{Meta: store.Metadata{Access: store.AccessAuthenticated, Encryption: store.EncryptionKMS}}
	put(t, s, "k", []byte("x"), opts)
	if _, err := s.CreateUpload(t.Context(), "k", opts); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(t.Context(), s, store.Object{Key: "from"}, "k", opts); err != nil {
		t.Fatal(err)
	}
	want := []string{key + " authenticatedRead payer", key + " authenticated-read payer", key + " authenticatedRead payer"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	if m := statOf(t, s, "k").Meta; m.Encryption != store.EncryptionKMS {
		t.Errorf("metadata %+v", m)
	}
}

// TestAnswersToWritesThatLie: what the server says it took is held against what was sent.
func TestAnswersToWritesThatLie(t *testing.T) {
	for answer, class := range map[string]store.Class{
		`{"name":"k","size":"2","generation":"7"}`: store.Mismatch, `{"name":"k","size":"1"}`: store.Transient, `{}`: store.Transient, `x`: store.Transient,
	} {
		s := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, answer)
		})
		if _, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{}); store.ClassOf(err) != class {
			t.Errorf("put answered by %s: %v", answer, err)
		}
	}
	for answer, class := range map[string]store.Class{
		xmlRefusal("InternalError", "failed after all"): store.Transient, xmlRefusal("NoSuchUpload", "gone"): store.NotFound, "<html/>": store.Transient,
	} {
		s := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, answer)
		})
		if _, err := s.CompleteUpload(t.Context(), "k", "id", []store.Part{{Number: 1, Size: 1, ETag: "e"}}, store.PutOptions{}); store.ClassOf(err) != class {
			t.Errorf("complete answered by %s: %v", answer, err)
		}
	}
	endless := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"done":false}`) })
	if _, err := endless.Copy(t.Context(), endless, store.Object{Key: "a"}, "b", store.PutOptions{}); store.ClassOf(err) != store.Transient {
		t.Errorf("copy without a token: %v", err)
	}
}

func TestSingle(t *testing.T) {
	front, bucket := newFront(t)
	put(t, openFront(t, front, bucket, "", store.RoleDestination), "a/b/c", []byte("x"), store.PutOptions{})
	for path, want := range map[string]string{"a/b/c": "c", "a/b": "", "a/b/": "", "": "", "missing": ""} {
		s := openFront(t, front, bucket, path, store.RoleSource).(*Parallel)
		key, ok, err := s.Single(t.Context())
		if err != nil || ok != (want != "") || key != want {
			t.Errorf("%q: %q, %v, %v", path, key, ok, err)
		}
		if ok {
			statOf(t, s, key)
		}
	}
}

// TestMetadataThatIsTooLarge is refused before anything is sent.
func TestMetadataThatIsTooLarge(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	opts := store.PutOptions{Meta: store.Metadata{User: map[string]string{"a": strings.Repeat("x", maxMetadata)}}}
	if _, err := s.Put(t.Context(), "k", store.Body{}, opts); store.ClassOf(err) != store.Permanent {
		t.Errorf("put: %v", err)
	}
	if _, err := s.CreateUpload(t.Context(), "k", opts); store.ClassOf(err) != store.Permanent {
		t.Errorf("create upload: %v", err)
	}
	bad := store.PutOptions{Condition: store.Condition{ETag: "not a generation"}}
	if _, err := s.Put(t.Context(), "k", store.Body{}, bad); store.ClassOf(err) != store.Permanent {
		t.Errorf("condition: %v", err)
	}
}
