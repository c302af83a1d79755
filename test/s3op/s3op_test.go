package s3op_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bucketbrigade/brigade/test/s3op"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		method, target, source string
		want                   s3op.Operation
		bucket, key            string
	}{
		{"GET", "/", "", s3op.Other, "", ""},
		{"HEAD", "/b", "", s3op.HeadBucket, "b", ""},
		{"GET", "/b/?list-type=2&prefix=x", "", s3op.ListObjects, "b", ""},
		{"GET", "/b?location", "", s3op.Other, "b", ""},
		{"GET", "/b?uploads", "", s3op.ListMultipartUploads, "b", ""},
		{"PUT", "/b/a%2Fb//c", "", s3op.PutObject, "b", "a/b//c"},
		{"PUT", "/b/k", "b/other", s3op.CopyObject, "b", "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", "", s3op.UploadPart, "b", "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", "b/o", s3op.UploadPartCopy, "b", "k"},
		{"GET", "/b/k", "", s3op.GetObject, "b", "k"},
		{"GET", "/b/k?uploadId=u", "", s3op.ListParts, "b", "k"},
		{"GET", "/b/k?tagging", "", s3op.Other, "b", "k"},
		{"HEAD", "/b/k", "", s3op.HeadObject, "b", "k"},
		{"DELETE", "/b/k", "", s3op.DeleteObject, "b", "k"},
		{"DELETE", "/b/k?uploadId=u", "", s3op.AbortMultipartUpload, "b", "k"},
		{"POST", "/b/k?uploads", "", s3op.CreateMultipartUpload, "b", "k"},
		{"POST", "/b/k?uploadId=u", "", s3op.CompleteMultipartUpload, "b", "k"},
		{"POST", "/b?delete", "", s3op.Other, "b", ""},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		if c.source != "" {
			r.Header.Set("X-Amz-Copy-Source", c.source)
		}
		got := s3op.Parse(r)
		if got.Op != c.want || got.Bucket != c.bucket || got.Key != c.key {
			t.Errorf("%s %s: got %v %q %q, want %v %q %q", c.method, c.target, got.Op, got.Bucket, got.Key, c.want, c.bucket, c.key)
		}
	}
}
