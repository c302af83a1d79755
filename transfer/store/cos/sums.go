package cos

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

const headerCRC64 = "X-Cos-Hash-Crc64ecma"

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds {
	return store.SumKinds{MD5: !s.etagOpaque.Load(), CRC64ECMA: true}
}

// sumsOf reads the sums of the whole content out of an answer about an object or a part.
func (s *Store) sumsOf(h http.Header) store.Checksums {
	c := crc64Of(h.Get(headerCRC64))
	if !etagIsMD5(h) {
		s.etagOpaque.Store(true) // in listings such objects look like any other
		return c
	}
	return c.Merge(s.sumsOfETag(wire.Unquote(h.Get("Etag"))))
}

// etagIsMD5 tells whether the ETag of an object can be the MD5 of its content. That of an object encrypted with a key of the
// key service or of the owner's is not, that of a link is the MD5 of its target's name, and one that was appended to grew
// (https://www.tencentcloud.com/document/product/436/7729, https://cloud.tencent.com/document/product/436/109082).
func etagIsMD5(h http.Header) bool {
	how, kind := h.Get(headerSSE), h.Get("X-Cos-Object-Type")
	return (how == "" || how == sseStore) && h.Get("X-Cos-Server-Side-Encryption-Customer-Algorithm") == "" &&
		(kind == "" || strings.EqualFold(kind, "normal")) && h.Get("X-Cos-Symlink-Target") == ""
}

// sumsOfETag takes an ETag for an MD5 where it looks like one, unless the bucket has shown that its ETags need not be. Those of
// objects made of parts do not look like one.
func (s *Store) sumsOfETag(etag string) store.Checksums {
	if s.etagOpaque.Load() {
		return store.Checksums{}
	}
	return store.Checksums{MD5: store.SumsOfETag(etag).MD5}
}

// crc64Of reads a CRC64 in decimal; nothing for what is none.
func crc64Of(text string) store.Checksums {
	crc, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return store.Checksums{}
	}
	return store.Checksums{CRC64ECMA: string(binary.BigEndian.AppendUint64(nil, crc))}
}
