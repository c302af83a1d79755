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
	etags map[int64]string    // by size
	names map[string][]string // by kind of names and their number: keys, ascending; see synNames
	other map[string][]string // the same keys in the server's own order
}

const synBlock = 1 << 20

// synTime is when all synthetic objects were modified.
func synTime() time.Time { return time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }

// synBucket is what the name of a synthetic bucket says.
type synBucket struct {
	kind    string // of names, see synNames; "" for numbers
	n, size int64  // objects, bytes of each
}

// parseSynthetic reads the name of a synthetic bucket: "syn", kind of names, number of objects, "-", bytes of each.
func parseSynthetic(name string) (b synBucket, ok bool) {
	rest, ok := strings.CutPrefix(name, "syn")
	if !ok {
		return b, false
	}
	number := strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz")
	b.kind = rest[:len(rest)-len(number)]
	objects, size, _ := strings.Cut(number, "-")
	var err1, err2 error
	b.n, err1 = strconv.ParseInt(objects, 10, 64)
	b.size, err2 = strconv.ParseInt(size, 10, 64)
	most := int64(1e9)
	if b.kind != "" {
		most = maxNames
		if synNames(b.kind) == nil {
			return b, false
		}
	}
	return b, err1 == nil && err2 == nil && b.n >= 0 && b.n <= most && b.size >= 0
}

const synDigits = 9

// synKey returns the key of object i.
func synKey(i int64) string {
	digits := strconv.FormatInt(i, 10)
	return "k" + strings.Repeat("0", synDigits-len(digits)) + digits
}

// keys returns the key of each object of a bucket by its place in the order of the listing.
func (s *synthetic) keys(b synBucket) func(i int64) string {
	if b.kind == "" {
		return synKey
	}
	names := s.namesOf(b)
	return func(i int64) string { return names[i] }
}

func (s *synthetic) object(b synBucket, key string) *object {
	at := s.keys(b)
	i := searchKeys(b.n, func(i int64) bool { return at(i) >= key })
	if i == b.n || at(i) != key {
		return nil
	}
	return &object{
		size: b.size, etag: s.etag(b.size), at: synTime(), meta: http.Header{"Content-Type": {"application/octet-stream"}},
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
