package bos_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/baidubce/bce-sdk-go/auth"
	"github.com/baidubce/bce-sdk-go/bce"
	"github.com/baidubce/bce-sdk-go/services/bos"
	"github.com/baidubce/bce-sdk-go/services/bos/api"

	fake "github.com/bucketbrigade/brigade/test/fakes/bos"
)

const bucketName = "vendor"

// vendor starts a server with a bucket and gives the vendor's own client of it.
func vendor(t *testing.T) (*fake.Server, *bos.Client) {
	t.Helper()
	server, opts, at := fake.Start(t)
	server.NewBucket(bucketName)
	return server, clientOf(t, at, opts.AccessKey, opts.SecretKey)
}

func clientOf(t *testing.T, at, key, secret string) *bos.Client {
	t.Helper()
	cfg := bos.NewBosClientConfig(key, secret, at)
	client, err := bos.NewClientWithConfig(cfg)
	must(t, "client", err)
	client.Config.Retry = bce.NewNoRetryPolicy()
	return client
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
	var e *bce.BceServiceError
	if !errors.As(err, &e) || e.Code != code || e.RequestId == "" {
		t.Errorf("%s: %v, want %s with a request ID", what, err, code)
	}
}

func bodyOf(t *testing.T, text string) *bce.Body {
	t.Helper()
	b, err := bce.NewBodyFromString(text)
	must(t, "body", err)
	return b
}

func get(t *testing.T, c *bos.Client, key string, ranges ...int64) string {
	t.Helper()
	r, err := c.GetObject(bucketName, key, nil, ranges...)
	must(t, "get "+key, err)
	defer func() { _ = r.Body.Close() }()
	data, err := io.ReadAll(r.Body)
	must(t, "read "+key, err)
	return string(data)
}

func TestVendorsSDKObjects(t *testing.T) {
	_, c := vendor(t)
	const key = "dir/a 中+&%.txt"
	etag, res, err := c.PutObjectWithCallback(bucketName, key, bodyOf(t, "hello wire"), &api.PutObjectArgs{
		UserMeta: map[string]string{"who": "me"}, ContentType: "text/plain", StorageClass: api.STORAGE_CLASS_STANDARD_IA, CacheControl: "no-cache",
	})
	must(t, "put", err)
	if etag != "3eeebf6b04a9821afe3b68830b7038f9" || res.ContentCrc64ECMA == "" {
		t.Errorf("put: ETag %s, %+v", etag, res)
	}
	if got := get(t, c, key); got != "hello wire" {
		t.Errorf("got %q", got)
	}
	if got := get(t, c, key, 6, 8); got != "wir" {
		t.Errorf("range: %q", got)
	}
	meta, err := c.GetObjectMeta(bucketName, key)
	must(t, "head", err)
	if meta.UserMeta["Who"] != "me" || meta.ContentType != "text/plain" || meta.StorageClass != "STANDARD_IA" || meta.CacheControl != "no-cache" ||
		meta.ContentLength != 10 || meta.ContentCrc64ECMA == "" || meta.ContentMD5 == "" || meta.Expires == "" {
		t.Errorf("head: %+v", meta)
	}
	_, err = c.PutObject(bucketName, key, bodyOf(t, "x"), &api.PutObjectArgs{IfNoneMatch: "*"})
	wantCode(t, "put where something is", err, "PreconditionFailed")
	_, err = c.PutObject(bucketName, key, bodyOf(t, "x"), &api.PutObjectArgs{IfMatch: "00000000000000000000000000000000"})
	wantCode(t, "put over another version", err, "PreconditionFailed")
	_, err = c.PutObject(bucketName, "k", bodyOf(t, "x"), &api.PutObjectArgs{ContentMD5: "1B2M2Y8AsgTpgAmY7PhCfg=="})
	wantCode(t, "wrong MD5", err, "BadDigest")
	_, err = c.PutObject(bucketName, "k", bodyOf(t, "x"), &api.PutObjectArgs{ContentCrc32: "1"})
	wantCode(t, "wrong CRC32", err, "BadDigest")
	_, err = c.PutObject(bucketName, "k", bodyOf(t, "x"), &api.PutObjectArgs{UserMeta: map[string]string{"long": strings.Repeat("l", 2049)}})
	wantCode(t, "too much metadata", err, "MetadataTooLarge")
	_, err = c.GetObjectWithArgs(t.Context(), bucketName, key, &api.GetObjectArgs{IfMatch: "00000000000000000000000000000000"})
	wantCode(t, "get of another version", err, "PreconditionFailed")
	_, err = c.BasicGetObject(bucketName, "missing")
	wantCode(t, "get of nothing", err, "NoSuchKey")

	_, err = c.CopyObject(bucketName, "copy", bucketName, key, &api.CopyObjectArgs{IfMatch: etag})
	must(t, "copy", err)
	if got := get(t, c, "copy"); got != "hello wire" {
		t.Errorf("copy: %q", got)
	}
	_, err = c.CopyObject(bucketName, "copy", bucketName, key, &api.CopyObjectArgs{IfMatch: "00000000000000000000000000000000"})
	wantCode(t, "copy of another version", err, "PreconditionFailed")
	must(t, "delete", c.DeleteObject(bucketName, "copy"))
	wantCode(t, "delete again", c.DeleteObject(bucketName, "copy"), "NoSuchKey")
	_, err = c.DeleteMultipleObjectsFromKeyList(bucketName, []string{key})
	if err != nil && err != io.EOF {
		t.Errorf("delete many: %v", err)
	}
}

func TestVendorsSDKListings(t *testing.T) {
	_, c := vendor(t)
	var want, got []string
	for _, key := range []string{"a b", "a+b", "dir/1", "dir/2", "é", "z"} {
		_, err := c.PutObjectFromString(bucketName, key, key, nil)
		must(t, "put", err)
		want = append(want, key)
	}
	slices.Sort(want)
	for marker, more := "", true; more; {
		page, err := c.ListObjects(bucketName, &api.ListObjectsArgs{MaxKeys: 2, Marker: marker})
		must(t, "list", err)
		for _, o := range page.Contents {
			got = append(got, o.Key)
			if o.Size != len(o.Key) || o.ETag == "" || o.LastModified == "" || o.StorageClass != "STANDARD" {
				t.Errorf("%+v", o)
			}
		}
		marker, more = page.NextMarker, page.IsTruncated
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	page, err := c.ListObjects(bucketName, &api.ListObjectsArgs{Prefix: "dir/", Marker: "dir/1"})
	if err != nil || len(page.Contents) != 1 || page.Contents[0].Key != "dir/2" {
		t.Errorf("behind a marker: %+v, %v", page, err)
	}
}

func TestVendorsSDKMultipart(t *testing.T) {
	_, c := vendor(t)
	part := bytes.Repeat([]byte("0123456789"), 11<<10)
	up, err := c.InitiateMultipartUpload(bucketName, "big", "text/x", &api.InitiateMultipartUploadArgs{StorageClass: "COLD", ObjectTagging: "color=blue"})
	must(t, "initiate", err)
	var parts []api.UploadInfoType
	for n := range 2 {
		etag, err := c.UploadPartFromBytes(bucketName, "big", up.UploadId, n+1, part, nil)
		must(t, "upload part", err)
		parts = append(parts, api.UploadInfoType{PartNumber: n + 1, ETag: etag})
	}
	_, err = c.PutObjectFromBytes(bucketName, "source", part, nil)
	must(t, "put source", err)
	p, err := c.UploadPartCopy(bucketName, "big", bucketName, "source", up.UploadId, 3, &api.UploadPartCopyArgs{SourceRange: "bytes=10-24"})
	must(t, "copy part", err)
	parts = append(parts, api.UploadInfoType{PartNumber: 3, ETag: p.ETag})
	held, err := c.BasicListParts(bucketName, "big", up.UploadId)
	if err != nil || len(held.Parts) != 3 || held.Parts[2].Size != 15 {
		t.Errorf("parts: %+v, %v", held, err)
	}
	open, err := c.ListMultipartUploads(bucketName, &api.ListMultipartUploadsArgs{Prefix: "bi"})
	if err != nil || len(open.Uploads) != 1 || open.Uploads[0].UploadId != up.UploadId {
		t.Errorf("uploads: %+v, %v", open, err)
	}
	done, err := c.CompleteMultipartUploadFromStruct(bucketName, "big", up.UploadId, &api.CompleteMultipartUploadArgs{Parts: parts, UserMeta: map[string]string{"k": "v"}})
	must(t, "complete", err)
	if !strings.HasPrefix(done.ETag, "-") || done.ContentCrc64ECMA == "" {
		t.Errorf("complete: %+v", done)
	}
	if got := get(t, c, "big"); got != string(part)+string(part)+string(part[10:25]) {
		t.Errorf("%d bytes", len(got))
	}
	meta, err := c.GetObjectMeta(bucketName, "big")
	if err != nil || meta.UserMeta["K"] != "v" || meta.StorageClass != "COLD" || meta.ContentType != "text/x" {
		t.Errorf("head: %+v, %v", meta, err)
	}
	tags, err := c.GetObjectTag(bucketName, "big")
	if err != nil || tags["color"] != "blue" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	_, err = c.CompleteMultipartUploadFromStruct(bucketName, "big", up.UploadId, &api.CompleteMultipartUploadArgs{Parts: parts})
	wantCode(t, "complete again", err, "NoSuchUpload")
	smallParts(t, c)
}

// smallParts: a part under 100 KiB that is not the last, parts in a wrong order, a part that is not there, and an object that is.
func smallParts(t *testing.T, c *bos.Client) {
	t.Helper()
	up, err := c.BasicInitiateMultipartUpload(bucketName, "small")
	must(t, "initiate", err)
	var parts []api.UploadInfoType
	for n := range 2 {
		etag, err := c.UploadPartFromBytes(bucketName, "small", up.UploadId, n+1, []byte("tiny"), nil)
		must(t, "upload part", err)
		parts = append(parts, api.UploadInfoType{PartNumber: n + 1, ETag: etag})
	}
	refused := func(code string, args api.CompleteMultipartUploadArgs) {
		t.Helper()
		_, err := c.CompleteMultipartUploadFromStruct(bucketName, "small", up.UploadId, &args)
		wantCode(t, "complete", err, code)
	}
	refused("EntityTooSmall", api.CompleteMultipartUploadArgs{Parts: parts})
	refused("InvalidPart", api.CompleteMultipartUploadArgs{Parts: []api.UploadInfoType{{PartNumber: 9, ETag: parts[0].ETag}}})
	refused("InappropriateJSON", api.CompleteMultipartUploadArgs{})
	refused("PreconditionFailed", api.CompleteMultipartUploadArgs{Parts: parts[:1], IfMatch: "00000000000000000000000000000000"})
	parts[1].ETag, err = c.UploadPartFromBytes(bucketName, "small", up.UploadId, 2, bytes.Repeat([]byte("x"), 100<<10), nil)
	must(t, "upload part", err)
	refused("InvalidPartOrder", api.CompleteMultipartUploadArgs{Parts: []api.UploadInfoType{parts[1], parts[0]}})
	must(t, "abort", c.AbortMultipartUpload(bucketName, "small", up.UploadId))
	wantCode(t, "abort again", c.AbortMultipartUpload(bucketName, "small", up.UploadId), "NoSuchUpload")
}

func TestVendorsSDKAppendsAndLinks(t *testing.T) {
	_, c := vendor(t)
	first, err := c.AppendObject(bucketName, "log", bodyOf(t, "one "), nil)
	must(t, "append", err)
	_, err = c.AppendObject(bucketName, "log", bodyOf(t, "two"), &api.AppendObjectArgs{Offset: first.NextAppendOffset})
	must(t, "append", err)
	if got := get(t, c, "log"); got != "one two" {
		t.Errorf("appended: %q", got)
	}
	_, err = c.AppendObject(bucketName, "log", bodyOf(t, "x"), &api.AppendObjectArgs{Offset: 1})
	wantCode(t, "append elsewhere", err, "OffsetIncorrect")
	_, err = c.AppendObject(bucketName, "missing", bodyOf(t, "x"), &api.AppendObjectArgs{Offset: 1})
	wantCode(t, "append to nothing", err, "NoSuchKey")
	must(t, "link", c.PutSymlink(bucketName, "log", "link", nil))
	if got := get(t, c, "link"); got != "one two" {
		t.Errorf("through the link: %q", got)
	}
	_, err = c.AppendObject(bucketName, "link", bodyOf(t, "x"), &api.AppendObjectArgs{Offset: 3})
	wantCode(t, "append to a link", err, "ObjectUnappendable")
	to, err := c.GetSymlink(bucketName, "link")
	if err != nil || to != "log" {
		t.Errorf("link: %q, %v", to, err)
	}
	must(t, "delete", c.DeleteObject(bucketName, "log"))
	_, err = c.BasicGetObject(bucketName, "link")
	wantCode(t, "get of a dangling link", err, "SymlinkTargetNotExist")
}

func TestVendorsSDKArchive(t *testing.T) {
	server, c := vendor(t)
	_, err := c.PutObjectFromString(bucketName, "cold", "x", &api.PutObjectArgs{StorageClass: api.STORAGE_CLASS_ARCHIVE})
	must(t, "put", err)
	_, err = c.BasicGetObject(bucketName, "cold")
	wantCode(t, "get", err, "InvalidObjectState")
	must(t, "restore", c.RestoreObject(bucketName, "cold", 3, api.RESTORE_TIER_STANDARD))
	wantCode(t, "restore again", c.RestoreObject(bucketName, "cold", 3, api.RESTORE_TIER_STANDARD), "RestoreAlreadyInProgress")
	meta, err := c.GetObjectMeta(bucketName, "cold")
	if err != nil || meta.BceRestore != `ongoing-request="true"` {
		t.Errorf("head: %q, %v", meta.BceRestore, err)
	}
	server.FinishRestore(bucketName, "cold")
	if got := get(t, c, "cold"); got != "x" {
		t.Errorf("restored: %q", got)
	}
}

func TestVendorsSDKTagsAndAccess(t *testing.T) {
	_, c := vendor(t)
	_, err := c.PutObjectFromString(bucketName, "k", "x", &api.PutObjectArgs{CannedAcl: "public-read", ObjectTagging: "a=b c&d=e", Encryption: api.SSEHeaders{ServerSideEncryption: "AES256"}})
	must(t, "put", err)
	tags, err := c.GetObjectTag(bucketName, "k")
	if err != nil || fmt.Sprint(tags) != "map[a:b c d:e]" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	must(t, "put tags", c.PutObjectTag(bucketName, "k", &api.PutObjectTagArgs{ObjectTags: []api.ObjectTags{{TagInfo: []api.ObjectTag{{Key: "x", Value: "y"}}}}}))
	if tags, err = c.GetObjectTag(bucketName, "k"); err != nil || fmt.Sprint(tags) != "map[x:y]" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	must(t, "delete tags", c.DeleteObjectTag(bucketName, "k"))
	if tags, err = c.GetObjectTag(bucketName, "k"); err != nil || len(tags) != 0 {
		t.Errorf("tags: %v, %v", tags, err)
	}
	acl, err := c.GetObjectAcl(bucketName, "k")
	if err != nil || len(acl.AccessControlList) != 2 || acl.AccessControlList[1].Grantee[0].Id != "*" {
		t.Errorf("access: %+v, %v", acl, err)
	}
	must(t, "access", c.PutObjectAclFromCanned(bucketName, "k", "private"))
	if acl, err = c.GetObjectAcl(bucketName, "k"); err != nil || len(acl.AccessControlList) != 1 {
		t.Errorf("access: %+v, %v", acl, err)
	}
	meta, err := c.GetObjectMeta(bucketName, "k")
	if err != nil || meta.Encryption.ServerSideEncryption != "AES256" {
		t.Errorf("head: %+v, %v", meta, err)
	}
}

func TestVendorsSDKSignedURLs(t *testing.T) {
	_, c := vendor(t)
	_, err := c.PutObjectFromString(bucketName, "a b", "content", nil)
	must(t, "put", err)
	url := c.BasicGeneratePresignedUrl(bucketName, "a b", 60)
	for at, want := range map[string]int{url: 200, strings.Replace(url, "a%20b", "a%20c", 1): 403, strings.Replace(url, "%2F60%2F", "%2F61%2F", 1): 403} {
		resp, err := http.Get(at)
		must(t, "get", err)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", at, resp.Status, want)
		}
	}
}

func TestVendorsSDKRefused(t *testing.T) {
	server, opts, at := fake.Start(t)
	server.NewBucket(bucketName)
	server.NewBucketIn("far-away", "gz")
	try := func(key, secret, token, bucket string) error {
		c := clientOf(t, at, key, secret)
		if token != "" {
			creds, err := auth.NewSessionBceCredentials(key, secret, token)
			must(t, "credentials", err)
			c.Config.Credentials = creds
		}
		_, err := c.PutObjectFromString(bucket, "k", "x", nil)
		return err
	}
	for i, c := range []struct {
		err  error
		code string
	}{
		{try(opts.AccessKey, "wrong", "", bucketName), "SignatureDoesNotMatch"},
		{try("wrong", opts.SecretKey, "", bucketName), "InvalidAccessKeyId"},
		{try(opts.AccessKey, opts.SecretKey, "", "missing"), "NoSuchBucket"},
		{try(opts.AccessKey, opts.SecretKey, "", "far-away"), "NoSuchBucket"},
		{try(opts.AccessKey, opts.SecretKey, fake.ExpiredToken, bucketName), "InvalidSessionToken"},
	} {
		wantCode(t, fmt.Sprint("row ", i), c.err, c.code)
	}
}
