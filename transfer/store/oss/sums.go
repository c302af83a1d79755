package oss

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

const headerCRC64 = "X-Oss-Hash-Crc64ecma"

// Types of objects (https://www.alibabacloud.com/help/en/oss/developer-reference/headobject, x-oss-object-type).
const (
	typeNormal  = "Normal"
	typeSymlink = "Symlink"
)

// sumState is what the answers of a bucket have taught about its checksums.
type sumState struct {
	etagOpaque atomic.Bool // an answer said that the object is encrypted so that its ETag is no MD5
}

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds {
	return store.SumKinds{MD5: !s.sums.etagOpaque.Load(), CRC64ECMA: true}
}

// sumsOf reads the sums of the whole content out of an answer about an object or part of a type.
func (s *Store) sumsOf(h http.Header, kind string) store.Checksums {
	var c store.Checksums
	if crc, err := strconv.ParseUint(h.Get(headerCRC64), 10, 64); err == nil {
		c.CRC64ECMA = string(binary.BigEndian.AppendUint64(nil, crc))
	}
	if how := h.Get("X-Oss-Server-Side-Encryption"); how != "" && how != "AES256" {
		s.sums.etagOpaque.Store(true)
	}
	return c.Merge(s.sumsOfETag(wire.Unquote(h.Get("Etag")), kind))
}

// sumsOfETag takes the ETag of a normal object for its MD5, unless the bucket has shown that its ETags are none.
func (s *Store) sumsOfETag(etag, kind string) store.Checksums {
	if kind != typeNormal || s.sums.etagOpaque.Load() {
		return store.Checksums{}
	}
	return store.Checksums{MD5: store.SumsOfETag(etag).MD5}
}
