package cos

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	fake "github.com/bucketbrigade/brigade/test/fakes/cos"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestArchivedObjects are refused with a reason that says what to do, and read once they are restored.
func TestArchivedObjects(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	put(t, s, "cold", "content", store.Metadata{Class: store.StorageClass{Name: "DEEP_ARCHIVE"}})
	put(t, s, "warm", "content", store.Metadata{Class: store.StorageClass{Name: "STANDARD_IA"}})
	if all := listed(t, s); !all[0].Archived || all[1].Archived || all[0].Class.Tier != store.TierDeepArchive || all[1].Class.Tier != store.TierInfrequent {
		t.Errorf("listed %+v", all)
	}
	archived := func(want bool) {
		t.Helper()
		o, err := s.Stat(t.Context(), "cold")
		if err != nil || o.Archived != want {
			t.Errorf("stat: archived %v, %v; want %v", o.Archived, err, want)
		}
		r, _, err := s.Open(t.Context(), "cold", store.OpenOptions{Length: -1})
		if err == nil {
			_ = r.Close()
		}
		if got := store.ClassOf(err) == store.Archived; got != want || got && !strings.Contains(err.Error(), "archived; restore it") {
			t.Errorf("open: %v", err)
		}
		if _, err := s.Copy(t.Context(), s, o, "copy", store.PutOptions{}); (store.ClassOf(err) == store.Archived) != want {
			t.Errorf("copy: %v", err)
		}
	}
	archived(true)
	for _, bad := range []struct {
		days  int
		speed string
	}{{0, ""}, {1, "Fast"}, {1, "Expedited"}} { // the last is not for this class
		if err := s.Restore(t.Context(), "cold", bad.days, bad.speed); store.ClassOf(err) != store.Permanent {
			t.Errorf("restore for %d days, %q: %v", bad.days, bad.speed, err)
		}
	}
	for range 2 { // asked again while it is under way
		if err := s.Restore(t.Context(), "cold", 3, "Bulk"); err != nil {
			t.Fatal(err)
		}
	}
	archived(true)
	if !server.FinishRestore(at.bucket, "cold") {
		t.Fatal("nothing was under way")
	}
	archived(false)
	for _, key := range []string{"cold", "warm"} {
		if err := s.Restore(t.Context(), key, 1, ""); err != nil {
			t.Errorf("restore of %s, which is readable: %v", key, err)
		}
	}
	if err := s.Restore(t.Context(), "missing", 1, ""); store.ClassOf(err) != store.NotFound {
		t.Errorf("restore of nothing: %v", err)
	}
}

// TestWhatDoesNotFit is lost by name and reason, and the rest is kept as it was said to be.
func TestWhatDoesNotFit(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	m := store.Metadata{
		ContentType: "text/x", User: map[string]string{store.MTimeKey: "1.5", "under_score": "x", "long": strings.Repeat("l", 2048), "ok": "1"},
		Class: store.StorageClass{Name: "Cool", Tier: store.TierInfrequent}, Access: store.AccessPublicWrite, Encryption: store.EncryptionKMS,
		Tags: map[string]string{"bad!": "x", "empty": "", "name": strings.Repeat("v", 256), "ok": "ü 1"},
	}
	for i := range 12 {
		m.Tags["t"+strconv.Itoa(i)] = "x"
	}
	kept, lost := s.Fit(m)
	texts := make([]string, len(lost))
	for i, l := range lost {
		texts[i] = l.String()
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{
		`metadata "under_score": names in COS have letters`, `metadata "long": COS keeps 2048 bytes`, `tag "bad!": tags in COS have letters`,
		`tag "empty": values of tags in COS have 1 to 255`, `tag "name": values`, `tag "t9": COS keeps 10 tags`, `access "public-read-write": COS cannot keep it`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	put(t, s, "k", "x", kept)
	o, err := s.Stat(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Detail(t.Context(), "k", store.Details{Tags: true, Access: true}, o.Meta); err != nil {
		t.Fatal(err)
	}
	want := kept
	if diff := cmp.Diff(&want, o.Meta); diff != "" || kept.Class.Name != "STANDARD_IA" || len(kept.Tags) != 10 || len(kept.User) != 2 {
		t.Errorf("differs (-kept +read):\n%s", diff)
	}
	if _, lost := s.Fit(store.Metadata{User: map[string]string{"a": "b"}, Class: store.StorageClass{Name: "GLACIER", Tier: store.TierArchive}}); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
}

// TestBucketsOfSeveralZones have classes of their own, which the option tells.
func TestBucketsOfSeveralZones(t *testing.T) {
	server, at := newPlace(t)
	at.bucket = "zones-1250000000"
	server.NewBucketOf(at.bucket, fake.Kind{ManyZones: true})
	ia := store.StorageClass{Name: "STANDARD_IA", Tier: store.TierInfrequent}
	plain := openWith(t, at.config("", store.RoleDestination))
	put(t, plain, "k", "x", store.Metadata{Class: store.StorageClass{Name: "STANDARD", Tier: store.TierStandard}})
	if o, err := plain.Stat(t.Context(), "k"); err != nil || o.Meta.Class != (store.StorageClass{Name: "MAZ_STANDARD", Tier: store.TierStandard}) {
		t.Errorf("standard became %+v, %v", o.Meta, err)
	}
	_, err := plain.Put(t.Context(), "k", store.Body{}, store.PutOptions{Meta: store.Metadata{Class: ia}})
	if store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "multi_az=true") {
		t.Errorf("without the option: %v", err)
	}
	s := openWith(t, at.config("", store.RoleDestination, "multi_az", "true"))
	kept, lost := s.Fit(store.Metadata{Class: ia})
	put(t, s, "k", "x", kept)
	if o, err := s.Stat(t.Context(), "k"); err != nil || o.Meta.Class.Name != "MAZ_STANDARD_IA" || len(lost) != 0 {
		t.Errorf("%+v, %v, lost %v", o.Meta, err, lost)
	}
}

// TestForcedDownloads: what the vendor's domains add to answers is none of the object's.
func TestForcedDownloads(t *testing.T) {
	server, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	put(t, s, "k", "x", store.Metadata{})
	put(t, s, "own", "x", store.Metadata{ContentDisposition: "attachment; filename=a"})
	server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Cos-Force-Download", "true")
		if !strings.Contains(r.URL.Path, "own") {
			w.Header().Set("Content-Disposition", "attachment")
		}
		return false
	})
	for key, want := range map[string]string{"k": "", "own": "attachment; filename=a"} {
		if o, err := s.Stat(t.Context(), key); err != nil || o.Meta.ContentDisposition != want {
			t.Errorf("%s: %+v, %v", key, o.Meta, err)
		}
	}
}

// TestAccess reads what grants there are.
func TestAccess(t *testing.T) {
	const head = "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList><Grant><Grantee><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>"
	grant := func(who, what string) string {
		return "<Grant><Grantee>" + who + "</Grantee><Permission>" + what + "</Permission></Grant>"
	}
	for name, c := range map[string]struct {
		canned, grants string
		want           store.Access
		lost           string
	}{
		"the bucket's":        {canned: "default"},
		"the owner's":         {want: store.AccessPrivate},
		"everybody's":         {grants: grant("<URI>"+everybody+"</URI>", "READ"), want: store.AccessPublicRead},
		"everybody's of old":  {grants: grant("<ID>"+anyone+"</ID>", "READ"), want: store.AccessPublicRead},
		"every account's":     {grants: grant("<URI>"+everyAccount+"</URI>", "READ"), want: store.AccessAuthenticated},
		"another account's":   {grants: grant("<ID>you</ID>", "READ"), want: store.AccessPrivate, lost: "READ of you"},
		"everybody's control": {grants: grant("<URI>"+everybody+"</URI>", "FULL_CONTROL"), want: store.AccessPrivate, lost: "FULL_CONTROL of"},
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.canned != "" {
				w.Header().Set("X-Cos-Acl", c.canned)
			}
			_, _ = w.Write([]byte(head + c.grants + "</AccessControlList></AccessControlPolicy>"))
		})
		var m store.Metadata
		lost, err := s.Detail(t.Context(), "k", store.Details{Access: true}, &m)
		if err != nil || m.Access != c.want || (len(lost) > 0) != (c.lost != "") || c.lost != "" && !strings.Contains(lost[0].String(), c.lost) {
			t.Errorf("%s: %q, lost %v, %v; want %q, %q", name, m.Access, lost, err, c.want, c.lost)
		}
	}
}
