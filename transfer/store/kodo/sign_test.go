package kodo

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qiniu/go-sdk/v7/auth"
	"github.com/qiniu/go-sdk/v7/storage"
	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestPublishedVectors signs what the vendor's own tests sign.
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile("../../../test/testdata/wire/kodo-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Want string
		Inputs     struct{ Kind, Text, Method, Host, Type, Body string }
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	signed := 0
	creds := store.Credentials{AccessKey: "ak", SecretKey: "sk"}
	for _, v := range vectors {
		in, got := v.Inputs, ""
		switch in.Kind {
		case "sign":
			got = sign(creds, in.Text)
		case "upload":
			got = signData(creds, []byte(in.Text))
		case "Qiniu":
			req := &http.Request{Method: in.Method, URL: &url.URL{}, Host: in.Host, Header: http.Header{"Content-Type": {in.Type}}}
			signManage(req, creds, in.Body)
			got = strings.TrimPrefix(req.Header.Get("Authorization"), "Qiniu ")
		default:
			continue // QBox is not used here; hashes are computed by the caller
		}
		signed++
		if got != v.Want {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Want)
		}
	}
	if signed != 8 {
		t.Errorf("%d vectors, want 8", signed)
	}
}

// TestSignaturesAgreeWithTheVendors: what the vendor's SDK makes of a key or a request is made here.
func TestSignaturesAgreeWithTheVendors(t *testing.T) {
	creds := store.Credentials{AccessKey: "ak", SecretKey: "sk"}
	theirs := auth.New("ak", "sk")
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ -~äЖ日🪣]{1,40}`).Draw(t, "key")
		s := &Store{bucket: "b", opts: options{rs: &url.URL{Scheme: "http", Host: "rs.example.com"}}}
		s.creds.Store(&creds)
		r, err := s.manage("stat", "stat", key, "")
		if err != nil {
			t.Fatal(err)
		}
		r.query = "a=" + url.QueryEscape(key)
		req := s.newRequest(&r)
		if want := storage.URIStat("b", key); req.URL.Path != want {
			t.Fatalf("path %s, want %s", req.URL.Path, want)
		}
		want, err := theirs.SignRequestV2(req)
		if got := req.Header.Get("Authorization"); err != nil || got != "Qiniu "+want {
			t.Fatalf("%s, want %s (%v)", got, want, err)
		}
		p := policy{Scope: "b:" + key, Deadline: 1900000000, InsertOnly: 1, FileType: 2}
		text, err := json.Marshal(storage.PutPolicy{Scope: p.Scope, Expires: 1900000000, InsertOnly: 1, FileType: 2})
		if got := uploadToken(creds, p); err != nil || got != theirs.SignWithData(text) {
			t.Fatalf("%s, want %s", got, theirs.SignWithData(text))
		}
		at := "http://d.example.com/" + url.PathEscape(key)
		if got, want := at+"?"+privateURL(creds, at, time.Unix(1900000000, 0)), storage.MakePrivateURL(theirs, "http://d.example.com", url.PathEscape(key), 1900000000); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

// TestOddRequests: whatever keys and metadata there are, the server agrees with the signature and keeps them.
func TestOddRequests(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("pre fix+/", store.RoleDestination))
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[ -~äЖ日🪣]{1,40}`).Draw(t, "key")
		meta := store.Metadata{
			ContentType: rapid.StringMatching(`[a-z]{1,5}/[a-z+;=]{0,10}[a-z]`).Draw(t, "type"),
			User:        map[string]string{rapid.StringMatching(`[a-z0-9_-]{0,10}[a-z]`).Draw(t, "name"): rapid.StringMatching(`[a-z.+/;=,_-]{1,30}`).Draw(t, "value")},
		}
		if _, err := s.Put(t.Context(), key, store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{Meta: meta}); err != nil {
			t.Fatalf("put: %v", err)
		}
		r, o, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1})
		if err != nil || o.Size != 1 {
			t.Fatalf("open: %+v, %v", o, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		l := s.List(store.ListOptions{From: store.Next(key), Page: 1})
		if _, err := l.Next(t.Context()); err != nil && err.Error() != "EOF" {
			t.Fatalf("list: %v", err)
		}
		if _, err := s.ListParts(t.Context(), key, "no-such-upload"); store.ClassOf(err) != store.NotFound {
			t.Fatalf("list parts: %v", err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatalf("delete: %v", err)
		}
	})
}

// TestSecretsAreNotSent: a request carries a signature, never what it was made with.
func TestSecretsAreNotSent(t *testing.T) {
	server, at := newPlace(t)
	seen := 0
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		seen++
		var all strings.Builder
		if err := r.Write(&all); err != nil || strings.Contains(all.String(), at.account.SecretKey) {
			t.Errorf("sent %s %v", all.String(), err)
		}
		return true
	})
	s := openWith(t, at.config("", store.RoleSource))
	if _, err := s.Check(t.Context()); err == nil {
		t.Error("an empty answer passed for a listing")
	}
	_, _ = s.Put(t.Context(), "k", store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{}) // the answer is empty
	_, _, _ = s.Open(t.Context(), "k", store.OpenOptions{Length: -1})                           // and so is this
	_, _ = s.UploadPart(t.Context(), "k", "id", 1, store.Body{Bytes: []byte("x"), Size: 1})     // and this
	if seen != 4 {
		t.Errorf("%d requests", seen)
	}
}
