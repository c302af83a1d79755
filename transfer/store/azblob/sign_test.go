package azblob

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/minio/crc64nvme"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// errCaught ends a request before it is sent.
var errCaught = errors.New("caught")

// catcher keeps requests of the vendor's SDK instead of sending them.
type catcher struct{ requests []*http.Request }

// Do keeps a request.
func (c *catcher) Do(req *http.Request) (*http.Response, error) {
	c.requests = append(c.requests, req)
	return nil, errCaught
}

const (
	testAccount = "brigadetest"
	testSecret  = "c2VjcmV0IG9mIHRoZSBhY2NvdW50IGZvciB0ZXN0cw=="
)

// sdkRequests are signed requests of many kinds, as the vendor's SDK makes them.
func sdkRequests(t *testing.T) []*http.Request {
	t.Helper()
	creds, err := container.NewSharedKeyCredential(testAccount, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	caught := &catcher{}
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: caught, Retry: policy.RetryOptions{MaxRetries: -1}}}
	for _, base := range []string{"https://" + testAccount + ".blob.core.windows.net/c-1", "http://127.0.0.1:10000/" + testAccount + "/c-1"} {
		client, err := container.NewClientWithSharedKeyCredential(base, creds, opts)
		if err != nil {
			t.Fatal(err)
		}
		useSDK(t.Context(), client)
	}
	return caught.requests
}

// useSDK makes a request of each kind. All of them fail, for they are caught.
func useSDK(ctx context.Context, client *container.Client) {
	pick := func(s string) *string { return &s }
	content := func() io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader([]byte("some content"))) }
	tier := blob.AccessTierCool
	b := client.NewBlockBlobClient("folder/ü a+b=c?d%e&f#g'")
	_, _ = b.Upload(ctx, content(), &blockblob.UploadOptions{
		Metadata: map[string]*string{"a1": pick("x"), "a_": pick("y"), "ab": pick("z"), "a_1": pick("1"), "a1_": pick("2"), "mtime": pick("1.5")},
		Tags:     map[string]string{"color": "dark blue", "k=": "v/:"}, Tier: &tier,
		HTTPHeaders: &blob.HTTPHeaders{
			BlobContentType: pick("text/plain"), BlobCacheControl: pick("no-store"), BlobContentEncoding: pick("gzip"), BlobContentLanguage: pick("de"),
			BlobContentDisposition: pick(`attachment; filename="a b"`), BlobContentMD5: []byte("0123456789abcdef"),
		},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: etag("*")}},
	})
	_, _ = b.StageBlock(ctx, base64.StdEncoding.EncodeToString([]byte("+++///???")), content(), &blockblob.StageBlockOptions{
		TransactionalValidation: blob.TransferValidationTypeComputeCRC64(),
	})
	_, _ = b.CommitBlockList(ctx, []string{"AAAA", "BBBB"}, nil)
	_, _ = b.GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
	_, _ = b.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 5, Count: 10},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: etag(`"0x1"`)}}})
	_, _ = b.GetProperties(ctx, nil)
	_, _ = b.GetTags(ctx, nil)
	_, _ = b.SetTier(ctx, blob.AccessTierHot, nil)
	_, _ = b.Delete(ctx, nil)
	pager := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix: pick("a b/ü+&"), Marker: pick("2!88!MDAw+/="), StartFrom: pick("a b/c=d"), Include: container.ListBlobsInclude{Metadata: true},
	})
	_, _ = pager.NextPage(ctx)
}

func etag(s azcore.ETag) *azcore.ETag { return &s }

func TestSignsAsTheSDKDoes(t *testing.T) {
	requests := sdkRequests(t)
	if len(requests) != 20 {
		t.Fatalf("the SDK made %d requests, want 20", len(requests))
	}
	key, err := base64.StdEncoding.DecodeString(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range requests {
		want := req.Header.Get("Authorization")
		if !strings.HasPrefix(want, "SharedKey ") {
			t.Fatalf("%s %s is not signed", req.Method, req.URL)
		}
		own := req.Clone(t.Context())
		own.Header.Del("Authorization")
		sign(own, testAccount, key)
		if got := own.Header.Get("Authorization"); got != want {
			t.Errorf("%s %s: signed as %q, the SDK signs %q; text:\n%s", req.Method, req.URL, got, want, textToSign(own, testAccount))
		}
	}
}

// A signature covers all that matters: changed in any part, it is another.
func TestSignatureCoversTheRequest(t *testing.T) {
	key := []byte("key")
	fresh := func() *http.Request {
		req, err := http.NewRequest(http.MethodPut, "https://a.blob.core.windows.net/c/b?comp=block&blockid=QQ%3D%3D", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Ms-Date", time.Unix(1700000000, 0).UTC().Format(http.TimeFormat))
		req.Header.Set("X-Ms-Meta-A", "1")
		return req
	}
	signature := func(change func(*http.Request)) string {
		req := fresh()
		change(req)
		sign(req, "a", key)
		return req.Header.Get("Authorization")
	}
	plain := signature(func(*http.Request) {})
	for name, change := range map[string]func(*http.Request){
		"method":    func(r *http.Request) { r.Method = http.MethodGet },
		"path":      func(r *http.Request) { r.URL.Path = "/c/c" },
		"parameter": func(r *http.Request) { r.URL.RawQuery = "comp=block&blockid=QUE%3D" },
		"metadata":  func(r *http.Request) { r.Header.Set("X-Ms-Meta-A", "2") },
		"date":      func(r *http.Request) { r.Header.Set("X-Ms-Date", "x") },
		"length":    func(r *http.Request) { r.ContentLength = 2 },
		"range":     func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") },
		"condition": func(r *http.Request) { r.Header.Set("If-Match", `"x"`) },
		"absence":   func(r *http.Request) { r.Header.Set("If-None-Match", "*") },
		"md5":       func(r *http.Request) { r.Header.Set("Content-Md5", "x") },
		"type":      func(r *http.Request) { r.Header.Set("Content-Type", "x") },
	} {
		if signature(change) == plain {
			t.Errorf("another %s has the same signature", name)
		}
	}
}

// The vendor's CRC64 is CRC-64/NVME, least significant byte first: the SDK's header for a content is the one that is made here
// of the same content's CRC64NVME.
func TestCRC64IsThatOfNVMe(t *testing.T) {
	told := ""
	for _, req := range sdkRequests(t) {
		for name, values := range req.Header { // the SDK writes names in lower case
			if strings.EqualFold(name, headerCRC64) {
				told = values[0]
			}
		}
	}
	s := &Store{}
	h := http.Header{}
	crc := string(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum([]byte("some content"))))
	s.announce(h, store.Checksums{CRC64NVME: crc}, true)
	if own := h.Get(headerCRC64); own == "" || own != told {
		t.Errorf("announced as %q, by the SDK as %q", own, told)
	}
	if got := s.sumsOfWrite(h); got.CRC64NVME != crc || !s.WantSums().CRC64NVME {
		t.Errorf("read back as %x, want %x; wants %+v", got.CRC64NVME, crc, s.WantSums())
	}
}
