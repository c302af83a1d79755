package s3

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// benchStore opens a store on a server that takes and gives 4 KiB without a thought.
func benchStore(b *testing.B, content []byte) *Store {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Etag"] = []string{`"0123456789abcdef0123456789abcdef"`}
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(content))}
		_, _ = w.Write(content)
	}))
	b.Cleanup(server.Close)
	s, err := open(b.Context(), store.Config{
		Location:    store.Location{Scheme: "s3", Bucket: "bucket", Options: url.Values{"endpoint": {server.URL}, "region": {"us-east-1"}}},
		Credentials: store.Credentials{AccessKey: "AK", SecretKey: "SK"}, Concurrency: 16,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

var benchContent = bytes.Repeat([]byte("0123456789abcdef"), 256)

func BenchmarkPut4K(b *testing.B) {
	s := benchStore(b, benchContent)
	sum := md5.Sum(benchContent)
	body := store.Body{Bytes: benchContent, Size: int64(len(benchContent)), Sums: store.Checksums{MD5: string(sum[:])}}
	opts := store.PutOptions{Meta: store.Metadata{User: map[string]string{store.MTimeKey: "1700000000.5"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Put(b.Context(), "folder/key", body, opts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut4KSDK(b *testing.B) {
	s := benchStore(b, benchContent)
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.api.PutObject(b.Context(), &s3.PutObjectInput{
			Bucket: &s.bucket, Key: aws.String("folder/key"), Body: bytes.NewReader(benchContent),
			ContentMD5: aws.String("CY9rzUYh03PK3k6DJie09g=="), Metadata: map[string]string{store.MTimeKey: "1700000000.5"},
		}, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet4K(b *testing.B) {
	s := benchStore(b, benchContent)
	b.ReportAllocs()
	for b.Loop() {
		r, _, err := s.Open(b.Context(), "folder/key", store.OpenOptions{Length: -1})
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(benchContent)) {
			b.Fatal(n, err)
		}
		_ = r.Close()
	}
}

func BenchmarkGet4KSDK(b *testing.B) {
	s := benchStore(b, benchContent)
	b.ReportAllocs()
	for b.Loop() {
		out, err := s.api.GetObject(b.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String("folder/key")})
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, out.Body); err != nil || n != int64(len(benchContent)) {
			b.Fatal(n, err)
		}
		_ = out.Body.Close()
	}
}

// BenchmarkPut4KBare is what net/http itself costs, unsigned.
func BenchmarkPut4KBare(b *testing.B) {
	s := benchStore(b, benchContent)
	u := s.base.String() + "/folder/key"
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, u, bytes.NewReader(benchContent))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := s.client.Transport.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		wire.Finish(resp.Body)
	}
}

// BenchmarkList1000 is one page of 1,000 keys.
func BenchmarkList1000(b *testing.B) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("some/folder/of/a/tree/object-%06d.bin", i)
	}
	page := listing("<EncodingType>url</EncodingType>" + entries(keys...))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, page) }))
	b.Cleanup(server.Close)
	s := openURL(b, server.URL, "")
	b.ReportAllocs()
	for b.Loop() {
		if got, err := s.List(store.ListOptions{}).Next(b.Context()); err != nil || len(got) != 1000 {
			b.Fatal(len(got), err)
		}
	}
}

// BenchmarkPage reads pages of 1,000 keys as S3 writes them.
func BenchmarkPage(b *testing.B) {
	var page strings.Builder
	for _, key := range storetest.PageNames(pageSize) {
		page.WriteString("<Contents><Key>" + key + "</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>" +
			"<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>" +
			"<Size>123456</Size><StorageClass>STANDARD</StorageClass></Contents>")
	}
	s := openURL(b, "http://127.0.0.1:1", "")
	storetest.BenchPage(b, s.client.Transport, s, listing("<Name>bucket</Name><Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys>"+
		"<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"+page.String()), pageSize)
}
