package s3

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// AWS takes a CRC64NVME with an object, but refuses it with a part of an upload that named no algorithm. What an
// endpoint does with the one must not be taken for what it does with the other.
func TestPartsWhoseSumIsRefused(t *testing.T) {
	var refused, objects atomic.Int32
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sum := md5.Sum(body)
		crc := r.Header.Get(headerCRC64)
		if r.URL.Query().Has("partNumber") && crc != "" {
			refused.Add(1)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, "<Error><Code>InvalidRequest</Code><Message>Checksum Type mismatch occurred, "+
				"expected checksum Type: null, actual checksum Type: crc64nvme</Message></Error>")
			return
		}
		if crc != "" {
			objects.Add(1)
			w.Header().Set(headerCRC64, crc)
		}
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	})
	content := []byte("content")
	body := store.Body{Bytes: content, Size: int64(len(content)), Sums: store.Checksums{CRC64NVME: "12345678"}}
	put := func() {
		if _, err := s.Put(t.Context(), "k", body, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	want := md5.Sum(content)
	for n := 1; n <= 3; n++ {
		part, err := s.UploadPart(t.Context(), "k", "id", n, body)
		if err != nil || part.Sums.MD5 != string(want[:]) || part.Sums.CRC64NVME != "" {
			t.Fatalf("part %d: %+v, %v", n, part, err)
		}
	}
	put()
	if refused.Load() != 1 || objects.Load() != 2 {
		t.Errorf("%d parts were refused, %d objects carried the sum", refused.Load(), objects.Load())
	}
}
