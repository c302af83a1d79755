package s3

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestDialects: where requests go, by the URL alone, and which region they are signed for.
func TestDialects(t *testing.T) {
	for _, tc := range []struct{ url, base, region string }{
		{"obs://photos/a/?region=cn-north-4", "https://photos.obs.cn-north-4.myhuaweicloud.com", "cn-north-4"},
		{"obs://photos/?endpoint=obs.cn-north-4.myhuaweicloud.com", "https://photos.obs.cn-north-4.myhuaweicloud.com", "cn-north-4"},
		{"obs://photos/?endpoint=obs.example.com&region=r1", "https://photos.obs.example.com", "r1"},
		{"obs://photos/?endpoint=http://127.0.0.1:9000&region=r1", "http://127.0.0.1:9000/photos", "r1"},
		{"obs://photos/?region=r1&path_style=true&endpoint=obs.example.com", "https://obs.example.com/photos", "r1"},
		{"ks3://photos/?region=cn-beijing", "https://photos.ks3-cn-beijing.ksyuncs.com", "cn-beijing"},
		{"ks3://photos/?endpoint=https://ks3-cn-beijing-internal.ksyuncs.com&region=cn-beijing", "https://photos.ks3-cn-beijing-internal.ksyuncs.com", "cn-beijing"},
		{"jss://photos/?region=cn-north-1", "https://photos.s3.cn-north-1.jdcloud-oss.com", "cn-north-1"},
		{"s3://photos/?endpoint=s3.cn-north-1.jdcloud-oss.com", "https://photos.s3.cn-north-1.jdcloud-oss.com", "cn-north-1"},
		{"s3://photos/?endpoint=https://s3.oss-cn-hangzhou.aliyuncs.com", "https://photos.s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"},
		{"s3://photos/?endpoint=https://s3.example.com&region=r1", "https://s3.example.com/photos", "r1"},
		{"s3://photos/?region=eu-west-1", "https://photos.s3.eu-west-1.amazonaws.com", "eu-west-1"},
	} {
		l, err := store.Parse(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(t.Context(), store.Config{Location: l, Credentials: store.Credentials{AccessKey: "a", SecretKey: "s"}})
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		if got := strings.TrimSuffix(s.base.String(), "/"); got != tc.base || s.region != tc.region {
			t.Errorf("%s goes to %s of %q, want %s of %q", tc.url, got, s.region, tc.base, tc.region)
		}
	}
}

// TestDialectMistakes: what a URL of a vendor lacks or has too much of is told before anything is sent.
func TestDialectMistakes(t *testing.T) {
	for url, want := range map[string]string{
		"obs://photos/": "region=... is missing, such as obs://photos/?region=REGION",
		"ks3://photos/?endpoint=photos.ks3-cn-beijing.ksyuncs.com": `begins with the bucket; give "ks3-cn-beijing.ksyuncs.com"`,
		"jss://photos/?regoin=x":                                   "did you mean",
		"jss:///?region=cn-north-1":                                "a bucket name is missing",
	} {
		l, err := store.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate(l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	l, err := store.Parse("obs://photos/?region=cn-north-4")
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t.Context(), store.Config{Location: l})
	if store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "need an access key") {
		t.Errorf("without credentials: %v", err)
	}
}
