package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/gs"
)

// shared is fake-gcs-server for all tests.
var shared servers.SharedGCS

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop fake-gcs-server:", err)
		code = 1
	}
	os.Exit(code)
}

// sdk is the vendor's client, with the account's key.
func sdk(t *testing.T, s *Server) *storage.Client {
	t.Helper()
	c, err := storage.NewClient(t.Context(), option.WithEndpoint(s.URL+"/storage/v1/"),
		option.WithAuthCredentialsJSON(option.ServiceAccount, []byte(s.Key(t))), option.WithScopes(storage.ScopeFullControl))
	if err != nil {
		t.Fatalf("the SDK: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// brigade is a store of ours at the same place.
func brigade(t *testing.T, s *Server, bucket string) *gs.Parallel {
	t.Helper()
	d, err := gs.Open(t.Context(), store.Config{
		Location:    store.Location{Scheme: "gs", Bucket: bucket, Options: url.Values{"endpoint": {s.URL}, "multipart": {"true"}}},
		Credentials: store.Credentials{AccessKey: s.account.email, SecretKey: s.Key(t)}, Concurrency: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*gs.Parallel)
}

// TestSDKReadsWhatBrigadeWrote: objects, metadata and parts are to others what they were meant to be.
func TestSDKReadsWhatBrigadeWrote(t *testing.T) {
	behind := shared.FakeGCS(t)
	front := Start(t, behind)
	bucket := behind.NewBucket(t)
	client, ours := sdk(t, front).Bucket(bucket), brigade(t, front, bucket)
	meta := store.Metadata{
		ContentType: "text/x-test", CacheControl: "no-store", ContentLanguage: "de", ContentDisposition: "inline",
		User: map[string]string{"mtime": "1.5"}, Class: store.StorageClass{Name: "COLDLINE", Tier: store.TierCold},
	}
	content := bytes.Repeat([]byte("0123456789"), 600_000)
	opts := store.PutOptions{Meta: meta}
	if _, err := ours.Put(t.Context(), "folder/ü +%", store.Body{Bytes: content, Size: int64(len(content))}, opts); err != nil {
		t.Fatal(err)
	}
	inParts(t, ours, "in parts", content, opts)
	for key, hasMD5 := range map[string]bool{"folder/ü +%": true, "in parts": false} {
		attrs, err := client.Object(key).Attrs(t.Context())
		if err != nil {
			t.Fatalf("attrs of %q: %v", key, err)
		}
		if attrs.ContentType != meta.ContentType || attrs.CacheControl != meta.CacheControl || attrs.ContentLanguage != "de" ||
			attrs.ContentDisposition != "inline" || attrs.Metadata["mtime"] != "1.5" || attrs.StorageClass != "COLDLINE" {
			t.Errorf("%q: %+v", key, attrs)
		}
		if want := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)); attrs.CRC32C != want || (len(attrs.MD5) > 0) != hasMD5 {
			t.Errorf("%q: crc32c %x, content has %x; md5 %x", key, attrs.CRC32C, want, attrs.MD5)
		}
		r, err := client.Object(key).NewReader(t.Context())
		if err != nil {
			t.Fatalf("read %q: %v", key, err)
		}
		got, err := io.ReadAll(r) // checks the CRC32C
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q: %d bytes, %v", key, len(got), err)
		}
		_ = r.Close()
	}
}

func inParts(t *testing.T, s store.Multiparter, key string, content []byte, opts store.PutOptions) {
	t.Helper()
	id, err := s.CreateUpload(t.Context(), key, opts)
	if err != nil {
		t.Fatal(err)
	}
	var parts []store.Part
	for i := 0; i*smallestPart < len(content); i++ {
		p := content[i*smallestPart : min((i+1)*smallestPart, len(content))]
		part, err := s.UploadPart(t.Context(), key, id, i+1, store.Body{Bytes: p, Size: int64(len(p))})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	if _, err := s.CompleteUpload(t.Context(), key, id, parts, opts); err != nil {
		t.Fatal(err)
	}
}

// TestBrigadeReadsWhatTheSDKWrote is the other way round, with the SDK's resumable upload and its own metadata.
func TestBrigadeReadsWhatTheSDKWrote(t *testing.T) {
	behind := shared.FakeGCS(t)
	front := Start(t, behind)
	bucket := behind.NewBucket(t)
	client, ours := sdk(t, front).Bucket(bucket), brigade(t, front, bucket)
	content := bytes.Repeat([]byte("abc"), 300_000)
	w := client.Object("by/sdk").NewWriter(t.Context())
	w.ContentType, w.Metadata, w.StorageClass, w.ChunkSize = "text/x-sdk", map[string]string{"city": "Zürich", "q": "what?"}, "NEARLINE", 256<<10
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, o, err := ours.Open(t.Context(), "by/sdk", store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	m := o.Meta
	if m.ContentType != "text/x-sdk" || m.User["city"] != "Zürich" || m.User["q"] != "what?" || m.Class.Name != "NEARLINE" || m.Class.Tier != store.TierInfrequent {
		t.Errorf("metadata %+v", m)
	}
	if attrs := w.Attrs(); o.ETag != fmt.Sprint(attrs.Generation) || base64.StdEncoding.EncodeToString([]byte(o.Sums.MD5)) != base64.StdEncoding.EncodeToString(attrs.MD5) {
		t.Errorf("%+v, the SDK says %+v", o, attrs)
	}
}

// TestSDKDrivesTheServer shows that the front is a server of the vendor's protocol to the vendor's own client: conditions, ranges,
// listings, copies, deletes.
func TestSDKDrivesTheServer(t *testing.T) {
	behind := shared.FakeGCS(t)
	front := Start(t, behind)
	front.Pieces = 3
	bucket := sdk(t, front).Bucket(behind.NewBucket(t))
	ctx := t.Context()
	write := func(o *storage.ObjectHandle, text string) error {
		w := o.NewWriter(ctx)
		_, err := io.WriteString(w, text)
		return errors.Join(err, w.Close())
	}
	if err := write(bucket.Object("a"), "first"); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "a write where something is", write(bucket.Object("a").If(storage.Conditions{DoesNotExist: true}), "x"), 412)
	r, err := bucket.Object("a").NewRangeReader(ctx, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "irs" || err != nil {
		t.Errorf("range %q, %v", got, err)
	}
	_, err = bucket.Object("a").If(storage.Conditions{GenerationMatch: 1}).NewReader(ctx)
	wantStatus(t, "a read of another generation", err, 412)
	attrs, err := bucket.Object("b/c").CopierFrom(bucket.Object("a")).Run(ctx)
	if err != nil || attrs.Size != 5 {
		t.Errorf("copy %+v, %v", attrs, err)
	}
	_, err = bucket.Object("b/d").CopierFrom(bucket.Object("a").If(storage.Conditions{GenerationMatch: 1})).Run(ctx)
	wantStatus(t, "a copy of another generation", err, 412)
	if got := names(ctx, t, bucket); got != "a b/c" {
		t.Errorf("listed %q", got)
	}
	if err := bucket.Object("a").Delete(ctx); err != nil {
		t.Error(err)
	}
	if got := names(ctx, t, bucket); got != "b/c" {
		t.Errorf("listed %q after a delete", got)
	}
	front.DeleteKey()
	front.Revoke()
	if _, err := sdk(t, front).Bucket("any").Attrs(ctx); err == nil || !strings.Contains(err.Error(), "Invalid JWT Signature") {
		t.Errorf("with a deleted key: %v", err)
	}
}

func names(ctx context.Context, t *testing.T, bucket *storage.BucketHandle) string {
	t.Helper()
	var all []string
	for it := bucket.Objects(ctx, nil); ; {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return strings.Join(all, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Name)
	}
}

func wantStatus(t *testing.T, what string, err error, status int) {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != status {
		t.Errorf("%s: %v, want status %d", what, err, status)
	}
}
