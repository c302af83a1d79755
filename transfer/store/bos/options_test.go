package bos

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

func TestLocations(t *testing.T) {
	for url, base := range map[string]string{
		"bos://photos/2019/?region=bj":                                          "https://photos.bj.bcebos.com",
		"bos://photos/?endpoint=gz.bcebos.com":                                  "https://photos.gz.bcebos.com",
		"bos://photos/?endpoint=http://SU.bcebos.com":                           "http://photos.su.bcebos.com",
		"bos://photos/?endpoint=hkg.bcebos.com&region=hkg":                      "https://photos.hkg.bcebos.com",
		"bos://photos/?region=fwh&path_style=true":                              "https://fwh.bcebos.com/photos",
		"bos://photos/?endpoint=files.example.com&bound_domain=true":            "https://files.example.com",
		"bos://photos/?endpoint=photos.cdn.bcebos.com&bound_domain=true":        "https://photos.cdn.bcebos.com",
		"bos://photos/?endpoint=bos.example.com":                                "https://photos.bos.example.com",
		"bos://photos/?endpoint=http://127.0.0.1:8080":                          "http://127.0.0.1:8080/photos",
		"bos://photos/?endpoint=http://[::1]:8080&multi_az=true":                "http://[::1]:8080/photos",
		"bos://photos/?endpoint=http://localhost:8080&path_style=true&region=x": "http://localhost:8080/photos",
	} {
		l, err := store.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseOptions(l)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := wire.BucketURL(o.endpoint, l.Bucket, o.pathStyle, o.bound); got.String() != base {
			t.Errorf("%s: %s, want %s", url, got.String(), base)
		}
	}
}

func TestImpossibleLocations(t *testing.T) {
	for url, want := range map[string]string{
		"bos:///x?region=bj":                                       "bucket name is missing",
		"bos://Photos/?region=bj":                                  "lower-case",
		"bos://a_b/?region=bj":                                     "lower-case",
		"bos://ab/?region=bj":                                      "3 to 63",
		"bos://photos/":                                            "endpoint is missing",
		"bos://photos/?region=b_j":                                 "no region name",
		"bos://photos/?region=bj.bcebos.com":                       "no region name",
		"bos://photos/?endpoint=bj.bcebos.com&region=gz":           "not that of the endpoint",
		"bos://photos/?endpoint=photos.bj.bcebos.com":              "has the bucket in it; write endpoint=bj.bcebos.com",
		"bos://photos/?endpoint=other.bj.bcebos.com":               `names the bucket "other"`,
		"bos://photos/?endpoint=s3.bj.bcebos.com":                  "s3://photos/",
		"bos://photos/?endpoint=https://bj.bcebos.com/x/":          "without a path",
		"bos://photos/?endpoint=https://bj.bcebos.com?x=1":         "without a path",
		"bos://photos/?endpoint=ftp://bj.bcebos.com":               "want http",
		"bos://photos/?endpoint=https://u:p@bj.bcebos.com":         "credentials do not go into URLs",
		"bos://photos/?region=bj&path_style=maybe":                 "want true or false",
		"bos://photos/?region=bj&multi_az=2zones":                  "want true or false",
		"bos://photos/?region=bj&path_style=true&bound_domain=yes": "want true or false",
		"bos://photos/?region=bj&path_style=true&bound_domain=1":   "exclude each other",
		"bos://photos/?regions=bj":                                 `did you mean "region"`,
		"bos://photos//x?region=bj":                                "do not begin with",
		"bos://photos/a/../x?region=bj":                            `no ".."`,
	} {
		l, err := store.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		err = Validate(l)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	_, at := newPlace(t)
	for _, name := range []string{"BCE_ACCESS_KEY_ID", "BCE_SECRET_ACCESS_KEY", "BCE_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	cfg := at.config("", store.RoleSource)
	cfg.Credentials = store.Credentials{}
	if _, err := open(cfg); store.ClassOf(err) != store.Auth {
		t.Errorf("without any: %v", err)
	}
	t.Setenv("BCE_ACCESS_KEY_ID", at.account.AccessKey)
	t.Setenv("BCE_SECRET_ACCESS_KEY", at.account.SecretKey)
	if _, err := openWith(t, cfg).Check(t.Context()); err != nil {
		t.Error(err)
	}
}
