package bos

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// TestPublishedVectors signs what the vendor's documentation and SDKs sign, where they sign the headers that are signed here.
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile("../../../test/testdata/wire/bos-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name   string
		Inputs struct {
			Method, Host, Path, Query, Authorization string
			AccessKey                                string `json:"access_key"`
			SecretKey                                string `json:"secret_key"`
			Length                                   int64
			Headers                                  map[string]string
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	signed := 0
	for _, v := range vectors {
		in := v.Inputs
		fields := strings.Split(in.Authorization, "/")
		if len(fields) != 6 || !strings.Contains(fields[4], "host") {
			continue
		}
		signed++
		pairs := strings.Split(in.Query, "&")
		for i := range pairs { // sorted by bytes, as all queries here are
			for j := range i {
				if pairs[i] < pairs[j] {
					pairs[i], pairs[j] = pairs[j], pairs[i]
				}
			}
		}
		req := &http.Request{Method: in.Method, Host: in.Host, ContentLength: in.Length, Header: http.Header{}, URL: &url.URL{RawQuery: strings.Join(pairs, "&")}}
		for name, value := range in.Headers {
			req.Header.Set(name, value)
		}
		if got := authorization(req, in.Path, store.Credentials{AccessKey: in.AccessKey, SecretKey: in.SecretKey}, fields[2]); got != in.Authorization {
			t.Errorf("%s: signed %s\nwant %s", v.Name, got, in.Authorization)
		}
	}
	if signed != 2 {
		t.Errorf("%d vectors, want 2", signed)
	}
}

// TestSignaturesOfOddRequests: whatever keys, metadata and markers there are, the server agrees with the signature.
func TestSignaturesOfOddRequests(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("pre fix+/", store.RoleDestination))
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ -~äЖ日🪣]{1,40}`).Filter(func(k string) bool { return !hasDots(k) }).Draw(t, "key")
		name := rapid.StringMatching(`[a-z0-9-]{0,10}[a-z]`).Draw(t, "name")
		meta := store.Metadata{
			ContentType: rapid.StringMatching(`[a-z]{1,5}/[a-z +;="]{0,10}[a-z]`).Draw(t, "type"),
			User: map[string]string{
				name: rapid.StringMatching(`[ -~ü]{0,30}`).Draw(t, "value"), name + "-more": "sorted behind it, and before it with its value",
			},
			Tags: map[string]string{rapid.StringMatching(`[a-zA-Z0-9 +=._:/-]{1,20}`).Draw(t, "tag"): "value +=._:/-"},
		}
		storetest.Signs(t, s, key, meta)
		var m store.Metadata
		if _, err := s.Detail(t.Context(), key, store.Details{Tags: true}, &m); err != nil || len(m.Tags) != 1 {
			t.Fatalf("detail: %v, %v", m.Tags, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatalf("delete: %v", err)
		}
	})
}

// TestSecretsAreNotSent: a request carries a signature, never what it was made with.
func TestSecretsAreNotSent(t *testing.T) {
	server, at := newPlace(t)
	storetest.NoSecret(t, server.OnRequest, at.account.SecretKey, openWith(t, at.config("", store.RoleSource)))
}
