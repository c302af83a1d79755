package cos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"

	fake "github.com/bucketbrigade/brigade/test/fakes/cos"
)

const bucket = "vendor-1250000000"

// client gives the vendor's own client of a bucket, reached as the vendor's own hosts are; every connection goes to addr.
func client(t *testing.T, name, region, addr, id, secret, token string) *cos.Client {
	t.Helper()
	at, err := cos.NewBucketURL(name, region, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c := cos.NewClient(&cos.BaseURL{BucketURL: at}, &http.Client{Transport: &cos.AuthorizationTransport{
		SecretID: id, SecretKey: secret, SessionToken: token, Transport: transport,
	}})
	c.Conf.RetryOpt.Count = 1
	return c
}

// vendor starts a server and gives the vendor's client of a bucket there.
func vendor(t *testing.T, kind fake.Kind) (*fake.Server, *cos.Client) {
	t.Helper()
	server, opts, at := fake.Start(t)
	server.NewBucketOf(bucket, kind)
	return server, client(t, bucket, opts.Region, strings.TrimPrefix(at, "http://"), opts.AccessKey, opts.SecretKey, "")
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wantCode fails unless an error is the service's of a code, with request ID.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e *cos.ErrorResponse
	if !errors.As(err, &e) || e.Code != code || e.RequestID == "" || e.TraceID == "" {
		t.Errorf("%s: %v, want %s with request ID and trace ID", what, err, code)
	}
}

func get(t *testing.T, c *cos.Client, key string, opt *cos.ObjectGetOptions) string {
	t.Helper()
	resp, err := c.Object.Get(t.Context(), key, opt)
	must(t, "get "+key, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(t, "read "+key, err)
	return string(data)
}

func put(t *testing.T, c *cos.Client, key, content string, opt *cos.ObjectPutOptions) {
	t.Helper()
	_, err := c.Object.Put(t.Context(), key, strings.NewReader(content), opt) // the SDK checks the CRC64
	must(t, "put "+key, err)
}

// source names an object as the source of a copy.
func source(key string) string { return bucket + ".cos.ap-guangzhou.myqcloud.com/" + key }

func TestVendorsSDKObjects(t *testing.T) {
	_, c := vendor(t, fake.Kind{})
	const key = "dir/a 中+&%.txt"
	put(t, c, key, "hello wire", &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
		ContentType: "text/plain", XCosMetaXXX: &http.Header{"X-Cos-Meta-Who": {"me"}}, XCosStorageClass: "STANDARD_IA", XCosServerSideEncryption: "AES256",
	}})
	if got := get(t, c, key, nil); got != "hello wire" {
		t.Errorf("got %q", got)
	}
	if got := get(t, c, key, &cos.ObjectGetOptions{Range: "bytes=6-8"}); got != "wir" {
		t.Errorf("range: %q", got)
	}
	resp, err := c.Object.Head(t.Context(), key, nil)
	must(t, "head", err)
	for name, want := range map[string]string{
		"X-Cos-Meta-Who": "me", "Content-Type": "text/plain", "X-Cos-Storage-Class": "STANDARD_IA", "X-Cos-Server-Side-Encryption": "AES256",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("head: %s is %q, want %q", name, got, want)
		}
	}
	_, err = c.Object.Get(t.Context(), "missing", nil)
	wantCode(t, "get of nothing", err, "NoSuchKey")
	_, err = c.Object.Get(t.Context(), key, &cos.ObjectGetOptions{XOptionHeader: &http.Header{"If-Match": {`"00"`}}})
	wantCode(t, "get of another version", err, "PreconditionFailed")
	_, err = c.Object.Put(t.Context(), "k", strings.NewReader("x"), &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{ContentMD5: "1B2M2Y8AsgTpgAmY7PhCfg=="}})
	wantCode(t, "wrong MD5", err, "BadDigest")
	forbid := &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XOptionHeader: &http.Header{"X-Cos-Forbid-Overwrite": {"true"}}}}
	_, err = c.Object.Put(t.Context(), key, strings.NewReader("x"), forbid)
	wantCode(t, "put again", err, "FileAlreadyExists")
	put(t, c, "new", "x", forbid)

	_, err = c.Object.Delete(t.Context(), "new")
	must(t, "delete", err)
	if there, err := c.Object.IsExist(t.Context(), "new"); err != nil || there {
		t.Errorf("after delete: %v, %v", there, err)
	}
	deleted, _, err := c.Object.DeleteMulti(t.Context(), &cos.ObjectDeleteMultiOptions{Objects: []cos.Object{{Key: key}}})
	if err != nil || len(deleted.DeletedObjects) != 1 || deleted.DeletedObjects[0].Key != key {
		t.Errorf("delete many: %+v, %v", deleted, err)
	}
}

func TestVendorsSDKCopies(t *testing.T) {
	_, c := vendor(t, fake.Kind{})
	put(t, c, "a b+", "content", &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
		ContentType: "text/a", XCosStorageClass: "STANDARD_IA", XOptionHeader: &http.Header{"X-Cos-Tagging": {"color=r%C3%B6t"}},
	}})
	res, _, err := c.Object.Copy(t.Context(), "copy/1", source("a b+"), nil)
	must(t, "copy", err)
	if res.CRC64 == "" || res.ETag == "" {
		t.Errorf("copy: %+v", res)
	}
	resp, err := c.Object.Head(t.Context(), "copy/1", nil)
	must(t, "head", err)
	if resp.Header.Get("Content-Type") != "text/a" || resp.Header.Get("X-Cos-Storage-Class") != "" {
		t.Errorf("copied with %v", resp.Header)
	}
	tags, _, err := c.Object.GetTagging(t.Context(), "copy/1")
	if err != nil || len(tags.TagSet) != 1 || tags.TagSet[0].Value != "röt" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	_, _, err = c.Object.Copy(t.Context(), "copy/2", source("a b+"), &cos.ObjectCopyOptions{ObjectCopyHeaderOptions: &cos.ObjectCopyHeaderOptions{
		XCosMetadataDirective: "Replaced", ContentType: "text/b", XCosCopySourceIfMatch: res.ETag,
	}})
	must(t, "copy with other metadata", err)
	if resp, err := c.Object.Head(t.Context(), "copy/2", nil); err != nil || resp.Header.Get("Content-Type") != "text/b" {
		t.Errorf("copied with %v, %v", resp.Header, err)
	}
	_, _, err = c.Object.Copy(t.Context(), "copy/3", source("a b+"), &cos.ObjectCopyOptions{ObjectCopyHeaderOptions: &cos.ObjectCopyHeaderOptions{XCosCopySourceIfMatch: `"0"`}})
	wantCode(t, "copy of another version", err, "PreconditionFailed")
	_, _, err = c.Object.Copy(t.Context(), "copy/3", source("missing"), nil)
	wantCode(t, "copy of nothing", err, "NoSuchKey")
}

func TestVendorsSDKListings(t *testing.T) {
	_, c := vendor(t, fake.Kind{})
	want := []string{"a b", "a+b", "dir/1", "dir/2", "z", "é"}
	for _, key := range want {
		put(t, c, key, key, nil)
	}
	list := func(opt cos.BucketGetOptions) (keys, folders []string) {
		for {
			page, resp, err := c.Bucket.Get(t.Context(), &opt)
			must(t, "list", err)
			if resp.Header.Get("X-Cos-Bucket-Region") == "" || len(page.Contents)+len(page.CommonPrefixes) > opt.MaxKeys {
				t.Fatalf("page %+v", page)
			}
			for _, o := range page.Contents {
				key, err := cos.DecodeURIComponent(o.Key)
				must(t, "decode", err)
				keys = append(keys, key)
			}
			folders = append(folders, page.CommonPrefixes...)
			if !page.IsTruncated {
				return keys, folders
			}
			opt.Marker, err = cos.DecodeURIComponent(page.NextMarker)
			must(t, "decode", err)
		}
	}
	if keys, _ := list(cos.BucketGetOptions{MaxKeys: 2, EncodingType: "url"}); !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
	if keys, _ := list(cos.BucketGetOptions{MaxKeys: 1000, Prefix: "dir/", Marker: "dir/1"}); !slices.Equal(keys, want[3:4]) {
		t.Errorf("behind a marker: %q", keys)
	}
	keys, folders := list(cos.BucketGetOptions{MaxKeys: 3, Delimiter: "/", EncodingType: "url"})
	if !slices.Equal(keys, []string{"a b", "a+b", "z", "é"}) || !slices.Equal(folders, []string{"dir%2F"}) {
		t.Errorf("with a delimiter: %q, %q", keys, folders)
	}
}

func TestVendorsSDKMultipart(t *testing.T) {
	_, c := vendor(t, fake.Kind{})
	part := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	up, _, err := c.Object.InitiateMultipartUpload(t.Context(), "big", &cos.InitiateMultipartUploadOptions{
		ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosMetaXXX: &http.Header{"X-Cos-Meta-K": {"v"}}},
	})
	must(t, "initiate", err)
	opt := &cos.CompleteMultipartUploadOptions{}
	for n := 1; n <= 2; n++ {
		resp, err := c.Object.UploadPart(t.Context(), "big", up.UploadID, n, bytes.NewReader(part), nil)
		must(t, "upload part", err)
		opt.Parts = append(opt.Parts, cos.Object{PartNumber: n, ETag: resp.Header.Get("Etag")})
	}
	put(t, c, "source", string(part), nil)
	res, _, err := c.Object.CopyPart(t.Context(), "big", up.UploadID, 3, source("source"), &cos.ObjectCopyPartOptions{XCosCopySourceRange: "bytes=10-24"})
	must(t, "copy part", err)
	opt.Parts = append(opt.Parts, cos.Object{PartNumber: 3, ETag: res.ETag})

	held, _, err := c.Object.ListParts(t.Context(), "big", up.UploadID, &cos.ObjectListPartsOptions{MaxParts: "2"})
	if err != nil || len(held.Parts) != 2 || !held.IsTruncated || held.NextPartNumberMarker != "2" {
		t.Errorf("parts: %+v, %v", held, err)
	}
	open, _, err := c.Object.ListUploads(t.Context(), &cos.ObjectListUploadsOptions{Prefix: "bi"})
	if err != nil || len(open.Upload) != 1 || open.Upload[0].UploadID != up.UploadID {
		t.Errorf("uploads: %+v, %v", open, err)
	}
	_, resp, err := c.Object.CompleteMultipartUpload(t.Context(), "big", up.UploadID, opt)
	must(t, "complete", err)
	if resp.Header.Get("X-Cos-Hash-Crc64ecma") == "" {
		t.Error("no CRC64 of the whole")
	}
	if got := get(t, c, "big", nil); got != string(part)+string(part)+string(part[10:25]) {
		t.Errorf("%d bytes", len(got))
	}
	_, _, err = c.Object.CompleteMultipartUpload(t.Context(), "big", up.UploadID, opt)
	wantCode(t, "complete again", err, "NoSuchUpload")

	up, _, err = c.Object.InitiateMultipartUpload(t.Context(), "small", nil)
	must(t, "initiate", err)
	small := &cos.CompleteMultipartUploadOptions{}
	for n := 1; n <= 2; n++ {
		resp, err := c.Object.UploadPart(t.Context(), "small", up.UploadID, n, strings.NewReader("x"), nil)
		must(t, "upload part", err)
		small.Parts = append(small.Parts, cos.Object{PartNumber: n, ETag: resp.Header.Get("Etag")})
	}
	_, _, err = c.Object.CompleteMultipartUpload(t.Context(), "small", up.UploadID, small)
	wantCode(t, "complete of small parts", err, "EntityTooSmall")
	_, err = c.Object.AbortMultipartUpload(t.Context(), "small", up.UploadID)
	must(t, "abort", err)
	_, err = c.Object.AbortMultipartUpload(t.Context(), "small", up.UploadID)
	wantCode(t, "abort again", err, "NoSuchUpload")
}

func TestVendorsSDKDetails(t *testing.T) {
	server, c := vendor(t, fake.Kind{})
	put(t, c, "k", "content", nil)
	_, _, err := c.Object.GetTagging(t.Context(), "k")
	wantCode(t, "no tags", err, "NoSuchTagSet")
	_, err = c.Object.PutTagging(t.Context(), "k", &cos.ObjectPutTaggingOptions{TagSet: []cos.ObjectTaggingTag{{Key: "a", Value: "1 2"}}})
	must(t, "put tags", err)
	if tags, _, err := c.Object.GetTagging(t.Context(), "k"); err != nil || len(tags.TagSet) != 1 || tags.TagSet[0].Value != "1 2" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	for _, want := range []string{"default", "public-read", "private"} {
		_, err := c.Object.PutACL(t.Context(), "k", &cos.ObjectPutACLOptions{Header: &cos.ACLHeaderOptions{XCosACL: want}})
		must(t, "put ACL", err)
		acl, resp, err := c.Object.GetACL(t.Context(), "k")
		if err != nil || len(acl.AccessControlList) == 0 || resp.Header.Get("X-Cos-Acl") != want && want != "default" {
			t.Errorf("ACL %s: %+v, %v", want, acl, err)
		}
	}
	_, err = c.Object.PutSymlink(t.Context(), "link", &cos.ObjectPutSymlinkOptions{SymlinkTarget: "dir/k +"})
	must(t, "symlink", err)
	if to, _, err := c.Object.GetSymlink(t.Context(), "link", nil); err != nil || to != "dir%2Fk%20%2B" {
		t.Errorf("link leads to %q, %v", to, err)
	}

	put(t, c, "cold", "content", &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosStorageClass: "DEEP_ARCHIVE"}})
	_, err = c.Object.Get(t.Context(), "cold", nil)
	wantCode(t, "get of an archived object", err, "InvalidObjectState")
	order := func(tier string) error {
		_, err := c.Object.PostRestore(t.Context(), "cold", &cos.ObjectRestoreOptions{Days: 1, Tier: &cos.CASJobParameters{Tier: tier}})
		return err
	}
	wantCode(t, "a tier that the class does not have", order("Expedited"), "InvalidArgument")
	must(t, "restore", order("Bulk"))
	wantCode(t, "restore again", order("Bulk"), "RestoreAlreadyInProgress")
	if resp, err := c.Object.Head(t.Context(), "cold", nil); err != nil || resp.Header.Get("X-Cos-Restore") != `ongoing-request="true"` {
		t.Errorf("while restoring: %v, %v", resp.Header, err)
	}
	if !server.FinishRestore(bucket, "cold") || get(t, c, "cold", nil) != "content" {
		t.Error("not restored")
	}
}

func TestVendorsSDKKindsOfBuckets(t *testing.T) {
	class := func(name string) *cos.ObjectPutOptions {
		return &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
			XCosStorageClass: name, XOptionHeader: &http.Header{"X-Cos-Forbid-Overwrite": {"true"}},
		}}
	}
	_, c := vendor(t, fake.Kind{ManyZones: true, Versioned: true})
	for range 2 {
		put(t, c, "k", "x", class("MAZ_STANDARD_IA")) // versioning makes the condition void
	}
	_, err := c.Object.Put(t.Context(), "k", strings.NewReader("x"), class("STANDARD_IA"))
	wantCode(t, "class of one zone", err, "OAZOperationNotSupportOnMAZBucket")
	_, c = vendor(t, fake.Kind{})
	_, err = c.Object.Put(t.Context(), "k", strings.NewReader("x"), class("MAZ_STANDARD"))
	wantCode(t, "class of many zones", err, "MAZOperationNotSupportOnOAZBucket")
	_, err = c.Object.Put(t.Context(), "k", strings.NewReader("x"), class("GLACIER"))
	wantCode(t, "class of another vendor", err, "NotSupportedStorageClass")
	_, c = vendor(t, fake.Kind{Foreign: true})
	_, err = c.Object.Put(t.Context(), "k", strings.NewReader("x"), nil)
	wantCode(t, "bucket of another account", err, "AccessDenied")
}

func TestVendorsSDKSignedURLs(t *testing.T) {
	server, opts, at := fake.Start(t)
	server.NewBucket(bucket)
	addr := strings.TrimPrefix(at, "http://")
	c := client(t, bucket, opts.Region, addr, opts.AccessKey, opts.SecretKey, "")
	put(t, c, "a b", "content", nil)
	signed, err := c.Object.GetPresignedURL(t.Context(), http.MethodGet, "a b", opts.AccessKey, opts.SecretKey, time.Minute, nil)
	must(t, "sign", err)
	for change, want := range map[string]int{"": 200, "a%20b>a%20c": 403, "q-signature=>q-signature=0": 403, "q-header-list=host>q-header-list=": 403} {
		from, to, _ := strings.Cut(change, ">")
		u, err := url.Parse(strings.Replace(signed.String(), from, to, 1))
		must(t, "parse", err)
		req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
		u2 := *u
		u2.Host = addr
		req.URL = &u2
		resp, err := http.DefaultTransport.RoundTrip(req.WithContext(t.Context()))
		must(t, "get", err)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", change, resp.Status, want)
		}
	}
}

func TestVendorsSDKRefused(t *testing.T) {
	server, opts, at := fake.Start(t)
	server.NewBucket(bucket)
	addr := strings.TrimPrefix(at, "http://")
	try := func(name, region, id, secret, token string) error {
		_, err := client(t, name, region, addr, id, secret, token).Object.Put(t.Context(), "k", strings.NewReader("x"), nil)
		return err
	}
	for i, c := range []struct {
		err  error
		code string
	}{
		{try(bucket, opts.Region, opts.AccessKey, "wrong", ""), "SignatureDoesNotMatch"},
		{try(bucket, opts.Region, "wrong", opts.SecretKey, ""), "InvalidAccessKeyId"},
		{try(bucket, opts.Region, opts.AccessKey, opts.SecretKey, fake.ExpiredToken), "ExpiredToken"},
		{try(bucket, "ap-beijing", opts.AccessKey, opts.SecretKey, ""), "NoSuchBucket"},
		{try("missing-1250000000", opts.Region, opts.AccessKey, opts.SecretKey, ""), "NoSuchBucket"},
	} {
		wantCode(t, fmt.Sprint("row ", i), c.err, c.code)
	}
	if objects, _ := server.NewBucket(bucket).List("", "", 1); len(objects) != 0 {
		t.Errorf("stored %q", objects[0].Key)
	}
}
