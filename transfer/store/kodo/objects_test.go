package kodo

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/qiniu/go-sdk/v7/auth"
	vendor "github.com/qiniu/go-sdk/v7/storage"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

func small(text string) store.Body { return store.Body{Bytes: []byte(text), Size: int64(len(text))} }

func mustPut(t *testing.T, s *Store, key, text string, meta store.Metadata) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, small(text), store.PutOptions{Meta: meta})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func readAll(t *testing.T, s *Store, key string) (string, error) {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1})
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

// vendorOf is the vendor's own client of a place.
func vendorOf(at place) (*vendor.BucketManager, *auth.Credentials) {
	mac := auth.New(at.account.AccessKey, at.account.SecretKey)
	return vendor.NewBucketManager(mac, &vendor.Config{RsHost: at.url, RsfHost: at.url, CentralRsHost: strings.TrimPrefix(at.url, "http://")}), mac
}

// TestVendorReadsWhatWasWritten: content, type, metadata and class, in one request and in parts.
func TestVendorReadsWhatWasWritten(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("dir/", store.RoleDestination))
	meta := store.Metadata{ContentType: "text/x-test", User: map[string]string{"who": "me", store.MTimeKey: "1.5"}, Class: classes[1]}
	const key = "a 中+&%?.txt"
	one := mustPut(t, s, key, "hello wire", meta)
	opts := store.PutOptions{Meta: meta}
	id, err := s.CreateUpload(t.Context(), "parts", opts)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.UploadPart(t.Context(), "parts", id, 1, small("hello wire"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := md5.Sum([]byte("hello wire")); p.Sums.MD5 != string(sum[:]) {
		t.Errorf("part: %v", p.Sums.Hex())
	}
	if _, err := s.CompleteUpload(t.Context(), "parts", id, []store.Part{p}, opts); err != nil {
		t.Fatal(err)
	}
	theirs, mac := vendorOf(at)
	for _, key := range []string{key, "parts"} {
		info, err := theirs.Stat("bucket", "dir/"+key)
		if err != nil || info.Hash != one.ETag || info.MimeType != "text/x-test" || info.Type != 1 || info.Fsize != 10 {
			t.Errorf("%s: %+v, %v", key, info, err)
		}
		resp, err := http.Get(vendor.MakePrivateURLv2(mac, at.domain, "dir/"+key, time.Now().Add(time.Hour).Unix()))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(data) != "hello wire" || resp.Header.Get("X-Qn-Meta-Who") != "me" || resp.Header.Get("X-Qn-Meta-Mtime") != "1.5" {
			t.Errorf("%s: %q %v %v", key, data, resp.Header, err)
		}
		o, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&meta, o.Meta); diff != "" {
			t.Errorf("%s: metadata (-put +read):\n%s", key, diff)
		}
	}
}

// TestSums: the hash is the QETag; what was written in one request has an MD5 too; in parts of other sizes the hash proves equality only.
func TestSums(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	sum, raw := md5.Sum([]byte("x")), sha1.Sum([]byte("x"))
	qetag := "\x16" + string(raw[:])
	if o := mustPut(t, s, "one", "x", store.Metadata{}); o.Sums != (store.Checksums{QETag: qetag}) {
		t.Errorf("put: %v", o.Sums.Hex())
	}
	o, err := s.Stat(t.Context(), "one")
	if want := (store.Checksums{QETag: qetag, MD5: string(sum[:])}); err != nil || o.Sums != want {
		t.Errorf("stat: %v, %v", o.Sums.Hex(), err)
	}
	id, err := s.CreateUpload(t.Context(), "parts", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var parts []store.Part
	for n, size := range []int{1 << 20, 5} {
		data := bytes.Repeat([]byte("x"), size)
		p, err := s.UploadPart(t.Context(), "parts", id, n+1, store.Body{Reader: bytes.NewReader(data), Size: int64(size)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	held, err := s.ListParts(t.Context(), "parts", id)
	if err != nil || len(held) != 2 || len(held[0].Sums.QETag) != 21 || held[1].Size != 5 {
		t.Errorf("listed %+v, %v", held, err)
	}
	made, err := s.CompleteUpload(t.Context(), "parts", id, parts, store.PutOptions{})
	if err != nil || made.Sums.QETag != "" || len(made.Sums.PartsQETag) != 21 || made.Sums.PartsQETag[0] != 0x9e {
		t.Errorf("completed: %v, %v", made.Sums.Hex(), err)
	}
	for _, bad := range []string{"", "x", "Fto5o-5ea0sNMlW_75VgGJCv2Ac", base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 21))} {
		if sums := sumsOf(bad, "zz"); !sums.IsZero() {
			t.Errorf("hash %q: %v", bad, sums.Hex())
		}
	}
}

// TestDamageOnTheWay: content that arrives otherwise than it was sent is refused by the server.
func TestDamageOnTheWay(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			r.Body = flipped{r.Body}
		}
		return false
	})
	for name, body := range map[string]store.Body{"small": small("ZZZZ"), "stream": {Reader: strings.NewReader("ZZZZ"), Size: 4}} {
		_, err := s.Put(t.Context(), name, body, store.PutOptions{})
		if store.ClassOf(err) != store.Mismatch || !store.Retryable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	id, err := s.CreateUpload(t.Context(), "parts", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte("ZZZZ"))
	body := small("ZZZZ")
	body.Sums.MD5 = string(sum[:])
	if _, err := s.UploadPart(t.Context(), "parts", id, 1, body); store.ClassOf(err) != store.Mismatch {
		t.Errorf("part: %v", err)
	}
	if held, err := s.ListParts(t.Context(), "parts", id); err != nil || len(held) != 0 {
		t.Errorf("held: %+v, %v", held, err)
	}
}

// flipped turns "ZZZZ" into something else.
type flipped struct{ io.ReadCloser }

func (f flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	copy(p[:n], bytes.ReplaceAll(p[:n], []byte("ZZZZ"), []byte("ZZYZ")))
	return n, err
}

// TestWhatCannotBeKept is told before, and what is left can be written as it is.
func TestWhatCannotBeKept(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	long := strings.Repeat("v", 200)
	m := store.Metadata{
		ContentType: `text/plain; charset="utf-8"`, CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "gzip",
		ContentLanguage: "de", Expires: "Wed, 21 Oct 2037 07:28:00 GMT", Encryption: store.EncryptionKMS, Access: store.AccessPublicRead,
		Tags: map[string]string{"t": "1"}, Class: store.StorageClass{Name: "COLDLINE", Tier: store.TierCold},
		User: map[string]string{
			store.MTimeKey: "1.5", "ok_-1": "a b.+/-;=,_", "umlaut": "Grüße", "percent": "a%20b", "dot.ted": "x", "empty": "", "edge": " x",
			strings.Repeat("n", 51): "x", "toolong": long + "v", "a": long, "b": long, "c": long, "d": long, "zz": long,
		},
	}
	got, lost := s.Fit(m)
	var names []string
	for _, l := range lost {
		names = append(names, l.What+" "+l.Name)
	}
	slices.Sort(names)
	want := []string{
		"access public-read", "encryption kms", "header Cache-Control", "header Content-Disposition", "header Content-Encoding",
		"header Content-Language", "header Content-Type", "header Expires", "metadata dot.ted", "metadata edge", "metadata empty",
		"metadata " + strings.Repeat("n", 51), "metadata percent", "metadata toolong", "metadata umlaut", "metadata zz", "tag t",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
	if got.Class.Name != "GLACIER_IR" || got.User[store.MTimeKey] != "1.5" || len(got.User) != 6 {
		t.Errorf("kept %+v", got)
	}
	mustPut(t, s, "k", "x", got)
	for name, bad := range map[string]store.Metadata{
		"type": {ContentType: m.ContentType}, "value": {User: map[string]string{"a": "ü"}}, "name": {User: map[string]string{"a.b": "x"}},
		"size": {User: map[string]string{"a": long, "b": long, "c": long, "d": long, "e": long, "f": long}},
	} {
		if _, err := s.Put(t.Context(), "k", small("x"), store.PutOptions{Meta: bad}); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{Meta: bad}); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s, in parts: %v", name, err)
		}
	}
}

// TestKeysThatCannotBe are refused here, before anything is sent.
func TestKeysThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	storetest.CannotBe(t, s, "", "bad \xff", strings.Repeat("n", 751))
	if _, err := s.ListParts(t.Context(), "k", "../x"); store.ClassOf(err) != store.NotFound {
		t.Errorf("list parts of a path: %v", err)
	}
}

// TestDomains: the location's, else the first of the bucket's that is one host.
func TestDomains(t *testing.T) {
	server, at := newPlace(t)
	mustPut(t, openWith(t, at.config("", store.RoleDestination)), "k", "content", store.Metadata{})
	host := strings.TrimPrefix(at.domain, "http://")
	for name, c := range map[string]struct {
		names string
		class store.Class
		says  string
	}{
		"none":         {`[]`, store.Misconfigured, `has no domain to read from; bind a domain`},
		"stand for":    {`[".example.com","*.example.com"]`, store.Misconfigured, "no domain to read from"},
		"no host":      {`["a/b","u:p@h"]`, store.Misconfigured, "no domain to read from"},
		"without TLS":  {fmt.Sprintf(`[".example.com",%q]`, host), store.Misconfigured, "are written domain=http://"},
		"no such host": {`["none.invalid"]`, store.Misconfigured, "none.invalid"},
	} {
		server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v2/domains" {
				return false
			}
			_, _ = w.Write([]byte(c.names))
			return true
		})
		cfg := at.config("", store.RoleSource)
		cfg.Location.Options.Del("domain")
		s := openWith(t, cfg)
		_, err := readAll(t, s, "k")
		if store.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if _, err := s.Check(t.Context()); (err != nil) != strings.HasSuffix(c.says, "to read from") && name != "none" {
			t.Errorf("%s: check of a source: %v", name, err)
		}
	}
	server.OnRequest(nil)
	cfg := at.config("", store.RoleSource)
	cfg.Location.Options.Del("domain")
	s := openWith(t, cfg)
	u, err := s.domainOf(t.Context())
	if err != nil || u.Host != host || u.Scheme != "https" {
		t.Errorf("found %v, %v", u, err)
	}
	cfg = at.config("", store.RoleSource, "private", "false")
	if _, err := readAll(t, openWith(t, cfg), "k"); store.ClassOf(err) != store.Auth || !strings.Contains(err.Error(), "leave private=false out") {
		t.Errorf("a private bucket read as public: %v", err)
	}
}

// TestOldCopiesOfADomain are never taken for the object.
func TestOldCopiesOfADomain(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	old := mustPut(t, s, "k", "old", store.Metadata{})
	server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(at.domain, "http://") {
			return false
		}
		w.Header().Set("Etag", `"`+old.ETag+`"`)
		_, _ = w.Write([]byte("old"))
		return true
	})
	now := mustPut(t, s, "k", "new", store.Metadata{})
	for _, length := range []int64{-1, 0, 2} {
		_, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: length, IfMatch: now.ETag})
		if store.ClassOf(err) != store.Precondition || !strings.Contains(err.Error(), "CDN") {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

func TestArchivedObjects(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	for number, class := range classes {
		mustPut(t, s, fmt.Sprint(number), "x", store.Metadata{Class: class})
	}
	l := s.List(store.ListOptions{})
	page, err := l.Next(t.Context())
	if err != nil || len(page) != len(classes) {
		t.Fatalf("%+v, %v", page, err)
	}
	for number, o := range page {
		archived := number == 2 || number == 3
		stat, err := s.Stat(t.Context(), o.Key)
		if err != nil || stat.Meta.Class != classes[number] || o.Archived != archived || stat.Archived != archived {
			t.Errorf("type %d: %+v, listed as archived: %v, %v", number, stat, o.Archived, err)
		}
		_, err = readAll(t, s, o.Key)
		if archived && (store.ClassOf(err) != store.Archived || !strings.Contains(err.Error(), "restore")) || !archived && err != nil {
			t.Errorf("type %d: open: %v", number, err)
		}
		for range 2 { // asked twice, it is no error
			if err := s.Restore(t.Context(), o.Key, 30, ""); err != nil {
				t.Errorf("type %d: restore: %v", number, err)
			}
		}
		if !archived {
			continue
		}
		if stat, err := s.Stat(t.Context(), o.Key); err != nil || !stat.Archived {
			t.Errorf("type %d while it is restored: %+v, %v", number, stat, err)
		}
		server.FinishRestore("bucket", o.Key)
		if stat, err := s.Stat(t.Context(), o.Key); err != nil || stat.Archived {
			t.Errorf("type %d restored: %+v, %v", number, stat, err)
		}
		if got, err := readAll(t, s, o.Key); err != nil || got != "x" {
			t.Errorf("type %d restored: %q, %v", number, got, err)
		}
	}
	if err := s.Restore(t.Context(), "none", 1, ""); store.ClassOf(err) != store.NotFound {
		t.Errorf("restore of nothing: %v", err)
	}
	if err := s.Restore(t.Context(), "2", 1, "Expedited"); store.ClassOf(err) != store.Permanent {
		t.Errorf("restore at a speed: %v", err)
	}
}

// TestCopies: by one account in one region, with the class and the metadata that there are.
func TestCopies(t *testing.T) {
	server, at := newPlace(t)
	server.NewBucket("other")
	src := openWith(t, at.config("a/", store.RoleSource))
	cfg := at.config("b/", store.RoleDestination)
	cfg.Location.Bucket = "other"
	dst := openWith(t, cfg)
	if !dst.CanCopyFrom(src) {
		t.Error("not from another bucket of the account")
	}
	account := at.config("", store.RoleSource)
	account.Credentials.AccessKey = "other"
	if dst.CanCopyFrom(openWith(t, account)) {
		t.Error("from another account")
	}
	mustPut(t, src, "k", "x", store.Metadata{ContentType: "text/x-test", User: map[string]string{"a": "1"}, Class: classes[1]})
	from, err := src.Stat(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for name, meta := range map[string]store.Metadata{
		"type": {ContentType: "text/other", User: from.Meta.User, Class: classes[1]}, "class": {ContentType: "text/x-test", User: from.Meta.User, Class: classes[2]},
		"user": {ContentType: "text/x-test", Class: classes[1]},
	} {
		if _, err := dst.Copy(t.Context(), src, from, "k", store.PutOptions{Meta: meta}); store.ClassOf(err) != store.Permanent {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	o, err := dst.Copy(t.Context(), src, from, "k", store.PutOptions{Meta: *from.Meta, Condition: store.Condition{Absent: true}})
	if err != nil || o.ETag != from.ETag || o.Sums.QETag == "" || !cmp.Equal(o.Meta, from.Meta) {
		t.Errorf("copy: %+v, %v", o, err)
	}
	if _, err := dst.Copy(t.Context(), src, from, "k", store.PutOptions{Meta: *from.Meta, Condition: store.Condition{Absent: true}}); store.ClassOf(err) != store.Precondition {
		t.Errorf("copy where something is: %v", err)
	}
	// The source changes between the look at it and the copy.
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/copy/") {
			server.OnRequest(nil)
			mustPut(t, src, "k", "another", store.Metadata{ContentType: "text/x-test"})
		}
		return false
	})
	if _, err := dst.Copy(t.Context(), src, from, "k2", store.PutOptions{Meta: *from.Meta}); store.ClassOf(err) != store.Mismatch {
		t.Errorf("copy of what changes: %v", err)
	}
	if _, err := dst.CopyPart(t.Context(), src, from, 0, 1, "k", "id", 1); store.ClassOf(err) != store.Permanent {
		t.Errorf("copy of a part: %v", err)
	}
}

// TestInterruptedUpload: the next process finds the parts that were sent and goes on.
func TestInterruptedUpload(t *testing.T) {
	_, at := newPlace(t)
	first := openWith(t, at.config("", store.RoleDestination))
	id, err := first.CreateUpload(t.Context(), "big", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.Repeat([]byte("p"), smallestPart)
	if _, err := first.UploadPart(t.Context(), "big", id, 1, store.Body{Bytes: part, Size: smallestPart}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	broken := io.MultiReader(bytes.NewReader(part[:1000]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
	if _, err := first.UploadPart(ctx, "big", id, 2, store.Body{Reader: broken, Size: smallestPart}); store.ClassOf(err) != store.Canceled {
		t.Errorf("broken off: %v", err)
	}
	next := openWith(t, at.config("", store.RoleDestination))
	held, err := next.ListParts(t.Context(), "big", id)
	if err != nil || len(held) != 1 {
		t.Fatalf("held %+v, %v", held, err)
	}
	last, err := next.UploadPart(t.Context(), "big", id, 2, small("end"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.CompleteUpload(t.Context(), "big", id, append(held, last), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, next, "big"); err != nil || got != string(part)+"end" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestManyParts: more than one page of them.
func TestManyParts(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	id, err := s.CreateUpload(t.Context(), "big", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range pageSize + 5 {
		if _, err := s.UploadPart(t.Context(), "big", id, n+1, small("x")); err != nil {
			t.Fatal(err)
		}
	}
	held, err := s.ListParts(t.Context(), "big", id)
	if err != nil || len(held) != pageSize+5 || held[pageSize].Number != pageSize+1 {
		t.Errorf("%d parts, %v", len(held), err)
	}
}
