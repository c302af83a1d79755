package bos

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/baidubce/bce-sdk-go/bce"
	vendor "github.com/baidubce/bce-sdk-go/services/bos"
	"github.com/baidubce/bce-sdk-go/services/bos/api"
	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// vendorOf is the vendor's own client of a place.
func vendorOf(t *testing.T, at place) *vendor.Client {
	t.Helper()
	client, err := vendor.NewClientWithConfig(vendor.NewBosClientConfig(at.account.AccessKey, at.account.SecretKey, at.url))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// kinds fills a bucket with an object of each kind that the vendor has.
func kinds(t *testing.T, at place) {
	t.Helper()
	c := vendorOf(t, at)
	put := func(key, text, class string) {
		if _, err := c.PutObjectFromString(at.bucket, key, text, &api.PutObjectArgs{StorageClass: class}); err != nil {
			t.Fatal(err)
		}
	}
	put("archived", "archived", "ARCHIVE")
	put("dir/", "", "")
	put("normal", "normal", "STANDARD_IA")
	body, err := bce.NewBodyFromString("appended")
	if err == nil {
		_, err = c.AppendObject(at.bucket, "appended", body, nil)
	}
	if err == nil {
		err = c.PutSymlink(at.bucket, "normal", "link", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	up, err := c.BasicInitiateMultipartUpload(at.bucket, "parts")
	if err != nil {
		t.Fatal(err)
	}
	etag, err := c.UploadPartFromBytes(at.bucket, "parts", up.UploadId, 1, []byte("parts"), nil)
	if err == nil {
		_, err = c.CompleteMultipartUploadFromStruct(at.bucket, "parts", up.UploadId, &api.CompleteMultipartUploadArgs{Parts: []api.UploadInfoType{{PartNumber: 1, ETag: etag}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// row is what is told of an object, as far as it is compared.
type row struct {
	Key           string
	Kind          store.Kind
	Size          int64
	MD5, Archived bool
	Class         string // of Stat
}

func rowsOf(t *testing.T, s *Store) (rows []row) {
	t.Helper()
	l := s.List(store.ListOptions{})
	defer func() { _ = l.Close() }()
	for {
		page, err := l.Next(t.Context())
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			rows = append(rows, row{o.Key, o.Kind, o.Size, o.Sums.MD5 != "", o.Archived, ""})
		}
	}
}

func TestKindsOfObjects(t *testing.T) {
	_, at := newPlace(t)
	kinds(t, at)
	s := openWith(t, at.config("", store.RoleSource))
	want := []row{
		{"appended", store.KindObject, 8, false, false, "STANDARD"}, {"archived", store.KindObject, 8, true, true, "ARCHIVE"},
		{"dir/", store.KindDir, 0, true, false, "STANDARD"}, {"link", store.KindObject, 6, true, false, "STANDARD_IA"},
		{"normal", store.KindObject, 6, true, false, "STANDARD_IA"}, {"parts", store.KindObject, 5, false, false, "STANDARD"},
	}
	listed := rowsOf(t, s)
	var looked []row
	for i, r := range listed {
		o, err := s.Stat(t.Context(), r.Key)
		if err != nil || len(o.Sums.CRC64ECMA) != 8 || o.Sums.PartsMD5 != "" || o.Meta.Class.Tier == "" {
			t.Errorf("stat %s: %+v, %v", r.Key, o, err)
			continue
		}
		looked = append(looked, row{r.Key, o.Kind, o.Size, o.Sums.MD5 != "", o.Archived, o.Meta.Class.Name})
		listed[i].Class = looked[i].Class
	}
	if diff := cmp.Diff(want, looked); diff != "" {
		t.Errorf("stat differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("listing differs (-want +got):\n%s", diff)
	}
	if r, _, err := s.Open(t.Context(), "link", store.OpenOptions{Length: -1}); err != nil {
		t.Errorf("open a link: %v", err)
	} else if text, err := io.ReadAll(r); err != nil || string(text) != "normal" || r.Close() != nil {
		t.Errorf("a link shows %q, %v", text, err)
	}
}

// TestVendorReadsWhatIsWritten: the vendor's SDK finds all that was written, where it looks for it.
func TestVendorReadsWhatIsWritten(t *testing.T) {
	_, at := newPlace(t)
	s, c := openWith(t, at.config("", store.RoleDestination)), vendorOf(t, at)
	meta := store.Metadata{
		ContentType: "text/x", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "br", ContentLanguage: "de", Expires: "Wed, 21 Oct 2037 07:28:00 GMT",
		User: map[string]string{"who": "me"}, Class: store.StorageClass{Name: "COLD", Tier: store.TierCold}, Tags: map[string]string{"a": "b c"},
		Access: store.AccessPublicRead, Encryption: store.EncryptionStore,
	}
	opts := store.PutOptions{Meta: meta}
	if _, err := s.Put(t.Context(), "whole +&ü", store.Body{Bytes: []byte("x"), Size: 1}, opts); err != nil {
		t.Fatal(err)
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
	from, err := s.Stat(t.Context(), "parts")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(t.Context(), s, from, "copied", opts); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"whole +&ü", "parts", "copied"} {
		m, err := c.GetObjectMeta(at.bucket, key)
		if err != nil {
			t.Fatal(err)
		}
		if m.ContentType != "text/x" || m.CacheControl != "no-store" || m.ContentDisposition != "inline" || m.ContentEncoding != "br" || m.ContentLanguage != "de" ||
			m.Expires != meta.Expires || m.UserMeta["Who"] != "me" || m.StorageClass != "COLD" || m.Encryption.ServerSideEncryption != "AES256" {
			t.Errorf("%s: %+v", key, m)
		}
		if tags, err := c.GetObjectTag(at.bucket, key); err != nil || fmt.Sprint(tags) != "map[a:b c]" {
			t.Errorf("%s: tags %v, %v", key, tags, err)
		}
		if acl, err := c.GetObjectAcl(at.bucket, key); err != nil || len(acl.AccessControlList) != 2 {
			t.Errorf("%s: access %+v, %v", key, acl, err)
		}
		if text, err := io.ReadAll(mustGet(t, c, at, key)); err != nil || string(text) != "x" {
			t.Errorf("%s: %q, %v", key, text, err)
		}
	}
}

func mustGet(t *testing.T, c *vendor.Client, at place, key string) io.Reader {
	t.Helper()
	r, err := c.BasicGetObject(at.bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Body.Close() })
	return r.Body
}

// TestExpiresThatNobodySet: the server answers with one of three days; what was set stays.
func TestExpiresThatNobodySet(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat)
	for key, expires := range map[string]string{"none": "", "some": tomorrow} {
		if _, err := s.Put(t.Context(), key, store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{Meta: store.Metadata{Expires: expires}}); err != nil {
			t.Fatal(err)
		}
		if o, err := s.Stat(t.Context(), key); err != nil || o.Meta.Expires != expires {
			t.Errorf("%s: expires %q, %v", key, o.Meta.Expires, err)
		}
	}
	seen := ""
	server.OnRequest(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) // of a cache: its Expires is older than it looks
		seen = "asked"
		return false
	})
	if o, err := s.Stat(t.Context(), "none"); err != nil || seen == "" || o.Meta.Expires == "" {
		t.Errorf("from another time: expires %q, %v", o.Meta.Expires, err)
	}
}

// TestSumsAreLearned: ETags that differ from the MD5 told beside them are none, and a server without CRC64 is not asked for it.
func TestSumsAreLearned(t *testing.T) {
	server, at := newPlace(t)
	odd := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.Header().Set("Etag", `"00000000000000000000000000000000"`)
		w.Header().Set("Content-Md5", "nd1uZyqVkjJA7LgRSyRU/w==")
		return true
	}
	s := openWith(t, at.config("", store.RoleDestination))
	put := func() store.Object {
		o, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := put(); o.Sums.MD5 == "" || o.Sums.CRC64ECMA == "" || !s.WantSums().MD5 || !s.WantSums().CRC64ECMA {
		t.Errorf("at first: %+v, wants %+v", o.Sums, s.WantSums())
	}
	server.OnRequest(odd)
	if o := put(); !o.Sums.IsZero() || s.WantSums().MD5 || s.WantSums().CRC64ECMA {
		t.Errorf("then: %+v, wants %+v", o.Sums, s.WantSums())
	}
	server.OnRequest(nil)
	if rows := rowsOf(t, s); len(rows) != 1 || rows[0].MD5 {
		t.Errorf("listed %+v", rows)
	}
	server.OnRequest(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Bce-Content-Crc32c", "3808858755")
		return false
	})
	if o, err := s.Stat(t.Context(), "k"); err != nil || o.Sums.CRC32C != "\xe3\x06\x92\x83" {
		t.Errorf("CRC32C %x, %v", o.Sums.CRC32C, err)
	}
}

// TestKeysThatCannotBe are refused here, before anything is sent.
func TestKeysThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	keys := []string{"/lead", "bad \xff", strings.Repeat("n", 1024), "a/../b", "..", "v1", "v1/", ".", "a/.."}
	storetest.CannotBe(t, s, keys...)
	for _, key := range keys {
		if _, err := s.Copy(t.Context(), s, store.Object{Key: key}, "to", store.PutOptions{}); store.ClassOf(err) != store.Permanent {
			t.Errorf("copy %q: %v", key, err)
		}
	}
}

// TestCopiesOnCondition: a copy looks at its destination right before, for the server does not.
func TestCopiesOnCondition(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	put := func(key, text string) store.Object {
		o, err := s.Put(t.Context(), key, store.Body{Bytes: []byte(text), Size: int64(len(text))}, store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	from, there := put("from", "new"), put("there", "old")
	for _, c := range []struct {
		name, key string
		cond      store.Condition
		want      store.Class
	}{
		{"absent, but there", "there", store.Condition{Absent: true}, store.Precondition},
		{"another ETag", "there", store.Condition{ETag: from.ETag}, store.Precondition},
		{"an ETag, but absent", "missing", store.Condition{ETag: from.ETag}, store.Precondition},
		{"absent, and so it is", "fresh", store.Condition{Absent: true}, ""},
		{"the ETag that is there", "there", store.Condition{ETag: there.ETag}, ""},
		{"no condition whatsoever", "fresh", store.Condition{}, ""},
	} {
		if _, err := s.Copy(t.Context(), s, from, c.key, store.PutOptions{Condition: c.cond}); store.ClassOf(err) != c.want {
			t.Errorf("%s: %v, want class %q", c.name, err, c.want)
		}
	}
	if _, err := s.Stat(t.Context(), "missing"); store.ClassOf(err) != store.NotFound {
		t.Errorf("a refused copy was made: %v", err)
	}
}

// TestStoresThatCopyByThemselves are those of one endpoint and account.
func TestStoresThatCopyByThemselves(t *testing.T) {
	_, at := newPlace(t)
	here := openWith(t, at.config("", store.RoleDestination))
	other := at.config("", store.RoleSource)
	other.Location.Bucket = "other"
	if !here.CanCopyFrom(openWith(t, other)) {
		t.Error("not from another bucket of the account")
	}
	account, region := at.config("", store.RoleSource), at.config("", store.RoleSource, "endpoint", "gz.bcebos.com")
	account.Credentials.AccessKey = "other"
	for name, cfg := range map[string]store.Config{"account": account, "region": region} {
		if here.CanCopyFrom(openWith(t, cfg)) {
			t.Errorf("from another %s", name)
		}
	}
}

// TestRenew replaces credentials between two requests, and keeps those it has where there are no others.
func TestRenew(t *testing.T) {
	t.Setenv("BCE_ACCESS_KEY_ID", "")
	_, at := newPlace(t)
	cfg := at.config("", store.RoleSource)
	storetest.Renew(t, openWith(t, cfg), cfg.Credentials)
}
