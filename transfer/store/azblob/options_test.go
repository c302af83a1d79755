package azblob

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestBadLocations(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"azblob:///x?account=acc", "container name is missing"},
		{"azblob://con/x", "account is missing"},
		{"azblob://Con/x?account=acc", `container "Con"`},
		{"azblob://co/x?account=acc", `container "co"`},
		{"azblob://a--b/x?account=acc", "single hyphens"},
		{"azblob://-ab/x?account=acc", "none of the latter at its ends"},
		{"azblob://con/x?account=Acc", `account "Acc"`},
		{"azblob://con/x?account=ac", `account "ac"`},
		{"azblob://con/x?account=acc&region=eu", `unknown option "region"`},
		{"azblob://con/x?account=acc&acount=acd", `did you mean "account"`},
		{"azblob://con/x?account=acc&endpoint=ftp://h", "want http:// or https://"},
		{"azblob://con/x?account=acc&endpoint=https://h/path", "without a path"},
		{"azblob://con/x?account=acc&endpoint=https://u:p@h", "credentials do not go into URLs"},
		{"azblob://con/x?account=acc&endpoint=https://h%3Fsv=1%26sig=secret", "credentials not in it"},
		{"azblob://con/x?account=acc&endpoint=https://other.blob.core.windows.net", "write account=other"},
		{"azblob://con/x?account=acc&endpoint=https://con.acc.blob.core.windows.net", "has the container in it"},
		{"azblob://con/x?account=acc&api_version=yesterday", "want a version such as"},
		{"azblob://con/x?account=acc&api_version=2015-02-21", "none before"},
		{"azblob://con/x?account=acc&path_style=maybe", "want true or false"},
		{"azblob://con/x?account=acc&anonymous=true&managed_identity=true", "exclude each other"},
		{"azblob://con/x?account=acc&managed_identity=true&endpoint=http://127.0.0.1", "https only"},
		{"azblob://$root/a/b?account=acc", `no "/"`},
	} {
		l, err := store.Parse(c.url)
		if err == nil {
			err = Validate(l)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.url, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows a secret: %v", c.url, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct{ options, want string }{
		{"account=acc", "https://acc.blob.core.windows.net"},
		{"account=acc&endpoint=core.chinacloudapi.cn", "https://acc.blob.core.chinacloudapi.cn"},
		{"account=acc&endpoint=blob.core.chinacloudapi.cn", "https://acc.blob.core.chinacloudapi.cn"},
		{"account=acc&endpoint=acc.blob.core.usgovcloudapi.net", "https://acc.blob.core.usgovcloudapi.net"},
		{"endpoint=https://Acc.blob.core.windows.net/", "https://acc.blob.core.windows.net"},
		{"account=acc&endpoint=http://127.0.0.1:10000", "http://127.0.0.1:10000/acc"},
		{"account=acc&endpoint=http://127.0.0.1:10000/acc/", "http://127.0.0.1:10000/acc"},
		{"account=acc&endpoint=http://[::1]:10000", "http://[::1]:10000/acc"},
		{"account=acc&endpoint=http://localhost:10000", "http://localhost:10000/acc"},
		{"account=acc&endpoint=https://files.example.com", "https://files.example.com"},
		{"account=acc&endpoint=https://azure.example.com&path_style=true", "https://azure.example.com/acc"},
		{"account=acc&endpoint=https://azure.example.com/acc", "https://azure.example.com/acc"},
	} {
		l, err := store.Parse("azblob://con/x/?" + c.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := AccountURL(l); got != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.options, got, c.want, Validate(l))
		}
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	for key, want := range map[string]string{
		"":                           "empty",
		"a/../b":                     "resolves",
		"./a":                        "resolves",
		"a/.":                        "resolves",
		`a\b`:                        "for",
		"a\xff":                      "UTF-8",
		strings.Repeat("ü", 1025):    "1025 characters",
		strings.Repeat("a/", 254):    "254 parts",
		strings.Repeat("ü", 1024):    "",
		"a=b?c%d#e f. /..a/...":      "",
		strings.Repeat("a/", 253):    "",
		" lead/trail /dot./hi\u200b": "",
	} {
		err := checkKey(key)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.50q: %v, want %q", key, err, want)
		}
	}
}
