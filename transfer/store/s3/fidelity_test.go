package s3

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// dialectAt opens a store of a dialect's scheme at a server of the test's own.
func dialectAt(t *testing.T, endpoint, scheme string) *Store {
	t.Helper()
	cfg := fakeConfig(endpoint, "")
	cfg.Location.Scheme = scheme
	cfg.Location.Options = url.Values{"endpoint": {endpoint}, "region": {"r"}, "path_style": {"true"}}
	s, err := open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestWritesSayWhatToKeep: each way to write sends the headers of what is kept, signed, in the words of the vendor.
func TestWritesSayWhatToKeep(t *testing.T) {
	var seen http.Header
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Set("Etag", `"0123456789abcdef0123456789abcdef"`)
		switch {
		case r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Header.Get("X-Amz-Copy-Source") != "":
			_, _ = io.WriteString(w, `<CopyObjectResult><ETag>"0123456789abcdef0123456789abcdef"</ETag></CopyObjectResult>`)
		}
	})
	for _, c := range []struct {
		scheme, class, word string
	}{
		{"s3", "STANDARD_IA", "STANDARD_IA"}, {"s3", "STANDARD", ""}, {"obs", "WARM", "STANDARD_IA"}, {"obs", "STANDARD", "STANDARD"},
		{"ks3", "ARCHIVE", "ARCHIVE"}, {"jss", "GLACIER", "GLACIER"},
	} {
		t.Run(c.scheme+" "+c.class, func(t *testing.T) {
			fake := openFake(t, "", h)
			s := dialectAt(t, fake.identity.endpoint, c.scheme)
			class := store.StorageClasses(s.Abilities().Classes).Named(c.class)
			if class.Tier == "" {
				t.Fatalf("no class %q among %v", c.class, s.Abilities().Classes)
			}
			meta := store.Metadata{
				Class: class, Access: store.AccessPublicRead, Encryption: store.EncryptionKMS,
				Tags: map[string]string{"b c": "d&e=f/g", "a": "ü"},
			}
			want := map[string]string{
				"X-Amz-Storage-Class": c.word, "X-Amz-Acl": "public-read", "X-Amz-Server-Side-Encryption": "aws:kms",
				"X-Amz-Tagging": "a=%C3%BC&b%20c=d%26e%3Df%2Fg",
			}
			for way, write := range map[string]func() error{
				"put": func() error {
					_, err := s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{Meta: meta})
					return err
				},
				"upload": func() error {
					_, err := s.CreateUpload(t.Context(), "k", store.PutOptions{Meta: meta})
					return err
				},
				"copy": func() error {
					_, err := s.Copy(t.Context(), s, store.Object{Key: "from", Size: 1}, "k", store.PutOptions{Meta: meta})
					return err
				},
			} {
				if err := write(); err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				for name, value := range want {
					signed := strings.Contains(seen.Get("Authorization"), strings.ToLower(name))
					if seen.Get(name) != value || signed != (value != "") {
						t.Errorf("%s: %s is %q, signed %t, want %q", way, name, seen.Get(name), signed, value)
					}
				}
				if directive := seen.Get("X-Amz-Tagging-Directive"); (directive == "REPLACE") != (way == "copy") {
					t.Errorf("%s: directive of tags %q", way, directive)
				}
			}
		})
	}
}

// TestClassesAndArchives: what answers and listings say of classes and restoring.
func TestClassesAndArchives(t *testing.T) {
	for _, c := range []struct {
		name, class, restore, status string
		want                         store.StorageClass
		archived                     bool
	}{
		{"not told", "", "", "", store.StorageClass{}, false},
		{"rare", "STANDARD_IA", "", "", store.StorageClass{Name: "STANDARD_IA", Tier: store.TierInfrequent}, false},
		{"archive", "GLACIER", "", "", store.StorageClass{Name: "GLACIER", Tier: store.TierArchive}, true},
		{"on its way", "GLACIER", `ongoing-request="true"`, "", store.StorageClass{Name: "GLACIER", Tier: store.TierArchive}, true},
		{"restored", "DEEP_ARCHIVE", `ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"`, "",
			store.StorageClass{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive}, false},
		{"moved by itself", "INTELLIGENT_TIERING", "", "ARCHIVE_ACCESS", store.StorageClass{Name: "INTELLIGENT_TIERING", Tier: store.TierStandard}, true},
		{"unknown", "FROZEN", "", "", store.StorageClass{Name: "FROZEN"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead {
					_, _ = io.WriteString(w, listing(strings.Replace(entries("k"), "</Contents>", "<StorageClass>"+c.class+"</StorageClass></Contents>", 1)))
					return
				}
				for name, v := range map[string]string{"Storage-Class": c.class, "Restore": c.restore, "Archive-Status": c.status} {
					if v != "" {
						w.Header().Set("X-Amz-"+name, v)
					}
				}
				w.Header().Set("Content-Length", "1")
			})
			o, err := s.Stat(t.Context(), "k")
			if err != nil || o.Meta.Class != c.want || o.Archived != c.archived {
				t.Errorf("stat: %+v of class %+v, %v", o, o.Meta.Class, err)
			}
			page, err := s.List(store.ListOptions{}).Next(t.Context())
			if err != nil || len(page) != 1 || page[0].Class != c.want || page[0].Archived != c.want.Tier.Archived() {
				t.Errorf("listed %+v, %v", page, err)
			}
		})
	}
}

const (
	grantOf    = `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="%s"><%s>%s</%[2]s></Grantee><Permission>%[4]s</Permission></Grant>`
	ownerGrant = `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>`
)

func groupGrant(uri, permission string) string {
	return fmt.Sprintf(grantOf, "Group", "URI", uri, permission)
}

// TestAccess: grants become the canned ACL that says most of them, the others are told as lost.
func TestAccess(t *testing.T) {
	for _, c := range []struct {
		name, grants string
		want         store.Access
		lost         []string
	}{
		{"private", ownerGrant, store.AccessPrivate, nil},
		{"public", ownerGrant + groupGrant(allUsers, "READ"), store.AccessPublicRead, nil},
		{"public to write", groupGrant(allUsers, "WRITE") + groupGrant(allUsers, "READ"), store.AccessPublicWrite, nil},
		{"accounts", groupGrant(authenticated, "READ"), store.AccessAuthenticated, nil},
		{"another account", ownerGrant + fmt.Sprintf(grantOf, "CanonicalUser", "ID", "bob", "READ"), store.AccessPrivate,
			[]string{`access "READ of bob": no canned ACL says it`}},
		{"more than can be said", groupGrant(allUsers, "READ") + groupGrant(allUsers, "READ_ACP"), store.AccessPublicRead,
			[]string{`access "READ_ACP of AllUsers": no canned ACL says it`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList>`+c.grants+`</AccessControlList></AccessControlPolicy>`)
			})
			var m store.Metadata
			lost, err := s.Detail(t.Context(), "k", store.Details{Access: true}, &m)
			var lines []string
			for _, l := range lost {
				lines = append(lines, l.String())
			}
			if diff := cmp.Diff(c.lost, lines); err != nil || m.Access != c.want || diff != "" {
				t.Errorf("access %q, error %v, lost (-want +got):\n%s", m.Access, err, diff)
			}
		})
	}
}

// TestDetailsThatAServerDoesNotKnow are none to lose; whatever else is refused is an error.
func TestDetailsThatAServerDoesNotKnow(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   store.Class
	}{
		{501, "NotImplemented", ""}, {405, "MethodNotAllowed", ""}, {404, "NoSuchTagSet", ""},
		{404, "NoSuchKey", store.NotFound}, {403, "AccessDenied", store.Auth}, {503, "SlowDown", store.Throttled},
	} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { refuse(w, c.status, c.code, "no") })
		m := store.Metadata{Tags: map[string]string{"left": "alone"}}
		_, err := s.Detail(t.Context(), "k", store.Details{Tags: true, Access: true}, &m)
		if store.ClassOf(err) != c.want {
			t.Errorf("%s: %v", c.code, err)
		}
	}
	for _, text := range []string{"", "no XML", "<Tagging><TagSet><Tag><Key></Key></Tag></TagSet></Tagging>", "<Tagging><TagSet>" + strings.Repeat("<Tag><Key>k</Key></Tag>", 1000) + "</TagSet></Tagging>"} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
		if _, err := s.Detail(t.Context(), "k", store.Details{Tags: true}, &store.Metadata{}); err == nil {
			t.Errorf("%.40q is taken for tags", text)
		}
	}
}

// TestRestore asks as the vendor documents it; what is under way or in no archive is no error.
func TestRestore(t *testing.T) {
	status, code := http.StatusAccepted, ""
	var asked string
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		refuse(w, status, code, "")
	})
	if err := s.Restore(t.Context(), "k", 3, "Bulk"); err != nil {
		t.Fatal(err)
	}
	const want = `POST /bucket/k?restore= <RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Days>3</Days>` +
		`<GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>`
	if asked != want {
		t.Errorf("asked %s\nwant  %s", asked, want)
	}
	for answer, class := range map[string]store.Class{
		"409 RestoreAlreadyInProgress": "", "403 InvalidObjectState": "", "403 AccessDenied": store.Auth,
		"503 GlacierExpeditedRetrievalNotAvailable": store.Throttled, "404 NoSuchKey": store.NotFound,
	} {
		if _, err := fmt.Sscan(answer, &status, &code); err != nil {
			t.Fatal(err)
		}
		if err := s.Restore(t.Context(), "k", 1, ""); store.ClassOf(err) != class {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// TestFitOfVendors: where a class goes, and what is lost of tags.
func TestFitOfVendors(t *testing.T) {
	for _, c := range []struct {
		scheme string
		from   store.StorageClass
		want   string
		lost   int
	}{
		{"s3", store.StorageClass{Name: "IA", Tier: store.TierInfrequent}, "STANDARD_IA", 0},
		{"s3", store.StorageClass{Name: "ONEZONE_IA", Tier: store.TierInfrequent}, "ONEZONE_IA", 0},
		{"s3", store.StorageClass{Name: "Cold", Tier: store.TierCold}, "GLACIER_IR", 0},
		{"obs", store.StorageClass{Name: "GLACIER", Tier: store.TierArchive}, "COLD", 0},
		{"obs", store.StorageClass{Name: "GLACIER_IR", Tier: store.TierCold}, "WARM", 1},
		{"ks3", store.StorageClass{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive}, "ARCHIVE", 1},
	} {
		s := dialectAt(t, "http://127.0.0.1:1", c.scheme)
		m, lost := s.Fit(store.Metadata{Class: c.from})
		if m.Class.Name != c.want || len(lost) != c.lost {
			t.Errorf("%s: %+v becomes %+v, lost %v", c.scheme, c.from, m.Class, lost)
		}
	}
	s := dialectAt(t, "http://127.0.0.1:1", "s3")
	tags := map[string]string{"aws:own": "1", "long": strings.Repeat("x", 257), "mark!": "1", "ü": "1", strings.Repeat("n", 129): "1"}
	if m, lost := s.Fit(store.Metadata{Tags: tags}); len(m.Tags) != 1 || len(lost) != 4 {
		t.Errorf("tags %v, lost %v", m.Tags, lost)
	}
}
