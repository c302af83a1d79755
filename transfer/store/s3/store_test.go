package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestValidate(t *testing.T) {
	for raw, want := range map[string]string{
		"s3://bucket":                                             "",
		"s3://bucket/prefix?region=eu-west-1":                     "",
		"s3://bucket?endpoint=http://127.0.0.1:9000":              "",
		"s3://bucket?endpoint=minio.example:9000&path_style=true": "",
		"s3://bucket?profile=archive":                             "",
		"s3:///prefix":                                            "bucket",
		"s3://bucket?endpont=x":                                   `"endpoint"`,
		"s3://bucket?PATHSTYLE=true":                              `"path_style"`,
		"s3://bucket?zzzzzzzzzzzz=1":                              "known: endpoint, list_order, path_style, profile, region",
		"s3://bucket?path_style=maybe":                            "true or false",
		"s3://bucket?list_order=none":                             "",
		"s3://bucket?list_order=utf8":                             "bytes or none",
		"s3://bucket?endpoint=ftp://x":                            "https://",
		"s3://bucket?endpoint=http://x/path":                      "without a path",
		"s3://bucket?endpoint=http://user:pw@x":                   "credentials",
		"s3://bucket?region=http://x":                             "region",
		"s3://bucket--use1-az4--x-s3":                             "directory buckets",
	} {
		l, err := store.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		err = Validate(l)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: the error shows the password", raw)
		}
	}
}

func TestAddressing(t *testing.T) {
	for _, c := range []struct{ options, want string }{
		{"", "https://bucket.s3.us-east-1.amazonaws.com/p/a%20b%2B"},
		{"region=cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/p/a%20b%2B"},
		{"path_style=true", "https://s3.us-east-1.amazonaws.com/bucket/p/a%20b%2B"},
		{"endpoint=http://127.0.0.1:9000", "http://127.0.0.1:9000/bucket/p/a%20b%2B"},
		{"endpoint=https://storage.example&path_style=false", "https://bucket.storage.example/p/a%20b%2B"},
	} {
		values, err := url.ParseQuery(c.options)
		if err != nil {
			t.Fatal(err)
		}
		cfg := fakeConfig("", "p")
		cfg.Location.Options = values
		if values.Get("region") == "" {
			values.Set("region", "us-east-1")
		}
		s, err := open(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", c.options, err)
		}
		req, err := s.newRequest(t.Context(), request{method: http.MethodGet, key: "a b+"})
		if err != nil || req.URL.String() != c.want {
			t.Errorf("%s: %v, %v; want %s", c.options, req.URL, err, c.want)
		}
	}
}

func TestPreflightNamesWhatIsWrong(t *testing.T) {
	server := servers.StartVersityGW(t)
	bucket := server.NewBucket(t)
	for name, c := range map[string]struct {
		change func(*store.Config)
		want   store.Class
		hint   string
	}{
		"right":        {func(*store.Config) {}, "", ""},
		"wrong key":    {func(c *store.Config) { c.Credentials.AccessKey = "nobody" }, store.Auth, "access key"},
		"wrong secret": {func(c *store.Config) { c.Credentials.SecretKey = fakeSecret }, store.Auth, "secret key"},
		"wrong bucket": {func(c *store.Config) { c.Location.Bucket = "no-such-bucket" }, store.Misconfigured, "bucket"},
		"wrong region": {func(c *store.Config) { c.Location.Options.Set("region", "eu-west-1") }, store.Misconfigured, "region=us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configAt(server, bucket, "", store.RoleSource)
			c.change(&cfg)
			s, err := open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			clock, err := s.Check(t.Context())
			if got := store.ClassOf(err); got != c.want {
				t.Fatalf("class %q, want %q: %v", got, c.want, err)
			}
			if err == nil {
				if clock.IsZero() {
					t.Error("no clock")
				}
				return
			}
			var e *store.Error
			if !errors.As(err, &e) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("hint of %v, want %q", err, c.hint)
			}
			if text := err.Error(); strings.Contains(text, fakeSecret) || strings.Contains(text, server.SecretKey) {
				t.Error("the error shows a secret")
			}
		})
	}
}

func TestSingle(t *testing.T) {
	server := servers.StartVersityGW(t)
	bucket := server.NewBucket(t)
	all := openAt(t, server, bucket, "", store.RoleDestination)
	for _, key := range []string{"dir/object", "top", "photos/a"} {
		if _, err := all.Put(t.Context(), key, store.Body{Bytes: []byte(key), Size: int64(len(key))}, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"dir/object": "object", "top": "top", "photos": "", "photos/": "", "": "", "missing/x": ""} {
		s := openAt(t, server, bucket, path, store.RoleSource)
		key, ok, err := s.Single(t.Context())
		if err != nil || ok != (want != "") || key != want {
			t.Errorf("%q: %q, %v, %v; want %q", path, key, ok, err, want)
		}
		if !ok {
			continue
		}
		r, _, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != path {
			t.Errorf("%q: holds %q, %v", path, got, err)
		}
		_ = r.Close()
	}
	s := openAt(t, server, bucket, "photos", store.RoleSource)
	if keys, err := listAll(t.Context(), s.List(store.ListOptions{})); err != nil || len(keys) != 1 || keys[0] != "a" {
		t.Errorf("folder without a slash: %q, %v", keys, err)
	}
}

func TestKeysThatReachSomethingElseAreRefused(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) })
	for _, key := range []string{"", "..", "a/../b", "./a", "a/.", strings.Repeat("k", 1025)} {
		_, err := s.Put(t.Context(), key, store.Body{}, store.PutOptions{})
		_, created := s.CreateUpload(t.Context(), key, store.PutOptions{})
		for op, err := range map[string]error{"put": err, "delete": s.Delete(t.Context(), key), "create": created} {
			if store.ClassOf(err) != store.Permanent {
				t.Errorf("%s %.20q: %v", op, key, err)
			}
		}
	}
}

func TestMetadataThatCannotTravel(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) })
	for name, m := range map[string]store.Metadata{
		"too large":      {User: map[string]string{"a": strings.Repeat("x", 2048)}},
		"too many":       {User: map[string]string{"a": strings.Repeat("x", 1000), "b": strings.Repeat("x", 1100)}},
		"name":           {User: map[string]string{"a b": "x"}},
		"no name":        {User: map[string]string{"": "x"}},
		"line end":       {ContentType: "text/plain\r\nX-Evil: 1"},
		"line end below": {CacheControl: "a\nb"},
	} {
		if _, err := s.Put(t.Context(), "k", store.Body{}, store.PutOptions{Meta: m}); store.ClassOf(err) != store.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoContentTypeIsInvented(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		if got, sent := r.Header["Content-Type"]; sent {
			t.Errorf("%s %s: Content-Type %q", r.Method, r.URL, got)
		}
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
	})
	for _, body := range []store.Body{{}, {Bytes: []byte("<html>"), Size: 6}, {Reader: strings.NewReader("<html>"), Size: 6}} {
		if _, err := s.Put(t.Context(), "k.html", body, store.PutOptions{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.CreateUpload(t.Context(), "k.html", store.PutOptions{}); err != nil {
		t.Error(err)
	}
}

func TestCompleteThatFailsBehindA200(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>")
	})
	_, err := s.CompleteUpload(t.Context(), "k", "id", []store.Part{{Number: 1, Size: 1, ETag: "x"}}, store.PutOptions{})
	if store.ClassOf(err) != store.Transient || err == nil {
		t.Errorf("complete: %v", err)
	}
	_, err = s.Copy(t.Context(), s, store.Object{Key: "a", Size: 1, ETag: "x"}, "b", store.PutOptions{})
	if store.ClassOf(err) != store.Transient || err == nil {
		t.Errorf("copy: %v", err)
	}
}

func TestCanCopyFrom(t *testing.T) {
	base := openURL(t, "http://127.0.0.1:1", "a/")
	for name, c := range map[string]struct {
		change func(*store.Config)
		want   bool
	}{
		"same":               {func(*store.Config) {}, true},
		"another bucket":     {func(c *store.Config) { c.Location.Bucket = "other" }, true},
		"another endpoint":   {func(c *store.Config) { c.Location.Options.Set("endpoint", "http://127.0.0.1:2") }, false},
		"another region":     {func(c *store.Config) { c.Location.Options.Set("region", "eu-west-1") }, false},
		"other credentials":  {func(c *store.Config) { c.Credentials.AccessKey = "x" }, false},
		"endpoint as a host": {func(c *store.Config) { c.Location.Options.Set("endpoint", "http://127.0.0.1:1/") }, true},
	} {
		cfg := fakeConfig("http://127.0.0.1:1", "b/")
		c.change(&cfg)
		other, err := open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := base.CanCopyFrom(other); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if base.CanCopyFrom(nil) {
		t.Error("copies from nothing")
	}
}

// TestSDKAndOwnRequestsAgree holds a request signed here against the server that also takes the SDK's.
func TestOwnRequestsAreAcceptedWithOddKeys(t *testing.T) {
	server := servers.StartVersityGW(t)
	s := openAt(t, server, server.NewBucket(t), "pre fix/", store.RoleDestination)
	content := bytes.Repeat([]byte("x"), 10)
	for c := 1; c < 256; c++ { // every byte that a key can have, in its own signature
		key := "k" + string([]byte{byte(c)}) + "z"
		_, err := s.Put(t.Context(), key, store.Body{Bytes: content, Size: 10}, store.PutOptions{})
		if class := store.ClassOf(err); class == store.Auth {
			t.Errorf("%q: %v", key, err)
		}
	}
	if aws.ToString(s.api.Options().BaseEndpoint) != server.URL {
		t.Error("the SDK talks to another server")
	}
}
