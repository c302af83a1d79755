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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
func (b *cosBucket) env(sides ...string) (env []string) {
	for _, s := range sides {
		env = append(env, "BRIGADE_"+s+"_ACCESS_KEY="+b.account.AccessKey, "BRIGADE_"+s+"_SECRET_KEY="+b.account.SecretKey)
	}
	return env
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
			h := md5.New()
			n, err := io.Copy(h, resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				t.Fatalf("read %q: %v", o.Key, err)
			}
			all[strings.TrimPrefix(o.Key, prefix)] = object{n, hex.EncodeToString(h.Sum(nil))}
		}
		if marker = page.NextMarker; !page.IsTruncated {
			return all
		}
	}
}

// Files go to COS and back; the vendor's own client and the system's diff look at both copies.
func TestCOSRoundTrip(t *testing.T) {
	source, back, b := ossTree(t), filepath.Join(t.TempDir(), "back"), newCOSBucket(t)
	up, down := command{env: b.env("DST")}, command{env: b.env("SRC")}
	want := holdings(t, source)
	at := b.location("tree/")

	doc := up.run(t, "import", source, at, "--json", "--yes").want(t, 0).document(t)
	if n := int64(len(want)); doc.Objects["copied"] != n {
		t.Errorf("copied %v, want %d", doc.Objects, n)
	}
	same(t, b.holdings(t, "tree/"), want)
	if resp, err := b.client.Object.Head(t.Context(), "tree/big/in parts", nil); err != nil || !strings.Contains(resp.Header.Get("Etag"), "-") || resp.Header.Get("X-Cos-Meta-Mtime") == "" {
		t.Errorf("the large file: %v, %v", resp.Header, err)
	}
	if open := b.server.NewBucket(b.name).Uploads(); len(open) != 0 {
		t.Errorf("%d uploads left open", len(open))
	}

	// Without the first run's state, listings and one look at each must be enough.
	var puts atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			puts.Add(1)
		}
		return false
	})
	fresh := command{env: b.env("DST")}
	doc = fresh.run(t, "import", source, at, "--json", "--yes").want(t, 0).document(t)
	if n := int64(len(want)); doc.Objects["skipped"] != n || puts.Load() != 0 {
		t.Errorf("second run: %v, %d objects sent", doc.Objects, puts.Load())
	}
	down.run(t, "import", at, back, "--yes").want(t, 0)
	diff(t, source, back)
	noTemporary(t, back)
}

// Objects of S3 arrive at COS with their metadata, and come back with it.
func TestS3ToCOSAndBack(t *testing.T) {
	from, to, b := newBucket(t), newBucket(t), newCOSBucket(t)
	putWithMetadata(t, from, "page ü.html")
	from.put(t, "plain", "content")
	from.put(t, "dir/x+y", "more")
	there, back := command{env: append(from.env("SRC"), b.env("DST")...)}, command{env: append(to.env("DST"), b.env("SRC")...)}
	there.run(t, "import", from.location(""), b.location("copy/"), "--yes").want(t, 0)
	same(t, b.holdings(t, "copy/"), from.holdings(t, ""))
	resp, err := b.client.Object.Head(t.Context(), "copy/page ü.html", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	got := headers{h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Content-Disposition"), h.Get("Content-Encoding"),
		h.Get("Content-Language"), h.Get("Expires"), map[string]string{"owner": h.Get("X-Cos-Meta-Owner"), "mtime": h.Get("X-Cos-Meta-Mtime")}}
	if diff := cmp.Diff(pageHeaders(), got); diff != "" {
		t.Errorf("metadata at COS:\n%s", diff)
	}
	back.run(t, "import", b.location("copy/"), to.location(""), "--yes").want(t, 0)
	same(t, to.holdings(t, ""), from.holdings(t, ""))
	wantMetadata(t, to, "page ü.html")
}

// Within one region the store copies by itself: no content passes here.
func TestCOSCopiesByItself(t *testing.T) {
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
	source, b := filepath.Join(t.TempDir(), "source"), newCOSBucket(t)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	var failed atomic.Bool
	b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") || failed.Swap(true) {
			return false
		}
		_, _ = io.WriteString(w, strings.Repeat(" ", 1000)+"<?xml version='1.0' encoding='utf-8' ?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>")
		return true
	})
	c := command{env: b.env("DST")}
	doc := c.run(t, "import", source, b.location("x/"), "--yes", "--json").want(t, 0).document(t)
	if doc.Objects["copied"] != 1 || !failed.Load() {
		t.Errorf("%v, failed once: %v", doc.Objects, failed.Load())
	}
	same(t, b.holdings(t, "x/"), holdings(t, source))
}

// What arrives other than it was sent is found by the CRC64 of the answer, and sent again.
func TestCOSDamageOnTheWay(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newCOSBucket(t)
	writeFile(t, filepath.Join(source, "streamed"), 5<<20, 2)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	var damaged atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.Header.Get("Content-Md5") == "" && damaged.Add(1) <= 2 {
			r.Body = io.NopCloser(&flip{r: r.Body})
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
	to := func(change func(*cosBucket), options ...string) func(*testing.T, *command) []string {
		return func(t *testing.T, c *command) []string {
			b := newCOSBucket(t)
			change(b)
			c.env = b.env("DST")
			return []string{"import", file(t), b.location("x/", options...)}
		}
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
	at := func(location string) func(*testing.T, *command) []string {
		return func(t *testing.T, _ *command) []string { return []string{"import", file(t), location} }
	}
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
		{"expired session token", func(t *testing.T, c *command) []string {
			args := to(none)(t, c)
			c.env = append(c.env, "BRIGADE_DST_SESSION_TOKEN="+fake.ExpiredToken)
			return args
		}, 1, `destination.*ExpiredToken.*session token`},
		{"no credentials", func(t *testing.T, c *command) []string {
			args := to(none)(t, c)
			c.env = []string{"COS_SECRET_ID=", "COS_SECRETID=", "TENCENTCLOUD_SECRET_ID="}
			return args
		}, 1, `destination.*credentials`},
		{"unknown option", to(none, "regoin=x"), 2, `did you mean "region"`},
		{"bucket without its APPID", at("cos://photos/?region=ap-guangzhou"), 2, `APPID is missing.*cos://photos-1250000000/`},
		{"bucket inside the endpoint", at("cos://photos-1250000000/?endpoint=photos-1250000000.cos.ap-guangzhou.myqcloud.com"), 2, `endpoint=cos.ap-guangzhou.myqcloud.com`},
		{"old region", at("cos://photos-1250000000/?region=gz"), 2, `region=ap-guangzhou`},
		{"no endpoint", at("cos://photos-1250000000/"), 2, `endpoint is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}

// An archived object is a failure that says so. A link shows another content than it is listed with, under an ETag that is the MD5 of
// neither: it is copied as what it leads to.
func TestCOSOtherKinds(t *testing.T) {
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
	source, b := filepath.Join(t.TempDir(), "source"), newCOSBucket(t)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	foreign, _, err := b.client.Object.InitiateMultipartUpload(t.Context(), "x/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	held := func() (n int) {
		for _, u := range b.server.NewBucket(b.name).Uploads() {
			parts, _ := b.server.NewBucket(b.name).Parts(u.Key, u.ID)
			n += len(parts)
		}
		return n
	}
	stuck, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	var once sync.Once
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if !isPart(r, "5") {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // what it ends with shows below
		for held() < 4 && r.Context().Err() == nil {
			runtime.Gosched()
		}
		once.Do(func() { close(stuck) })
		select {
		case <-r.Context().Done():
		case <-ended:
		}
		return true
	})
	c := command{env: b.env("DST"), state: filepath.Join(t.TempDir(), "state")}
	args := []string{"import", source, b.location("x/"), "--yes", "--json"}
	p := c.start(t, args...)
	select {
	case <-stuck:
	case <-time.After(time.Minute):
		t.Error("the last part was never sent after the others")
	}
	p.kill(t)
	var parts atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
		return false
	})
	c.run(t, args...).want(t, 0)
	same(t, b.holdings(t, "x/"), holdings(t, source))
	if parts.Load() != 1 {
		t.Errorf("%d parts were sent again, want the one that was missing", parts.Load())
	}
	if open := b.server.NewBucket(b.name).Uploads(); len(open) != 1 || open[0].ID != foreign.UploadID {
		t.Errorf("uploads open at the end: %+v, want the foreign one", open)
	}
}
