package uss

import (
	"crypto/md5"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
	"github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

func bodyOf(text string) store.Body { return store.Body{Bytes: []byte(text), Size: int64(len(text))} }

func mustPut(t *testing.T, s *Store, key, text string) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, bodyOf(text), store.PutOptions{})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func readAll(t *testing.T, s *Store, key string, opts store.OpenOptions) (string, store.Object) {
	t.Helper()
	r, o, err := s.Open(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(b), o
}

// TestKeysThatCannotBe are refused here, before anything is sent.
func TestKeysThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	storetest.CannotBe(t, s,
		"/lead", "a//b", "a/../b", "..", "./a", "a\tb", "a\nb", "a\x00", "bad \xff", strings.Repeat("n", 256), strings.Repeat("long/", 205)+"n",
	)
}

// TestFoldersAreNoFiles: no name is both, and what a folder has in it is never taken for a file's content.
func TestFoldersAreNoFiles(t *testing.T) {
	server, at := newPlace(t)
	held := server.NewBucket(at.bucket)
	s := openWith(t, at.config("", store.RoleDestination))
	mustPut(t, s, "dir/file", "x")
	if _, err := s.Stat(t.Context(), "dir"); store.ClassOf(err) != store.NotFound {
		t.Errorf("stat of a folder as a file: %v", err)
	}
	for _, opts := range []store.OpenOptions{{Length: -1}, {Length: 0}, {Offset: 1, Length: 1}} {
		if _, _, err := s.Open(t.Context(), "dir", opts); store.ClassOf(err) != store.NotFound {
			t.Errorf("open of a folder %+v: %v", opts, err)
		}
	}
	if _, err := s.Stat(t.Context(), "dir/file/"); store.ClassOf(err) != store.NotFound {
		t.Errorf("stat of a file as a folder: %v", err)
	}
	for name, write := range map[string]func() error{
		"a file where a folder is": func() error { _, err := s.Put(t.Context(), "dir", bodyOf("y"), store.PutOptions{}); return err },
		"a file below a file": func() error {
			_, err := s.Put(t.Context(), "dir/file/below", bodyOf("y"), store.PutOptions{})
			return err
		},
		"an upload where a folder is": func() error { _, err := s.CreateUpload(t.Context(), "dir", store.PutOptions{}); return err },
		"a folder where a file is": func() error {
			_, err := s.Put(t.Context(), "dir/file/", store.Body{}, store.PutOptions{Kind: store.KindDir})
			return err
		},
	} {
		err := write()
		if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "no name is both") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"dir/file/", "missing/", "missing"} { // none of them is there
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	if held.Get("dir/file") == nil {
		t.Error("a file was deleted as a folder")
	}
	if err := s.Delete(t.Context(), "dir/"); store.ClassOf(err) != store.Permanent {
		t.Errorf("delete of a folder with something in it: %v", err)
	}
	for _, key := range []string{"made/of/folders/", "made/of/folders/"} { // twice is no error
		if _, err := s.Put(t.Context(), key, store.Body{}, store.PutOptions{Kind: store.KindDir}); err != nil {
			t.Errorf("put %q: %v", key, err)
		}
	}
	if err := s.Delete(t.Context(), "made/of/folders/"); err != nil || held.Get("made/of/folders/") != nil || held.Get("made/of/") == nil {
		t.Errorf("delete of an empty folder: %v", err)
	}
}

// TestEveryContentInMemoryIsSentWithItsMD5, so that the server checks it, and the answer proves it.
func TestEveryContentInMemoryIsSentWithItsMD5(t *testing.T) {
	server, at := newPlace(t)
	var mu sync.Mutex
	sent := map[string]string{}
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(r.Header.Get("Authorization"), "Basic") {
			t.Error("the password itself was sent")
		}
		sent[r.URL.Path] = r.Header.Get("Content-Md5")
		return false
	})
	s := openWith(t, at.config("", store.RoleDestination))
	o := mustPut(t, s, "k", "hello wire")
	sum := md5.Sum([]byte("hello wire"))
	if o.Sums.MD5 != string(sum[:]) || sent["/service/k"] != "3eeebf6b04a9821afe3b68830b7038f9" {
		t.Errorf("answer proves %x, sent with %q", o.Sums.MD5, sent["/service/k"])
	}
	streamed := store.Body{Reader: strings.NewReader("hello"), Size: 5}
	if o, err := s.Put(t.Context(), "stream", streamed, store.PutOptions{}); err != nil || o.Sums.MD5 != "" || sent["/service/stream"] != "" {
		t.Errorf("of a stream the answer proves %x, %v", o.Sums.MD5, err)
	}
}

// TestMetadata: what fits is kept, what does not is told, and what would do harm is never sent.
func TestMetadata(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	m := store.Metadata{
		ContentType: "text/plain", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "gzip", ContentLanguage: "de", Expires: "0",
		User: map[string]string{"ttl": "1", "secret": "word", "cache-control": "x", "under_score": "x", "kept": "ö", store.MTimeKey: "1.5", "big": strings.Repeat("b", 5000)},
		Tags: map[string]string{"a": "b"}, Access: store.AccessPublicRead, Class: store.StorageClass{Name: "IA", Tier: store.TierInfrequent},
	}
	kept, lost := s.Fit(m)
	want := store.Metadata{
		ContentType: "text/plain", CacheControl: "no-store", ContentDisposition: "inline", User: map[string]string{"kept": "ö", store.MTimeKey: "1.5"}, Tags: map[string]string{},
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("fits (-want +got):\n%s", diff)
	}
	var names []string
	for _, l := range lost {
		names = append(names, l.What+" "+l.Name)
	}
	slices.Sort(names)
	wantLost := []string{
		"access public-read", "header Content-Encoding", "header Content-Language", "header Expires", "metadata big", "metadata cache-control", "metadata secret",
		"metadata ttl", "metadata under_score", "storage class IA", "tag a",
	}
	if diff := cmp.Diff(wantLost, names); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	kept.Tags = nil
	for what, meta := range map[string]store.Metadata{"as it fits": kept, "as it came": m} {
		if _, err := s.Put(t.Context(), "k", bodyOf("x"), store.PutOptions{Meta: meta}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		header := server.NewBucket(at.bucket).Get("k").Header
		for _, name := range []string{"X-Upyun-Meta-Ttl", "X-Upyun-Meta-Secret", "Content-Secret"} {
			if header.Get(name) != "" {
				t.Errorf("%s: %s was sent", what, name)
			}
		}
		if o, err := s.Stat(t.Context(), "k"); err != nil || !cmp.Equal(o.Meta, &store.Metadata{
			ContentType: kept.ContentType, CacheControl: kept.CacheControl, ContentDisposition: kept.ContentDisposition, User: kept.User,
		}) {
			t.Errorf("%s: stat tells %+v, %v", what, o.Meta, err)
		}
	}
}

// TestPasswordsOfFilesAreNoMetadata: a protected file is copied without its password and its end.
func TestPasswordsOfFilesAreNoMetadata(t *testing.T) {
	server, at := newPlace(t)
	put(t, server.NewBucket(at.bucket), "k", "x", http.Header{
		"X-Upyun-Meta-Secret": {"word"}, "X-Upyun-Meta-Ttl": {"3"}, "X-Upyun-Meta-Color": {"blue"}, "Content-Type": {"text/plain"}, "Cache-Control": {"max-age=1"},
	})
	s := openWith(t, at.config("", store.RoleSource))
	want := &store.Metadata{ContentType: "text/plain", User: map[string]string{"color": "blue"}}
	stat, err := s.Stat(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	_, opened := readAll(t, s, "k", store.OpenOptions{Length: -1})
	for from, got := range map[string]*store.Metadata{"stat": stat.Meta, "open": opened.Meta} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", from, diff)
		}
	}
}

// TestMetadataThatHeadHides is asked of GET, which the vendor documents; and GET is not asked for ever where HEAD tells.
func TestMetadataThatHeadHides(t *testing.T) {
	for name, c := range map[string]struct {
		hides bool
		files []string // with metadata: "m", without: "-"
		gets  int
	}{
		"tells":                {files: []string{"m", "-", "m", "-"}},
		"tells, none at first": {files: []string{"-", "-", "m", "-"}, gets: 2},
		"hides":                {hides: true, files: []string{"m", "-", "m"}, gets: 3},
		"hides, none at first": {hides: true, files: []string{"-", "m"}, gets: 2},
		"nothing to tell":      {files: slices.Repeat([]string{"-"}, enoughAgreed+5), gets: enoughAgreed},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlaceWith(t, uss.Options{Operator: "o", Password: "p", HeadHidesMeta: c.hides})
			gets := 0
			server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					gets++
				}
				return false
			})
			b := server.NewBucket(at.bucket)
			put(t, b, "m", "x", http.Header{"Content-Type": {"text/plain"}, "X-Upyun-Meta-Color": {"blue"}})
			put(t, b, "-", "x", http.Header{"Content-Type": {"text/plain"}})
			s := openWith(t, at.config("", store.RoleSource))
			for _, key := range c.files {
				want := &store.Metadata{ContentType: "text/plain"}
				if key == "m" {
					want.User = map[string]string{"color": "blue"}
				}
				if o, err := s.Stat(t.Context(), key); err != nil || !cmp.Equal(o.Meta, want) || o.Size != 1 || o.Sums.MD5 == "" {
					t.Errorf("%s: %+v, %v", key, o, err)
				}
			}
			if gets != c.gets {
				t.Errorf("%d GETs, want %d", gets, c.gets)
			}
		})
	}
}

// TestRefusedForReasonsUnknown: a code that is new comes with the one reason that the vendor documents without a code.
func TestRefusedForReasonsUnknown(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"msg":"new","code":40900042,"id":"1"}`)
	})
	if _, err := s.Put(t.Context(), "k", bodyOf("x"), store.PutOptions{}); store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "uploaded in parts, delete it first") {
		t.Errorf("%v", err)
	}
}

// put places a file as the vendor's own tools would.
func put(t *testing.T, b *memory.Bucket, key, text string, header http.Header) {
	t.Helper()
	sum := md5.Sum([]byte(text))
	o := &memory.Object{Key: key, Data: []byte(text), Header: header, Type: "file", ETag: hexOf(sum[:])}
	if err := b.Put(o, nil); err != nil {
		t.Fatal(err)
	}
}

// TestCopies by the server: looked at before and afterwards, as no condition can go with them.
func TestCopies(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	old := mustPut(t, s, "from", "one")
	mustPut(t, s, "from", "two")
	if _, err := s.Copy(t.Context(), s, old, "to", store.PutOptions{}); store.ClassOf(err) != store.Precondition {
		t.Errorf("copy of an older version: %v", err)
	}
	if _, err := s.Stat(t.Context(), "to"); store.ClassOf(err) != store.NotFound {
		t.Errorf("after that: %v", err)
	}
	other := at.config("", store.RoleSource)
	other.Location.Bucket = "another"
	operator := at.config("", store.RoleSource)
	operator.Credentials.AccessKey = "another"
	for name, cfg := range map[string]store.Config{"service": other, "operator": operator} {
		if s.CanCopyFrom(openWith(t, cfg)) {
			t.Errorf("copies from another %s", name)
		}
	}
	if !s.CanCopyFrom(openWith(t, at.config("a/", store.RoleSource))) {
		t.Error("does not copy within the service")
	}
}

// TestCopiesWithOtherMetadata are left to the caller where the server does not do them as it was told.
func TestCopiesWithOtherMetadata(t *testing.T) {
	_, at := newPlaceWith(t, uss.Options{Operator: "o", Password: "p", KeepsType: true})
	s := openWith(t, at.config("", store.RoleDestination))
	mustPut(t, s, "from", "one")
	from, err := s.Stat(t.Context(), "from")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(t.Context(), s, from, "to", store.PutOptions{Meta: store.Metadata{ContentType: "text/x-other"}}); store.ClassOf(err) != store.Permanent {
		t.Errorf("copy with another type: %v", err)
	}
	same := *from.Meta
	same.User = map[string]string{"color": "blue"}
	if o, err := s.Copy(t.Context(), s, from, "to", store.PutOptions{Meta: same}); err != nil || o.Sums != from.Sums || o.Size != 3 {
		t.Errorf("copy with more metadata: %+v, %v", o, err)
	}
}

// TestCopyReplacedMeanwhile: the source changes between the look at it and the copy.
func TestCopyReplacedMeanwhile(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	mustPut(t, s, "from", "one")
	from, err := s.Stat(t.Context(), "from")
	if err != nil {
		t.Fatal(err)
	}
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Upyun-Copy-Source") != "" {
			put(t, server.NewBucket(at.bucket), "from", "two", http.Header{"Content-Type": {"application/octet-stream"}})
		}
		return false
	})
	if _, err := s.Copy(t.Context(), s, from, "to", store.PutOptions{Meta: *from.Meta}); store.ClassOf(err) != store.Precondition {
		t.Errorf("copy of what was replaced meanwhile: %v", err)
	}
}

// domain serves content as a CDN does: without signatures and metadata, from a cache of its own.
type domain struct {
	mu    sync.Mutex
	files map[string]string
	asked []string
}

func (d *domain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Header.Get("Authorization")+r.Header.Get("Date"))
	text, ok := d.files[r.URL.Path]
	switch {
	case r.URL.Path == "/forbidden":
		w.WriteHeader(http.StatusForbidden)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		http.ServeContent(w, r, "", sometime, strings.NewReader(text))
	}
}

func TestContentFromADomain(t *testing.T) {
	server, at := newPlace(t)
	cdn := &domain{files: map[string]string{"/a b+ü": "0123456789", "/stale": "older one"}}
	h := httptest.NewServer(cdn)
	t.Cleanup(h.Close)
	for key, text := range map[string]string{"a b+ü": "0123456789", "stale": "new", "gone": "x", "forbidden": "x", "empty": ""} {
		put(t, server.NewBucket(at.bucket), key, text, http.Header{"Content-Type": {"text/plain"}, "X-Upyun-Meta-K": {"v"}})
	}
	var gets int
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			gets++
		}
		return false
	})
	s := openWith(t, at.config("", store.RoleSource, "domain", h.URL))
	for opts, want := range map[store.OpenOptions]string{
		{Length: -1}: "0123456789", {Offset: 3, Length: 4}: "3456", {Offset: 8, Length: 9}: "89", {Offset: 10, Length: -1}: "", {Length: 0}: "",
	} {
		got, o := readAll(t, s, "a b+ü", opts)
		if got != want || o.Size != 10 || o.Meta.User["k"] != "v" || o.Sums.MD5 == "" {
			t.Errorf("%+v: %q of %+v, want %q", opts, got, o, want)
		}
	}
	if got, o := readAll(t, s, "empty", store.OpenOptions{Length: -1}); got != "" || o.Size != 0 {
		t.Errorf("empty: %q of %d bytes", got, o.Size)
	}
	for key, c := range map[string]struct {
		class store.Class
		hint  string
	}{
		"stale": {store.Changed, "refresh the CDN"}, "gone": {store.Changed, "refresh the CDN"}, "forbidden": {store.Auth, "leave domain= out"}, "missing": {store.NotFound, ""},
	} {
		_, _, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1})
		if store.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v, want class %q", key, err, c.class)
		}
	}
	if gets != 0 {
		t.Errorf("%d contents were read from the endpoint", gets)
	}
	for _, header := range cdn.asked {
		if header != "" {
			t.Errorf("a signature was sent to the domain: %q", header)
		}
	}
	if _, err := s.Check(t.Context()); err != nil { // listings stay where they are
		t.Error(err)
	}
}

// TestSingle: a path that names one file is that file.
func TestSingle(t *testing.T) {
	server, at := newPlace(t)
	put(t, server.NewBucket(at.bucket), "dir/file", "x", http.Header{})
	put(t, server.NewBucket(at.bucket), "dir/", "", nil)
	for path, want := range map[string]string{"dir/file": "file", "dir": "", "dir/": "", "dir/missing": "", "": ""} {
		s := openWith(t, at.config(path, store.RoleSource))
		key, ok, err := s.Single(t.Context())
		if err != nil || key != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, %v; want %q", path, key, ok, err, want)
		}
	}
}

// TestAbilities: what cannot be had is not claimed.
func TestAbilities(t *testing.T) {
	_, at := newPlace(t)
	a := openWith(t, at.config("", store.RoleDestination)).Abilities()
	if a.Conditional || a.ConditionalCreate || a.Pinned || a.ListsByKeys || a.Tags || a.Access || a.Encryption || len(a.Classes) > 0 || a.Order != store.OrderBytes || !a.Metadata {
		t.Errorf("%+v", a)
	}
}
