package cos

import (
	"bytes"
	"context"
	"crypto/md5"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vendor "github.com/tencentyun/cos-go-sdk-v5"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// vendorOf is the vendor's own client of a place, by the host name of its bucket.
func vendorOf(t *testing.T, at place) *vendor.Client {
	t.Helper()
	u, err := vendor.NewBucketURL(at.bucket, at.account.Region, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := openVirtual(t, at, at.account.Region).client.Transport.Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return vendor.NewClient(&vendor.BaseURL{BucketURL: u}, &http.Client{Transport: &vendor.AuthorizationTransport{
		SecretID: at.account.AccessKey, SecretKey: at.account.SecretKey, Transport: transport,
	}})
}

func put(t *testing.T, s *Store, key, content string, meta store.Metadata) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, store.Body{Bytes: []byte(content), Size: int64(len(content))}, store.PutOptions{Meta: meta})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func listed(t *testing.T, s *Store) (all []store.Object) {
	t.Helper()
	l := s.List(store.ListOptions{})
	defer func() { _ = l.Close() }()
	for {
		page, err := l.Next(t.Context())
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
	}
}

// TestVendorsSDKReadsWhatIsWritten, and the other way round.
func TestVendorsSDKReadsWhatIsWritten(t *testing.T) {
	_, at := newPlace(t)
	sdk, s := vendorOf(t, at), openVirtual(t, at, at.account.Region)
	meta := store.Metadata{
		ContentType: "text/x", CacheControl: "no-store", User: map[string]string{"who": "me"}, Tags: map[string]string{"a b": "c/d"},
		Access: store.AccessPublicRead, Encryption: store.EncryptionKMS, Class: store.StorageClass{Name: "COLD", Tier: store.TierCold},
	}
	const key = "dir/a 中+&%//.txt"
	put(t, s, key, "hello", meta)
	resp, err := sdk.Object.Get(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || string(data) != "hello" {
		t.Errorf("the SDK reads %q, %v", data, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/x", "Cache-Control": "no-store", "X-Cos-Meta-Who": "me", "X-Cos-Storage-Class": "COLD", "X-Cos-Server-Side-Encryption": "cos/kms",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if tags, _, err := sdk.Object.GetTagging(t.Context(), key); err != nil || len(tags.TagSet) != 1 || tags.TagSet[0].Key != "a b" || tags.TagSet[0].Value != "c/d" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	if acl, resp, err := sdk.Object.GetACL(t.Context(), key); err != nil || resp.Header.Get("X-Cos-Acl") != "public-read" {
		t.Errorf("ACL %+v, %v", acl, err)
	}

	_, err = sdk.Object.Put(t.Context(), "theirs", strings.NewReader("theirs"), &vendor.ObjectPutOptions{
		ACLHeaderOptions:       &vendor.ACLHeaderOptions{XCosACL: "private"},
		ObjectPutHeaderOptions: &vendor.ObjectPutHeaderOptions{ContentType: "text/y", XCosStorageClass: "ARCHIVE", XCosMetaXXX: &http.Header{"X-Cos-Meta-A": {"b"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Stat(t.Context(), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Detail(t.Context(), "theirs", store.Details{Tags: true, Access: true}, o.Meta); err != nil {
		t.Fatal(err)
	}
	want := store.Metadata{ContentType: "text/y", User: map[string]string{"a": "b"}, Class: store.StorageClass{Name: "ARCHIVE", Tier: store.TierArchive}, Access: store.AccessPrivate}
	if diff := cmp.Diff(&want, o.Meta); diff != "" || !o.Archived || len(o.Sums.CRC64ECMA) != 8 {
		t.Errorf("archived %v, sums %v (-want +got):\n%s", o.Archived, o.Sums, diff)
	}
}

// TestETagsThatAreNoMD5: of what the key service encrypts, of links, and of what was appended to. From the first answer that says
// so on none of the bucket is taken for one.
func TestETagsThatAreNoMD5(t *testing.T) {
	for name, header := range map[string][2]string{
		"key service": {"X-Cos-Server-Side-Encryption", "cos/kms"}, "own key": {"X-Cos-Server-Side-Encryption-Customer-Algorithm", "AES256"},
		"appendable": {"X-Cos-Object-Type", "appendable"}, "link": {"X-Cos-Symlink-Target", "k"},
	} {
		t.Run(name, func(t *testing.T) {
			server, at := newPlace(t)
			s := openWith(t, at.config("", store.RoleDestination))
			for _, how := range []store.Encryption{store.EncryptionStore, ""} {
				o := put(t, s, "plain", "x", store.Metadata{Encryption: how})
				if o.Sums.MD5 == "" || !s.WantSums().MD5 || listed(t, s)[0].Sums.MD5 == "" {
					t.Fatalf("the ETag of a plain object is taken for nothing: %+v", o)
				}
			}
			server.OnRequest(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set(header[0], header[1])
				return false
			})
			o, err := s.Stat(t.Context(), "plain")
			if err != nil || o.Sums.MD5 != "" || o.Sums.CRC64ECMA == "" || s.WantSums().MD5 || !s.WantSums().CRC64ECMA {
				t.Errorf("%+v, %v, still wants %+v", o, err, s.WantSums())
			}
			if all := listed(t, s); len(all) != 1 || all[0].Sums.MD5 != "" {
				t.Errorf("listed %+v", all)
			}
		})
	}
}

// TestPartsOfEncryptedUploads: an answer to a part need not say that its ETag is no MD5; that to the upload's beginning, or what was
// asked for there, does.
func TestPartsOfEncryptedUploads(t *testing.T) {
	for name, c := range map[string]struct {
		ask store.Encryption
		is  string
		md5 bool
	}{
		"asked for":    {ask: store.EncryptionKMS},
		"by default":   {is: "cos/kms"},
		"by the store": {ask: store.EncryptionStore, is: "AES256", md5: true},
	} {
		s := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.Header().Set(headerSSE, c.is)
				_, _ = w.Write([]byte("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
				return
			}
			w.Header().Set("Etag", `"00000000000000000000000000000000"`)
			w.Header().Set(headerCRC64, "1")
		})
		id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{Meta: store.Metadata{Encryption: c.ask}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.UploadPart(t.Context(), "k", id, 1, store.Body{Bytes: []byte("x"), Size: 1})
		if err != nil || p.Sums.CRC64ECMA == "" || (p.Sums.MD5 != "") != c.md5 || s.WantSums().MD5 != c.md5 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestLinksShowOtherContent: a listing has the link itself, a read what it leads to. The size tells them apart.
func TestLinksShowOtherContent(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleSource))
	put(t, s, "target", "a longer content", store.Metadata{})
	if _, err := vendorOf(t, at).Object.PutSymlink(t.Context(), "link", &vendor.ObjectPutSymlinkOptions{SymlinkTarget: "target"}); err != nil {
		t.Fatal(err)
	}
	o, err := s.Stat(t.Context(), "link")
	if all := listed(t, s); err != nil || all[0].Key != "link" || all[0].Size != 6 || o.Size != 16 || o.Sums.MD5 != "" {
		t.Errorf("listed %+v, seen %+v, %v", all[0], o, err)
	}
}

// TestListingsAreDistrusted: what cannot be an answer to what was asked ends in an error, not in missing objects.
func TestListingsAreDistrusted(t *testing.T) {
	page := func(more, marker string, keys ...string) string {
		text := "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>" + more + "</IsTruncated>"
		if marker != "" {
			text += "<NextMarker>" + url.QueryEscape(marker) + "</NextMarker>"
		}
		for _, key := range keys {
			text += "<Contents><Key>" + url.QueryEscape(key) + "</Key><LastModified>2026-11-21T17:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>1</Size></Contents>"
		}
		return text + "</ListBucketResult>"
	}
	for name, c := range map[string]struct {
		pages []string // by request, the last for ever
		want  int      // keys
		bad   string
	}{
		"two pages":              {pages: []string{page("true", "b", "a", "b"), page("false", "", "c")}, want: 3},
		"no marker":              {pages: []string{page("true", "", "a", "b"), page("false", "", "c")}, want: 3},
		"a marker further on":    {pages: []string{page("true", "x/"), page("false", "", "y")}, want: 1},
		"keys out of order":      {pages: []string{page("false", "", "b", "a")}, bad: "out of order"},
		"a key twice":            {pages: []string{page("true", "b", "a", "b"), page("false", "", "b")}, want: 2, bad: "out of order"},
		"the same page again":    {pages: []string{page("true", "b", "a", "b")}, want: 2, bad: "does not go on"},
		"an empty page for ever": {pages: []string{page("true", "")}, bad: "does not go on"},
		"a marker that returns":  {pages: []string{page("true", "b", "a", "b"), page("true", "a")}, want: 2, bad: "does not go on"},
		"no listing":             {pages: []string{"<html></html>"}, bad: "no listing"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(c.pages[min(asked, len(c.pages)-1)]))
				asked++
			})
			l := s.List(store.ListOptions{Page: 2})
			defer func() { _ = l.Close() }()
			got := 0
			for {
				objects, err := l.Next(t.Context())
				if err == io.EOF && c.bad == "" {
					break
				}
				if err != nil {
					if c.bad == "" || !strings.Contains(err.Error(), c.bad) {
						t.Errorf("%v, want %q", err, c.bad)
					}
					break
				}
				if got += len(objects); got > 10 {
					t.Fatal("there is no end")
				}
			}
			if got != c.want {
				t.Errorf("%d keys, want %d", got, c.want)
			}
		})
	}
}

// TestUploadTakenUp: what one handle has sent another completes, and uploads of others are left alone.
func TestUploadTakenUp(t *testing.T) {
	_, at := newPlace(t)
	first, second := openWith(t, at.config("a b/", store.RoleDestination)), openWith(t, at.config("a b/", store.RoleDestination))
	theirs, _, err := vendorOf(t, at).Object.InitiateMultipartUpload(t.Context(), "a b/big.old", nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := first.CreateUpload(t.Context(), "big", store.PutOptions{Meta: store.Metadata{ContentType: "text/x", Tags: map[string]string{"a": "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	piece := bytes.Repeat([]byte("0123456789abcdef"), smallestPart/16)
	if _, err := first.UploadPart(t.Context(), "big", id, 1, store.Body{Bytes: piece, Size: smallestPart}); err != nil {
		t.Fatal(err)
	}
	broken, cancel := context.WithCancel(t.Context())
	half := io.MultiReader(bytes.NewReader(piece[:1000]), readerFunc(func([]byte) (int, error) { cancel(); return 0, context.Canceled }))
	if _, err := first.UploadPart(broken, "big", id, 2, store.Body{Reader: half, Size: smallestPart}); store.ClassOf(err) != store.Canceled {
		t.Fatalf("broken off: %v", err)
	}
	open, err := second.ListUploads(t.Context(), "big")
	if err != nil || len(open) != 1 || open[0].ID != id || time.Since(open[0].Began) > time.Hour {
		t.Fatalf("open: %+v, %v", open, err)
	}
	parts, err := second.ListParts(t.Context(), "big", id)
	sum := md5.Sum(piece)
	if err != nil || len(parts) != 1 || parts[0].Size != smallestPart || parts[0].Sums.MD5 != string(sum[:]) {
		t.Fatalf("held: %+v, %v", parts, err)
	}
	last, err := second.UploadPart(t.Context(), "big", id, 2, store.Body{Bytes: []byte("end"), Size: 3})
	if err != nil {
		t.Fatal(err)
	}
	o, err := second.CompleteUpload(t.Context(), "big", id, append(parts, last), store.PutOptions{Condition: store.Condition{Absent: true}})
	if err != nil || o.Sums.CRC64ECMA == "" || o.Sums.MD5 != "" || !strings.HasSuffix(o.ETag, "-2") {
		t.Fatalf("completed: %+v, %v", o, err)
	}
	if left, err := second.ListUploads(t.Context(), "big.old"); err != nil || len(left) != 1 || left[0].ID != theirs.UploadID {
		t.Errorf("the vendor's upload: %+v, %v", left, err)
	}
	// The same again is refused at its end, and the upload stays.
	again, err := second.CreateUpload(t.Context(), "big", store.PutOptions{Condition: store.Condition{Absent: true}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := second.UploadPart(t.Context(), "big", again, 1, store.Body{Bytes: []byte("x"), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.CompleteUpload(t.Context(), "big", again, []store.Part{p}, store.PutOptions{Condition: store.Condition{Absent: true}}); store.ClassOf(err) != store.Precondition {
		t.Errorf("over what is there: %v", err)
	}
}

// readerFunc is a Reader.
type readerFunc func(p []byte) (int, error)

// Read calls f.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestCopiesKeepOrReplace: tags stay with what they are of, class and access are those that are asked for.
func TestCopiesKeepOrReplace(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("a b/", store.RoleDestination))
	cold := store.StorageClass{Name: "COLD", Tier: store.TierCold}
	put(t, s, "from ü+", "x", store.Metadata{ContentType: "text/x", Tags: map[string]string{"a": "b"}, Class: cold, Access: store.AccessPublicRead, Encryption: store.EncryptionStore})
	from, err := s.Stat(t.Context(), "from ü+")
	if err != nil {
		t.Fatal(err)
	}
	standard := store.StorageClass{Name: classStandard, Tier: store.TierStandard}
	for name, c := range map[string]struct{ ask, want store.Metadata }{
		"the same": {*from.Meta, store.Metadata{ContentType: "text/x", Tags: map[string]string{"a": "b"}, Class: cold, Encryption: store.EncryptionStore}},
		"no more":  {store.Metadata{ContentType: "text/x"}, store.Metadata{ContentType: "text/x", Tags: map[string]string{"a": "b"}, Class: standard}},
		"others": {store.Metadata{ContentType: "text/y", Tags: map[string]string{"c": "d"}, Access: store.AccessPrivate}, store.Metadata{
			ContentType: "text/y", Tags: map[string]string{"c": "d"}, Class: standard, Access: store.AccessPrivate,
		}},
	} {
		o, err := s.Copy(t.Context(), s, from, "to", store.PutOptions{Meta: c.ask})
		if err != nil || o.Sums.CRC64ECMA != from.Sums.CRC64ECMA {
			t.Fatalf("%s: %+v, %v", name, o, err)
		}
		got, err := s.Stat(t.Context(), "to")
		if err == nil {
			_, err = s.Detail(t.Context(), "to", store.Details{Tags: true, Access: true}, got.Meta)
		}
		if diff := cmp.Diff(&c.want, got.Meta); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if _, err := s.Copy(t.Context(), s, from, "to", store.PutOptions{Condition: store.Condition{Absent: true}}); store.ClassOf(err) != store.Precondition {
		t.Errorf("over what is there: %v", err)
	}
}

// TestStoresThatCopyByThemselves are those of one region and account.
func TestStoresThatCopyByThemselves(t *testing.T) {
	_, at := newPlace(t)
	opened := func(bucket string, options ...string) *Store {
		cfg := at.config("", store.RoleSource, options...)
		cfg.Location.Bucket = bucket
		if cfg.Location.Options.Get("endpoint") == "" {
			cfg.Location.Options.Del("endpoint")
		}
		return openWith(t, cfg)
	}
	here := opened("a-1250000000")
	if !here.CanCopyFrom(opened("b-1250000000")) {
		t.Error("not from another bucket of the account")
	}
	other := at.config("", store.RoleSource)
	other.Credentials.AccessKey = "other"
	if here.CanCopyFrom(openWith(t, other)) {
		t.Error("from another account")
	}
	gz := opened("a-1250000000", "endpoint", "", "region", "ap-guangzhou")
	for options, want := range map[[4]string]bool{
		{"endpoint", "", "region", "ap-guangzhou"}:                            true,
		{"endpoint", "cos-internal.ap-guangzhou.tencentcos.cn", "region", ""}: true,
		{"endpoint", "cos.accelerate.myqcloud.com", "region", "ap-guangzhou"}: true,
		{"endpoint", "cos.accelerate.myqcloud.com", "region", ""}:             false,
		{"endpoint", "", "region", "ap-beijing"}:                              false,
		{"endpoint", "https://cos.example.com", "region", ""}:                 false,
	} {
		src := opened("b-1250000000", options[:]...)
		if gz.CanCopyFrom(src) != want || src.CanCopyFrom(gz) != want {
			t.Errorf("with %v: %v and %v, want %v", options, gz.CanCopyFrom(src), src.CanCopyFrom(gz), want)
		}
	}
}

// TestKeysThatCannotBe are refused here, before anything is sent.
func TestKeysThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	keys := []string{"/lead", `\lead`, "bad \xff", "esc\x1b", strings.Repeat("n", 851), ".", "..", "a/..", "./", ""}
	storetest.CannotBe(t, s, keys...)
	for _, key := range keys {
		if err := s.Delete(t.Context(), key); store.ClassOf(err) != store.Permanent {
			t.Errorf("delete %q: %v", key, err)
		}
	}
}

// TestDotsInKeys are part of the name: the server merges them only where slashes stand plain.
func TestDotsInKeys(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	for _, key := range []string{"a/../b", "a/./b", "b/", "a//b", "..a", "a/b/.."} {
		put(t, s, key, "content of "+key, store.Metadata{})
	}
	if all := listed(t, s); len(all) != 6 {
		t.Errorf("listed %+v", all)
	}
	for _, key := range []string{"a/../b", "a//b", "a/b/.."} {
		o, err := s.Copy(t.Context(), s, store.Object{Key: key}, "copy/../of", store.PutOptions{})
		if from, err2 := s.Stat(t.Context(), key); err != nil || err2 != nil || o.Sums.CRC64ECMA != from.Sums.CRC64ECMA {
			t.Errorf("copy of %q: %+v, %v, %v", key, o, err, err2)
		}
	}
}

// TestRenew replaces credentials between two requests, and keeps those it has where there are no others.
func TestRenew(t *testing.T) {
	clearEnvironment(t)
	_, at := newPlace(t)
	cfg := at.config("", store.RoleSource)
	storetest.Renew(t, openWith(t, cfg), cfg.Credentials)
}
