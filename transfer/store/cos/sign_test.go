package cos

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// TestPublishedVectors signs what the vendor prints as signed (test/testdata/wire/cos-vectors.json has the sources).
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile("../../../test/testdata/wire/cos-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Want string
		Inputs     struct {
			Method, Host, Path, Query, Span, Authorization string
			SecretKey                                      string `json:"secret_key"`
			Headers                                        map[string]string
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	signed := 0
	for _, v := range vectors {
		in := v.Inputs
		if in.Authorization == "" {
			continue
		}
		signed++
		fields := []field{newField("host", in.Host)}
		for name, value := range in.Headers {
			fields = append(fields, newField(name, value))
		}
		headers, names := canonical(fields)
		params, queried := canonical(queryFields(in.Query))
		text := strings.ToLower(in.Method) + "\n" + in.Path + "\n" + params + "\n" + headers + "\n"
		if got := signature(in.SecretKey, in.Span, text); got != v.Want {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Want)
		}
		if list := "q-header-list=" + names + "&q-url-param-list=" + queried + "&"; !strings.Contains(in.Authorization, list) {
			t.Errorf("%s: %s is not in %s", v.Name, list, in.Authorization)
		}
	}
	if signed != 3 {
		t.Errorf("%d signed vectors, want 3", signed)
	}
}

// TestSignedSpan: a signature holds from some minutes before its making to some after, as far as clocks may differ.
func TestSignedSpan(t *testing.T) {
	now := time.Unix(1795223575, 0)
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/k"}, Host: "h", Header: http.Header{}}
	sign(req, store.Credentials{AccessKey: "ak", SecretKey: "sk", SessionToken: "token"}, now)
	auth := req.Header.Get("Authorization")
	want := strconv.FormatInt(now.Unix()-300, 10) + ";" + strconv.FormatInt(now.Unix()+900, 10)
	for _, part := range []string{"q-sign-time=" + want + "&", "q-key-time=" + want + "&", "q-ak=ak&", "q-header-list=host;x-cos-security-token&"} {
		if !strings.Contains(auth, part) {
			t.Errorf("%s has no %s", auth, part)
		}
	}
}

// TestSignaturesOfOddRequests: whatever keys, metadata and markers there are, the server agrees with the signature.
func TestSignaturesOfOddRequests(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("pre fix+/", store.RoleDestination))
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ -~äЖ日🪣]{1,40}`).Draw(t, "key")
		meta := store.Metadata{
			ContentType:        rapid.StringMatching(`[a-z]{1,5}/[a-z +;="]{0,10}[a-z]`).Draw(t, "type"),
			ContentDisposition: rapid.StringMatching(`[a-zä ;="]{0,10}`).Draw(t, "disposition"),
			User:               map[string]string{rapid.StringMatching(`[a-z0-9-]{0,10}[a-z]`).Draw(t, "name"): rapid.StringMatching(`[ -~ü]{1,30}`).Draw(t, "value")},
			Tags:               map[string]string{rapid.StringMatching(`[a-z +=:/@ü]{0,10}[a-z]`).Draw(t, "tag"): rapid.StringMatching(`[a-z +=:/@]{0,10}[a-z]`).Draw(t, "tag value")},
		}
		storetest.Signs(t, s, key, meta)
		var got store.Metadata
		if _, err := s.Detail(t.Context(), key, store.Details{Tags: true}, &got); err != nil || len(got.Tags) != 1 {
			t.Fatalf("tags: %v, %v", got.Tags, err)
		}
		for name, value := range meta.Tags {
			if got.Tags[name] != value {
				t.Fatalf("tags %q, want %q", got.Tags, meta.Tags)
			}
		}
		from, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("stat: %v", err)
		}
		if _, err := s.Copy(t.Context(), s, from, "copy of "+key, store.PutOptions{Meta: meta}); err != nil {
			t.Fatalf("copy: %v", err)
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
