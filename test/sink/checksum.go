package sink

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/crc64nvme"
)

// checksums is the additional checksum of an object or part; the zero value is none.
type checksums struct {
	algorithm string // "CRC32C"
	value     string // base64, for a composite one with "-N"
	composite bool
}

const checksumHeader = "X-Amz-Checksum-"

func (c checksums) setHeaders(h http.Header) {
	if c.algorithm == "" {
		return
	}
	h.Set(checksumHeader+c.algorithm, c.value)
	h.Set(checksumHeader+"Type", c.kind())
}

func (c checksums) kind() string {
	if c.composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// element is the checksum's element in an XML answer.
func (c checksums) element() string {
	if c.algorithm == "" {
		return ""
	}
	return "<Checksum" + c.algorithm + ">" + c.value + "</Checksum" + c.algorithm + ">"
}

// listing is what a listing tells: that there is a checksum, not which.
func (c checksums) listing() string {
	if c.algorithm == "" {
		return ""
	}
	return "<ChecksumAlgorithm>" + c.algorithm + "</ChecksumAlgorithm><ChecksumType>" + c.kind() + "</ChecksumType>"
}

// algorithms lists the additional checksums that are verified.
func algorithms() []string { return []string{"CRC64NVME", "CRC32C", "CRC32", "SHA256", "SHA1"} }

// newHash returns the hash of an algorithm, nil where it is unknown.
func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "CRC64NVME":
		return crc64nvme.New()
	case "CRC32C":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "CRC32":
		return crc32.NewIEEE()
	case "SHA256":
		return sha256.New()
	case "SHA1":
		return sha1.New()
	}
	return nil
}

// sentAlgorithm tells which additional checksum a request carries, in a header or as a trailer, and its value where it
// is in a header.
func sentAlgorithm(h http.Header) (algorithm, value string) {
	for _, a := range algorithms() {
		if v := h.Get(checksumHeader + a); v != "" {
			return a, v
		}
	}
	trailer := strings.ToUpper(strings.TrimSpace(h.Get("X-Amz-Trailer")))
	if a, ok := strings.CutPrefix(trailer, strings.ToUpper(checksumHeader)); ok && slices.Contains(algorithms(), a) {
		return a, ""
	}
	return "", ""
}

// whole returns the checksum of an object made of parts: combined where that is possible and asked, else the checksum
// of the parts' checksums.
func whole(algorithm string, composite bool, parts []*object) checksums {
	if algorithm == "" {
		return checksums{}
	}
	if composite {
		return compositeSum(algorithm, parts)
	}
	polynomial, bits := polynomialOf(algorithm)
	var crc uint64
	for _, p := range parts {
		raw, _ := base64.StdEncoding.DecodeString(p.sums.value)
		part := binary.BigEndian.Uint64(append(make([]byte, 8-len(raw)), raw...))
		crc = combineCRC(crc, part, p.size, polynomial, bits)
	}
	raw := binary.BigEndian.AppendUint64(nil, crc)
	return checksums{algorithm: algorithm, value: base64.StdEncoding.EncodeToString(raw[8-bits/8:])}
}

func compositeSum(algorithm string, parts []*object) checksums {
	h := newHash(algorithm)
	for _, p := range parts {
		raw, _ := base64.StdEncoding.DecodeString(p.sums.value)
		h.Write(raw)
	}
	return checksums{algorithm, base64.StdEncoding.EncodeToString(h.Sum(nil)), true}
}

// polynomialOf gives a CRC's polynomial in reversed bit order, and 0 for what is no CRC and cannot be combined.
func polynomialOf(algorithm string) (polynomial uint64, bits int) {
	switch algorithm {
	case "CRC64NVME":
		return 0x9a6c9329ac4bc9b5, 64
	case "CRC32C":
		return crc32.Castagnoli, 32
	case "CRC32":
		return crc32.IEEE, 32
	}
	return 0, 0
}

// combineCRC returns the CRC of two contents in a row from the CRC of each and the length of the second: the first is
// shifted by as many zero bits, which is a multiplication by x^bits modulo the polynomial.
func combineCRC(first, second uint64, length int64, polynomial uint64, bits int) uint64 {
	top := uint64(1) << (bits - 1) // x^0: bit order is reversed
	multiply := func(a, b uint64) (p uint64) {
		for m := top; m != 0; m >>= 1 {
			if a&m != 0 {
				p ^= b
			}
			if b&1 == 1 {
				b = b>>1 ^ polynomial
			} else {
				b >>= 1
			}
		}
		return p
	}
	shift, square := top, top>>1
	for n := uint64(length) * 8; n != 0; n >>= 1 {
		if n&1 == 1 {
			shift = multiply(square, shift)
		}
		square = multiply(square, square)
	}
	return multiply(shift, first) ^ second
}
