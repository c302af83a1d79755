package oss

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

func TestLocations(t *testing.T) {
	for _, c := range []struct{ url, base, region string }{
		{"oss://photos/2019/?endpoint=oss-cn-hangzhou.aliyuncs.com", "https://photos.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"},
		{"oss://photos/?endpoint=http://OSS-cn-hangzhou-internal.aliyuncs.com", "http://photos.oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"},
		{"oss://photos/?endpoint=cn-beijing.oss.aliyuncs.com", "https://photos.cn-beijing.oss.aliyuncs.com", "cn-beijing"},
		{"oss://photos/?region=us-west-1", "https://photos.oss-us-west-1.aliyuncs.com", "us-west-1"},
		{"oss://photos/?region=oss-us-west-1", "https://photos.oss-us-west-1.aliyuncs.com", "us-west-1"},
		{"oss://photos/?endpoint=oss-accelerate.aliyuncs.com&region=cn-hangzhou", "https://photos.oss-accelerate.aliyuncs.com", "cn-hangzhou"},
		{"oss://photos/?endpoint=files.example.com&bound_domain=true&region=cn-hangzhou", "https://files.example.com", "cn-hangzhou"},
		{"oss://photos/?endpoint=oss.example.com&signature=v1", "https://photos.oss.example.com", ""},
		{"oss://photos/?endpoint=http://127.0.0.1:8080&region=x", "http://127.0.0.1:8080/photos", "x"},
		{"oss://photos/?endpoint=http://[::1]:8080&signature=v1", "http://[::1]:8080/photos", ""},
		{"oss://photos/?endpoint=oss.example.com&signature=v1&path_style=true", "https://oss.example.com/photos", ""},
	} {
		l, err := store.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseOptions(l)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if base := wire.BucketURL(o.endpoint, l.Bucket, o.pathStyle, o.bound); base.String() != c.base || o.region != c.region {
			t.Errorf("%s: %s in %q, want %s in %q", c.url, base.String(), o.region, c.base, c.region)
		}
	}
}

func TestImpossibleLocations(t *testing.T) {
	for url, want := range map[string]string{
		"oss:///x?region=cn-hangzhou":                                        "bucket name is missing",
		"oss://Photos/?region=cn-hangzhou":                                   "lower-case",
		"oss://a_b/?region=cn-hangzhou":                                      "lower-case",
		"oss://photos/":                                                      "endpoint is missing",
		"oss://photos/?endpoint=oss-accelerate.aliyuncs.com":                 "does not tell its region",
		"oss://photos/?endpoint=files.example.com":                           "does not tell its region",
		"oss://photos/?endpoint=photos.oss-cn-hangzhou.aliyuncs.com":         "has the bucket in it; write endpoint=oss-cn-hangzhou.aliyuncs.com",
		"oss://photos/?endpoint=other.oss-cn-hangzhou.aliyuncs.com":          `names the bucket "other"`,
		"oss://photos/?endpoint=https://oss-cn-hangzhou.aliyuncs.com/x/":     "without a path",
		"oss://photos/?endpoint=ftp://oss-cn-hangzhou.aliyuncs.com":          "want http",
		"oss://photos/?endpoint=https://u:p@oss-cn-hangzhou.aliyuncs.com":    "credentials do not go into URLs",
		"oss://photos/?region=cn+hangzhou":                                   "no region name",
		"oss://photos/?region=cn-hangzhou&signature=v2":                      "want v1 or v4",
		"oss://photos/?region=cn-hangzhou&links=keep":                        "want skip or follow",
		"oss://photos/?region=cn-hangzhou&path_style=maybe":                  "want true or false",
		"oss://photos/?region=cn-hangzhou&path_style=true&bound_domain=true": "exclude each other",
		"oss://photos/?region=cn-hangzhou&list_order=utf16":                  "want bytes or none",
		"oss://photos/?region=cn-hangzhou&link=skip":                         `did you mean "links"`,
		"oss://photos//x?region=cn-hangzhou":                                 "do not begin with",
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
	for _, name := range []string{"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"} {
		t.Setenv(name, "")
	}
	cfg := at.config("", store.RoleSource)
	cfg.Credentials = store.Credentials{}
	if _, err := open(cfg); store.ClassOf(err) != store.Auth {
		t.Errorf("without any: %v", err)
	}
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", at.account.AccessKey)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", at.account.SecretKey)
	if _, err := openWith(t, cfg).Check(t.Context()); err != nil {
		t.Error(err)
	}
}
