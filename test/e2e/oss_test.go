package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"

	fake "github.com/bucketbrigade/brigade/test/fakes/oss"
)

// ossBucket is a bucket on a server that verifies signatures, as the binary and the vendor's own client see it.
type ossBucket struct {
	server  *fake.Server
	account fake.Options
	name    string
	url     string
	client  *oss.Bucket
}

func newOSSBucket(t *testing.T) *ossBucket {
	t.Helper()
	b := &ossBucket{name: "brigade-test"}
	b.server, b.account, b.url = fake.Start(t)
	b.server.NewBucket(b.name)
	client, err := oss.New(b.url, b.account.AccessKey, b.account.SecretKey, oss.AuthVersion(oss.AuthV4), oss.Region(b.account.Region))
	if err != nil {
		t.Fatal(err)
	}
	if b.client, err = client.Bucket(b.name); err != nil {
		t.Fatal(err)
	}
	return b
}

// location is the bucket's URL for the binary, with options on top.
func (b *ossBucket) location(prefix string, options ...string) string {
	q := append([]string{"endpoint=" + url.QueryEscape(b.url), "region=" + b.account.Region}, options...)
	return "oss://" + b.name + "/" + prefix + "?" + strings.Join(q, "&")
}

// env holds the account for sides "SRC" and "DST".
func (b *ossBucket) env(sides ...string) []string {
	return envOf(b.account.AccessKey, b.account.SecretKey, sides)
}

// onRequest has a function see the requests first.
func (b *ossBucket) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.server.OnRequest(hook)
}

// holdings reads all objects under a prefix by the vendor's client, which checks their CRC64.
func (b *ossBucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	token := ""
	for {
		page, err := b.client.ListObjectsV2(oss.Prefix(prefix), oss.MaxKeys(1000), oss.ContinuationToken(token))
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range page.Objects {
			r, err := b.client.GetObject(o.Key)
			if err != nil {
				t.Fatalf("get %q: %v", o.Key, err)
			}
			all[strings.TrimPrefix(o.Key, prefix)] = objectOf(t, o.Key, r)
		}
		if token = page.NextContinuationToken; !page.IsTruncated {
			return all
		}
	}
}

// requests counts requests to the server by method; copies count as COPY.
func (b *ossBucket) requests() func(method string) int64 {
	var get, put, copies atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("X-Oss-Copy-Source") != "":
			copies.Add(1)
		case r.Method == http.MethodPut:
			put.Add(1)
		case r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") > 2:
			get.Add(1)
		}
		return false
	})
	return func(method string) int64 {
		return map[string]*atomic.Int64{"GET": &get, "PUT": &put, "COPY": &copies}[method].Load()
	}
}

// bigFile is the size of a file that goes in parts, in bytes.
const bigFile = 70<<20 + 12345

// ossTree writes files with names that signatures and listings may break, one that goes in parts, and an empty one.
func ossTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	for i, name := range []string{"a b", "a+b", "a%20b", "a&b=c", "日本語/キー", "🪣", "deep/er/and/deeper", "ü", "e'\"<>", "a~b", "x*y!(z)"} {
		writeFile(t, filepath.Join(dir, name), int64(i*1000+1), uint64(i))
	}
	writeFile(t, filepath.Join(dir, "empty"), 0, 1)
	writeFile(t, filepath.Join(dir, "streamed"), 5<<20, 2)
	writeFile(t, filepath.Join(dir, "big/in parts"), bigFile, 3)
	return dir
}

// Files go to OSS and back; the vendor's own client and the system's diff look at both copies.
func TestOSSRoundTrip(t *testing.T) {
	t.Parallel()
	for _, signature := range []string{"v4", "v1"} {
		t.Run(signature, func(t *testing.T) {
			b := newOSSBucket(t)
			goesAndComes(t, b, ossTree(t), b.location("tree/", "signature="+signature), b.env, func() {
				if h, err := b.client.GetObjectDetailedMeta("tree/big/in parts"); err != nil || h.Get("X-Oss-Object-Type") != "Multipart" || h.Get("X-Oss-Meta-Mtime") == "" {
					t.Errorf("the large file: %v, %v", h, err)
				}
				if open := b.server.NewBucket(b.name).Uploads(); len(open) != 0 {
					t.Errorf("%d uploads left open", len(open))
				}
			}, isPut)
		})
	}
}

// Objects of S3 arrive at OSS with their metadata, and come back with it.
func TestS3ToOSSAndBack(t *testing.T) {
	t.Parallel()
	b := newOSSBucket(t)
	to := fromS3AndBack(t, b, func() {
		h, err := b.client.GetObjectDetailedMeta("copy/page ü.html")
		if err != nil {
			t.Fatal(err)
		}
		wantPageHeaders(t, h, "X-Oss-Meta-")
	})
	wantMetadata(t, to, "page ü.html")
}

// Within one region the store copies by itself: no content passes here.
func TestOSSCopiesByItself(t *testing.T) {
	t.Parallel()
	b := newOSSBucket(t)
	if err := b.client.PutObject("from/a b+", strings.NewReader("content"), oss.Meta("k", "v")); err != nil {
		t.Fatal(err)
	}
	count := b.requests()
	c := command{env: b.env("SRC", "DST")}
	c.run(t, "import", b.location("from/"), b.location("to/"), "--yes").want(t, 0)
	if count("GET") != 0 || count("PUT") != 0 || count("COPY") != 1 {
		t.Errorf("%d reads, %d writes, %d copies by the store", count("GET"), count("PUT"), count("COPY"))
	}
	same(t, b.holdings(t, "to/"), b.holdings(t, "from/"))
	if h, err := b.client.GetObjectDetailedMeta("to/a b+"); err != nil || h.Get("X-Oss-Meta-K") != "v" {
		t.Errorf("metadata of the copy: %v, %v", h, err)
	}
}

// An appendable object is copied like any other, a link is left out or followed, an archived object is a failure that
// says so.
func TestOSSOtherKinds(t *testing.T) {
	t.Parallel()
	b := newOSSBucket(t)
	_, err := b.client.AppendObject("in/log", strings.NewReader("appended"), 0)
	if err == nil {
		err = b.client.PutSymlink("in/link", "in/log")
	}
	if err == nil {
		err = b.client.PutObject("in/cold", strings.NewReader("x"), oss.ObjectStorageClass(oss.StorageArchive))
	}
	if err != nil {
		t.Fatal(err)
	}
	for links, want := range map[string][]string{"skip": {"log"}, "follow": {"log", "link"}} {
		dir := filepath.Join(t.TempDir(), links)
		c := command{env: b.env("SRC")}
		doc := c.run(t, "import", b.location("in/", "links="+links), dir, "--json", "--yes").want(t, 3).document(t)
		if doc.Objects["failed"] != 1 || len(doc.Errors) != 1 || doc.Errors[0].Key != "cold" || !strings.Contains(doc.Errors[0].Reason, "archived") {
			t.Errorf("links=%s: failures %+v", links, doc.Errors)
		}
		got := holdings(t, dir)
		if len(got) != len(want) || doc.Objects["filtered"] != int64(2-len(want)) {
			t.Errorf("links=%s: %v, %v", links, got, doc.Objects)
		}
		for _, key := range want {
			if data, err := os.ReadFile(filepath.Join(dir, key)); err != nil || string(data) != "appended" {
				t.Errorf("links=%s: %s holds %q, %v", links, key, data, err)
			}
		}
	}
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more.
func TestOSSUploadIsResumed(t *testing.T) {
	t.Parallel()
	b := newOSSBucket(t)
	foreign, err := b.client.InitiateMultipartUpload("x/big") // someone else's, at the same key
	if err != nil {
		t.Fatal(err)
	}
	held := b.server.NewBucket(b.name)
	resumed(t, b, isLastPart, hasPart, func() bool { return partsOf(held, "x/big") == 4 })
	if open := held.Uploads(); len(open) != 1 || open[0].ID != foreign.UploadID {
		t.Errorf("uploads open at the end: %+v, want the foreign one", open)
	}
}

// The answer to the completion of an upload is lost: the upload then is unknown, and a look at the object settles it.
func TestOSSLostCompletion(t *testing.T) {
	t.Parallel()
	b := newOSSBucket(t)
	losesCompletion(t, b, b.server, isCompletion)
}

// What arrives other than it was sent is found by the CRC64 of the answer, and sent again.
func TestOSSDamageOnTheWay(t *testing.T) {
	t.Parallel()
	damagedOnTheWay(t, newOSSBucket(t), 5<<20, 0, "Content-Md5", func(r *http.Request) string {
		if !isPut(r) {
			return ""
		}
		return r.URL.Path
	})
}

// Real names: the default endpoint, over TLS, the bucket as a sub-domain, through a proxy that leads all of it here.
func TestOSSByItsName(t *testing.T) {
	t.Parallel()
	const domain = "oss-cn-hangzhou.aliyuncs.com"
	b := &ossBucket{name: "brigade-test", account: fake.Options{AccessKey: "LTAItest", SecretKey: "secret-of-the-test", Token: "token", Domain: domain}}
	b.server = fake.New(b.account)
	b.server.NewBucket(b.name)
	web := httptest.NewUnstartedServer(b.server)
	cert, pemFile := certificateOf(t, b.name+"."+domain)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	web.StartTLS()
	t.Cleanup(web.Close)
	proxy, asked := tunnelTo(t, web.Listener.Addr().String())

	source := file(t)
	c := command{env: append(b.env("DST"), "BRIGADE_DST_SESSION_TOKEN=token", "SSL_CERT_FILE="+pemFile, "HTTPS_PROXY="+proxy, "AWS_CA_BUNDLE=")}
	c.run(t, "import", source, "oss://"+b.name+"/x/?region=cn-hangzhou", "--yes").want(t, 0)
	if o := b.server.NewBucket(b.name).Get("x/f"); o == nil || len(o.Data) != 10 {
		t.Errorf("arrived: %+v", o)
	}
	if host := b.name + "." + domain + ":443"; asked.Load() == nil || *asked.Load() != host {
		t.Errorf("the proxy was asked for %v, want %s", asked.Load(), host)
	}
}

// certificateOf makes a certificate for one name that is its own authority, and a file of it.
func certificateOf(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// tunnelTo starts a proxy that connects whatever it is asked for to one address, and tells what that was last.
func tunnelTo(t *testing.T, addr string) (url string, asked *atomic.Pointer[string]) {
	t.Helper()
	asked = new(atomic.Pointer[string])
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		asked.Store(&host)
		to, err := new(net.Dialer).DialContext(context.WithoutCancel(r.Context()), "tcp", addr)
		if err != nil || r.Method != http.MethodConnect {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer from.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(to, from) // ends with either connection
			_ = to.Close()
		}()
		_, _ = io.Copy(from, to)
		_ = from.Close()
		<-done
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, asked
}

// Every refusal is one line that says which side, what the vendor's code and request ID are, and what to do.
func TestBadInputOfOSS(t *testing.T) {
	t.Parallel()
	to := func(change func(*ossBucket), options ...string) func(*testing.T, *command) []string {
		return importTo(newOSSBucket, change, options...)
	}
	none := func(*ossBucket) {}
	for _, b := range []bad{
		{"wrong secret key", to(func(b *ossBucket) { b.account.SecretKey = "wrong" }), 1, `destination oss://.*SignatureDoesNotMatch.*request 6720.*secret key`},
		{"wrong access key", to(func(b *ossBucket) { b.account.AccessKey = "LTAIwrong" }), 1, `destination.*InvalidAccessKeyId.*request.*access key`},
		{"wrong region", to(func(b *ossBucket) { b.account.Region = "cn-beijing" }), 1, `destination.*signing region.*set endpoint=`},
		{"missing bucket", to(func(b *ossBucket) { b.name = "no-such-bucket" }), 1, `destination.*NoSuchBucket.*check the bucket name`},
		{"bucket elsewhere", to(func(b *ossBucket) { b.name = "far-away"; b.server.NewBucketIn("far-away", "cn-shanghai") }), 1, `destination.*set endpoint=oss-cn-shanghai.aliyuncs.com`},
		{"clock 20 minutes off", to(func(b *ossBucket) {
			late := b.account
			late.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
			server := fake.New(late)
			server.NewBucket(b.name)
			b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool { server.ServeHTTP(w, r); return true })
		}), 1, `destination.*RequestTimeTooSkewed.*clock`},
		{"expired session token", withEnv(to(none), false, "BRIGADE_DST_SESSION_TOKEN="+fake.ExpiredToken), 1, `destination.*SecurityTokenExpired.*session token`},
		{"no credentials", withEnv(to(none), true, "OSS_ACCESS_KEY_ID=", "ALIBABA_CLOUD_ACCESS_KEY_ID="), 1, `destination.*credentials`},
		{"unknown option", to(none, "regoin=x"), 2, `did you mean "region"`},
		{"bucket inside the endpoint", importAt("oss://photos/?endpoint=photos.oss-cn-hangzhou.aliyuncs.com"), 2, `endpoint=oss-cn-hangzhou.aliyuncs.com`},
		{"no endpoint", importAt("oss://photos/"), 2, `endpoint is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}
