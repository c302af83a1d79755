package uss

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// TestSignatures: the vendor's published examples come out as they are printed.
func TestSignatures(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("../../../test/testdata/wire", "upyun-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Want string
		Inputs     struct {
			Operator, Password, Method, URI, Date string
			MD5                                   string `json:"content_md5"`
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) != 3 {
		t.Fatalf("%d vectors, %v; want 3", len(vectors), err)
	}
	for _, v := range vectors {
		in := v.Inputs
		at, err := http.ParseTime(in.Date)
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum([]byte(in.Password))
		key := &signingKey{operator: in.Operator, key: hex.EncodeToString(sum[:])}
		u, err := url.Parse("https://v0.api.upyun.com" + in.URI)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Method: in.Method, URL: u, Header: http.Header{"Content-Md5": {in.MD5}}}
		key.sign(req, at)
		if got, want := req.Header.Get("Authorization"), "UPYUN "+in.Operator+":"+v.Want; got != want {
			t.Errorf("%s: %s, want %s", v.Name, got, want)
		}
		if got := req.Header.Get("Date"); got != in.Date {
			t.Errorf("%s: dated %s, want %s", v.Name, got, in.Date)
		}
		if text := fmt.Sprintf("%v %+v %#v", key, key, key); text != "key(***) key(***) key(***)" {
			t.Errorf("the key is printed as %s", text)
		}
	}
}
