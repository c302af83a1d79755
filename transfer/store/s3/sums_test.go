package s3

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// known are sums that a caller knows; the servers here do not look at what they mean.
var known = store.Checksums{MD5: strings.Repeat("m", 16), CRC64NVME: strings.Repeat("c", 8)}

func body(stream bool) store.Body {
	b := store.Body{Size: 3, Sums: known}
	if stream {
		b.Reader = strings.NewReader("abc")
	} else {
		b.Bytes = []byte("abc")
	}
	return b
}

// sumServer counts requests with and without a CRC64NVME and answers by its kind.
type sumServer struct {
	with, without atomic.Int32
	kind          string
}

func (f *sumServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	sum := r.Header.Get(headerCRC64)
	if sum == "" {
		f.without.Add(1)
	} else {
		f.with.Add(1)
	}
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	switch {
	case f.kind == "echoes" && sum != "":
		w.Header().Set(headerCRC64, sum)
	case f.kind == "refuses" && sum != "":
		refuse(w, 501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	case f.kind == "complains" && sum != "":
		refuse(w, 400, "BadRequest", "unknown checksum header")
	case f.kind == "full":
		refuse(w, 400, "InvalidRequest", "something else is wrong")
	}
}

func TestChecksumsAreLearned(t *testing.T) {
	for _, c := range []struct {
		kind          string
		stream        bool
		want          bool // CRC64NVME, afterwards
		with, without int32
		failures      int // of three writes
	}{
		{"echoes", false, true, 3, 0, 0},
		{"echoes", true, true, 3, 0, 0},
		{"ignores", false, false, 1, 2, 0},
		{"ignores", true, false, 1, 2, 0},
		{"refuses", false, false, 1, 3, 0},
		{"refuses", true, false, 1, 2, 1}, // the content of the first is spent
		{"complains", false, false, 1, 3, 0},
		{"full", false, true, 3, 3, 3}, // without the sum it is refused as well: nothing learned
	} {
		name := c.kind
		if c.stream {
			name += " a stream"
		}
		t.Run(name, func(t *testing.T) {
			f := &sumServer{kind: c.kind}
			s := openFake(t, "", f.ServeHTTP)
			if w := s.WantSums(); !w.MD5 || !w.CRC64NVME {
				t.Errorf("at first wants %+v; want both", w)
			}
			failures := 0
			for range 3 {
				o, err := s.Put(t.Context(), "k", body(c.stream), store.PutOptions{})
				if err != nil {
					failures++
					if c.kind == "refuses" && store.ClassOf(err) != store.Transient {
						t.Errorf("put: %v, want a failure that may pass", err)
					}
				} else if (o.Sums.CRC64NVME != "") != (c.kind == "echoes") {
					t.Errorf("put reports CRC64NVME %q", o.Sums.CRC64NVME)
				}
			}
			if failures != c.failures {
				t.Errorf("%d failures, want %d", failures, c.failures)
			}
			if w := s.WantSums(); w.CRC64NVME != c.want {
				t.Errorf("wants CRC64NVME: %v", w.CRC64NVME)
			}
			if f.with.Load() != c.with || f.without.Load() != c.without {
				t.Errorf("%d requests with and %d without the sum, want %d and %d", f.with.Load(), f.without.Load(), c.with, c.without)
			}
		})
	}
}

func TestKnownSumsAreSent(t *testing.T) {
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{headerMD5: known.MD5, headerCRC64: known.CRC64NVME} {
			if got := r.Header.Get(name); got != base64.StdEncoding.EncodeToString([]byte(want)) {
				t.Errorf("%s: %q", name, got)
			}
			if !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(name)) {
				t.Errorf("%s is not signed", name)
			}
		}
	})
	if _, err := s.Put(t.Context(), "k", body(false), store.PutOptions{}); err != nil {
		t.Error(err)
	}
}

func TestEncryptedObjectsHaveNoMD5(t *testing.T) {
	for name, value := range map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256",
	} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
			w.Header().Set(name, value)
		})
		o, err := s.Put(t.Context(), "k", body(false), store.PutOptions{})
		if err != nil || o.Sums.MD5 != "" || o.ETag == "" {
			t.Errorf("%s: %+v, %v; want an ETag that is no MD5", name, o, err)
		}
		if s.WantSums().MD5 {
			t.Errorf("%s: still wants the MD5", name)
		}
	}
}

func TestSumsOfSumsAreNotOfTheContent(t *testing.T) {
	eight := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 8))
	for _, c := range []struct {
		kind, value string
		want        bool
	}{{"FULL_OBJECT", eight, true}, {"", eight, true}, {"COMPOSITE", eight, false}, {"", eight + "-3", false}, {"", "!", false}} {
		s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(headerCRC64, c.value)
			w.Header().Set("X-Amz-Checksum-Type", c.kind)
			w.Header().Set("Content-Length", "5")
		})
		o, err := s.Stat(t.Context(), "k")
		if err != nil || (o.Sums.CRC64NVME != "") != c.want {
			t.Errorf("%+v: %x, %v", c, o.Sums.CRC64NVME, err)
		}
	}
}
