package e2e_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baidubce/bce-sdk-go/bce"
	"github.com/baidubce/bce-sdk-go/services/bos"
	"github.com/baidubce/bce-sdk-go/services/bos/api"

	fake "github.com/bucketbrigade/brigade/test/fakes/bos"
)

// bosBucket is a bucket on a server that verifies signatures, as the binary and the vendor's own client see it.
type bosBucket struct {
	server  *fake.Server
	account fake.Options
	name    string
	url     string
	client  *bos.Client
}

func newBOSBucket(t *testing.T) *bosBucket {
	t.Helper()
	b := &bosBucket{name: "brigade-test"}
	b.server, b.account, b.url = fake.Start(t)
	b.server.NewBucket(b.name)
	var err error
	if b.client, err = bos.NewClientWithConfig(bos.NewBosClientConfig(b.account.AccessKey, b.account.SecretKey, b.url)); err != nil {
		t.Fatal(err)
	}
	return b
}

// location is a folder's URL for the binary.
func (b *bosBucket) location(prefix string, options ...string) string {
	return place("bos", b.name, prefix, append(options, "endpoint="+url.QueryEscape(b.url))...)
}

// env holds the account for sides "SRC" and "DST".
func (b *bosBucket) env(sides ...string) []string {
	return envOf(b.account.AccessKey, b.account.SecretKey, sides)
}

// onRequest has a function see the requests first.
func (b *bosBucket) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.server.OnRequest(hook)
}

// holdings reads all objects under a prefix by the vendor's client.
func (b *bosBucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for marker, more := "", true; more; {
		page, err := b.client.ListObjects(b.name, &api.ListObjectsArgs{Prefix: prefix, Marker: marker})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range page.Contents {
			r, err := b.client.BasicGetObject(b.name, o.Key)
			if err != nil {
				t.Fatalf("get %q: %v", o.Key, err)
			}
			all[strings.TrimPrefix(o.Key, prefix)] = objectOf(t, o.Key, r.Body)
		}
		marker, more = page.NextMarker, page.IsTruncated
	}
	return all
}

// Files go to BOS and back; the vendor's own client and the system's diff look at both copies.
func TestBOSRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBOSBucket(t)
	goesAndComes(t, b, ossTree(t), b.location("tree/"), b.env, func() {
		if m, err := b.client.GetObjectMeta(b.name, "tree/big/in parts"); err != nil || !strings.HasPrefix(m.ETag, "-") || m.UserMeta["Mtime"] == "" {
			t.Errorf("the large file: %+v, %v", m, err)
		}
		if open := b.server.NewBucket(b.name).Uploads(); len(open) != 0 {
			t.Errorf("%d uploads left open", len(open))
		}
	}, isPut)
}

// Within one region the store copies by itself, an appended object and what a link leads to like any other; an archived object
// is a failure that says so.
func TestBOSOtherKinds(t *testing.T) {
	t.Parallel()
	b := newBOSBucket(t)
	body, err := bce.NewBodyFromString("appended")
	if err == nil {
		_, err = b.client.AppendObject(b.name, "in/log", body, nil)
	}
	if err == nil {
		_, err = b.client.PutObjectFromString(b.name, "in/a b+", "content", &api.PutObjectArgs{UserMeta: map[string]string{"k": "v"}})
	}
	if err == nil {
		_, err = b.client.PutObjectFromString(b.name, "in/cold", "x", &api.PutObjectArgs{StorageClass: api.STORAGE_CLASS_ARCHIVE})
	}
	if err != nil {
		t.Fatal(err)
	}
	var copies, reads atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("X-Bce-Copy-Source") != "":
			copies.Add(1)
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/in/") && !strings.HasSuffix(r.URL.Path, "/cold"):
			reads.Add(1)
		}
		return false
	})
	c := command{env: b.env("SRC", "DST")}
	doc := c.run(t, "import", b.location("in/"), b.location("out/"), "--json", "--yes").want(t, 3).document(t)
	if doc.Objects["failed"] != 1 || len(doc.Errors) != 1 || doc.Errors[0].Key != "cold" || !strings.Contains(doc.Errors[0].Reason, "archived") {
		t.Errorf("failures %+v", doc.Errors)
	}
	if copies.Load() < 2 || reads.Load() != 0 {
		t.Errorf("%d copies by the store, %d reads", copies.Load(), reads.Load())
	}
	if m, err := b.client.GetObjectMeta(b.name, "out/a b+"); err != nil || m.UserMeta["K"] != "v" || m.ContentLength != 7 {
		t.Errorf("the copy: %+v, %v", m, err)
	}
	dir := filepath.Join(t.TempDir(), "files")
	d := command{env: b.env("SRC")}
	doc = d.run(t, "import", b.location("in/"), dir, "--json", "--yes").want(t, 3).document(t)
	if len(doc.Errors) != 1 || !strings.Contains(doc.Errors[0].Reason, "restore it") {
		t.Errorf("failures %+v", doc.Errors)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || string(data) != "appended" {
		t.Errorf("the appended object holds %q, %v", data, err)
	}
}

// What arrives other than it was sent is found by the CRC64 of the answer, and sent again.
func TestBOSDamageOnTheWay(t *testing.T) {
	t.Parallel()
	damagedOnTheWay(t, newBOSBucket(t), 5<<20, 0, "", func(r *http.Request) string {
		if !isPut(r) {
			return ""
		}
		return r.URL.Path
	})
}
