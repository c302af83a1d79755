package gs

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestValidate(t *testing.T) {
	for raw, want := range map[string]string{
		"gs://bucket":         "",
		"gs://bucket/a/b c/":  "",
		"gs://b_u.c-k3t/":     "",
		"gs://bucket//double": "",
		"gs://bucket?endpoint=https://storage.me-central2.rep.googleapis.com": "",
		"gs://bucket?endpoint=127.0.0.1:4443&anonymous=true&multipart=false":  "",
		"gs://bucket?user_project=example.com:my-project":                     "",
		"gs://bucket?kms_key=projects/p/locations/eu/keyRings/r/cryptoKeys/k": "",
		"gs://":                          "bucket name is missing",
		"gs:///key":                      "bucket name is missing",
		"gs://Bucket/":                   "lower-case",
		"gs://ab/":                       "3 to 63",
		"gs://-ab/":                      "letters or digits at its ends",
		"gs://a..b/":                     "bucket",
		"gs://10.0.0.1/":                 "no IP addresses",
		"gs://bucket?endpont=x":          `did you mean "endpoint"`,
		"gs://bucket?region=eu":          "unknown option",
		"gs://bucket/a%0Ab":              "no line breaks",
		"gs://bucket?anonymous=x":        "true or false",
		"gs://bucket?multipart=x":        "true or false",
		"gs://bucket?kms_key=k":          "want projects/",
		"gs://bucket?user_project=a%20b": "project ID",
		"gs://bucket?endpoint=ftp://x":   "http:// or https://",
		"gs://bucket?endpoint=https://x/storage/v1":                  "without a path",
		"gs://bucket?endpoint=https://u:p@x":                         "credentials do not go into URLs",
		"gs://bucket?endpoint=https://bucket.storage.googleapis.com": "has the bucket in it",
		"gs://bucket?endpoint=https://other.storage.googleapis.com":  `names the bucket "other"`,
		"gs://" + strings.Repeat("a", 64) + "/":                      "3 to 63",
	} {
		l, err := store.Parse(raw)
		if err == nil {
			err = Validate(l)
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", raw, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", raw, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the error shows credentials: %v", raw, err)
		}
	}
}

// TestParts: uploads in parts are for Google's own servers, unless told otherwise.
func TestParts(t *testing.T) {
	for options, want := range map[string]bool{
		"": true, "endpoint=https://storage-foo.p.googleapis.com": true, "multipart=false": false,
		"endpoint=http://127.0.0.1:1&anonymous=true": false, "endpoint=http://127.0.0.1:1&anonymous=true&multipart=true": true,
	} {
		l, err := store.Parse("gs://bucket?" + options)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), store.Config{Location: l})
		if err != nil {
			t.Fatalf("%q: %v", options, err)
		}
		if _, got := d.(store.Multiparter); got != want {
			t.Errorf("%q: takes parts %v, want %v", options, got, want)
		}
		if _, ok := d.(store.Copier); !ok {
			t.Errorf("%q: no copier", options)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ options, host, want, fails string }{
		{"", "", "https://storage.googleapis.com", ""},
		{"", "localhost:9000", "http://localhost:9000", ""},
		{"", "http://10.1.1.1:9000/storage/v1/", "http://10.1.1.1:9000", ""},
		{"endpoint=https://gs.example.com:8443", "localhost:9000", "https://gs.example.com:8443", ""},
		{"", "http://x/y/z", "", "STORAGE_EMULATOR_HOST"},
	} {
		t.Setenv("STORAGE_EMULATOR_HOST", c.host)
		l, err := store.Parse("gs://bucket?" + c.options)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(store.Config{Location: l})
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: error %v", c, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case s.base.String() != c.want:
			t.Errorf("%+v: %s", c, s.base.String())
		case c.host != "" && c.options == "" && s.tokens.Load().sends():
			t.Errorf("%+v: credentials would go to the emulator", c)
		}
	}
}

func TestKeys(t *testing.T) {
	s := &Store{bucket: "b", prefix: "p/"}
	for key, good := range map[string]bool{
		"a": true, "ü": true, strings.Repeat("x", 1022): true, strings.Repeat("x", 1023): false, "a\nb": false, "a\rb": false, "\xff": false,
	} {
		if _, err := s.full("put", key, false); (err == nil) != good {
			t.Errorf("%q: %v", key, err)
		} else if err != nil && store.ClassOf(err) != store.Permanent {
			t.Errorf("%q: class %s", key, store.ClassOf(err))
		}
		if _, err := s.full("stat", key, true); err != nil && store.ClassOf(err) != store.NotFound {
			t.Errorf("%q to read: class %s", key, store.ClassOf(err))
		}
	}
	s.prefix = ""
	for _, key := range []string{"", ".", "..", ".well-known/acme-challenge/x"} {
		if _, err := s.full("put", key, false); err == nil {
			t.Errorf("%q is taken", key)
		}
	}
	for key, want := range map[string]string{
		"a/b c": "/b/a/b%20c", "a//b": "/b/a%2F%2Fb", "a/../b": "/b/a%2F..%2Fb", "/a": "/b/%2Fa", "a/": "/b/a%2F",
	} {
		if got := s.xmlPath(key); got != want {
			t.Errorf("path of %q: %q, want %q", key, got, want)
		}
	}
}
