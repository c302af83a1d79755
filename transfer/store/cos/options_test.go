package cos

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

func TestLocations(t *testing.T) {
	for _, c := range []struct{ url, base, region, source string }{
		{"cos://photos-1250000000/2019/?region=ap-guangzhou", "https://photos-1250000000.cos.ap-guangzhou.myqcloud.com", "ap-guangzhou", "photos-1250000000.cos.ap-guangzhou.myqcloud.com"},
		{"cos://photos-1250000000/?region=cos.ap-shanghai-fsi", "https://photos-1250000000.cos.ap-shanghai-fsi.myqcloud.com", "ap-shanghai-fsi", "photos-1250000000.cos.ap-shanghai-fsi.myqcloud.com"},
		{"cos://photos-1250000000/?endpoint=http://COS.ap-beijing-1.myqcloud.com", "http://photos-1250000000.cos.ap-beijing-1.myqcloud.com", "ap-beijing-1", "photos-1250000000.cos.ap-beijing-1.myqcloud.com"},
		{"cos://photos-1250000000/?endpoint=cos-internal.ap-beijing.tencentcos.cn", "https://photos-1250000000.cos-internal.ap-beijing.tencentcos.cn", "ap-beijing", "photos-1250000000.cos-internal.ap-beijing.tencentcos.cn"},
		{"cos://photos-1250000000/?region=accelerate", "https://photos-1250000000.cos.accelerate.myqcloud.com", "", ""},
		{"cos://photos-1250000000/?endpoint=cos.accelerate.myqcloud.com&region=eu-frankfurt", "https://photos-1250000000.cos.accelerate.myqcloud.com", "eu-frankfurt", "photos-1250000000.cos.eu-frankfurt.myqcloud.com"},
		{"cos://photos-1250000000/?endpoint=files.example.com&bound_domain=true", "https://files.example.com", "", ""},
		{"cos://photos-1250000000/?endpoint=files.example.com&bound_domain=true&region=ap-mumbai", "https://files.example.com", "ap-mumbai", "photos-1250000000.cos.ap-mumbai.myqcloud.com"},
		{"cos://photos-1250000000/?endpoint=cos.east.example.com", "https://photos-1250000000.cos.east.example.com", "", "photos-1250000000.cos.east.example.com"},
		{"cos://photos-1250000000/?endpoint=http://127.0.0.1:8080", "http://127.0.0.1:8080/photos-1250000000", "", "127.0.0.1:8080"},
		{"cos://photos-1250000000/?endpoint=http://[::1]:8080&bound_domain=true", "http://[::1]:8080", "", ""},
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
		s := &Store{bucket: l.Bucket, opts: o, base: wire.BucketURL(o.endpoint, l.Bucket, o.pathStyle, o.bound)}
		if s.base.String() != c.base || o.region != c.region || s.sourceHost() != c.source {
			t.Errorf("%s: %s in %q, copied from %q; want %s in %q, %q", c.url, s.base.String(), o.region, s.sourceHost(), c.base, c.region, c.source)
		}
	}
}

func TestImpossibleLocations(t *testing.T) {
	for url, want := range map[string]string{
		"cos:///x?region=ap-guangzhou":                                                             "bucket name is missing",
		"cos://photos/?region=ap-guangzhou":                                                        "APPID is missing; write the whole name that the console shows, such as cos://photos-1250000000/",
		"cos://photos-1250000000.cos.ap-beijing.myqcloud.com/a/":                                   "write cos://photos-1250000000/a/?region=ap-beijing",
		"cos://photos-2019/?region=ap-guangzhou":                                                   "APPID is missing",
		"cos://Photos-1250000000/?region=ap-guangzhou":                                             "lower-case",
		"cos://a_b-1250000000/?region=ap-guangzhou":                                                "lower-case",
		"cos://-a-1250000000/?region=ap-guangzhou":                                                 "lower-case",
		"cos://photos-1250000000/":                                                                 "endpoint is missing",
		"cos://photos-1250000000/?region=gz":                                                       "write region=ap-guangzhou",
		"cos://photos-1250000000/?region=cn-east":                                                  "write region=ap-shanghai",
		"cos://photos-1250000000/?region=Guangzhou":                                                "no region name",
		"cos://photos-1250000000/?region=ap-guangzhou.myqcloud.com":                                "no region name",
		"cos://photos-1250000000/?region=ap-beijing&endpoint=cos.ap-guangzhou.myqcloud.com":        "leave one of the two out",
		"cos://photos-1250000000/?endpoint=photos-1250000000.cos.ap-guangzhou.myqcloud.com":        "has the bucket in it; write endpoint=cos.ap-guangzhou.myqcloud.com",
		"cos://photos-1250000000/?endpoint=https://other-1250000000.cos.ap-guangzhou.myqcloud.com": `names the bucket "other-1250000000"`,
		"cos://photos-1250000000/?endpoint=service.cos.myqcloud.com":                               "none for objects",
		"cos://photos-1250000000/?endpoint=photos-1250000000.picgz.myqcloud.com":                   "none for objects",
		"cos://photos-1250000000/?endpoint=myqcloud.com.example.com/x":                             "without a path",
		"cos://photos-1250000000/?endpoint=x.myqcloud.com":                                         "none for objects",
		"cos://photos-1250000000/?endpoint=https://cos.ap-guangzhou.myqcloud.com/x/":               "without a path",
		"cos://photos-1250000000/?endpoint=https://:443":                                           "without a path",
		"cos://photos-1250000000/?endpoint=ftp://cos.ap-guangzhou.myqcloud.com":                    "want http",
		"cos://photos-1250000000/?endpoint=https://u:p@cos.ap-guangzhou.myqcloud.com":              "credentials do not go into URLs",
		"cos://photos-1250000000/?endpoint=cos.ap-guangzhou.myqcloud.com&bound_domain=true":        "leave bound_domain out",
		"cos://photos-1250000000/?region=ap-guangzhou&bound_domain=maybe":                          "want true or false",
		"cos://photos-1250000000/?region=ap-guangzhou&multi_az=2":                                  "want true or false",
		"cos://photos-1250000000/?region=ap-guangzhou&bound_domian=true":                           `did you mean "bound_domain"`,
		"cos://photos-1250000000//x?region=ap-guangzhou":                                           "do not begin with",
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

// clearEnvironment empties all variables that are looked at, so that tests see none of the machine's.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"COS_SECRET_ID", "COS_SECRET_KEY", "COS_SESSION_TOKEN", "COS_SECRETID", "COS_SECRETKEY", "COS_TOKEN",
		"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN",
	} {
		t.Setenv(name, "")
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	for _, names := range [][2]string{{"COS_SECRET_ID", "COS_SECRET_KEY"}, {"COS_SECRETID", "COS_SECRETKEY"}, {"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"}} {
		t.Run(names[0], func(t *testing.T) {
			clearEnvironment(t)
			_, at := newPlace(t)
			cfg := at.config("", store.RoleSource)
			cfg.Credentials = store.Credentials{}
			if _, err := open(cfg); store.ClassOf(err) != store.Auth {
				t.Errorf("without any: %v", err)
			}
			t.Setenv(names[0], at.account.AccessKey)
			t.Setenv(names[1], at.account.SecretKey)
			if _, err := openWith(t, cfg).Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	clearEnvironment(t)
	t.Setenv("TENCENTCLOUD_SECRET_ID", "id")
	t.Setenv("TENCENTCLOUD_SECRET_KEY", "key")
	t.Setenv("TENCENTCLOUD_SECURITY_TOKEN", "token")
	if c, err := credentials(store.Credentials{}); err != nil || c.SessionToken != "token" {
		t.Errorf("a token of the environment is not taken: %v", err)
	}
}
