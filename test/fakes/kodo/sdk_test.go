package kodo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qiniu/go-sdk/v7/auth"
	"github.com/qiniu/go-sdk/v7/client"
	"github.com/qiniu/go-sdk/v7/storage"

	fake "github.com/bucketbrigade/brigade/test/fakes/kodo"
)

const bucket = "vendor"

// vendor is the vendor's own client of a bucket.
type vendor struct {
	*storage.BucketManager
	mac        *auth.Credentials
	cfg        *storage.Config
	up, domain string
}

func newVendor(t *testing.T) (*fake.Server, *vendor) {
	t.Helper()
	server, opts, url := fake.Start(t)
	server.NewBucket(bucket)
	return server, vendorOf(opts.AccessKey, opts.SecretKey, url, server.StartDomain(t, bucket))
}

func vendorOf(key, secret, url, domain string) *vendor {
	host := strings.TrimPrefix(url, "http://")
	cfg := &storage.Config{RsHost: url, RsfHost: url, ApiHost: url, UpHost: url, IoHost: url, CentralRsHost: host}
	mac := auth.New(key, secret)
	return &vendor{storage.NewBucketManager(mac, cfg), mac, cfg, url, domain}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wantCode fails unless an error is the service's of a status.
func wantCode(t *testing.T, what string, err error, code int) {
	t.Helper()
	var e *client.ErrorInfo
	if !errors.As(err, &e) || e.Code != code || e.Reqid == "" || e.Err == "" {
		t.Errorf("%s: %#v, want %d with a message and a request ID", what, err, code)
	}
}

// put uploads a form.
func (v *vendor) put(key, content string, p storage.PutPolicy, params map[string]string, mime string) (string, error) {
	if p.Scope == "" {
		p.Scope = bucket + ":" + key
	}
	var ret storage.PutRet
	err := storage.NewFormUploader(v.cfg).Put(context.Background(), &ret, p.UploadToken(v.mac), key, strings.NewReader(content), int64(len(content)),
		&storage.PutExtra{UpHost: v.up, Params: params, MimeType: mime})
	return ret.Hash, err
}

// get reads an object by a URL that the SDK signed.
func (v *vendor) get(t *testing.T, key string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, storage.MakePrivateURLv2(v.mac, v.domain, key, time.Now().Add(time.Hour).Unix()), nil)
	must(t, "request", err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, "get", err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(t, "read", err)
	return resp.StatusCode, string(data), resp.Header
}

func TestVendorsSDKObjects(t *testing.T) {
	_, v := newVendor(t)
	const key = "dir/a 中+&%?.txt"
	hash, err := v.put(key, "hello wire", storage.PutPolicy{FileType: 1}, map[string]string{"x-qn-meta-who": "me"}, "text/plain")
	must(t, "put", err)
	status, got, h := v.get(t, key)
	if status != 200 || got != "hello wire" || h.Get("X-Qn-Meta-Who") != "me" || h.Get("Content-Type") != "text/plain" || h.Get("Etag") != `"`+hash+`"` {
		t.Errorf("got %d %q %v", status, got, h)
	}
	if status, got, h := v.get(t, key, "Range", "bytes=6-8"); status != 206 || got != "wir" || h.Get("Content-Range") != "bytes 6-8/10" {
		t.Errorf("range: %d %q %v", status, got, h)
	}
	if status, _, _ := v.get(t, key, "Range", "bytes=10-"); status != 416 {
		t.Errorf("range behind the end: %d", status)
	}
	info, err := v.Stat(bucket, key)
	must(t, "stat", err)
	age := time.Since(storage.ParsePutTime(info.PutTime))
	if info.Fsize != 10 || info.Hash != hash || info.MimeType != "text/plain" || info.Type != 1 || age < 0 || age > time.Minute {
		t.Errorf("stat: %+v", info)
	}
	_, err = v.put(key, "other", storage.PutPolicy{InsertOnly: 1}, nil, "")
	wantCode(t, "insert over another object", err, 614)
	_, err = v.put(key, "hello wire", storage.PutPolicy{InsertOnly: 1}, map[string]string{"x-qn-meta-who": "me"}, "text/plain")
	must(t, "insert of what is there", err)
	_, err = v.put("other key", "x", storage.PutPolicy{Scope: bucket + ":" + key}, nil, "")
	wantCode(t, "put of another key", err, 403)
	_, err = v.put("k", "x", storage.PutPolicy{}, map[string]string{"x-qn-meta-who": "näme"}, "")
	wantCode(t, "put with metadata that cannot be", err, 400)
	_, err = v.put("new", "x", storage.PutPolicy{Scope: bucket}, nil, "")
	must(t, "put by a token of the bucket", err)
	_, err = v.put("new", "y", storage.PutPolicy{Scope: bucket}, nil, "")
	wantCode(t, "replace by a token of the bucket", err, 614)

	must(t, "copy", v.Copy(bucket, key, bucket, "copy", false))
	wantCode(t, "copy again", v.Copy(bucket, key, bucket, "copy", false), 614)
	must(t, "copy by force", v.Copy(bucket, key, bucket, "copy", true))
	if _, got, h := v.get(t, "copy"); got != "hello wire" || h.Get("X-Qn-Meta-Who") != "me" {
		t.Errorf("copy: %q %v", got, h)
	}
	must(t, "move", v.Move(bucket, "copy", bucket, "moved", false))
	must(t, "delete", v.Delete(bucket, "moved"))
	wantCode(t, "delete again", v.Delete(bucket, "moved"), 612)
	_, err = v.Stat(bucket, "copy")
	wantCode(t, "stat of what was moved", err, 612)
	results, err := v.Batch([]string{storage.URIStat(bucket, key), storage.URIStat(bucket, "none"), storage.URIDelete(bucket, key)})
	if err != nil || len(results) != 3 || results[0].Data.Hash == "" || results[1].Code != 612 || results[2].Code != 200 {
		t.Errorf("batch: %+v, %v", results, err)
	}
	if status, _, _ := v.get(t, key); status != 404 {
		t.Errorf("get of what was deleted: %d", status)
	}
}

func TestVendorsSDKListings(t *testing.T) {
	_, v := newVendor(t)
	want := []string{"a b", "a+b", "dir/1", "dir/2", "z", "é", "🪣"}
	for _, key := range want {
		_, err := v.put(key, key, storage.PutPolicy{}, nil, "")
		must(t, "put", err)
	}
	var keys []string
	marker := ""
	for more := true; more; {
		items, _, next, hasNext, err := v.ListFiles(bucket, "", "", marker, 2)
		must(t, "list", err)
		for _, o := range items {
			keys = append(keys, o.Key)
		}
		marker, more = next, hasNext
	}
	if !slices.Equal(keys, want) {
		t.Errorf("listed %q, want %q", keys, want)
	}
	items, folders, _, _, err := v.ListFiles(bucket, "", "/", "", 100)
	if err != nil || len(items) != 5 || !slices.Equal(folders, []string{"dir/"}) {
		t.Errorf("with a delimiter: %+v, %q, %v", items, folders, err)
	}
	_, _, _, _, err = v.ListFiles(bucket, "", "", "no marker!", 100)
	wantCode(t, "list from a bad marker", err, 640)
}

func TestVendorsSDKUploadsInParts(t *testing.T) {
	server, v := newVendor(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	up := func(key string) string {
		p := storage.PutPolicy{Scope: bucket + ":" + key}
		return p.UploadToken(v.mac)
	}
	var ret storage.PutRet
	err := storage.NewResumeUploader(v.cfg).Put(context.Background(), &ret, up("v1"), "v1", bytes.NewReader(data), int64(len(data)),
		&storage.RputExtra{UpHost: v.up, MimeType: "video/x-test", Params: map[string]string{"x-qn-meta-k": "v"}})
	must(t, "version 1", err)
	whole := ret.Hash
	for part, same := range map[int64]bool{4 << 20: true, 2 << 20: false} {
		key := fmt.Sprint("v2-", part)
		err := storage.NewResumeUploaderV2(v.cfg).Put(context.Background(), &ret, up(key), key, bytes.NewReader(data), int64(len(data)),
			&storage.RputV2Extra{UpHost: v.up, PartSize: part, MimeType: "video/x-test", Metadata: map[string]string{"x-qn-meta-k": "v"}})
		must(t, key, err)
		if (ret.Hash == whole) != same || !same && !strings.HasPrefix(ret.Hash, "n") { // 0x9e begins with "n" in base64
			t.Errorf("%s has hash %s, version 1 %s", key, ret.Hash, whole)
		}
		status, got, h := v.get(t, key)
		if status != 200 || got != string(data) || h.Get("X-Qn-Meta-K") != "v" || h.Get("Content-Type") != "video/x-test" {
			t.Errorf("%s: %d, %d bytes, %v", key, status, len(got), h)
		}
	}
	if open := server.NewBucket(bucket).Uploads(); len(open) != 0 {
		t.Errorf("open uploads: %+v", open)
	}
	u := storage.NewResumeUploaderV2(v.cfg)
	var init storage.InitPartsRet
	must(t, "init", u.InitParts(context.Background(), up("k"), v.up, bucket, "k", true, &init))
	var part storage.UploadPartsRet
	err = u.UploadParts(context.Background(), up("k"), v.up, bucket, "k", true, init.UploadID, 1, "00000000000000000000000000000000", &part, strings.NewReader("x"), 1)
	wantCode(t, "part with a wrong MD5", err, 400)
	err = u.UploadParts(context.Background(), up("k"), v.up, bucket, "k", true, "UPLOAD99", 1, "", &part, strings.NewReader("x"), 1)
	wantCode(t, "part of an unknown upload", err, 612)
	err = u.CompleteParts(context.Background(), up("k"), v.up, &ret, bucket, "k", true, init.UploadID, &storage.RputV2Extra{})
	wantCode(t, "complete without parts", err, 400)
	var small []storage.UploadPartInfo
	for n := range 2 {
		must(t, "part", u.UploadParts(context.Background(), up("k"), v.up, bucket, "k", true, init.UploadID, int64(n+1), "", &part, strings.NewReader("x"), 1))
		small = append(small, storage.UploadPartInfo{Etag: part.Etag, PartNumber: int64(n + 1)})
	}
	err = u.CompleteParts(context.Background(), up("k"), v.up, &ret, bucket, "k", true, init.UploadID, &storage.RputV2Extra{Progresses: small})
	wantCode(t, "complete with a small part", err, 400)
}

func TestVendorsSDKArchive(t *testing.T) {
	server, v := newVendor(t)
	_, err := v.put("cold", "x", storage.PutPolicy{FileType: 2}, nil, "")
	must(t, "put archived", err)
	if status, _, _ := v.get(t, "cold"); status != 403 {
		t.Errorf("get of an archived object: %d", status)
	}
	wantCode(t, "restore for 8 days", v.RestoreAr(bucket, "cold", 8), 400)
	must(t, "restore", v.RestoreAr(bucket, "cold", 1))
	wantCode(t, "restore again", v.RestoreAr(bucket, "cold", 1), 400)
	server.FinishRestore(bucket, "cold")
	if status, got, _ := v.get(t, "cold"); status != 200 || got != "x" {
		t.Errorf("get of a restored object: %d %q", status, got)
	}
	must(t, "change the type", v.ChangeType(bucket, "cold", 0))
	info, err := v.Stat(bucket, "cold")
	if err != nil || info.Type != 0 {
		t.Errorf("stat: %+v, %v", info, err)
	}
}

func TestVendorsSDKRefused(t *testing.T) {
	server, opts, url := fake.Start(t)
	server.NewBucket(bucket)
	server.NewBucketIn("far-away", "z2")
	domain := server.StartDomain(t, bucket)
	good := vendorOf(opts.AccessKey, opts.SecretKey, url, domain)
	for what, v := range map[string]*vendor{
		"wrong secret": vendorOf(opts.AccessKey, "wrong", url, domain), "wrong key": vendorOf("wrong", opts.SecretKey, url, domain),
	} {
		_, err := v.put("k", "x", storage.PutPolicy{}, nil, "")
		wantCode(t, what+": put", err, 401)
		_, err = v.Stat(bucket, "k")
		wantCode(t, what+": stat", err, 401)
		if status, _, _ := v.get(t, "k"); status != 401 {
			t.Errorf("%s: get: %d", what, status)
		}
	}
	_, err := good.Stat("missing", "k")
	wantCode(t, "missing bucket", err, 631)
	_, err = good.Stat("far-away", "k")
	wantCode(t, "bucket of another region", err, 400)
	_, err = good.put("k", "x", storage.PutPolicy{Scope: "far-away:k"}, nil, "")
	wantCode(t, "put to another region", err, 400)
	resp, err := http.Get(domain + "/k")
	must(t, "get", err)
	_ = resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("get without a signature: %s", resp.Status)
	}
}
