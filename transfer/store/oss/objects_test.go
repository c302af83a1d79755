package oss

import (
	"io"
	"net/http"
	"strings"
	"testing"

	vendor "github.com/aliyun/aliyun-oss-go-sdk/oss"
	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

func refusedWith(status int, body []byte, header string) *wire.Refusal {
	h := http.Header{}
	h.Set("X-Oss-Err", header)
	return &wire.Refusal{Status: status, Header: h, Body: body}
}

// vendorOf is the vendor's own client of a place.
func vendorOf(t *testing.T, at place) *vendor.Bucket {
	t.Helper()
	client, err := vendor.New(at.url, at.account.AccessKey, at.account.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	b, err := client.Bucket(at.bucket)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// kinds fills a bucket with an object of each type that the vendor has.
func kinds(t *testing.T, at place) {
	t.Helper()
	b := vendorOf(t, at)
	_, err := b.AppendObject("appended", strings.NewReader("appended"), 0)
	for _, put := range []func() error{
		func() error { return b.PutObject("normal", strings.NewReader("normal")) },
		func() error { return b.PutSymlink("link", "normal") },
		func() error { return b.PutSymlink("dangling", "nothing") },
		func() error { return b.PutObject("dir/", strings.NewReader("")) },
		func() error {
			up, err := b.InitiateMultipartUpload("parts")
			if err != nil {
				return err
			}
			p, err := b.UploadPart(up, strings.NewReader("parts"), 5, 1)
			if err != nil {
				return err
			}
			_, err = b.CompleteMultipartUpload(up, []vendor.UploadPart{p})
			return err
		},
	} {
		if err == nil {
			err = put()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// row is what a listing tells of an object, as far as it is compared.
type row struct {
	Key, Reason string
	Kind        store.Kind
	Size        int64
	MD5, Failed bool
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
			rows = append(rows, row{o.Key, o.Reason, o.Kind, o.Size, o.Sums.MD5 != "", o.Err != nil})
		}
	}
}

func TestTypesOfObjects(t *testing.T) {
	_, at := newPlace(t)
	kinds(t, at)
	plain := map[string]row{
		"appended": {Size: 8}, "dangling": {Kind: store.KindSkipped, Size: 7, Reason: "symlink"}, "dir/": {Kind: store.KindDir, MD5: true},
		"link": {Kind: store.KindSkipped, Size: 6, Reason: "symlink"}, "normal": {Size: 6, MD5: true}, "parts": {Size: 5},
	}
	for name, c := range map[string]struct {
		role    store.Role
		links   string
		changed map[string]row
	}{
		"left out": {store.RoleSource, "skip", nil},
		"followed": {store.RoleSource, "follow", map[string]row{
			"link": {Size: 6}, "dangling": {Kind: store.KindSkipped, Reason: "symlink to a missing object", Failed: true},
		}},
		"at a destination": {store.RoleDestination, "skip", map[string]row{"link": {Size: 6}, "dangling": {Size: 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []row
			for _, key := range []string{"appended", "dangling", "dir/", "link", "normal", "parts"} {
				r, ok := c.changed[key]
				if !ok {
					r = plain[key]
				}
				r.Key = key
				want = append(want, r)
			}
			if diff := cmp.Diff(want, rowsOf(t, openWith(t, at.config("", c.role, "links", c.links)))); diff != "" {
				t.Errorf("listing differs (-want +got):\n%s", diff)
			}
		})
	}
	s := openWith(t, at.config("", store.RoleSource))
	for key, md5 := range map[string]bool{"normal": true, "parts": false, "appended": false} {
		o, err := s.Stat(t.Context(), key)
		if err != nil || len(o.Sums.CRC64ECMA) != 8 || (o.Sums.MD5 != "") != md5 || o.Sums.PartsMD5 != "" {
			t.Errorf("stat %s: %+v, %v", key, o.Sums, err)
		}
	}
}

// TestEncryptedObjectsHaveNoMD5: with a key of the owner's the ETag is no MD5, and from the first answer that says so on none
// is taken for one.
func TestEncryptedObjectsHaveNoMD5(t *testing.T) {
	server, at := newPlace(t)
	server.OnRequest(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Oss-Server-Side-Encryption", "KMS")
		return false
	})
	s := openWith(t, at.config("", store.RoleDestination))
	o, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{})
	if err != nil || o.Sums.MD5 != "" || o.Sums.CRC64ECMA == "" || s.WantSums().MD5 {
		t.Errorf("%+v, %v, still wants %+v", o, err, s.WantSums())
	}
	if rows := rowsOf(t, s); len(rows) != 1 || rows[0].MD5 {
		t.Errorf("listed %+v", rows)
	}
}

// TestArchivedObjects are refused with a reason that says what to do.
func TestArchivedObjects(t *testing.T) {
	_, at := newPlace(t)
	if err := vendorOf(t, at).PutObject("cold", strings.NewReader("x"), vendor.ObjectStorageClass(vendor.StorageColdArchive)); err != nil {
		t.Fatal(err)
	}
	s := openWith(t, at.config("", store.RoleSource))
	if o, err := s.Stat(t.Context(), "cold"); err != nil || !o.Archived || o.Meta.Class.Name != "ColdArchive" {
		t.Errorf("stat: %+v, %v", o, err)
	}
	_, _, err := s.Open(t.Context(), "cold", store.OpenOptions{Length: -1})
	if store.ClassOf(err) != store.Archived || !strings.Contains(err.Error(), "must be restored") {
		t.Errorf("open: %v", err)
	}
}

// TestKeysThatCannotBe are refused here, before anything is sent.
func TestKeysThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	storetest.CannotBe(t, s, "/lead", `\lead`, "bad \xff", strings.Repeat("n", 1024))
}

// TestStoresThatCopyByThemselves are those of one endpoint, region and account.
func TestStoresThatCopyByThemselves(t *testing.T) {
	_, at := newPlace(t)
	here := openWith(t, at.config("", store.RoleDestination))
	other := at.config("", store.RoleSource)
	other.Location.Bucket = "other"
	if !here.CanCopyFrom(openWith(t, other)) {
		t.Error("not from another bucket of the account")
	}
	account := at.config("", store.RoleSource)
	account.Credentials.AccessKey = "other"
	region := at.config("", store.RoleSource, "region", "cn-beijing")
	for name, cfg := range map[string]store.Config{"account": account, "region": region} {
		if here.CanCopyFrom(openWith(t, cfg)) {
			t.Errorf("from another %s", name)
		}
	}
}

// TestRenew replaces credentials between two requests, and keeps those it has where there are no others.
func TestRenew(t *testing.T) {
	for _, name := range []string{"OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
	_, at := newPlace(t)
	cfg := at.config("", store.RoleSource)
	storetest.Renew(t, openWith(t, cfg), cfg.Credentials)
}
