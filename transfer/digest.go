package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Digest is the sum mod 2^128 of hashes of listing entries: it does not depend on order and adds over ranges.
type Digest struct{ hi, lo uint64 }

// Entry returns the digest of one listed object: the first 16 bytes of SHA-256 over length-prefixed key, size and ETag,
// or modification time in nanoseconds where the store has no ETag.
func Entry(o *store.Object) Digest {
	var b [2048]byte
	buf := b[:0]
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(o.Key)))
	buf = append(buf, o.Key...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(o.Size))
	if o.ETag != "" {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(o.ETag)))
		buf = append(buf, o.ETag...)
	} else {
		buf = binary.BigEndian.AppendUint32(buf, 8)
		buf = binary.BigEndian.AppendUint64(buf, uint64(o.ModTime.UnixNano()))
	}
	h := sha256.Sum256(buf)
	return Digest{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])}
}

// Add returns the sum.
func (d Digest) Add(e Digest) Digest {
	lo, carry := bits.Add64(d.lo, e.lo, 0)
	hi, _ := bits.Add64(d.hi, e.hi, carry)
	return Digest{hi, lo}
}

// Bytes returns 16 bytes, big-endian; nil for the empty sum.
func (d Digest) Bytes() []byte {
	if d == (Digest{}) {
		return nil
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), d.hi)
	return binary.BigEndian.AppendUint64(b, d.lo)
}
