package azblob

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// vendor is the container as the vendor's own client sees it.
func (p place) vendor(t testing.TB) *container.Client {
	t.Helper()
	return p.azurite.Client(t).ServiceClient().NewContainerClient(p.container)
}

func put(t testing.TB, s *Store, key, content string, opts store.PutOptions) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, store.Body{Bytes: []byte(content), Size: int64(len(content))}, opts)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func readAll(t testing.TB, s *Store, key string) string {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(data)
}

func listAll(t testing.TB, s *Store, opts store.ListOptions) []store.Object {
	t.Helper()
	l := s.List(opts)
	defer l.Close()
	var all []store.Object
	for {
		page, err := l.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		all = append(all, page...)
	}
}

func pointer[T any](v T) *T { return &v }

// What is written here, the vendor's client reads with all that goes with it.
func TestVendorReadsWhatIsWritten(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("dir/", store.RoleDestination))
	meta := store.Metadata{
		ContentType: "text/plain", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "gzip", ContentLanguage: "de",
		User:  map[string]string{"a1": "x", "a_": "y", "ab": "z", "a_1": "ü", store.MTimeKey: "1.5"},
		Class: store.StorageClass{Name: "Cool", Tier: store.TierInfrequent}, Tags: map[string]string{"color": "dark blue", "k=": "v/:"},
	}
	fitted, lost := s.Fit(meta)
	if len(lost) != 0 || !cmp.Equal(fitted, meta) {
		t.Fatalf("lost %v of what Azure keeps", lost)
	}
	put(t, s, "one =?%b", "content", store.PutOptions{Meta: meta})
	id, err := s.CreateUpload(t.Context(), "two", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.UploadPart(t.Context(), "two", id, 1, store.Body{Bytes: []byte("content"), Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), "two", id, []store.Part{part}, store.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/one =?%b", "dir/two"} {
		b := at.vendor(t).NewBlobClient(name)
		p, err := b.GetProperties(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := store.Metadata{
			ContentType: *p.ContentType, CacheControl: *p.CacheControl, ContentDisposition: *p.ContentDisposition,
			ContentEncoding: *p.ContentEncoding, ContentLanguage: *p.ContentLanguage, User: map[string]string{},
			Class: classes().Named(*p.AccessTier), Tags: map[string]string{},
		}
		for key, value := range p.Metadata {
			got.User[strings.ToLower(key)] = *value
		}
		got.User["a_1"] = "ü" // of the encoded form, which is decoded here
		tags, err := b.GetTags(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: tags: %v", name, err)
		}
		for _, tag := range tags.BlobTagSet {
			got.Tags[*tag.Key] = *tag.Value
		}
		if diff := cmp.Diff(meta, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	stat, err := s.Stat(t.Context(), "two")
	if err != nil || stat.Meta.User["a_1"] != "ü" || stat.Meta.Class != meta.Class || stat.Meta.Encryption != store.EncryptionStore {
		t.Errorf("stat = %+v, %v", stat.Meta, err)
	}
	if lost, err := s.Detail(t.Context(), "two", store.Details{Tags: true}, stat.Meta); err != nil || len(lost) != 0 || !cmp.Equal(stat.Meta.Tags, meta.Tags) {
		t.Errorf("tags = %v, %v, %v", stat.Meta.Tags, lost, err)
	}
}

// What the vendor's client writes is read here, whatever kind of blob it is; what is no object is not listed, or told.
func TestReadsWhatTheVendorWrites(t *testing.T) {
	at := newPlace(t)
	c := at.vendor(t)
	ctx := t.Context()
	block := c.NewBlockBlobClient("in/block ü=?%+")
	_, err := block.UploadBuffer(ctx, []byte("block"), &blockblob.UploadBufferOptions{Metadata: map[string]*string{"Who": pointer("me")}})
	if err == nil {
		_, err = block.CreateSnapshot(ctx, nil)
	}
	if err == nil {
		_, err = c.NewAppendBlobClient("in/append").Create(ctx, nil)
	}
	if err == nil {
		_, err = c.NewAppendBlobClient("in/append").AppendBlock(ctx, streaming.NopCloser(strings.NewReader("appended")), nil)
	}
	if err == nil {
		_, err = c.NewPageBlobClient("in/page").Create(ctx, 512, nil)
	}
	if err == nil {
		_, err = c.NewPageBlobClient("in/page").UploadPages(ctx, streaming.NopCloser(bytes.NewReader(bytes.Repeat([]byte("p"), 512))), blob.HTTPRange{Count: 512}, &pageblob.UploadPagesOptions{})
	}
	if err == nil {
		_, err = c.NewBlockBlobClient("in/uncommitted").StageBlock(ctx, "QUFB", streaming.NopCloser(strings.NewReader("x")), nil)
	}
	if err == nil {
		_, err = c.NewBlockBlobClient("in/folder").UploadBuffer(ctx, nil, &blockblob.UploadBufferOptions{Metadata: map[string]*string{"hdi_isfolder": pointer("true")}})
	}
	if err != nil {
		t.Fatal(err)
	}
	s := openWith(t, at.config("in", store.RoleSource))
	got := map[string]store.Kind{}
	for _, o := range listAll(t, s, store.ListOptions{}) {
		got[o.Key] = o.Kind
		if (o.Sums.MD5 != "") != (o.Key == "block ü=?%+") && o.Key != "folder" {
			t.Errorf("%s is listed with the sums %v", o.Key, o.Sums.Hex())
		}
	}
	want := map[string]store.Kind{"append": store.KindObject, "block ü=?%+": store.KindObject, "folder": store.KindSkipped, "page": store.KindObject}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for key, content := range map[string]string{"block ü=?%+": "block", "append": "appended", "page": strings.Repeat("p", 512)} {
		if got := readAll(t, s, key); got != content {
			t.Errorf("%s holds %.20q", key, got)
		}
	}
	stat, err := s.Stat(ctx, "folder")
	if err != nil || stat.Kind != store.KindSkipped || stat.Reason == "" {
		t.Errorf("the folder: %+v, %v", stat, err)
	}
	if _, err := s.Stat(ctx, "uncommitted"); store.ClassOf(err) != store.NotFound {
		t.Errorf("a blob without content: %v", err)
	}
	single := openWith(t, at.config("in/append", store.RoleSource))
	if key, ok, err := single.Single(ctx); key != "append" || !ok || err != nil {
		t.Errorf("single = %q, %v, %v", key, ok, err)
	}
	// A snapshot would go with its blob.
	if err := openWith(t, at.config("in", store.RoleDestination)).Delete(ctx, "block ü=?%+"); err == nil || !strings.Contains(err.Error(), "snapshots") {
		t.Errorf("delete of a blob with a snapshot: %v", err)
	}
}

// An archived blob cannot be read, says so in listings and to Stat, and comes back when it is asked to.
func TestArchived(t *testing.T) {
	at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	put(t, s, "cold", "content", store.PutOptions{Meta: store.Metadata{Class: store.StorageClass{Name: "Archive", Tier: store.TierArchive}}})
	put(t, s, "warm", "content", store.PutOptions{})
	for _, o := range listAll(t, s, store.ListOptions{}) {
		stat, err := s.Stat(t.Context(), o.Key)
		if err != nil || stat.Archived != (o.Key == "cold") || o.Archived != stat.Archived {
			t.Errorf("%s: listed as archived %v, by stat %v, %v", o.Key, o.Archived, stat.Archived, err)
		}
	}
	_, _, err := s.Open(t.Context(), "cold", store.OpenOptions{Length: -1})
	if store.ClassOf(err) != store.Archived || !strings.Contains(err.Error(), "restore") {
		t.Errorf("open: class %q, %v", store.ClassOf(err), err)
	}
	for _, key := range []string{"cold", "cold", "warm"} {
		if err := s.Restore(t.Context(), key, 7, ""); err != nil {
			t.Errorf("restore %s: %v", key, err)
		}
	}
	if stat, err := s.Stat(t.Context(), "cold"); err != nil || stat.Archived || stat.Meta.Class.Name != "Hot" {
		t.Errorf("after the restore: %+v, %v", stat, err)
	}
	if got := readAll(t, s, "cold"); got != "content" {
		t.Errorf("after the restore it holds %q", got)
	}
	if err := s.Restore(t.Context(), "missing", 7, ""); store.ClassOf(err) != store.NotFound {
		t.Errorf("restore of nothing: %v", err)
	}
}

func TestLosses(t *testing.T) {
	s := openWith(t, newPlace(t).config("", store.RoleDestination))
	many := map[string]string{"bad,tag": "x", "ok": "bad\tvalue"}
	for _, c := range "abcdefghijkl" {
		many[string(c)] = "v"
	}
	m, lost := s.Fit(store.Metadata{
		Expires: "Wed, 21 Oct 2037 07:28:00 GMT", User: map[string]string{"two-words": "x", "1st": "x", "fine_1": "x", store.MTimeKey: "1"},
		Class: store.StorageClass{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive}, Access: store.AccessPublicRead, Encryption: store.EncryptionKMS, Tags: many,
	})
	if len(m.User) != 2 || m.User[store.MTimeKey] != "1" || m.Expires != "" || len(m.Tags) != 10 || m.Class.Name != "Archive" || m.Access != "" || m.Encryption != "" {
		t.Errorf("kept %+v", m)
	}
	var text []string
	for _, l := range lost {
		text = append(text, l.String())
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"Expires", "two-words", "1st", "bad,tag", `tag "ok"`, "10 tags", "kept as Archive", "public-read", "kms"} {
		if !strings.Contains(all, want) {
			t.Errorf("losses do not name %q:\n%s", want, all)
		}
	}
	if _, err := s.Put(t.Context(), "k", store.Body{}, store.PutOptions{Meta: m}); err != nil {
		t.Errorf("what Fit returned is refused: %v", err)
	}
}

// sasFor makes a SAS of the container by the vendor's client.
func (p place) sasFor(t *testing.T, may sas.ContainerPermissions, from, to time.Time) store.Credentials {
	t.Helper()
	creds, err := azblob.NewSharedKeyCredential(p.azurite.Account, p.azurite.Key)
	if err != nil {
		t.Fatal(err)
	}
	q, err := sas.BlobSignatureValues{ContainerName: p.container, Permissions: may.String(), StartTime: from, ExpiryTime: to}.SignWithSharedKey(creds)
	if err != nil {
		t.Fatal(err)
	}
	return store.Credentials{SessionToken: "?" + q.Encode()}
}

func TestSharedAccessSignature(t *testing.T) {
	at, now := newPlace(t), time.Now()
	all := everything()
	cfg := at.config("a b/", store.RoleDestination)
	cfg.Credentials = at.sasFor(t, all, now.Add(-time.Hour), now.Add(time.Hour))
	s := openWith(t, cfg)
	put(t, s, "k =?", "content", store.PutOptions{Meta: store.Metadata{Tags: map[string]string{"a": "b"}}})
	if got := readAll(t, s, "k =?"); got != "content" {
		t.Errorf("read %q", got)
	}
	if _, err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if got := listAll(t, s, store.ListOptions{}); len(got) != 1 {
		t.Errorf("listed %v", got)
	}
	id, err := s.CreateUpload(t.Context(), "big", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if open, err := s.ListUploads(t.Context(), "big"); err != nil || len(open) != 1 || open[0].ID != id {
		t.Errorf("uploads %v, %v", open, err)
	}
	// The next requests are by another SAS, which may not write.
	if err := s.Renew(t.Context(), at.sasFor(t, sas.ContainerPermissions{Read: true, List: true}, now.Add(-time.Hour), now.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, "k =?"); got != "content" {
		t.Errorf("read %q", got)
	}
	_, err = s.Put(t.Context(), "k2", store.Body{}, store.PutOptions{})
	if store.ClassOf(err) != store.Auth || !strings.Contains(err.Error(), "permission") {
		t.Errorf("write with a SAS to read: class %q, %v", store.ClassOf(err), err)
	}
	for name, c := range map[string]store.Credentials{
		"expired":        at.sasFor(t, all, now.Add(-2*time.Hour), now.Add(-time.Hour)),
		"not begun":      at.sasFor(t, all, now.Add(time.Hour), now.Add(2*time.Hour)),
		"of another key": {SessionToken: strings.Replace(cfg.Credentials.SessionToken, "sig=", "sig=A", 1)},
	} {
		if err := s.Renew(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, err := s.Check(t.Context())
		if store.ClassOf(err) != store.Auth || strings.Contains(err.Error(), "sig=") {
			t.Errorf("%s: class %q, %v", name, store.ClassOf(err), err)
		}
	}
}

func TestWrongPlaces(t *testing.T) {
	at := newPlace(t)
	for name, c := range map[string]struct {
		change func(*store.Config)
		class  store.Class
		want   string
	}{
		"right":     {func(*store.Config) {}, "", ""},
		"wrong key": {func(c *store.Config) { c.Credentials.SecretKey = at.azurite.Other.Key }, store.Auth, "check the"},
		"wrong account": {func(c *store.Config) {
			c.Location.Options.Set("account", "nobody")
			c.Credentials = store.Credentials{SecretKey: at.azurite.Key}
		}, store.Misconfigured, "check the"},
		"container of another account": {func(c *store.Config) {
			c.Location.Options.Set("account", at.azurite.Other.Account)
			c.Credentials = store.Credentials{SecretKey: at.azurite.Other.Key}
		}, store.Misconfigured, "container's name"},
		"missing container":                     {func(c *store.Config) { c.Location.Bucket = "missing" }, store.Misconfigured, "container's name"},
		"private container without credentials": {func(c *store.Config) { c.Location.Options.Set("anonymous", "true") }, store.Auth, ""},
		"nobody there":                          {func(c *store.Config) { c.Location.Options.Set("endpoint", "http://127.0.0.1:1") }, store.Misconfigured, "nothing answers"},
		"TLS where there is none": {func(c *store.Config) {
			c.Location.Options.Set("endpoint", strings.Replace(at.azurite.URL, "http:", "https:", 1))
		}, store.Misconfigured, "http://"},
	} {
		cfg := at.config("", store.RoleSource)
		c.change(&cfg)
		s := openWith(t, cfg)
		clock, err := s.Check(t.Context())
		if store.ClassOf(err) != c.class || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: class %q, want %q: %v", name, store.ClassOf(err), c.class, err)
		}
		if off := time.Since(clock); err == nil && (off > time.Minute || off < -time.Minute) {
			t.Errorf("%s: the clock is off by %v", name, off)
		}
	}
	if _, err := at.vendor(t).SetAccessPolicy(t.Context(), &container.SetAccessPolicyOptions{Access: pointer(container.PublicAccessTypeContainer)}); err != nil {
		t.Fatal(err)
	}
	put(t, openWith(t, at.config("", store.RoleDestination)), "k", "public", store.PutOptions{})
	public := at.config("", store.RoleSource, "anonymous", "true")
	public.Credentials = store.Credentials{}
	s := openWith(t, public)
	if got := readAll(t, s, "k"); got != "public" || len(listAll(t, s, store.ListOptions{})) != 1 {
		t.Errorf("without credentials: %q", got)
	}
	_, err := s.Put(t.Context(), "k", store.Body{}, store.PutOptions{})
	if class := store.ClassOf(err); class != store.Auth {
		t.Errorf("write without credentials: class %q, %v", class, err)
	}
}

// everything is all that a SAS can allow here.
func everything() sas.ContainerPermissions {
	return sas.ContainerPermissions{Read: true, Write: true, Create: true, Add: true, List: true, Delete: true, Tag: true}
}

func longAgo() time.Time { return time.Now().Add(-time.Hour) }
func soon() time.Time    { return time.Now().Add(time.Hour) }
