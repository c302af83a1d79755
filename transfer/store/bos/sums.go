package bos

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Headers with sums of the whole content, in decimal (https://cloud.baidu.com/doc/BOS/s/Ikc5nv3wc).
const (
	headerCRC64  = "X-Bce-Content-Crc64ecma"
	headerCRC32C = "X-Bce-Content-Crc32c"
)

// sumState is what the answers of a bucket have taught about its checksums.
type sumState struct {
	etagOpaque atomic.Bool // an answer showed an ETag that looks like an MD5 and is none
	noCRC64    atomic.Bool // content was taken without telling its CRC64
}

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds {
	return store.SumKinds{MD5: !s.sums.etagOpaque.Load(), CRC64ECMA: !s.sums.noCRC64.Load()}
}

// sumsOf reads the sums of the whole content out of an answer about an object or part.
func (s *Store) sumsOf(h http.Header) store.Checksums {
	var c store.Checksums
	if crc, err := strconv.ParseUint(h.Get(headerCRC64), 10, 64); err == nil {
		c.CRC64ECMA = string(binary.BigEndian.AppendUint64(nil, crc))
	}
	if crc, err := strconv.ParseUint(h.Get(headerCRC32C), 10, 32); err == nil {
		c.CRC32C = string(binary.BigEndian.AppendUint32(nil, uint32(crc)))
	}
	etag := wire.Unquote(h.Get("Etag"))
	if !s.isMD5(etag, h) {
		return c
	}
	return c.Merge(s.sumsOfETag(etag))
}

// sumsOfStored is sumsOf of an answer to content that was sent, which learns what such answers tell.
func (s *Store) sumsOfStored(h http.Header) store.Checksums {
	c := s.sumsOf(h)
	if c.CRC64ECMA == "" {
		s.sums.noCRC64.Store(true)
	}
	return c
}

// isMD5 tells whether an ETag can be the MD5 of the content: appended objects have another, and where the MD5 is told as well
// both must agree.
func (s *Store) isMD5(etag string, h http.Header) bool {
	if kind := h.Get("X-Bce-Object-Type"); kind != "" && kind != typeNormal && kind != typeSymlink {
		return false
	}
	sum := store.SumsOfETag(etag).MD5
	if sum == "" || h.Get("Content-Range") != "" {
		return sum != ""
	}
	if told, err := base64.StdEncoding.DecodeString(h.Get("Content-Md5")); err == nil && len(told) == len(sum) && string(told) != sum {
		s.sums.etagOpaque.Store(true)
		return false
	}
	return true
}

// sumsOfETag takes an ETag of an MD5's form for one, unless the bucket has shown that its ETags are none.
func (s *Store) sumsOfETag(etag string) store.Checksums {
	if s.sums.etagOpaque.Load() {
		return store.Checksums{}
	}
	return store.Checksums{MD5: store.SumsOfETag(etag).MD5}
}

// Types of objects.
const (
	typeNormal  = "Normal"
	typeSymlink = "Symlink"
)
