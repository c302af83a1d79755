package urllist

import (
	"bytes"
	"crypto/md5"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// openWith opens a store with options and credentials.
func openWith(t *testing.T, options url.Values, creds store.Credentials) *Store {
	t.Helper()
	loc := store.Location{Scheme: store.ListScheme, Path: "/list", Options: options}
	if err := Validate(loc); err != nil {
		t.Fatalf("validate: %v", err)
	}
	s, err := newStore(store.Config{Location: loc, Role: store.RoleSource, Credentials: creds, Concurrency: 4})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// content makes bytes that are the same in every run.
func content(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// readAll stats and reads an object whole, as the engine does.
func readAll(t *testing.T, s *Store, key string) (store.Object, []byte, error) {
	t.Helper()
	o, err := s.Stat(t.Context(), key)
	if err != nil {
		return o, nil, err
	}
	r, now, err := s.Open(t.Context(), key, store.OpenOptions{Length: -1, IfMatch: o.ETag})
	if err != nil {
		return o, nil, err
	}
	defer r.Close()
	if now.Size >= 0 && now.Size != o.Size {
		t.Errorf("%s: %d bytes by Stat, %d by Open", key, o.Size, now.Size)
	}
	data, err := io.ReadAll(r)
	return o, data, err
}

func TestNginxServes(t *testing.T) {
	n := servers.StartNginx(t)
	s := openWith(t, url.Values{"auth_host": {strings.TrimPrefix(n.URL, "http://")}}, store.Credentials{AccessKey: "user", SecretKey: n.Password})
	for _, size := range []int{0, 1, 3000, 300_000} {
		want := content(size)
		n.Write(t, "dir/a b+中.bin", want)
		for _, place := range []string{"files", "norange", "slow", "auth", "redirect", "length", "gzip"} {
			o, got, err := readAll(t, s, n.URL+"/"+place+"/dir/a%20b+%E4%B8%AD.bin")
			if err != nil || !bytes.Equal(got, want) || o.Size != int64(size) {
				t.Errorf("%s, %d bytes: got %d, said %d: %v", place, size, len(got), o.Size, err)
				continue
			}
			if one := place == "norange" || place == "length"; size > 0 && o.OneStream != one {
				t.Errorf("%s: one stream %v", place, o.OneStream)
			}
			if sum := md5.Sum(want); place == "length" && size > 0 && o.Sums.MD5 != string(sum[:]) {
				t.Errorf("%s: MD5 %x", place, o.Sums.MD5)
			}
			if place == "gzip" && o.Meta.ContentEncoding != "gzip" {
				t.Errorf("the encoding is lost: %+v", o.Meta)
			}
			if place == "files" && (o.ETag == "" || o.ModTime.IsZero() || o.Meta.ContentType != "application/octet-stream") {
				t.Errorf("%+v, %+v", o, o.Meta)
			}
		}
	}
}

func TestNginxRanges(t *testing.T) {
	n := servers.StartNginx(t)
	s := openWith(t, nil, store.Credentials{})
	want := content(200_000)
	n.Write(t, "x", want)
	for _, place := range []string{"/files/x", "/norange/x", "/length/x"} {
		for _, span := range [][2]int64{{0, 10}, {1, 1}, {100_000, 50_000}, {199_999, 1}, {150_000, -1}, {7, 0}} {
			r, _, err := s.Open(t.Context(), n.URL+place, store.OpenOptions{Offset: span[0], Length: span[1]})
			if err != nil {
				t.Errorf("%s %v: %v", place, span, err)
				continue
			}
			end := span[0] + span[1]
			if span[1] < 0 {
				end = int64(len(want))
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[span[0]:end]) {
				t.Errorf("%s %v: %d bytes, %v", place, span, len(got), err)
			}
			r.Close()
		}
	}
}

func TestNginxRefusals(t *testing.T) {
	n := servers.StartNginx(t)
	n.Write(t, "x", []byte("x"))
	s := openWith(t, nil, store.Credentials{})
	for place, want := range map[string]store.Class{
		"/files/not": store.NotFound, "/gone/x": store.NotFound, "/forbidden/x": store.Auth, "/auth/x": store.Auth,
		"/throttled/x": store.Throttled, "/broken/x": store.Throttled, "/loop/x": store.Permanent,
	} {
		for op, ask := range map[string]func(string) error{
			"stat": func(u string) error { _, err := s.Stat(t.Context(), u); return err },
			"open": func(u string) error {
				_, _, err := s.Open(t.Context(), u, store.OpenOptions{Length: -1})
				return err
			},
		} {
			err := ask(n.URL + place + "?signature=verysecret")
			if store.ClassOf(err) != want {
				t.Errorf("%s %s: class %q, want %q: %v", op, place, store.ClassOf(err), want, err)
			}
			if err != nil && strings.Contains(err.Error(), "verysecret") {
				t.Errorf("%s %s: the query is shown: %v", op, place, err)
			}
			var e *store.Error
			if errors.As(err, &e) && place == "/throttled/x" && e.RetryAfter != time.Second {
				t.Errorf("%s: Retry-After %v", op, e.RetryAfter)
			}
		}
	}
}

// TestAnotherVersionIsRefused pins reads by the ETag.
func TestAnotherVersionIsRefused(t *testing.T) {
	n := servers.StartNginx(t)
	s := openWith(t, nil, store.Credentials{})
	n.Write(t, "x", []byte("first"))
	o, err := s.Stat(t.Context(), n.URL+"/files/x")
	if err != nil || o.ETag == "" {
		t.Fatalf("stat: %+v, %v", o, err)
	}
	n.Write(t, "x", []byte("second one"))
	if _, _, err := s.Open(t.Context(), n.URL+"/files/x", store.OpenOptions{Length: -1, IfMatch: o.ETag}); store.ClassOf(err) != store.Precondition {
		t.Errorf("open of another version: %v", err)
	}
}

// TestCutConnectionsAreTakenUp cuts every answer after a while; each request gets further.
func TestCutConnectionsAreTakenUp(t *testing.T) {
	n := servers.StartNginx(t)
	want := content(1 << 20)
	n.Write(t, "x", want)
	p := faults.Start(t, faults.Target{URL: n.URL})
	s := openWith(t, nil, store.Credentials{})
	o, err := s.Stat(t.Context(), p.URL+"/files/x")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	p.Add(faults.Rule{Fault: faults.Fault{CutResponse: 100_000}})
	r, _, err := s.Open(t.Context(), p.URL+"/files/x", store.OpenOptions{Length: -1, IfMatch: o.ETag})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d: %v", len(got), len(want), err)
	}
	if c := p.Count(s3op.GetObject); c < 10 {
		t.Errorf("only %d requests: nothing was cut", c)
	}
	if requests := n.Requests(t); len(requests) < 10 {
		t.Errorf("nginx saw %d requests", len(requests))
	}
	// Without ranges there is nothing to take up: the caller reads again.
	r, _, err = s.Open(t.Context(), p.URL+"/norange/x", store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); store.ClassOf(err) != store.Transient {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
