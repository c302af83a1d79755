package fsm

import (
	"encoding/binary"
	"math/bits"
)

// digestSize is the length of an encoded digest in bytes; the zero sum is encoded as nil.
const digestSize = 16

// addDigests returns the sum mod 2^128 of two big-endian digests.
func addDigests(a, b []byte) []byte {
	if len(a) == 0 {
		a, b = b, a
	}
	if len(a) == 0 {
		return nil
	}
	if len(b) == 0 && !zero(a) {
		return a
	}
	var ahi, alo, bhi, blo uint64
	ahi, alo = binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(a[8:])
	if len(b) != 0 {
		bhi, blo = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	}
	lo, carry := bits.Add64(alo, blo, 0)
	hi, _ := bits.Add64(ahi, bhi, carry)
	if hi|lo == 0 {
		return nil
	}
	sum := binary.BigEndian.AppendUint64(make([]byte, 0, digestSize), hi)
	return binary.BigEndian.AppendUint64(sum, lo)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
