package e2e_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
)

// bucket is a bucket on a server, as both the binary and an independent client see it.
type bucket struct {
	name, access, secret string
	url                  string // of the server, or of a proxy before it
	client               *s3.Client
}

// newBucket makes a bucket on the real server.
func newBucket(t *testing.T) *bucket {
	t.Helper()
	gw := shared.gateway.VersityGW(t)
	b := &bucket{name: gw.NewBucket(t), access: gw.AccessKey, secret: gw.SecretKey, url: gw.URL}
	b.client = clientOf(gw.URL, gw.AccessKey, gw.SecretKey)
	return b
}

func clientOf(url, access, secret string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &url, Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
}

// behind puts a proxy before the bucket's server and returns it; the independent client goes past it.
func (b *bucket) behind(t *testing.T) *faults.Proxy {
	t.Helper()
	p := faults.Start(t, b.target())
	b.url = p.URL
	return p
}

func (b *bucket) target() faults.Target {
	return faults.Target{URL: b.url, Region: "us-east-1", AccessKey: b.access, SecretKey: b.secret}
}

// location is the bucket's URL for the binary, with options on top.
func (b *bucket) location(prefix string, options ...string) string {
	q := append([]string{"endpoint=" + url.QueryEscape(b.url), "region=us-east-1"}, options...)
	return "s3://" + b.name + "/" + prefix + "?" + strings.Join(q, "&")
}

// env holds the bucket's credentials for sides "SRC" and "DST".
func (b *bucket) env(sides ...string) (env []string) {
	for _, s := range sides {
		env = append(env, "BRIGADE_"+s+"_ACCESS_KEY="+b.access, "BRIGADE_"+s+"_SECRET_KEY="+b.secret)
	}
	return env
}

// keys lists the bucket by the independent client.
func (b *bucket) keys(t *testing.T) (keys []string) {
	t.Helper()
	for p := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name}); p.HasMorePages(); {
		page, err := p.NextPage(context.WithoutCancel(t.Context())) // also asked while cleaning up
		if err != nil {
			t.Fatalf("list %s: %v", b.name, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

// holdings reads all objects by the independent client: keys without prefix, sizes, MD5s of what a GET gives.
func (b *bucket) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	var mu sync.Mutex
	var readers sync.WaitGroup
	all := map[string]object{}
	slots := make(chan struct{}, 8)
	for _, key := range b.keys(t) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			t.Errorf("key %q stands outside the prefix %q", key, prefix)
			continue
		}
		slots <- struct{}{}
		readers.Go(func() {
			defer func() { <-slots }()
			o, err := b.read(t, key)
			if err != nil {
				t.Errorf("get %q: %v", key, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[rest] = o
		})
	}
	readers.Wait()
	return all
}

func (b *bucket) read(t *testing.T, key string) (object, error) {
	out, err := b.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return object{}, err
	}
	defer out.Body.Close()
	h := md5.New()
	n, err := io.Copy(h, out.Body)
	return object{n, hex.EncodeToString(h.Sum(nil))}, err
}

// listedSums returns the MD5s that the server's listing tells, of the objects that were written whole.
func (b *bucket) listedSums(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for p := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatalf("list %s: %v", b.name, err)
		}
		for _, o := range page.Contents {
			if etag := strings.Trim(aws.ToString(o.ETag), `"`); !strings.Contains(etag, "-") {
				all[strings.TrimPrefix(aws.ToString(o.Key), prefix)] = object{aws.ToInt64(o.Size), etag}
			}
		}
	}
	return all
}

// noUploads fails the test if multipart uploads were left open.
func (b *bucket) noUploads(t *testing.T) {
	t.Helper()
	out, err := b.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		t.Fatalf("list uploads: %v", err)
	}
	for _, u := range out.Uploads {
		t.Errorf("upload of %q left open", aws.ToString(u.Key))
	}
}

// put writes an object by the independent client.
func (b *bucket) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// emptyNow fails the test if the bucket holds anything.
func (b *bucket) emptyNow(t *testing.T) {
	t.Helper()
	if keys := b.keys(t); len(keys) > 0 {
		slices.Sort(keys)
		t.Errorf("%d objects were written, %q first", len(keys), keys[0])
	}
}
