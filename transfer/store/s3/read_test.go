package s3

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestAnswersToRangesAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		rng    string // Content-Range
		length int
		ok     bool
	}{
		{"right", 206, "bytes 10-19/100", 10, true},
		{"another start", 206, "bytes 11-20/100", 10, false},
		{"shorter", 206, "bytes 10-18/100", 9, false},
		{"longer", 206, "bytes 10-20/100", 11, false},
		{"another length", 206, "bytes 10-19/100", 9, false},
		{"size unknown", 206, "bytes 10-19/*", 10, false},
		{"none", 206, "", 10, false},
		{"beyond the size", 206, "bytes 10-19/15", 10, false},
		{"overflow", 206, "bytes 10-19/99999999999999999999", 10, false},
		{"ignored", 200, "", 100, false},
		{"end of the object", 206, "bytes 10-14/15", 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Range"); got != "bytes=10-19" {
					t.Errorf("Range %q", got)
				}
				w.Header().Set("Content-Range", c.rng)
				w.Header().Set("Content-Length", fmt.Sprint(c.length))
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, strings.Repeat("x", c.length))
			})
			r, _, err := s.Open(t.Context(), "k", store.OpenOptions{Offset: 10, Length: 10})
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				if store.ClassOf(err) != store.Permanent {
					t.Errorf("class of %v", err)
				}
				return
			}
			if got, err := io.ReadAll(r); err != nil || len(got) != c.length {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			_ = r.Close()
		})
	}
}

func TestTruncatedContentIsAnError(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "only this")
	})
	r, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := io.ReadAll(r); store.ClassOf(err) != store.Transient || err == nil {
		t.Errorf("error %v", err)
	}
}

func TestCompressedObjectsComeAsTheyAre(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "\x1f\x8b\x08\x00")
	})
	r, o, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || string(got) != "\x1f\x8b\x08\x00" || o.Meta.ContentEncoding != "gzip" {
		t.Errorf("%q, %v, %+v", got, err, o.Meta)
	}
}
