package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/bucketbrigade/brigade/test/fakes/gcs"
	"github.com/bucketbrigade/brigade/test/servers"
)

// gsBucket is a bucket of Cloud Storage, as the binary and the vendor's own client see it.
type gsBucket struct {
	front  *gcs.Server // checks tokens and takes parts; fake-gcs-server is behind it
	behind *servers.GCSServer
	name   string
	email  string
	key    string
	client *storage.BucketHandle
}

func newGSBucket(t *testing.T) *gsBucket {
	t.Helper()
	b := &gsBucket{behind: servers.StartFakeGCS(t)}
	b.front, b.name = gcs.Start(t, b.behind), b.behind.NewBucket(t)
	b.email, b.key = b.front.Email(), b.front.Key(t)
	client, err := storage.NewClient(t.Context(), option.WithEndpoint(b.behind.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b.client = client.Bucket(b.name)
	return b
}

// location is the bucket's URL for the binary, with options on top.
func (b *gsBucket) location(prefix string, options ...string) string {
	q := append([]string{"endpoint=" + url.QueryEscape(b.front.URL), "multipart=true"}, options...)
	return "gs://" + b.name + "/" + prefix + "?" + strings.Join(q, "&")
}

// env holds the account for sides "SRC" and "DST".
func (b *gsBucket) env(sides ...string) []string { return envOf(b.email, b.key, sides) }

// onRequest has a function see the requests first.
func (b *gsBucket) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.front.OnRequest(hook)
}

// holdings reads all objects under a prefix by the vendor's client, which checks their CRC32C.
func (b *gsBucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for it := b.client.Objects(context.Background(), &storage.Query{Prefix: prefix}); ; {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return all
		}
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		r, err := b.client.Object(o.Name).NewReader(context.Background())
		if err != nil {
			t.Fatalf("get %q: %v", o.Name, err)
		}
		all[strings.TrimPrefix(o.Name, prefix)] = objectOf(t, o.Name, r)
	}
}

// requests counts requests to the server by what they do.
func (b *gsBucket) requests() func(what string) int64 {
	var reads, writes, copies atomic.Int64
	b.front.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.Contains(r.URL.Path, "/rewriteTo/"):
			copies.Add(1)
		case r.Method == http.MethodPut, strings.HasPrefix(r.URL.Path, "/upload/"):
			writes.Add(1)
		case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/"+b.name+"/") && !r.URL.Query().Has("uploads"):
			reads.Add(1)
		}
		return false
	})
	return func(what string) int64 {
		return map[string]*atomic.Int64{"read": &reads, "write": &writes, "copy": &copies}[what].Load()
	}
}

// Files go to Cloud Storage and back: with uploads in parts, and to a server that has none of them and wants no credentials.
func TestGSRoundTrip(t *testing.T) {
	t.Parallel()
	for _, parts := range []bool{true, false} {
		t.Run(fmt.Sprintf("parts %v", parts), func(t *testing.T) {
			b := newGSBucket(t)
			at, env := b.location("tree/"), b.env
			if !parts {
				at = "gs://" + b.name + "/tree/"
				env = func(...string) []string {
					return []string{"STORAGE_EMULATOR_HOST=" + strings.TrimPrefix(b.behind.URL, "http://")}
				}
			}
			goesAndComes(t, b, ossTree(t), at, env, func() {
				attrs, err := b.client.Object("tree/big/in parts").Attrs(t.Context())
				if err != nil || attrs.Metadata["mtime"] == "" {
					t.Errorf("the large file: %+v, %v", attrs, err)
				}
				if open := b.front.Uploads(b.name); len(open) != 0 {
					t.Errorf("uploads left open: %q", open)
				}
			}, func(r *http.Request) bool { return isPut(r) || strings.HasPrefix(r.URL.Path, "/upload/") })
		})
	}
}

// Objects of S3 arrive with their metadata, but for what Cloud Storage has no field for, and come back with it.
func TestS3ToGSAndBack(t *testing.T) {
	t.Parallel()
	b := newGSBucket(t)
	fromS3AndBack(t, b, func() {
		a, err := b.client.Object("copy/page ü.html").Attrs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := pageHeaders()
		want.Expires = ""
		got := headers{a.ContentType, a.CacheControl, a.ContentDisposition, a.ContentEncoding, a.ContentLanguage, "", a.Metadata}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metadata at Cloud Storage:\n%s", diff)
		}
	})
}

// By one account the store copies by itself: no content passes here.
func TestGSCopiesByItself(t *testing.T) {
	t.Parallel()
	b := newGSBucket(t)
	w := b.client.Object("from/a b+").NewWriter(t.Context())
	w.Metadata = map[string]string{"k": "v"}
	if _, err := io.WriteString(w, "content"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	count := b.requests()
	c := command{env: b.env("SRC", "DST")}
	c.run(t, "import", b.location("from/"), b.location("to/"), "--yes").want(t, 0)
	if count("read") != 0 || count("write") != 0 || count("copy") != 1 {
		t.Errorf("%d reads, %d writes, %d copies by the store", count("read"), count("write"), count("copy"))
	}
	same(t, b.holdings(t, "to/"), b.holdings(t, "from/"))
	if a, err := b.client.Object("to/a b+").Attrs(t.Context()); err != nil || a.Metadata["k"] != "v" {
		t.Errorf("metadata of the copy: %+v, %v", a, err)
	}
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more.
func TestGSUploadIsResumed(t *testing.T) {
	t.Parallel()
	b := newGSBucket(t)
	resumed(t, b, isLastPart, hasPart, func() bool { return b.front.Parts(b.name) == 4 })
	if open := b.front.Uploads(b.name); len(open) != 0 {
		t.Errorf("uploads open at the end: %q", open)
	}
}

// The answer to the completion of an upload is lost: the upload then is unknown, and a look at the object settles it.
func TestGSLostCompletion(t *testing.T) {
	t.Parallel()
	b := newGSBucket(t)
	losesCompletion(t, b, b.front, isCompletion)
}

// What arrives other than it was sent is found, by the sum that goes along or by the CRC32C of the answer, and sent again.
func TestGSDamageOnTheWay(t *testing.T) {
	t.Parallel()
	damagedOnTheWay(t, newGSBucket(t), 20<<20, 900, "X-Goog-Hash", func(r *http.Request) string {
		if !strings.HasPrefix(r.URL.Path, "/upload/") && !hasPart(r) {
			return ""
		}
		// Uploads in one request all go to one path; their sizes differ.
		return fmt.Sprint(r.URL.Path, r.URL.Query().Get("partNumber"), r.ContentLength)
	})
}

// Every refusal is one line that says which side, what is wrong, and what to do; none shows a secret.
func TestBadInputOfGS(t *testing.T) {
	t.Parallel()
	to := func(change func(*gsBucket), options ...string) func(*testing.T, *command) []string {
		return importTo(newGSBucket, change, options...)
	}
	for _, b := range []bad{
		{"deleted key", to(func(b *gsBucket) { b.front.DeleteKey() }), 1, `destination gs://.*Invalid JWT Signature.*create a new one`},
		{"no JSON", to(func(b *gsBucket) { b.key = "{" }), 1, `secret_key is no usable JSON key`},
		{"HMAC keys", to(func(b *gsBucket) { b.email, b.key = "GOOG1EXAMPLE", "x" }), 1, `s3://BUCKET\?endpoint=https://storage.googleapis.com`},
		{"expired token", to(func(b *gsBucket) { b.email, b.key = "token", b.front.NewToken(-time.Minute) }), 1, `destination.*Invalid Credentials.*access token`},
		{"missing bucket", to(func(b *gsBucket) { b.name = "no-such-bucket" }), 1, `destination.*(404|Not Found).*check the bucket name`},
		{"clock 20 minutes off", to(func(b *gsBucket) { b.front.Now = func() time.Time { return time.Now().Add(-20 * time.Minute) } }), 1, `destination.*clock`},
		{"unknown option", to(func(*gsBucket) {}, "endpiont=x"), 2, `did you mean "endpoint"`},
		{"bucket inside the endpoint", importAt("gs://photos/?endpoint=photos.storage.googleapis.com"), 2, `leave the endpoint out`},
		{"bucket with a slash in front", importAt("gs:///photos"), 2, `bucket name is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}
