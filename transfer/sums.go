package transfer

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"

	"github.com/minio/crc64nvme"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// wanted names the sums that something can be compared with; no other is computed.
type wanted struct{ md5, crc64, crc32c, sha256, ecma, qetag bool }

// none tells that nothing is computed.
func (w wanted) none() bool { return w == wanted{} }

// and adds what else is wanted: a listing of parts may tell other sums than the answers to sending them.
func (w wanted) and(v wanted) wanted {
	return wanted{w.md5 || v.md5, w.crc64 || v.crc64, w.crc32c || v.crc32c, w.sha256 || v.sha256, w.ecma || v.ecma, w.qetag || v.qetag}
}

// wantedSums chooses the sums of one object: those that the destination reports, and one that the source has told. When
// neither side tells any, CRC64NVME is taken for the record, because it is the cheapest.
func wantedSums(job *Job, src store.Checksums, sent sending) wanted {
	if job.Verify == "none" || job.Verify == "size" {
		return wanted{}
	}
	w := wantedBySent(job, src, sent)
	covered := w.md5 && src.MD5 != "" || w.crc64 && src.CRC64NVME != "" || w.ecma && src.CRC64ECMA != "" || w.crc32c && src.CRC32C != "" ||
		w.qetag && src.QETag != ""
	switch {
	case covered:
	case src.CRC64NVME != "":
		w.crc64 = true
	case src.CRC32C != "":
		w.crc32c = true
	case src.CRC64ECMA != "":
		w.ecma = true
	case src.MD5 != "":
		w.md5 = true
	case src.QETag != "":
		w.qetag = true
	case src.SHA256 != "":
		w.sha256 = true
	}
	if w.none() {
		w.crc64 = true
	}
	return w
}

// sending tells when the sums of content are known: before it is sent, or only after.
type sending bool

// When sums are known.
const (
	summedBefore sending = true
	summedAfter  sending = false
)

// wantedBySent chooses the sums that the destination's answer can be compared with. Where it offers both, one is enough
// for content that can be summed again: one that the source has told too, else the cheaper one. Content that is gone
// once it is sent needs both, because an answer may lack the CRC64NVME of what was not announced with it. A CRC64ECMA,
// CRC32C or QETag is always told, so it alone will do.
func wantedBySent(job *Job, src store.Checksums, sent sending) wanted {
	if job.Destination.Abilities().HashedBeforeWrite {
		return wanted{}
	}
	c, ok := job.Destination.(store.SumChooser)
	if !ok {
		return wanted{md5: true}
	}
	told := c.WantSums()
	if told.CRC64ECMA {
		return wanted{ecma: true}
	}
	if told.CRC32C {
		return wanted{crc32c: true}
	}
	if told.QETag {
		return wanted{qetag: true}
	}
	w := wanted{md5: told.MD5, crc64: told.CRC64NVME}
	if w.md5 && w.crc64 && sent == summedBefore {
		w.md5 = src.MD5 != "" && src.CRC64NVME == ""
		w.crc64 = !w.md5
	}
	return w
}

// wantedOf chooses the sums that were told.
func wantedOf(told store.Checksums) wanted {
	switch {
	case told.CRC64NVME != "":
		return wanted{crc64: true}
	case told.CRC32C != "":
		return wanted{crc32c: true}
	case told.CRC64ECMA != "":
		return wanted{ecma: true}
	case told.MD5 != "":
		return wanted{md5: true}
	case told.QETag != "":
		return wanted{qetag: true}
	}
	return wanted{sha256: told.SHA256 != ""}
}

// wantedOfParts chooses the sums of the parts of one object: of the source's sums only those can be used that are put
// together from parts.
func wantedOfParts(job *Job, src store.Checksums, plan *partPlan, sent sending) wanted {
	combinable := store.Checksums{CRC64NVME: src.CRC64NVME, CRC32C: src.CRC32C, CRC64ECMA: src.CRC64ECMA}
	if plan.part%qetagBlock == 0 || plan.n == 1 {
		combinable.QETag = src.QETag
	}
	w := wantedSums(job, combinable, sent)
	if w.none() {
		return w
	}
	if reportsQETags(job) {
		w.md5 = true // parts are acknowledged with their MD5, the whole with its QETag
	}
	if plan.sameParts {
		w.md5 = true
		if job.Destination.Abilities().HashedBeforeWrite && combinable.IsZero() {
			w.crc64 = false // chosen only because nothing could be compared
		}
	}
	return w
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	ecma       = crc64.MakeTable(crc64.ECMA)
)

// hasher computes the wanted sums of what is written to it.
type hasher struct {
	want   wanted
	size   int64
	md5    hash.Hash
	sha256 hash.Hash
	crc64  uint64
	crc32c uint32
	ecma   uint64
	qetag  *qetagHasher
}

func newHasher(w wanted) *hasher {
	h := &hasher{want: w}
	if w.md5 {
		h.md5 = md5.New()
	}
	if w.sha256 {
		h.sha256 = sha256.New()
	}
	if w.qetag {
		h.qetag = newQETagHasher()
	}
	return h
}

// add takes the next bytes.
func (h *hasher) add(p []byte) {
	h.size += int64(len(p))
	if h.md5 != nil {
		h.md5.Write(p)
	}
	if h.sha256 != nil {
		h.sha256.Write(p)
	}
	if h.want.crc64 {
		h.crc64 = crc64nvme.Update(h.crc64, p)
	}
	if h.want.crc32c {
		h.crc32c = crc32.Update(h.crc32c, castagnoli, p)
	}
	if h.want.ecma {
		h.ecma = crc64.Update(h.ecma, ecma, p)
	}
	if h.qetag != nil {
		h.qetag.add(p)
	}
}

// sums returns the sums of all bytes so far.
func (h *hasher) sums() store.Checksums {
	var s store.Checksums
	if h.md5 != nil {
		s.MD5 = string(h.md5.Sum(nil))
	}
	if h.sha256 != nil {
		s.SHA256 = string(h.sha256.Sum(nil))
	}
	if h.want.crc64 {
		s.CRC64NVME = crc64Text(h.crc64)
	}
	if h.want.crc32c {
		s.CRC32C = crc32Text(h.crc32c)
	}
	if h.want.ecma {
		s.CRC64ECMA = crc64Text(h.ecma)
	}
	if h.qetag != nil {
		s = s.Merge(h.qetag.sums())
	}
	return s
}

// sumsOf computes the wanted sums of bytes in memory.
func sumsOf(w wanted, p []byte) store.Checksums {
	var s store.Checksums
	if w.md5 {
		sum := md5.Sum(p)
		s.MD5 = string(sum[:])
	}
	if w.sha256 {
		sum := sha256.Sum256(p)
		s.SHA256 = string(sum[:])
	}
	if w.crc64 {
		s.CRC64NVME = crc64Text(crc64nvme.Checksum(p))
	}
	if w.crc32c {
		s.CRC32C = crc32Text(crc32.Checksum(p, castagnoli))
	}
	if w.ecma {
		s.CRC64ECMA = crc64Text(crc64.Checksum(p, ecma))
	}
	if w.qetag {
		q := newQETagHasher()
		q.add(p)
		s = s.Merge(q.sums())
	}
	return s
}

func crc64Text(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

func crc32Text(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }

// combineParts computes what is known of a whole from what is known of all its parts, in order: the CRCs and
// the QETag of the content and the ETags of uploads in these parts. A sum that one part lacks is unknown of the whole.
func combineParts(parts []store.Part) store.Checksums {
	var nvme, xz uint64
	var crc32c uint32
	some := len(parts) > 0
	has64, hasECMA, has32, hasMD5 := some, some, some, some
	list := make([]byte, 0, len(parts)*md5.Size)
	for _, p := range parts {
		if has64 = has64 && len(p.Sums.CRC64NVME) == 8; has64 {
			nvme = combineCRC64(nvme, binary.BigEndian.Uint64([]byte(p.Sums.CRC64NVME)), p.Size, polyCRC64NVME)
		}
		if hasECMA = hasECMA && len(p.Sums.CRC64ECMA) == 8; hasECMA {
			xz = combineCRC64(xz, binary.BigEndian.Uint64([]byte(p.Sums.CRC64ECMA)), p.Size, crc64.ECMA)
		}
		if has32 = has32 && len(p.Sums.CRC32C) == 4; has32 {
			crc32c = combineCRC32C(crc32c, binary.BigEndian.Uint32([]byte(p.Sums.CRC32C)), p.Size)
		}
		hasMD5 = hasMD5 && len(p.Sums.MD5) == md5.Size
		list = append(list, p.Sums.MD5...)
	}
	s := combineQETags(parts)
	if has64 {
		s.CRC64NVME = crc64Text(nvme)
	}
	if hasECMA {
		s.CRC64ECMA = crc64Text(xz)
	}
	if has32 {
		s.CRC32C = crc32Text(crc32c)
	}
	if hasMD5 {
		sum := md5.Sum(list)
		s.PartsMD5 = fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:]), len(parts))
	}
	return s
}

// The polynomials, bit-reversed: the highest bit is the coefficient of x^0.
const (
	polyCRC64NVME = 0x9a6c9329ac4bc9b5
	polyCRC32C    = 0x82f63b78
)

// combineCRC64 returns the CRC of a followed by b, where b has size bytes.
func combineCRC64(a, b uint64, size int64, poly uint64) uint64 {
	return multiply(a, shift(size, 1<<63, poly), 1<<63, poly) ^ b
}

// combineCRC32C returns the CRC32C of a followed by b, where b has size bytes.
func combineCRC32C(a, b uint32, size int64) uint32 {
	return uint32(multiply(uint64(a), shift(size, 1<<31, polyCRC32C), 1<<31, polyCRC32C)) ^ b
}

// shift returns x^(8 size) modulo the polynomial: multiplying a CRC by it is the same as size zero bytes behind its
// content. one is the polynomial 1.
func shift(size int64, one, poly uint64) uint64 {
	power := one
	for square := one >> 8; size > 0; size >>= 1 {
		if size&1 == 1 {
			power = multiply(power, square, one, poly)
		}
		square = multiply(square, square, one, poly)
	}
	return power
}

// multiply returns a times b modulo the polynomial, over GF(2).
func multiply(a, b, one, poly uint64) uint64 {
	var product uint64
	for bit := one; bit != 0 && a&(bit|(bit-1)) != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ poly
		} else {
			b >>= 1
		}
	}
	return product
}
