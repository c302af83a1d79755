package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
)

// headers is what a client sees of an object besides its bytes.
type headers struct {
	Type, Cache, Disposition, Encoding, Language, Expires string
	User                                                  map[string]string
}

func pageHeaders() headers {
	return headers{
		"text/html; charset=utf-8", "max-age=60", `attachment; filename="x.html"`, "identity", "de", "Thu, 01 Dec 2033 16:00:00 GMT",
		map[string]string{"owner": "someone", "mtime": "1700000000.5"},
	}
}

func putWithMetadata(t *testing.T, b *bucket, key string) {
	t.Helper()
	h := pageHeaders()
	expires, err := time.Parse(time.RFC1123, h.Expires)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: strings.NewReader("<p>"), ContentType: &h.Type, CacheControl: &h.Cache,
		ContentDisposition: &h.Disposition, ContentEncoding: &h.Encoding, ContentLanguage: &h.Language,
		Expires: &expires, Metadata: h.User,
	})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func wantMetadata(t *testing.T, b *bucket, key string) {
	t.Helper()
	out, err := b.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		t.Fatalf("head %s: %v", key, err)
	}
	got := headers{
		aws.ToString(out.ContentType), aws.ToString(out.CacheControl), aws.ToString(out.ContentDisposition),
		aws.ToString(out.ContentEncoding), aws.ToString(out.ContentLanguage), aws.ToString(out.ExpiresString), out.Metadata,
	}
	if diff := cmp.Diff(pageHeaders(), got); diff != "" {
		t.Errorf("metadata of %s:\n%s", key, diff)
	}
}
