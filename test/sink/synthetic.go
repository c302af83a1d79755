package sink

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// synthetic serves buckets that were never written. Every object of one size has the same content: a block of
// pseudo-random bytes, repeated.
type synthetic struct {
	mu    sync.Mutex
	block []byte
	etags map[int64]string // by size
}

const synBlock = 1 << 20

// synTime is when all synthetic objects were modified.
func synTime() time.Time { return time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }

// parseSynthetic reads the name of a synthetic bucket: "syn", number of objects, "-", bytes of each.
func parseSynthetic(name string) (n, size int64, ok bool) {
	rest, ok := strings.CutPrefix(name, "syn")
	if !ok {
		return 0, 0, false
	}
	a, b, _ := strings.Cut(rest, "-")
	n, err1 := strconv.ParseInt(a, 10, 64)
	size, err2 := strconv.ParseInt(b, 10, 64)
	return n, size, err1 == nil && err2 == nil && n >= 0 && n <= 1e9 && size >= 0
}

const synDigits = 9

// synKey returns the key of object i.
func synKey(i int64) string {
	digits := strconv.FormatInt(i, 10)
	return "k" + strings.Repeat("0", synDigits-len(digits)) + digits
}

func (s *synthetic) object(n, size int64, key string) *object {
	digits, ok := strings.CutPrefix(key, "k")
	i, err := strconv.ParseInt(digits, 10, 64)
	if !ok || len(digits) != synDigits || err != nil || i < 0 || i >= n {
		return nil
	}
	return &object{
		size: size, etag: s.etag(size), at: synTime(), meta: http.Header{"Content-Type": {"application/octet-stream"}},
	}
}

// etag is the MD5 of the content of an object of size bytes, computed once.
func (s *synthetic) etag(size int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.etags[size]; ok {
		return e
	}
	h := md5.New()
	s.writeLocked(h, 0, size)
	e := hex.EncodeToString(h.Sum(nil))
	if s.etags == nil {
		s.etags = map[int64]string{}
	}
	s.etags[size] = e
	return e
}

// write sends bytes [from, from+n) of a content and returns how many were taken.
func (s *synthetic) write(w io.Writer, from, n int64) int64 {
	s.mu.Lock()
	s.fill()
	s.mu.Unlock()
	return s.copyBlock(w, from, n)
}

func (s *synthetic) writeLocked(w io.Writer, from, n int64) {
	s.fill()
	s.copyBlock(w, from, n)
}

// fill makes the block; it never changes afterwards. The caller holds the lock.
func (s *synthetic) fill() {
	if s.block == nil {
		s.block = make([]byte, synBlock)
		rand.NewChaCha8([32]byte{}).Read(s.block)
	}
}

func (s *synthetic) copyBlock(w io.Writer, from, n int64) (sent int64) {
	for n > 0 {
		off := from % synBlock
		m, err := w.Write(s.block[off : off+min(n, synBlock-off)])
		sent += int64(m)
		if err != nil {
			return sent
		}
		from, n = from+int64(m), n-int64(m)
	}
	return sent
}
