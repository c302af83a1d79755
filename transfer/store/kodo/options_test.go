package kodo

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestLocations(t *testing.T) {
	for _, c := range []struct{ url, up, rs, rsf, domain string }{
		{"kodo://photos/2019/?region=z0", "https://up-z0.qiniup.com", "https://rs-z0.qiniuapi.com", "https://rsf-z0.qiniuapi.com", ""},
		{"kodo://photos/?region=cn-east-2&domain=files.example.com", "https://up-cn-east-2.qiniup.com", "https://rs-cn-east-2.qiniuapi.com",
			"https://rsf-cn-east-2.qiniuapi.com", "https://files.example.com"},
		{"kodo://photos/?region=as0&domain=http://Photos.u.qiniudn.com/", "https://up-as0.qiniup.com", "https://rs-as0.qiniuapi.com",
			"https://rsf-as0.qiniuapi.com", "http://photos.u.qiniudn.com"},
		{"kodo://Old_Photos/?endpoint=http://127.0.0.1:8080&private=false&meta=head", "http://127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080", ""},
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
		domain := ""
		if o.domain != nil {
			domain = o.domain.String()
		}
		if o.up.String() != c.up || o.rs.String() != c.rs || o.rsf.String() != c.rsf || domain != c.domain {
			t.Errorf("%s: %v %v %v %s", c.url, o.up, o.rs, o.rsf, domain)
		}
	}
}

func TestImpossibleLocations(t *testing.T) {
	for url, want := range map[string]string{
		"kodo:///x?region=z0":                              "bucket name is missing",
		"kodo://ab/?region=z0":                             "want 3 to 63",
		"kodo://-photos/?region=z0":                        "want 3 to 63",
		"kodo://photos/":                                   "region is missing",
		"kodo://photos/?region=z9":                         "want one of ap-southeast-2",
		"kodo://photos/?region=z0&endpoint=https://h/x":    "without a path",
		"kodo://photos/?endpoint=ftp://h":                  "want http",
		"kodo://photos/?endpoint=https://u:p@h":            "credentials do not go into URLs",
		"kodo://photos/?region=z0&domain=https://u:p@h":    "credentials do not go into URLs",
		"kodo://photos/?region=z0&domain=h/photos":         "without a path",
		"kodo://photos/?endpoint=s3-cn-east-1.qiniucs.com": "speaks S3",
		"kodo://photos/?endpoint=photos.example.com":       "write domain=photos.example.com",
		"kodo://photos/?endpoint=abc.bkt.clouddn.com":      "write domain=abc.bkt.clouddn.com",
		"kodo://photos/?region=z0&private=maybe":           "want true or false",
		"kodo://photos/?region=z0&meta=get":                "want stat or head",
		"kodo://photos/?region=z0&domains=h":               `did you mean "domain"`,
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

func TestCredentials(t *testing.T) {
	_, at := newPlace(t)
	t.Setenv("QINIU_ACCESS_KEY", "")
	t.Setenv("QINIU_SECRET_KEY", "")
	cfg := at.config("", store.RoleSource)
	good := cfg.Credentials
	cfg.Credentials = store.Credentials{}
	if _, err := open(cfg); store.ClassOf(err) != store.Auth {
		t.Errorf("without any: %v", err)
	}
	cfg.Credentials = store.Credentials{AccessKey: "a", SecretKey: "s", SessionToken: "t"}
	if _, err := open(cfg); store.ClassOf(err) != store.Misconfigured {
		t.Errorf("with a session token: %v", err)
	}
	t.Setenv("QINIU_ACCESS_KEY", good.AccessKey)
	t.Setenv("QINIU_SECRET_KEY", good.SecretKey)
	cfg.Credentials = store.Credentials{}
	s := openWith(t, cfg)
	if _, err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, step := range []struct {
		to   store.Credentials
		want store.Class // of a request afterwards
	}{{good, store.NotFound}, {store.Credentials{AccessKey: good.AccessKey, SecretKey: "another"}, store.Auth}, {store.Credentials{}, store.NotFound}} {
		if err := s.Renew(t.Context(), step.to); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), "none"); store.ClassOf(err) != step.want {
			t.Errorf("%v, want class %s", err, step.want)
		}
	}
}
