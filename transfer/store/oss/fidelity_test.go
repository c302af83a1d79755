package oss

import (
	"maps"
	"strings"
	"testing"
	"time"

	vendor "github.com/aliyun/aliyun-oss-go-sdk/oss"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestVendorsClientSeesWhatIsKept: what is written here the vendor's client reads, and the other way round.
func TestVendorsClientSeesWhatIsKept(t *testing.T) {
	_, at := newPlace(t)
	b, s := vendorOf(t, at), openWith(t, at.config("", store.RoleDestination))
	tags := map[string]string{"a b": "c+d=e/f", "empty": ""}
	m := store.Metadata{
		Class: store.StorageClass{Name: "IA", Tier: store.TierInfrequent}, Tags: tags, Access: store.AccessPublicRead, Encryption: store.EncryptionStore,
	}
	if _, err := s.Put(t.Context(), "ours", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{Meta: m}); err != nil {
		t.Fatal(err)
	}
	got, err := b.GetObjectTagging("ours")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, tag := range got.Tags {
		seen[tag.Key] = tag.Value
	}
	acl, err := b.GetObjectACL("ours")
	if err != nil || acl.ACL != "public-read" || !maps.Equal(seen, tags) {
		t.Errorf("the vendor's client sees tags %v, access %+v, %v", seen, acl, err)
	}
	h, err := b.GetObjectDetailedMeta("ours")
	if err != nil || h.Get("X-Oss-Storage-Class") != "IA" || h.Get("X-Oss-Server-Side-Encryption") != "AES256" {
		t.Errorf("headers %v, %v", h, err)
	}

	tagging := vendor.Tagging{Tags: []vendor.Tag{{Key: "k:1", Value: "v v"}}}
	if err := b.PutObject("theirs", strings.NewReader("x"), vendor.SetTagging(tagging), vendor.ObjectACL(vendor.ACLPublicReadWrite)); err != nil {
		t.Fatal(err)
	}
	var read store.Metadata
	lost, err := s.Detail(t.Context(), "theirs", store.Details{Tags: true, Access: true}, &read)
	if err != nil || len(lost) > 0 || read.Access != store.AccessPublicWrite || !maps.Equal(read.Tags, map[string]string{"k:1": "v v"}) {
		t.Errorf("read %+v, lost %v, %v", read, lost, err)
	}
	if err := b.PutObject("plain", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	read = store.Metadata{}
	if _, err := s.Detail(t.Context(), "plain", store.Details{Tags: true, Access: true}, &read); err != nil || read.Access != "" || read.Tags != nil {
		t.Errorf("of an object without: %+v, %v", read, err)
	}
}

// TestRestore: asked for once or more, an archived object is readable after a while, and written again it is not.
func TestRestore(t *testing.T) {
	for _, signature := range []string{"v1", "v4"} {
		server, at := newPlace(t)
		b, s := vendorOf(t, at), openWith(t, at.config("", store.RoleSource, "signature", signature))
		for _, key := range []string{"cold", "warm"} {
			class := vendor.StorageStandard
			if key == "cold" {
				class = vendor.StorageArchive
			}
			if err := b.PutObject(key, strings.NewReader("x"), vendor.ObjectStorageClass(class)); err != nil {
				t.Fatal(err)
			}
		}
		archived := func() bool {
			t.Helper()
			o, err := s.Stat(t.Context(), "cold")
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = s.Open(t.Context(), "cold", store.OpenOptions{Length: -1})
			if o.Archived != (store.ClassOf(err) == store.Archived) {
				t.Errorf("stat says archived %t, open %v", o.Archived, err)
			}
			return o.Archived
		}
		server.SetRestoreTime(time.Hour)
		for range 2 { // asked again while it is under way
			if err := s.Restore(t.Context(), "cold", 3, ""); err != nil || !archived() {
				t.Errorf("%s: %v, archived %t", signature, err, archived())
			}
		}
		if err := b.PutObject("cold", strings.NewReader("y"), vendor.ObjectStorageClass(vendor.StorageArchive)); err != nil {
			t.Fatal(err)
		}
		server.SetRestoreTime(0)
		for range 2 { // asked again once it is done
			if err := s.Restore(t.Context(), "cold", 3, ""); err != nil || archived() {
				t.Errorf("%s: %v, archived %t", signature, err, archived())
			}
		}
		if err := s.Restore(t.Context(), "warm", 3, ""); err != nil {
			t.Errorf("%s: of an object in no archive: %v", signature, err)
		}
		if err := s.Restore(t.Context(), "absent", 3, ""); store.ClassOf(err) != store.NotFound {
			t.Errorf("%s: of nothing: %v", signature, err)
		}
	}
}

// TestListedClasses: a listing tells classes, and archives by them.
func TestListedClasses(t *testing.T) {
	_, at := newPlace(t)
	b, s := vendorOf(t, at), openWith(t, at.config("", store.RoleSource))
	if err := b.PutObject("cold", strings.NewReader("x"), vendor.ObjectStorageClass(vendor.StorageDeepColdArchive)); err != nil {
		t.Fatal(err)
	}
	page, err := s.List(store.ListOptions{}).Next(t.Context())
	want := store.StorageClass{Name: "DeepColdArchive", Tier: store.TierDeepArchive}
	if err != nil || len(page) != 1 || page[0].Class != want || !page[0].Archived {
		t.Errorf("%+v, %v", page, err)
	}
}
