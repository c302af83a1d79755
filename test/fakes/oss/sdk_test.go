package oss_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"

	fake "github.com/bucketbrigade/brigade/test/fakes/oss"
)

// vendors gives the vendor's own client of a bucket, once for each way to sign.
func vendors(t *testing.T, do func(t *testing.T, s *fake.Server, b *oss.Bucket)) {
	t.Helper()
	for name, version := range map[string]oss.AuthVersionType{"V1": oss.AuthV1, "V4": oss.AuthV4} {
		t.Run(name, func(t *testing.T) {
			server, opts, url := fake.Start(t)
			server.NewBucket("vendor")
			client, err := oss.New(url, opts.AccessKey, opts.SecretKey, oss.AuthVersion(version), oss.Region(opts.Region))
			if err != nil {
				t.Fatal(err)
			}
			b, err := client.Bucket("vendor")
			if err != nil {
				t.Fatal(err)
			}
			do(t, server, b)
		})
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wantCode fails unless an error is the service's of a code.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e oss.ServiceError
	if !errors.As(err, &e) || e.Code != code || e.RequestID == "" || e.Ec == "" {
		t.Errorf("%s: %v, want %s with request ID and EC", what, err, code)
	}
}

func get(t *testing.T, b *oss.Bucket, key string, opts ...oss.Option) string {
	t.Helper()
	r, err := b.GetObject(key, opts...)
	must(t, "get "+key, err)
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	must(t, "read "+key, err) // the SDK checks the CRC64 here
	return string(data)
}

func TestVendorsSDKObjects(t *testing.T) {
	vendors(t, func(t *testing.T, _ *fake.Server, b *oss.Bucket) {
		const key = "dir/a 中+&%.txt"
		must(t, "put", b.PutObject(key, strings.NewReader("hello wire"), oss.Meta("who", "me"), oss.ContentType("text/plain"), oss.ObjectStorageClass(oss.StorageIA)))
		if got := get(t, b, key); got != "hello wire" {
			t.Errorf("got %q", got)
		}
		if got := get(t, b, key, oss.Range(6, 8)); got != "wir" {
			t.Errorf("range: %q", got)
		}
		h, err := b.GetObjectDetailedMeta(key)
		must(t, "head", err)
		if h.Get("X-Oss-Meta-Who") != "me" || h.Get("Content-Type") != "text/plain" || h.Get("X-Oss-Storage-Class") != "IA" || h.Get("X-Oss-Hash-Crc64ecma") == "" {
			t.Errorf("head: %v", h)
		}
		wantCode(t, "put again", b.PutObject(key, strings.NewReader("x"), oss.ForbidOverWrite(true)), "FileAlreadyExists")
		_, err = b.GetObject(key, oss.IfMatch(`"00000000000000000000000000000000"`))
		wantCode(t, "get of another version", err, "PreconditionFailed")
		_, err = b.GetObject("missing")
		wantCode(t, "get of nothing", err, "NoSuchKey")
		wantCode(t, "wrong MD5", b.PutObject("k", strings.NewReader("x"), oss.ContentMD5("1B2M2Y8AsgTpgAmY7PhCfg==")), "InvalidDigest")

		_, err = b.CopyObject(key, "copy", oss.CopySourceIfMatch(h.Get("Etag")))
		must(t, "copy", err)
		if got := get(t, b, "copy"); got != "hello wire" {
			t.Errorf("copy: %q", got)
		}
		must(t, "delete", b.DeleteObject("copy"))
		there, err := b.IsObjectExist("copy")
		if err != nil || there {
			t.Errorf("after delete: %v, %v", there, err)
		}
		deleted, err := b.DeleteObjects([]string{key})
		if err != nil || !slices.Equal(deleted.DeletedObjects, []string{key}) {
			t.Errorf("delete many: %v, %v", deleted, err)
		}
	})
}

func TestVendorsSDKListings(t *testing.T) {
	vendors(t, func(t *testing.T, _ *fake.Server, b *oss.Bucket) {
		var want []string
		for _, key := range []string{"a b", "a+b", "dir/1", "dir/2", "é", "z"} {
			must(t, "put", b.PutObject(key, strings.NewReader(key)))
			want = append(want, key)
		}
		for name, list := range map[string]func() ([]string, error){
			"v2": func() (keys []string, err error) {
				var token string
				for {
					page, err := b.ListObjectsV2(oss.MaxKeys(2), oss.ContinuationToken(token))
					if err != nil {
						return nil, err
					}
					for _, o := range page.Objects {
						keys = append(keys, o.Key)
					}
					if token = page.NextContinuationToken; !page.IsTruncated {
						return keys, nil
					}
				}
			},
			"v1": func() (keys []string, err error) {
				var marker string
				for {
					page, err := b.ListObjects(oss.MaxKeys(2), oss.Marker(marker))
					if err != nil {
						return nil, err
					}
					for _, o := range page.Objects {
						keys = append(keys, o.Key)
					}
					if marker = page.NextMarker; !page.IsTruncated {
						return keys, nil
					}
				}
			},
		} {
			keys, err := list()
			slices.Sort(want)
			if err != nil || !slices.Equal(keys, want) {
				t.Errorf("%s: %q, %v; want %q", name, keys, err, want)
			}
		}
		page, err := b.ListObjectsV2(oss.Prefix("dir/"), oss.StartAfter("dir/1"))
		if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "dir/2" || page.Objects[0].Type != "Normal" {
			t.Errorf("start-after: %+v, %v", page.Objects, err)
		}
	})
}

func TestVendorsSDKMultipart(t *testing.T) {
	vendors(t, func(t *testing.T, _ *fake.Server, b *oss.Bucket) {
		part := bytes.Repeat([]byte("0123456789"), 11<<10)
		up, err := b.InitiateMultipartUpload("big", oss.Meta("k", "v"))
		must(t, "initiate", err)
		var parts []oss.UploadPart
		for n := range 2 {
			p, err := b.UploadPart(up, bytes.NewReader(part), int64(len(part)), n+1)
			must(t, "upload part", err)
			parts = append(parts, p)
		}
		must(t, "put source", b.PutObject("source", bytes.NewReader(part)))
		p, err := b.UploadPartCopy(up, "vendor", "source", 10, 15, 3)
		must(t, "copy part", err)
		parts = append(parts, p)

		held, err := b.ListUploadedParts(up)
		if err != nil || len(held.UploadedParts) != 3 || held.UploadedParts[2].Size != 15 {
			t.Errorf("parts: %+v, %v", held, err)
		}
		open, err := b.ListMultipartUploads(oss.Prefix("bi"))
		if err != nil || len(open.Uploads) != 1 || open.Uploads[0].UploadID != up.UploadID {
			t.Errorf("uploads: %+v, %v", open, err)
		}
		_, err = b.CompleteMultipartUpload(up, parts)
		must(t, "complete", err)
		if got := get(t, b, "big"); got != string(part)+string(part)+string(part[10:25]) {
			t.Errorf("%d bytes", len(got))
		}
		_, err = b.CompleteMultipartUpload(up, parts)
		wantCode(t, "complete again", err, "NoSuchUpload")
		up, err = b.InitiateMultipartUpload("big")
		must(t, "initiate", err)
		must(t, "abort", b.AbortMultipartUpload(up))
		wantCode(t, "abort again", b.AbortMultipartUpload(up), "NoSuchUpload")
	})
}

func TestVendorsSDKOtherKinds(t *testing.T) {
	vendors(t, func(t *testing.T, _ *fake.Server, b *oss.Bucket) {
		next, err := b.AppendObject("log", strings.NewReader("one "), 0)
		must(t, "append", err)
		_, err = b.AppendObject("log", strings.NewReader("two"), next)
		must(t, "append", err)
		if got := get(t, b, "log"); got != "one two" {
			t.Errorf("appended: %q", got)
		}
		_, err = b.AppendObject("log", strings.NewReader("x"), 1)
		wantCode(t, "append elsewhere", err, "PositionNotEqualToLength")
		must(t, "symlink", b.PutSymlink("link", "log"))
		if got := get(t, b, "link"); got != "one two" {
			t.Errorf("through the link: %q", got)
		}
		h, err := b.GetSymlink("link")
		if err != nil || h.Get(oss.HTTPHeaderOssSymlinkTarget) != "log" {
			t.Errorf("link: %v, %v", h, err)
		}
		must(t, "delete", b.DeleteObject("log"))
		_, err = b.GetObject("link")
		wantCode(t, "get of a dangling link", err, "SymlinkTargetNotExist")
		must(t, "put archived", b.PutObject("cold", strings.NewReader("x"), oss.ObjectStorageClass(oss.StorageArchive)))
		_, err = b.GetObject("cold")
		wantCode(t, "get of an archived object", err, "InvalidObjectState")
	})
}

func TestVendorsSDKSignedURLs(t *testing.T) {
	vendors(t, func(t *testing.T, _ *fake.Server, b *oss.Bucket) {
		must(t, "put", b.PutObject("a b", strings.NewReader("content")))
		url, err := b.SignURL("a b", oss.HTTPGet, 60)
		must(t, "sign", err)
		for at, want := range map[string]int{url: 200, strings.Replace(url, "a%20b", "a%20c", 1): 403, strings.Replace(url, "ignature=", "ignature=0", 1): 403} {
			resp, err := http.Get(at)
			must(t, "get", err)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %s, want %d", at, resp.Status, want)
			}
		}
	})
}

func TestVendorsSDKRefused(t *testing.T) {
	server, opts, url := fake.Start(t)
	server.NewBucket("vendor")
	server.NewBucketIn("far-away", "cn-shanghai")
	try := func(key, secret, bucket string, o ...oss.ClientOption) error {
		client, err := oss.New(url, key, secret, o...)
		must(t, "client", err)
		b, err := client.Bucket(bucket)
		must(t, "bucket", err)
		return b.PutObject("k", strings.NewReader("x"))
	}
	v4 := func(region string) []oss.ClientOption {
		return []oss.ClientOption{oss.AuthVersion(oss.AuthV4), oss.Region(region)}
	}
	for i, c := range []struct {
		err  error
		code string
	}{
		{try(opts.AccessKey, "wrong", "vendor"), "SignatureDoesNotMatch"},
		{try(opts.AccessKey, "wrong", "vendor", v4("cn-hangzhou")...), "SignatureDoesNotMatch"},
		{try("wrong", opts.SecretKey, "vendor"), "InvalidAccessKeyId"},
		{try(opts.AccessKey, opts.SecretKey, "missing"), "NoSuchBucket"},
		{try(opts.AccessKey, opts.SecretKey, "far-away"), "AccessDenied"},
		{try(opts.AccessKey, opts.SecretKey, "vendor", v4("cn-beijing")...), "InvalidArgument"},
		{try(opts.AccessKey, opts.SecretKey, "vendor", oss.SecurityToken(fake.ExpiredToken)), "SecurityTokenExpired"},
	} {
		wantCode(t, fmt.Sprint("row ", i), c.err, c.code)
	}
	if n := len(server.NewBucket("vendor").Uploads()); n != 0 {
		t.Errorf("%d uploads", n)
	}
}
