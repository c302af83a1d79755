package azblob

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const headerCRC64 = "X-Ms-Content-Crc64"

// sumState is what the answers of a service have taught about its checksums.
type sumState struct {
	crc64 atomic.Bool // an answer to a write told a CRC64
}

// WantSums implements store.SumChooser. A blob's MD5 is kept with it, so it is wanted always.
func (s *Store) WantSums() store.SumKinds {
	return store.SumKinds{MD5: true, CRC64NVME: s.sums.crc64.Load()}
}

// announce sends a sum of the content along for the service to check, and returns it where it surely is checked. It takes
// one only; the MD5 stays with a blob, and of blocks the CRC64 can be put together.
func (s *Store) announce(h http.Header, sums store.Checksums, block bool) (checked store.Checksums) {
	knows := s.sums.crc64.Load()
	switch {
	case sums.CRC64NVME != "" && (sums.MD5 == "" || block && knows):
		h[headerCRC64] = []string{base64.StdEncoding.EncodeToString(swapped(sums.CRC64NVME))}
		if knows {
			checked.CRC64NVME = sums.CRC64NVME
		}
	case sums.MD5 != "":
		h["Content-Md5"] = []string{base64.StdEncoding.EncodeToString([]byte(sums.MD5))}
		checked.MD5 = sums.MD5
	}
	return checked
}

// sumsOfWrite reads what the service computed of the content that it was sent.
func (s *Store) sumsOfWrite(h http.Header) store.Checksums {
	c := store.Checksums{MD5: md5Of(h.Get("Content-Md5"))}
	if raw, err := base64.StdEncoding.DecodeString(h.Get(headerCRC64)); err == nil && len(raw) == 8 {
		c.CRC64NVME = string(swapped(string(raw)))
		s.sums.crc64.Store(true)
	}
	return c
}

// swapped turns a CRC64 around: the service writes the least significant byte first.
func swapped(crc string) []byte {
	return binary.LittleEndian.AppendUint64(nil, binary.BigEndian.Uint64([]byte(crc)))
}

// md5Of reads an MD5 in base64; "" for what is none.
func md5Of(text string) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return ""
	}
	return string(raw)
}
