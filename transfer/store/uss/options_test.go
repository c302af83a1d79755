package uss

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestLocations(t *testing.T) {
	for raw, want := range map[string]string{ // "" is accepted
		"uss://service/":                                            "",
		"uss://service":                                             "",
		"uss://service/photos/":                                     "",
		"uss://service/photos/a.jpg":                                "",
		"uss://my-service-1/?endpoint=v1.api.upyun.com":             "",
		"uss://service/?endpoint=http://127.0.0.1:8080":             "",
		"uss://service/?domain=service.b0.upaiyun.com":              "",
		"uss://service/?domain=http://img.example.com&empty_dirs=1": "",
		"uss:///photos/":                                            "service name is missing",
		"uss://Service/":                                            "lower-case",
		"uss://ser.vice/":                                           "lower-case",
		"uss://-service/":                                           "lower-case",
		"uss://service/?region=cn":                                  "unknown option",
		"uss://service/?endpont=v0.api.upyun.com":                   `did you mean "endpoint"`,
		"uss://service/?endpoint=ftp://v0.api.upyun.com":            "want http:// or https://",
		"uss://service/?endpoint=https://v0.api.upyun.com/service":  "without a path",
		"uss://service/?endpoint=https://v0.api.upyun.com/%3Fa=b":   "without a path",
		"uss://service/?endpoint=https://op:word@v0.api.upyun.com":  "credentials do not go into URLs",
		"uss://service/?endpoint=https://":                          "without a path",
		"uss://service/?endpoint=service.v0.api.upyun.com":          "write endpoint=v0.api.upyun.com",
		"uss://service/?endpoint=service.b0.upaiyun.com":            "write domain=service.b0.upaiyun.com",
		"uss://service/?endpoint=service.test.upcdn.net":            "write domain=",
		"uss://service/?domain=v0.api.upyun.com":                    "is an endpoint of the API",
		"uss://service/?domain=https://op:word@img.example.com":     "credentials do not go into URLs",
		"uss://service/?domain=https://img.example.com/photos/":     "without a path",
		"uss://service/?empty_dirs=perhaps":                         "want true or false",
		"uss://service//photos/":                                    `no "/" at the beginning`,
		"uss://service/a//b/":                                       `no "//"`,
		"uss://service/a/../b/":                                     `cannot be in them`,
		"uss://service/" + strings.Repeat("n", 256):                 "256 bytes between",
		"uss://service/" + strings.Repeat("long/", 205) + "name":    "USS takes 1024",
		"uss://service/a%0Ab":                                       "no ends of lines",
	} {
		loc, err := store.Parse(raw)
		if err == nil {
			err = Validate(loc)
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", raw, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", raw, err, want)
		case err != nil && strings.Contains(err.Error(), "word"):
			t.Errorf("%s: a password in the error %v", raw, err)
		}
	}
}

func TestEndpointByDefault(t *testing.T) {
	loc, err := store.Parse("uss://service/photos/")
	if err != nil {
		t.Fatal(err)
	}
	s := openWith(t, store.Config{Location: loc, Credentials: store.Credentials{AccessKey: "a", SecretKey: "b"}})
	if got := s.base.String(); got != "https://v0.api.upyun.com/service" {
		t.Errorf("requests go to %s", got)
	}
}
