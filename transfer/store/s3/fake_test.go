package s3

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const (
	fakeKey    = "AKFAKEFAKEFAKE"
	fakeSecret = "not-to-be-shown-anywhere"
)

// openFake opens a store on a server of the test's own.
func openFake(t testing.TB, path string, h http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return openURL(t, server.URL, path)
}

func openURL(t testing.TB, endpoint, path string) *Store {
	t.Helper()
	s, err := open(t.Context(), fakeConfig(endpoint, path))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fakeConfig(endpoint, path string) store.Config {
	return store.Config{
		Location: store.Location{Scheme: "s3", Bucket: "bucket", Path: path, Options: url.Values{
			"endpoint": {endpoint}, "region": {"us-east-1"},
		}},
		Credentials: store.Credentials{AccessKey: fakeKey, SecretKey: fakeSecret}, Concurrency: 4,
	}
}

// refuse answers with an error as S3 does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amz-Request-Id", "REQ-1")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if code != "" {
		_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	}
}

// listing is an answer of ListObjectsV2.
func listing(inner string) string {
	return `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + inner + `</ListBucketResult>`
}

// entries are objects of a listing.
func entries(keys ...string) string {
	var b strings.Builder
	for _, k := range keys {
		_, _ = fmt.Fprintf(&b, `<Contents><Key>%s</Key><Size>1</Size><ETag>"0123456789abcdef0123456789abcdef"</ETag>`+
			`<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>`, k)
	}
	return b.String()
}

func more(token string) string {
	return "<IsTruncated>true</IsTruncated><NextContinuationToken>" + token + "</NextContinuationToken>"
}
