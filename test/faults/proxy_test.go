package faults_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/test/sink"
)

func client(url, ak, sk string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &url, Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials:                credentials.NewStaticCredentialsProvider(ak, sk, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		// A connection of its own for each request, so that what a fault does to one is not met by the next.
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

// start puts a proxy before a sink that keeps contents.
func start(t *testing.T) (c *s3.Client, p *faults.Proxy, behind *s3.Client) {
	t.Helper()
	hs := httptest.NewServer(sink.New(sink.Options{Keep: 64 << 20}))
	t.Cleanup(hs.Close)
	p = faults.Start(t, faults.Target{URL: hs.URL, Region: "us-east-1", AccessKey: "ak", SecretKey: "sk"})
	return client(p.URL, "ak", "sk"), p, client(hs.URL, "ak", "sk")
}

func put(t *testing.T, c *s3.Client, key, body string) (*s3.PutObjectOutput, error) {
	t.Helper()
	return c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b"), Key: &key, Body: strings.NewReader(body)})
}

func get(t *testing.T, c *s3.Client, key string) (string, error) {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("b"), Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	return string(b), err
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func md5Of(s string) string { sum := md5.Sum([]byte(s)); return `"` + hex.EncodeToString(sum[:]) + `"` }

// The Host header and odd paths must pass unchanged: a real server checks the signature over them.
func TestSignaturesStayValid(t *testing.T) {
	gw := servers.StartVersityGW(t)
	bucket := gw.NewBucket(t)
	p := faults.Start(t, faults.Target{URL: gw.URL, Region: gw.Region, AccessKey: gw.AccessKey, SecretKey: gw.SecretKey})
	c := client(p.URL, gw.AccessKey, gw.SecretKey)
	for _, key := range []string{"plain", "a b+c", "ü/%41", "dir/x;y=1&z"} {
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(key)}); err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		b, err := io.ReadAll(out.Body)
		out.Body.Close()
		if err != nil || string(b) != key {
			t.Errorf("get %q: %q, %v", key, b, err)
		}
	}
	if _, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("a b")}); err != nil {
		t.Errorf("list: %v", err)
	}
	want := map[s3op.Operation]int{s3op.PutObject: 4, s3op.GetObject: 4, s3op.ListObjects: 1}
	if diff := cmp.Diff(want, p.Counts()); diff != "" || p.KeyCount(s3op.PutObject, "a b+c") != 1 {
		t.Errorf("counts:\n%s", diff)
	}
}

func TestCorruptAtRest(t *testing.T) {
	c, p, behind := start(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Key: "bad", Fault: faults.Fault{CorruptAtRest: true}})
	for _, key := range []string{"good", "bad"} {
		out, err := put(t, c, key, "content")
		if err != nil || *out.ETag != md5Of("content") {
			t.Fatalf("put %s: %+v, %v", key, out, err)
		}
	}
	if got, err := get(t, behind, "good"); got != "content" {
		t.Errorf("good: %q, %v", got, err)
	}
	if got, err := get(t, behind, "bad"); err != nil || got == "content" || len(got) != len("content") {
		t.Errorf("bad: %q, %v", got, err)
	}
}

func TestCorruptOnWire(t *testing.T) {
	c, p, behind := start(t)
	p.Add(faults.Rule{Key: "bad", Times: 1, Fault: faults.Fault{CorruptOnWire: true}})
	if out, err := put(t, c, "bad", "content"); err != nil || *out.ETag == md5Of("content") {
		t.Fatalf("the server saw what was sent: %+v, %v", out, err)
	}
	if got, _ := get(t, behind, "bad"); got == "content" {
		t.Error("the content arrived whole")
	}
	if out, err := put(t, c, "bad", "content"); err != nil || *out.ETag != md5Of("content") {
		t.Fatalf("the rule held more than once: %+v, %v", out, err)
	}
}

func TestLose(t *testing.T) {
	c, p, behind := start(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject, s3op.CompleteMultipartUpload}, Key: "gone", Fault: faults.Fault{Lose: true}})
	if out, err := put(t, c, "gone", "content"); err != nil || *out.ETag != md5Of("content") {
		t.Fatalf("put: %+v, %v", out, err)
	}
	if _, err := get(t, behind, "gone"); codeOf(err) != "NoSuchKey" {
		t.Errorf("get: %v, want NoSuchKey", err)
	}
}

func TestAnswerResetAndDrop(t *testing.T) {
	c, p, behind := start(t)
	p.Add(faults.Rule{Key: "slow", Fault: faults.Fault{Status: 503, Code: "SlowDown", Header: http.Header{"Retry-After": {"1"}}}})
	p.Add(faults.Rule{Key: "reset", Fault: faults.Fault{Reset: true}})
	p.Add(faults.Rule{Match: func(k string) bool { return strings.HasPrefix(k, "drop") }, Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{DropAnswer: true}})
	if _, err := put(t, c, "slow", "x"); codeOf(err) != "SlowDown" {
		t.Errorf("slow: %v", err)
	}
	for _, key := range []string{"reset", "drop"} {
		if _, err := put(t, c, key, "x"); err == nil || codeOf(err) == "SlowDown" {
			t.Errorf("%s: %v, want a broken connection", key, err)
		}
	}
	if _, err := get(t, behind, "reset"); codeOf(err) != "NoSuchKey" {
		t.Errorf("reset was forwarded: %v", err)
	}
	if got, err := get(t, behind, "drop"); got != "x" {
		t.Errorf("drop was not forwarded: %q, %v", got, err)
	}
	p.Clear()
	if _, err := put(t, c, "slow", "x"); err != nil {
		t.Errorf("after Clear: %v", err)
	}
}

func TestCuts(t *testing.T) {
	c, p, behind := start(t)
	body := strings.Repeat("0123456789", 50_000)
	if _, err := put(t, c, "object", body); err != nil {
		t.Fatal(err)
	}
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Fault: faults.Fault{CutResponse: 100_000}})
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{CutRequest: 100_000}})
	if got, err := get(t, c, "object"); err == nil || len(got) > 100_000 {
		t.Errorf("cut answer: %d bytes, %v", len(got), err)
	}
	if _, err := put(t, c, "other", body); err == nil {
		t.Error("cut request succeeded")
	}
	if _, err := get(t, behind, "other"); codeOf(err) != "NoSuchKey" {
		t.Errorf("a cut request made an object: %v", err)
	}
}

func TestBandwidthAndLatency(t *testing.T) {
	c, p, _ := start(t)
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Bandwidth: 64 << 10}})
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Fault: faults.Fault{Latency: 200 * time.Millisecond}})
	begin := time.Now()
	if _, err := put(t, c, "k", string(bytes.Repeat([]byte("x"), 48<<10))); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 400*time.Millisecond { // 48 KiB at 64 KiB/s, 16 KiB of them at once
		t.Errorf("put took %v", d)
	}
	begin = time.Now()
	if _, err := get(t, c, "k"); err != nil || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("get took %v, %v", time.Since(begin), err)
	}
}

func TestWait(t *testing.T) {
	c, p, _ := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	arrived := make(chan error, 1)
	go func() { arrived <- p.Wait(ctx, s3op.PutObject, 3) }()
	for i := range 3 {
		if _, err := put(t, c, fmt.Sprint(i), "12345"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-arrived; err != nil {
		t.Error(err)
	}
	if err := p.WaitBody(ctx, 15); err != nil || p.BodyBytes() != 15 {
		t.Errorf("%d bytes, %v", p.BodyBytes(), err)
	}
	over, stop := context.WithCancel(ctx)
	stop()
	if err := p.Wait(over, s3op.PutObject, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("wait for what never comes: %v", err)
	}
}
