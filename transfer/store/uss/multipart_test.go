package uss

import (
	"bytes"
	"crypto/md5"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// pieces gives content and its parts.
func pieces(part, last int64, n int) (whole []byte, parts [][]byte) {
	for i := range n {
		size := part
		if i == n-1 {
			size = last
		}
		p := bytes.Repeat([]byte{byte('a' + i)}, int(size))
		whole, parts = append(whole, p...), append(parts, p)
	}
	return whole, parts
}

func sendPart(t *testing.T, s *Store, key, id string, n int, b []byte) store.Part {
	t.Helper()
	p, err := s.UploadPart(t.Context(), key, id, n, store.Body{Bytes: b, Size: int64(len(b))})
	if err != nil {
		t.Fatalf("part %d: %v", n, err)
	}
	return p
}

// TestPartSizesAreTold when the upload begins, and another process goes on with it.
func TestPartSizesAreTold(t *testing.T) {
	_, at := newPlace(t)
	for _, size := range []int64{0, 1 << 20, 3 << 20} {
		s := openWith(t, at.config("", store.RoleDestination))
		part := max(size, 1<<20)
		whole, parts := pieces(part, part/2, 3)
		opts := store.PutOptions{Meta: store.Metadata{ContentType: "video/mp4", User: map[string]string{"k": "v"}}, PartSize: size, Size: int64(len(whole))}
		id, err := s.CreateUpload(t.Context(), "dir/big", opts)
		if err != nil {
			t.Fatal(err)
		}
		third, first := sendPart(t, s, "dir/big", id, 3, parts[2]), sendPart(t, s, "dir/big", id, 1, parts[0])
		next := openWith(t, at.config("", store.RoleDestination))
		held, err := next.ListParts(t.Context(), "dir/big", id)
		if err != nil || len(held) != 2 || held[0].Number != 1 || held[0].ETag != first.ETag || held[1].ETag != third.ETag || held[1].Size != part/2 {
			t.Fatalf("held %+v, %v", held, err)
		}
		second := sendPart(t, next, "dir/big", id, 2, parts[1])
		o, err := next.CompleteUpload(t.Context(), "dir/big", id, []store.Part{first, second, third}, opts)
		if err != nil || o.Size != int64(len(whole)) {
			t.Fatalf("%+v, %v", o, err)
		}
		stat, err := next.Stat(t.Context(), "dir/big")
		sum := md5.Sum(whole)
		if err != nil || stat.Sums.MD5 != string(sum[:]) || stat.Meta.ContentType != "video/mp4" || stat.Meta.User["k"] != "v" {
			t.Errorf("%+v, %v", stat, err)
		}
	}
}

func TestPartSizesThatCannotBe(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	for _, size := range []int64{1, 1<<20 + 1, 51 << 20, -1} {
		if _, err := s.CreateUpload(t.Context(), "k", store.PutOptions{PartSize: size}); store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "multiples of 1 MiB") {
			t.Errorf("parts of %d bytes: %v", size, err)
		}
	}
}

// TestPartsThatAreThereAlready: where the server takes no part twice, one whose answer got lost counts, and another content
// does not.
func TestPartsThatAreThereAlready(t *testing.T) {
	server, at := newPlaceWith(t, uss.Options{Operator: "o", Password: "p", NoReplacing: true})
	var mu sync.Mutex
	lists := 0
	server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			lists++
		}
		return false
	})
	s := openWith(t, at.config("", store.RoleDestination))
	id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := sendPart(t, s, "k", id, 1, []byte("one"))
	if again := sendPart(t, s, "k", id, 1, []byte("one")); again != first || lists == 0 {
		t.Errorf("%+v, then %+v after %d looks", first, again, lists)
	}
	for what, body := range map[string]store.Body{
		"another content": bodyOf("two"), "a stream": {Reader: strings.NewReader("one"), Size: 3},
	} {
		if _, err := s.UploadPart(t.Context(), "k", id, 1, body); store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "40011062") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestManyParts are listed in pages.
func TestManyParts(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 2100
	for i := n; i > 0; i-- {
		sendPart(t, s, "k", id, i, []byte(strconv.Itoa(i)))
	}
	held, err := s.ListParts(t.Context(), "k", id)
	if err != nil || len(held) != n {
		t.Fatalf("%d parts, %v", len(held), err)
	}
	for i, p := range held {
		if p.Number != i+1 || p.Size != int64(len(strconv.Itoa(i+1))) {
			t.Fatalf("part %d listed as %+v", i+1, p)
		}
	}
}

// TestPartsThatAreNoParts: a server that no longer knows an upload may answer with the file of that name, or repeat itself.
func TestPartsThatAreNoParts(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		class  store.Class
		parts  int
	}{
		"the file itself":        {answer: "hello", class: store.NotFound},
		"a file of JSON":         {answer: `{"a":1}`, class: store.NotFound},
		"a large file":           {answer: strings.Repeat("x", 5<<20), class: store.NotFound},
		"the same page for ever": {answer: `{"parts":[{"etag":"A","size":1,"id":0},{"etag":"b","size":1,"id":1}]}`, parts: 2},
		"none":                   {answer: `{"parts":[]}`},
		"one twice":              {answer: `{"parts":[{"etag":"a","size":1,"id":0},{"etag":"b","size":1,"id":0}]}`, class: store.Permanent},
		"numbers that cannot be": {answer: `{"parts":[{"etag":"a","size":1,"id":-1},{"etag":"b","size":1,"id":10000}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.answer)) })
			parts, err := s.ListParts(t.Context(), "k", strings.Repeat("0", 36))
			if store.ClassOf(err) != c.class || len(parts) != c.parts {
				t.Errorf("%+v, %v; want %d, class %q", parts, err, c.parts, c.class)
			}
		})
	}
}

// TestCompletedOtherwise: the server tells how much it put together.
func TestCompletedOtherwise(t *testing.T) {
	_, at := newPlace(t)
	s := openWith(t, at.config("", store.RoleDestination))
	id, err := s.CreateUpload(t.Context(), "k", store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, parts := pieces(1<<20, 5, 2)
	first := sendPart(t, s, "k", id, 1, parts[0])
	sendPart(t, s, "k", id, 2, parts[1]) // of which the caller knows nothing
	if _, err := s.CompleteUpload(t.Context(), "k", id, []store.Part{first}, store.PutOptions{}); store.ClassOf(err) != store.Mismatch {
		t.Errorf("completed with a part too many: %v", err)
	}
}

// TestAbortsAreNotSent: there is nothing to send, and a ctx that is over still counts.
func TestAbortsAreNotSent(t *testing.T) {
	s := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	if err := s.AbortUpload(t.Context(), "k", "id"); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"", "a\r\nb"} {
		if _, err := s.ListParts(t.Context(), "k", id); store.ClassOf(err) != store.NotFound {
			t.Errorf("parts of %q: %v", id, err)
		}
	}
}
