package s3

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// What is known of an endpoint's CRC64NVME.
const (
	crc64Unknown uint32 = iota
	crc64Proven
	crc64None
)

// Headers that carry checksums.
const (
	headerMD5    = "Content-Md5"
	headerCRC64  = "X-Amz-Checksum-Crc64nvme"
	headerCRC32C = "X-Amz-Checksum-Crc32c"
	headerSHA256 = "X-Amz-Checksum-Sha256"
)

// sumState is what the answers of an endpoint have taught about its checksums.
type sumState struct {
	crc64 atomic.Uint32 // of whole objects
	// crc64Parts is of parts: our uploads name no algorithm when they are created, and there are servers that take the sum
	// of an object, but then refuse the sum of a part.
	crc64Parts atomic.Uint32
	// etagOpaque is set once an answer said that the object is encrypted so that its ETag is no MD5.
	etagOpaque atomic.Bool
}

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds {
	return store.SumKinds{MD5: !s.sums.etagOpaque.Load(), CRC64NVME: s.sums.crc64.Load() != crc64None}
}

// setSums sends the sums that are known along, and tells whether an answer will teach something about CRC64NVME.
func (s *Store) setSums(h http.Header, sums store.Checksums, crc64 *atomic.Uint32) (probing bool) {
	if sums.MD5 != "" {
		h[headerMD5] = []string{base64.StdEncoding.EncodeToString([]byte(sums.MD5))}
	}
	if sums.CRC64NVME == "" {
		return false
	}
	known := crc64.Load()
	if known != crc64None {
		h[headerCRC64] = []string{base64.StdEncoding.EncodeToString([]byte(sums.CRC64NVME))}
	}
	return known == crc64Unknown
}

// learnSums notes whether an answer to a request that carried a CRC64NVME repeats it.
func learnSums(answer http.Header, crc64 *atomic.Uint32) {
	state := crc64None
	if answer.Get(headerCRC64) != "" {
		state = crc64Proven
	}
	crc64.CompareAndSwap(crc64Unknown, state)
}

// mayBeAboutSums tells whether a refusal can come from a server that does not know CRC64NVME.
func mayBeAboutSums(r *refusal) bool {
	if r.status != http.StatusBadRequest && r.status != http.StatusNotImplemented {
		return false
	}
	switch r.code {
	case "NotImplemented", "InvalidRequest", "InvalidArgument", "":
		return true
	}
	return strings.Contains(strings.ToLower(r.code+r.message), "checksum") && r.code != "XAmzContentChecksumMismatch"
}

// sumsOf reads the sums of the whole content out of an answer.
func (s *Store) sumsOf(h http.Header) store.Checksums {
	var c store.Checksums
	if h.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
		c.CRC64NVME = decodeSum(h.Get(headerCRC64), 8)
		c.CRC32C = decodeSum(h.Get(headerCRC32C), 4)
		c.SHA256 = decodeSum(h.Get(headerSHA256), 32)
	}
	if isEncrypted(h) {
		s.sums.etagOpaque.Store(true)
		return c
	}
	return c.Merge(s.sumsOfETag(wire.Unquote(h.Get("Etag"))))
}

// sumsOfETag takes an ETag for an MD5 unless the endpoint has shown that its ETags are none.
func (s *Store) sumsOfETag(etag string) store.Checksums {
	if s.sums.etagOpaque.Load() {
		return store.Checksums{}
	}
	return store.SumsOfETag(etag)
}

// isEncrypted tells whether an object is encrypted with a key of its owner's
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html, ETag).
func isEncrypted(h http.Header) bool {
	return strings.HasPrefix(h.Get("X-Amz-Server-Side-Encryption"), "aws:kms") ||
		h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
}

// decodeSum reads a base64 sum of a size; sums of sums ("...-N") and anything else give "".
func decodeSum(text string, size int) string {
	if text == "" {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != size {
		return ""
	}
	return string(raw)
}
