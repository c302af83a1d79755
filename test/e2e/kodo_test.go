package e2e_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qiniu/go-sdk/v7/auth"
	"github.com/qiniu/go-sdk/v7/storage"

	fake "github.com/bucketbrigade/brigade/test/fakes/kodo"
)

// kodoBucket is a bucket on a server that verifies signatures, as the binary and the vendor's own client see it.
type kodoBucket struct {
	server      *fake.Server
	account     fake.Options
	name        string
	url, domain string
}

func newKodoBucket(t *testing.T) *kodoBucket {
	t.Helper()
	b := &kodoBucket{name: "brigade-test"}
	b.server, b.account, b.url = fake.Start(t)
	b.server.NewBucket(b.name)
	b.domain = b.server.StartDomain(t, b.name)
	return b
}

// location is the bucket's URL for the binary, with options on top.
func (b *kodoBucket) location(prefix string, options ...string) string {
	q := append([]string{"endpoint=" + url.QueryEscape(b.url), "domain=" + url.QueryEscape(b.domain)}, options...)
	return "kodo://" + b.name + "/" + prefix + "?" + strings.Join(q, "&")
}

// env holds the account for sides "SRC" and "DST".
func (b *kodoBucket) env(sides ...string) []string {
	return envOf(b.account.AccessKey, b.account.SecretKey, sides)
}

// onRequest has a function see the requests first.
func (b *kodoBucket) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.server.OnRequest(hook)
}

// client is the vendor's own.
func (b *kodoBucket) client() (*storage.BucketManager, *auth.Credentials) {
	mac := auth.New(b.account.AccessKey, b.account.SecretKey)
	return storage.NewBucketManager(mac, &storage.Config{RsHost: b.url, RsfHost: b.url}), mac
}

// holdings reads all objects under a prefix by the vendor's client.
func (b *kodoBucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	c, mac := b.client()
	all := map[string]object{}
	marker := ""
	for {
		items, _, next, more, err := c.ListFiles(b.name, prefix, "", marker, 1000)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range items {
			resp, err := http.Get(storage.MakePrivateURLv2(mac, b.domain, o.Key, time.Now().Add(time.Hour).Unix()))
			if err != nil {
				t.Fatalf("get %q: %v", o.Key, err)
			}
			h := md5.New()
			n, err := io.Copy(h, resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("get %q: %s, %v", o.Key, resp.Status, err)
			}
			all[strings.TrimPrefix(o.Key, prefix)] = object{n, hex.EncodeToString(h.Sum(nil))}
		}
		if marker = next; !more {
			return all
		}
	}
}

// isKodoUpload tells requests that carry content: forms, and parts of uploads.
func isKodoUpload(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodPost && r.URL.Path == "/"
}

// requests counts requests to the server: "read", "write" and "copy".
func (b *kodoBucket) requests() func(what string) int64 {
	var read, write, copies atomic.Int64
	host := strings.TrimPrefix(b.domain, "http://")
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasPrefix(r.URL.Path, "/copy/"):
			copies.Add(1)
		case r.Host == host && r.Method == http.MethodGet:
			read.Add(1)
		case isKodoUpload(r):
			write.Add(1)
		}
		return false
	})
	return func(what string) int64 {
		return map[string]*atomic.Int64{"read": &read, "write": &write, "copy": &copies}[what].Load()
	}
}

// Files go to Kodo and back; the vendor's own client and the system's diff look at both copies.
func TestKodoRoundTrip(t *testing.T) {
	t.Parallel()
	b := newKodoBucket(t)
	goesAndComes(t, b, ossTree(t), b.location("tree/"), b.env, func() {
		if open := b.server.NewBucket(b.name).Uploads(); len(open) != 0 {
			t.Errorf("%d uploads left open", len(open))
		}
		if o := b.server.NewBucket(b.name).Get("tree/big/in parts"); o == nil || o.Header.Get("X-Qn-Meta-Mtime") == "" || o.ETag[0] != 'l' {
			t.Errorf("the large file has hash %s, which is not that of its content, and metadata %v", o.ETag, o.Header)
		}
	}, isKodoUpload)
}

// Objects of S3 arrive at Kodo and come back.
func TestS3ToKodoAndBack(t *testing.T) {
	t.Parallel()
	from, to, b := newBucket(t), newBucket(t), newKodoBucket(t)
	from.put(t, "plain ü", "content")
	from.put(t, "dir/x+y", "more")
	there, back := command{env: append(from.env("SRC"), b.env("DST")...)}, command{env: append(to.env("DST"), b.env("SRC")...)}
	there.run(t, "import", from.location(""), b.location("copy/"), "--yes").want(t, 0)
	same(t, b.holdings(t, "copy/"), from.holdings(t, ""))
	back.run(t, "import", b.location("copy/"), to.location(""), "--yes").want(t, 0)
	same(t, to.holdings(t, ""), from.holdings(t, ""))
}

// Within one region the store copies by itself: no content passes here. Another run finds everything there.
func TestKodoCopiesByItself(t *testing.T) {
	t.Parallel()
	b := newKodoBucket(t)
	source := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(source, "a b+"), 1000, 1)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	first := command{env: b.env("DST")}
	first.run(t, "import", source, b.location("from/"), "--yes").want(t, 0)
	count := b.requests()
	for range 2 {
		c := command{env: b.env("SRC", "DST")}
		c.run(t, "import", b.location("from/"), b.location("to/"), "--yes").want(t, 0)
	}
	if count("read") != 0 || count("write") != 0 || count("copy") != 2 {
		t.Errorf("%d reads, %d writes, %d copies by the store", count("read"), count("write"), count("copy"))
	}
	same(t, b.holdings(t, "to/"), b.holdings(t, "from/"))
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more.
func TestKodoUploadIsResumed(t *testing.T) {
	t.Parallel()
	b := newKodoBucket(t)
	held := b.server.NewBucket(b.name)
	isLast := func(r *http.Request) bool { return isPut(r) && strings.HasSuffix(r.URL.Path, "/18") }
	resumed(t, b, isLast, isPut, func() bool { return partsOf(held, "x/big") == 17 })
	if open := held.Uploads(); len(open) != 0 {
		t.Errorf("uploads open at the end: %+v", open)
	}
}

// The answer to the completion of an upload is lost: the upload then is unknown, and a look at the object settles it.
func TestKodoLostCompletion(t *testing.T) {
	t.Parallel()
	b := newKodoBucket(t)
	losesCompletion(t, b, b.server, func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/uploads/")
	})
}

// What arrives other than it was sent is found: the server refuses it, or its answer tells another sum.
func TestKodoDamageOnTheWay(t *testing.T) {
	t.Parallel()
	damagedOnTheWay(t, newKodoBucket(t), 5<<20, 900, "Content-Md5", func(r *http.Request) string { // in a form, behind its fields
		switch {
		case !isKodoUpload(r):
			return ""
		case isPut(r):
			return r.URL.Path
		}
		return "form of " + r.Header.Get("Content-Length")
	})
}

// What was uploaded in parts of 4 MiB, as the vendor's tools do it, has the hash of its content: damage is found on reading, in
// whatever parts that is done.
func TestKodoDamageIsFoundOnReading(t *testing.T) {
	t.Parallel()
	b, dir := newKodoBucket(t), filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(dir, "big"), bigFile, 3)
	_, mac := b.client()
	policy := storage.PutPolicy{Scope: b.name + ":in/big"}
	err := storage.NewResumeUploaderV2(&storage.Config{UpHost: b.url}).PutFile(t.Context(), nil, policy.UploadToken(mac), "in/big",
		filepath.Join(dir, "big"), &storage.RputV2Extra{UpHost: b.url})
	if err != nil {
		t.Fatal(err)
	}
	to := newKodoBucket(t)
	for name, where := range map[string]string{"a folder": filepath.Join(t.TempDir(), "back"), "a bucket": to.location("")} {
		var damaged atomic.Int64
		b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
			if "http://"+r.Host != b.domain || !strings.HasPrefix(r.Header.Get("Range"), "bytes=33554432-") || damaged.Load() > 0 {
				return false
			}
			damaged.Add(1)
			rec := httptest.NewRecorder()
			b.server.ServeHTTP(rec, r)
			for field, v := range rec.Header() {
				w.Header()[field] = v
			}
			w.WriteHeader(rec.Code)
			data := rec.Body.Bytes()
			data[1000] ^= 1
			_, _ = w.Write(data)
			return true
		})
		c := command{env: append(b.env("SRC"), to.env("DST")...)}
		c.run(t, "import", b.location("in/"), where, "--yes").want(t, 0)
		if damaged.Load() != 1 {
			t.Errorf("to %s: %d answers were damaged", name, damaged.Load())
		}
		b.server.OnRequest(nil)
		if name == "a folder" {
			diff(t, dir, where)
		} else {
			same(t, to.holdings(t, ""), holdings(t, dir))
		}
	}
}

// Every refusal is one line that says which side, what the vendor's code and request ID are, and what to do.
func TestBadInputOfKodo(t *testing.T) {
	t.Parallel()
	to := func(change func(*kodoBucket), options ...string) func(*testing.T, *command) []string {
		return importTo(newKodoBucket, change, options...)
	}
	none := func(*kodoBucket) {}
	for _, b := range []bad{
		{"wrong secret key", to(func(b *kodoBucket) { b.account.SecretKey = "wrong" }), 1, `destination kodo://.*bad token \(401\).*request reqid.*secret key`},
		{"wrong access key", to(func(b *kodoBucket) { b.account.AccessKey = "wrong" }), 1, `destination.*401.*request.*access key`},
		{"missing bucket", to(func(b *kodoBucket) { b.name = "no-such-bucket" }), 1, `destination.*631.*check the bucket name`},
		{"bucket elsewhere", to(func(b *kodoBucket) { b.name = "far-away"; b.server.NewBucketIn("far-away", "z2") }), 1, `destination.*up-z2.qiniup.com.*set region=`},
		{"no domain", func(t *testing.T, c *command) []string {
			b := newKodoBucket(t)
			b.server.NewBucket("lonely")
			c.env = b.env("SRC")
			return []string{"import", "kodo://lonely/?endpoint=" + url.QueryEscape(b.url), filepath.Join(t.TempDir(), "to")}
		}, 1, `source.*no domain to read from.*domain=`},
		{"no credentials", withEnv(to(none), true, "QINIU_ACCESS_KEY=", "QINIU_SECRET_KEY="), 1, `destination.*credentials`},
		{"session token", withEnv(to(none), false, "BRIGADE_DST_SESSION_TOKEN=x"), 1, `destination.*no session tokens`},
		{"unknown option", to(none, "regoin=x"), 2, `did you mean "region"`},
		{"endpoint of S3", importAt("kodo://photos/?endpoint=s3-cn-east-1.qiniucs.com"), 2, `use s3://photos/`},
		{"no region", importAt("kodo://photos/"), 2, `region is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}
