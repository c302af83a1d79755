package e2e_test

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"

	fake "github.com/bucketbrigade/brigade/test/fakes/cos"
)

// cosBucket is a bucket on a server that verifies signatures, as the binary and the vendor's own client see it.
type cosBucket struct {
	server  *fake.Server
	account fake.Options
	name    string
	url     string
	client  *cos.Client
}

func newCOSBucket(t *testing.T) *cosBucket {
	t.Helper()
	b := &cosBucket{name: "brigade-1250000000"}
	b.server, b.account, b.url = fake.Start(t)
	b.server.NewBucket(b.name)
	at, err := cos.NewBucketURL(b.name, b.account.Region, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(b.url, "http://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	b.client = cos.NewClient(&cos.BaseURL{BucketURL: at}, &http.Client{Transport: &cos.AuthorizationTransport{
		SecretID: b.account.AccessKey, SecretKey: b.account.SecretKey, Transport: transport,
	}})
	return b
}

// location is the bucket's URL for the binary, with options on top.
func (b *cosBucket) location(prefix string, options ...string) string {
	return "cos://" + b.name + "/" + prefix + "?" + strings.Join(append([]string{"endpoint=" + url.QueryEscape(b.url)}, options...), "&")
}

// env holds the account for sides "SRC" and "DST".
func (b *cosBucket) env(sides ...string) []string {
	return envOf(b.account.AccessKey, b.account.SecretKey, sides)
}

// onRequest has a function see the requests first.
func (b *cosBucket) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.server.OnRequest(hook)
}

func (b *cosBucket) put(t *testing.T, key, content string, opt *cos.ObjectPutOptions) {
	t.Helper()
	if _, err := b.client.Object.Put(t.Context(), key, strings.NewReader(content), opt); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// holdings reads all objects under a prefix by the vendor's client.
func (b *cosBucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	marker := ""
	for {
		page, _, err := b.client.Bucket.Get(t.Context(), &cos.BucketGetOptions{Prefix: prefix, Marker: marker, MaxKeys: 1000})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range page.Contents {
			resp, err := b.client.Object.Get(t.Context(), o.Key, nil)
			if err != nil {
				t.Fatalf("get %q: %v", o.Key, err)
			}
			all[strings.TrimPrefix(o.Key, prefix)] = objectOf(t, o.Key, resp.Body)
		}
		if marker = page.NextMarker; !page.IsTruncated {
			return all
		}
	}
}

// Files go to COS and back; the vendor's own client and the system's diff look at both copies.
func TestCOSRoundTrip(t *testing.T) {
	t.Parallel()
	b := newCOSBucket(t)
	goesAndComes(t, b, ossTree(t), b.location("tree/"), b.env, func() {
		if resp, err := b.client.Object.Head(t.Context(), "tree/big/in parts", nil); err != nil || !strings.Contains(resp.Header.Get("Etag"), "-") || resp.Header.Get("X-Cos-Meta-Mtime") == "" {
			t.Errorf("the large file: %v, %v", resp.Header, err)
		}
		if open := b.server.NewBucket(b.name).Uploads(); len(open) != 0 {
			t.Errorf("%d uploads left open", len(open))
		}
	}, isPut)
}

// Objects of S3 arrive at COS with their metadata, and come back with it.
func TestS3ToCOSAndBack(t *testing.T) {
	t.Parallel()
	b := newCOSBucket(t)
	to := fromS3AndBack(t, b, func() {
		resp, err := b.client.Object.Head(t.Context(), "copy/page ü.html", nil)
		if err != nil {
			t.Fatal(err)
		}
		wantPageHeaders(t, resp.Header, "X-Cos-Meta-")
	})
	wantMetadata(t, to, "page ü.html")
}

// Within one region the store copies by itself: no content passes here.
func TestCOSCopiesByItself(t *testing.T) {
	t.Parallel()
	b := newCOSBucket(t)
	b.put(t, "from/a b+", "content", &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosMetaXXX: &http.Header{"X-Cos-Meta-K": {"v"}}}})
	var passed, copies atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("X-Cos-Copy-Source") != "":
			copies.Add(1)
		case r.Method == http.MethodPut, r.Method == http.MethodGet && strings.Contains(r.URL.Path, "from/"):
			passed.Add(1)
		}
		return false
	})
	c := command{env: b.env("SRC", "DST")}
	c.run(t, "import", b.location("from/"), b.location("to/"), "--yes").want(t, 0)
	if passed.Load() != 0 || copies.Load() != 1 {
		t.Errorf("%d reads and writes, %d copies by the store", passed.Load(), copies.Load())
	}
	b.server.OnRequest(nil)
	same(t, b.holdings(t, "to/"), b.holdings(t, "from/"))
	if resp, err := b.client.Object.Head(t.Context(), "to/a b+", nil); err != nil || resp.Header.Get("X-Cos-Meta-K") != "v" {
		t.Errorf("metadata of the copy: %v, %v", resp.Header, err)
	}
}

// The end of an upload that came with status 200 and an error in it is a failure that passes: nothing is taken for stored that is not.
func TestCOSErrorAfterStatus200(t *testing.T) {
	t.Parallel()
	failsOnce(t, newCOSBucket(t), isCompletion, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(" ", 1000)+"<?xml version='1.0' encoding='utf-8' ?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>")
	})
}

// What arrives other than it was sent is found by the CRC64 of the answer, and sent again.
func TestCOSDamageOnTheWay(t *testing.T) {
	t.Parallel()
	source, b := filepath.Join(t.TempDir(), "source"), newCOSBucket(t)
	writeFile(t, filepath.Join(source, "streamed"), 5<<20, 2)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	var damaged atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.Header.Get("Content-Md5") == "" && damaged.Add(1) <= 2 {
			r.Body = io.NopCloser(&flipAt{r: r.Body})
		}
		return false
	})
	c := command{env: b.env("DST")}
	c.run(t, "import", source, b.location("x/"), "--yes").want(t, 0)
	if damaged.Load() < 3 {
		t.Errorf("%d requests without an MD5: the damage showed nothing", damaged.Load())
	}
	b.server.OnRequest(nil)
	same(t, b.holdings(t, "x/"), holdings(t, source))
}

// Real names: the default endpoint, over TLS, the bucket as a sub-domain, through a proxy that leads all of it here.
func TestCOSByItsName(t *testing.T) {
	t.Parallel()
	const name = "brigade-1250000000"
	account := fake.Options{AccessKey: "AKIDtest", SecretKey: "secret-of-the-test", Token: "token", Region: "ap-beijing"}
	server := fake.New(account)
	server.NewBucket(name)
	web := httptest.NewUnstartedServer(server)
	host := name + ".cos.ap-beijing.myqcloud.com"
	cert, pemFile := certificateOf(t, host)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	web.StartTLS()
	t.Cleanup(web.Close)
	proxy, asked := tunnelTo(t, web.Listener.Addr().String())

	b := &cosBucket{server: server, account: account, name: name}
	c := command{env: append(b.env("DST"), "BRIGADE_DST_SESSION_TOKEN=token", "SSL_CERT_FILE="+pemFile, "HTTPS_PROXY="+proxy, "AWS_CA_BUNDLE=")}
	c.run(t, "import", file(t), "cos://"+name+"/x/?region=ap-beijing", "--yes").want(t, 0)
	if o := server.NewBucket(name).Get("x/f"); o == nil || len(o.Data) != 10 {
		t.Errorf("arrived: %+v", o)
	}
	if asked.Load() == nil || *asked.Load() != host+":443" {
		t.Errorf("the proxy was asked for %v, want %s", asked.Load(), host)
	}
}

// Every refusal is one line that says which side, what the vendor's code and request ID are, and what to do.
func TestBadInputOfCOS(t *testing.T) {
	t.Parallel()
	to := func(change func(*cosBucket), options ...string) func(*testing.T, *command) []string {
		return importTo(newCOSBucket, change, options...)
	}
	late := func(by time.Duration) func(*cosBucket) {
		return func(b *cosBucket) {
			account := b.account
			account.Now = func() time.Time { return time.Now().Add(by) }
			server := fake.New(account)
			server.NewBucket(b.name)
			b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool { server.ServeHTTP(w, r); return true })
		}
	}
	none := func(*cosBucket) {}
	for _, b := range []bad{
		{"wrong secret key", to(func(b *cosBucket) { b.account.SecretKey = "wrong" }), 1, `destination cos://.*SignatureDoesNotMatch.*request .*secret key`},
		{"wrong access key", to(func(b *cosBucket) { b.account.AccessKey = "AKIDwrong" }), 1, `destination.*InvalidAccessKeyId.*request.*access key`},
		{"missing bucket", to(func(b *cosBucket) { b.name = "no-such-1250000000" }), 1, `destination.*NoSuchBucket.*APPID`},
		{"bucket of another account", to(func(b *cosBucket) {
			b.name = "theirs-1250000001"
			b.server.NewBucketOf(b.name, fake.Kind{Foreign: true})
		}), 1, `destination.*AccessDenied.*permission`},
		{"clock 20 minutes behind", to(late(20 * time.Minute)), 1, `destination.*expired.*clock`},
		{"clock 20 minutes ahead", to(late(-20 * time.Minute)), 1, `destination.*RequestTimeTooSkewed.*clock`},
		{"expired session token", withEnv(to(none), false, "BRIGADE_DST_SESSION_TOKEN="+fake.ExpiredToken), 1, `destination.*ExpiredToken.*session token`},
		{"no credentials", withEnv(to(none), true, "COS_SECRET_ID=", "COS_SECRETID=", "TENCENTCLOUD_SECRET_ID="), 1, `destination.*credentials`},
		{"unknown option", to(none, "regoin=x"), 2, `did you mean "region"`},
		{"bucket without its APPID", importAt("cos://photos/?region=ap-guangzhou"), 2, `APPID is missing.*cos://photos-1250000000/`},
		{"bucket inside the endpoint", importAt("cos://photos-1250000000/?endpoint=photos-1250000000.cos.ap-guangzhou.myqcloud.com"), 2, `endpoint=cos.ap-guangzhou.myqcloud.com`},
		{"old region", importAt("cos://photos-1250000000/?region=gz"), 2, `region=ap-guangzhou`},
		{"no endpoint", importAt("cos://photos-1250000000/"), 2, `endpoint is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}

// An archived object is a failure that says so. A link shows another content than it is listed with, under an ETag that is the MD5 of
// neither: it is copied as what it leads to.
func TestCOSOtherKinds(t *testing.T) {
	t.Parallel()
	b := newCOSBucket(t)
	b.put(t, "in/plain", "plain", nil)
	b.put(t, "in/cold", "x", &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosStorageClass: "ARCHIVE"}})
	if _, err := b.client.Object.PutSymlink(t.Context(), "in/link", &cos.ObjectPutSymlinkOptions{SymlinkTarget: "in/plain"}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	c := command{env: b.env("SRC")}
	doc := c.run(t, "import", b.location("in/"), dir, "--json", "--yes").want(t, 3).document(t)
	reasons := map[string]string{}
	for _, e := range doc.Errors {
		reasons[e.Key] = e.Reason
	}
	if doc.Objects["failed"] != 1 || !strings.Contains(reasons["cold"], "archived; restore it") {
		t.Errorf("%v, failures %v", doc.Objects, reasons)
	}
	sum := md5.Sum([]byte("plain"))
	shown := object{5, hex.EncodeToString(sum[:])}
	same(t, holdings(t, dir), map[string]object{"plain": shown, "link": shown})
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more; another's upload stays.
func TestCOSUploadIsResumed(t *testing.T) {
	t.Parallel()
	b := newCOSBucket(t)
	foreign, _, err := b.client.Object.InitiateMultipartUpload(t.Context(), "x/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	held := b.server.NewBucket(b.name)
	resumed(t, b, isLastPart, hasPart, func() bool { return partsOf(held, "x/big") == 4 })
	if open := held.Uploads(); len(open) != 1 || open[0].ID != foreign.UploadID {
		t.Errorf("uploads open at the end: %+v, want the foreign one", open)
	}
}
