package sink_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"

	"github.com/bucketbrigade/brigade/test/sink"
)

func start(t *testing.T, opts sink.Options) (*s3.Client, *sink.Server) {
	t.Helper()
	server := sink.New(opts)
	hs := httptest.NewServer(server)
	t.Cleanup(hs.Close)
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(hs.URL), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials:                credentials.NewStaticCredentialsProvider("ak", "sk", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}), server
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func md5Of(b []byte) string { s := md5.Sum(b); return hex.EncodeToString(s[:]) }

func crc64(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(b)))
}

func crc32c(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func TestObjectKeepsMetadataAndContent(t *testing.T) {
	c, server := start(t, sink.Options{Keep: 1 << 20})
	ctx, body := t.Context(), random(5000)
	put, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("b"), Key: aws.String("x//y z+ü"), Body: bytes.NewReader(body), ContentType: aws.String("text/x"),
		Metadata: map[string]string{"mtime": "1.5"}, ChecksumCRC64NVME: aws.String(crc64(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Trim(*put.ETag, `"`); got != md5Of(body) || aws.ToString(put.ChecksumCRC64NVME) != crc64(body) {
		t.Errorf("put answered ETag %s, CRC64NVME %v", got, aws.ToString(put.ChecksumCRC64NVME))
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("x//y z+ü"), Range: aws.String("bytes=10-19")})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	part, err := io.ReadAll(get.Body)
	if err != nil || !bytes.Equal(part, body[10:20]) {
		t.Errorf("range read %x, %v; want %x", part, err, body[10:20])
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String("b"), Key: aws.String("x//y z+ü"), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		size             int64
		kind, mtime, crc string
	}
	got := seen{*head.ContentLength, *head.ContentType, head.Metadata["mtime"], aws.ToString(head.ChecksumCRC64NVME)}
	if want := (seen{5000, "text/x", "1.5", crc64(body)}); got != want {
		t.Errorf("head gave %+v, want %+v", got, want)
	}
	st := server.Stats()
	if diff := cmp.Diff(map[string]int64{"PutObject": 1, "GetObject": 1, "HeadObject": 1}, st.Requests); diff != "" || st.BytesIn != 5000 || st.BytesOut != 10 {
		t.Errorf("stats %+v\n%s", st, diff)
	}
}

func TestWrongChecksumsAreRefused(t *testing.T) {
	c, server := start(t, sink.Options{})
	other, zero := random(9), crc64(nil)
	sum := md5.Sum(other)
	for name, in := range map[string]*s3.PutObjectInput{
		"md5":       {ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum[:]))},
		"crc64nvme": {ChecksumCRC64NVME: aws.String(zero)},
		"crc32c":    {ChecksumCRC32C: aws.String(crc32c(other))},
	} {
		in.Bucket, in.Key, in.Body = aws.String("b"), aws.String(name), strings.NewReader("content")
		if _, err := c.PutObject(t.Context(), in); codeOf(err) != "BadDigest" {
			t.Errorf("%s: got %v, want BadDigest", name, err)
		}
	}
	if n := server.Stats().Objects; n != 0 {
		t.Errorf("%d objects exist after refusals", n)
	}
}

func TestConditions(t *testing.T) {
	c, _ := start(t, sink.Options{Keep: 100})
	put := func(in s3.PutObjectInput) string {
		in.Bucket, in.Key, in.Body = aws.String("b"), aws.String("k"), strings.NewReader("one")
		_, err := c.PutObject(t.Context(), &in)
		return codeOf(err)
	}
	get := func(in s3.GetObjectInput) string {
		in.Bucket, in.Key = aws.String("b"), aws.String("k")
		out, err := c.GetObject(t.Context(), &in)
		if err == nil {
			out.Body.Close()
		}
		return codeOf(err)
	}
	etag, wrong := aws.String(`"`+md5Of([]byte("one"))+`"`), aws.String(`"0"`)
	for i, step := range []struct{ got, want string }{
		{put(s3.PutObjectInput{IfMatch: etag}), "NoSuchKey"},
		{put(s3.PutObjectInput{IfNoneMatch: aws.String("*")}), "<nil>"},
		{put(s3.PutObjectInput{IfNoneMatch: aws.String("*")}), "PreconditionFailed"},
		{put(s3.PutObjectInput{IfMatch: wrong}), "PreconditionFailed"},
		{put(s3.PutObjectInput{IfMatch: etag}), "<nil>"},
		{get(s3.GetObjectInput{IfMatch: etag}), "<nil>"},
		{get(s3.GetObjectInput{IfMatch: wrong}), "PreconditionFailed"},
		{get(s3.GetObjectInput{IfNoneMatch: etag}), "NotModified"},
		{get(s3.GetObjectInput{Range: aws.String("bytes=3-")}), "InvalidRange"},
	} {
		if step.got != step.want {
			t.Errorf("step %d: got %s, want %s", i, step.got, step.want)
		}
	}
}

// The SDK may send a body in chunks with its checksum behind it.
func TestTrailingChecksum(t *testing.T) {
	server := sink.New(sink.Options{Keep: 1 << 20})
	body := random(70_000)
	send := func(key, sum string) int {
		var b bytes.Buffer
		for _, chunk := range [][]byte{body[:65536], body[65536:]} {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
		}
		fmt.Fprintf(&b, "0\r\nx-amz-checksum-crc32c:%s\r\n\r\n", sum)
		r := httptest.NewRequest("PUT", "/b/"+key, &b)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		r.Header.Set("X-Amz-Decoded-Content-Length", "70000")
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
		r.Header.Set("Content-Encoding", "aws-chunked")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code
	}
	if got := send("good", crc32c(body)); got != 200 {
		t.Errorf("right trailer: status %d", got)
	}
	if got := send("bad", crc32c(nil)); got != 400 {
		t.Errorf("wrong trailer: status %d", got)
	}
	r := httptest.NewRequest("GET", "/b/good", nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if !bytes.Equal(w.Body.Bytes(), body) || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("got %d bytes, encoding %q", w.Body.Len(), w.Header().Get("Content-Encoding"))
	}
}

func TestListing(t *testing.T) {
	c, _ := start(t, sink.Options{})
	want := []string{"a-", "a/b", "a/b/c", "a/d", "a0", "b\x01&<", "z"}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(want)) {
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String(want[i])}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(in s3.ListObjectsV2Input) (keys []string) {
		in.Bucket, in.MaxKeys, in.EncodingType = aws.String("b"), aws.Int32(2), types.EncodingTypeUrl
		for p := s3.NewListObjectsV2Paginator(c, &in); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				keys = append(keys, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				keys = append(keys, *p.Prefix)
			}
		}
		return keys
	}
	encoded := append([]string{}, want...)
	encoded[5] = "b%01%26%3C"
	for i := range encoded {
		encoded[i] = strings.ReplaceAll(encoded[i], "/", "%2F")
	}
	for name, c := range map[string]struct {
		in   s3.ListObjectsV2Input
		want []string
	}{
		"all":       {s3.ListObjectsV2Input{}, encoded},
		"prefix":    {s3.ListObjectsV2Input{Prefix: aws.String("a/")}, encoded[1:4]},
		"after":     {s3.ListObjectsV2Input{StartAfter: aws.String("a/b")}, encoded[2:]},
		"delimiter": {s3.ListObjectsV2Input{Delimiter: aws.String("/")}, []string{"a-", "a%2F", "a0", "b%01%26%3C", "z"}},
	} {
		if diff := cmp.Diff(c.want, list(c.in)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("b"), Key: aws.String("a0")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(append([]string{}, encoded[:4]...), encoded[5:]...), list(s3.ListObjectsV2Input{})); diff != "" {
		t.Errorf("after delete:\n%s", diff)
	}
}

func TestMultipart(t *testing.T) {
	c, server := start(t, sink.Options{Keep: 64 << 20})
	ctx, body := t.Context(), random(12<<20)
	for _, alg := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmCrc32c} {
		t.Run("checksum "+string(alg), func(t *testing.T) {
			in := &s3.CreateMultipartUploadInput{Bucket: aws.String("b"), Key: aws.String("big"), ChecksumAlgorithm: alg}
			if alg != "" {
				in.ChecksumType = types.ChecksumTypeFullObject
			}
			up, err := c.CreateMultipartUpload(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			done := uploadParts(t, c, up.UploadId, body, alg)
			open, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String("b"), Prefix: aws.String("big")})
			if err != nil || len(open.Uploads) != 1 || *open.Uploads[0].UploadId != *up.UploadId {
				t.Fatalf("uploads open: %+v, %v", open, err)
			}
			listed, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("b"), Key: aws.String("big"), UploadId: up.UploadId})
			if err != nil || len(listed.Parts) != 3 || *listed.Parts[2].Size != 2<<20 {
				t.Fatalf("parts: %+v, %v", listed, err)
			}
			complete := &s3.CompleteMultipartUploadInput{
				Bucket: aws.String("b"), Key: aws.String("big"), UploadId: up.UploadId,
				MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
			}
			checkComplete(t, c, complete, body, alg)
		})
	}
	if n := server.Stats().Uploads; n != 0 {
		t.Errorf("%d uploads open", n)
	}
}

func uploadParts(t *testing.T, c *s3.Client, id *string, body []byte, alg types.ChecksumAlgorithm) (done []types.CompletedPart) {
	t.Helper()
	for i := range int32(3) {
		part := body[i*5<<20 : min(int(i+1)*5<<20, len(body))]
		in := &s3.UploadPartInput{
			Bucket: aws.String("b"), Key: aws.String("big"), UploadId: id, PartNumber: aws.Int32(i + 1), Body: bytes.NewReader(part),
		}
		switch alg {
		case types.ChecksumAlgorithmCrc64nvme:
			in.ChecksumCRC64NVME = aws.String(crc64(part))
		case types.ChecksumAlgorithmCrc32c:
			in.ChecksumCRC32C = aws.String(crc32c(part))
		}
		out, err := c.UploadPart(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(out.ChecksumCRC64NVME) != aws.ToString(in.ChecksumCRC64NVME) || aws.ToString(out.ChecksumCRC32C) != aws.ToString(in.ChecksumCRC32C) {
			t.Errorf("part %d: checksum not echoed", i+1)
		}
		done = append(done, types.CompletedPart{
			PartNumber: aws.Int32(i + 1), ETag: out.ETag, ChecksumCRC64NVME: in.ChecksumCRC64NVME, ChecksumCRC32C: in.ChecksumCRC32C,
		})
	}
	return done
}

// checkComplete completes with a wrong checksum of the whole, then with the right one.
func checkComplete(t *testing.T, c *s3.Client, in *s3.CompleteMultipartUploadInput, body []byte, alg types.ChecksumAlgorithm) {
	t.Helper()
	ctx := t.Context()
	want := struct{ crc64, crc32c string }{}
	switch alg {
	case types.ChecksumAlgorithmCrc64nvme:
		in.ChecksumCRC64NVME, want.crc64 = aws.String(crc64(nil)), crc64(body)
	case types.ChecksumAlgorithmCrc32c:
		in.ChecksumCRC32C, want.crc32c = aws.String(crc32c(nil)), crc32c(body)
	}
	if alg != "" {
		if _, err := c.CompleteMultipartUpload(ctx, in); codeOf(err) != "BadDigest" {
			t.Errorf("wrong checksum of the whole: %v", err)
		}
		in.ChecksumCRC64NVME, in.ChecksumCRC32C = nil, nil
	}
	out, err := c.CompleteMultipartUpload(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.ChecksumCRC64NVME) != want.crc64 || aws.ToString(out.ChecksumCRC32C) != want.crc32c {
		t.Errorf("checksums of the whole: %q %q, want %+v", aws.ToString(out.ChecksumCRC64NVME), aws.ToString(out.ChecksumCRC32C), want)
	}
	if !strings.HasSuffix(*out.ETag, `-3"`) {
		t.Errorf("ETag %s", *out.ETag)
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	if got, err := io.ReadAll(get.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("content differs: %d bytes, %v", len(got), err)
	}
	if _, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId}); codeOf(err) != "NoSuchUpload" {
		t.Errorf("parts of a completed upload: %v", err)
	}
}

func TestAbort(t *testing.T) {
	c, server := start(t, sink.Options{})
	up, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("b"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	in := &s3.AbortMultipartUploadInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: up.UploadId}
	if _, err := c.AbortMultipartUpload(t.Context(), in); err != nil || server.Stats().Uploads != 0 {
		t.Errorf("abort: %v, %d open", err, server.Stats().Uploads)
	}
	if _, err := c.AbortMultipartUpload(t.Context(), in); codeOf(err) != "NoSuchUpload" {
		t.Errorf("second abort: %v", err)
	}
}

func TestSynthetic(t *testing.T) {
	c, _ := start(t, sink.Options{})
	ctx, bucket := context.Background(), aws.String("syn2500-1048600")
	keys := 0
	var last types.Object
	for p := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: bucket, StartAfter: aws.String("k000000009")}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		keys += len(page.Contents)
		last = page.Contents[len(page.Contents)-1]
	}
	if keys != 2490 || *last.Key != "k000002499" {
		t.Fatalf("%d keys, last %s", keys, *last.Key)
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: last.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	body, err := io.ReadAll(get.Body)
	if err != nil || len(body) != 1048600 || `"`+md5Of(body)+`"` != *last.ETag {
		t.Errorf("%d bytes, MD5 %s, ETag %s, %v", len(body), md5Of(body), *last.ETag, err)
	}
	ranged, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: last.Key, Range: aws.String("bytes=1048570-")})
	if err != nil {
		t.Fatal(err)
	}
	defer ranged.Body.Close()
	if got, err := io.ReadAll(ranged.Body); err != nil || !bytes.Equal(got, body[1048570:]) {
		t.Errorf("range: %x, want %x (%v)", got, body[1048570:], err)
	}
	if _, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k000002500")}); codeOf(err) != "NotFound" {
		t.Errorf("key past the end: %v", err)
	}
}
