package kodo

import (
	"encoding/base64"
	"encoding/hex"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// WantSums implements store.SumChooser.
func (s *Store) WantSums() store.SumKinds { return store.SumKinds{QETag: true} }

// sumsOf reads an object's hash (https://github.com/qiniu/qetag), and its MD5 in hexadecimal where it is told.
func sumsOf(hash, md5 string) store.Checksums {
	var c store.Checksums
	if raw, err := base64.URLEncoding.DecodeString(hash); err == nil && len(raw) == 21 {
		switch raw[0] {
		case 0x16, 0x96:
			c.QETag = string(raw)
		case 0x9e:
			c.PartsQETag = string(raw)
		}
	}
	if raw, err := hex.DecodeString(md5); err == nil && len(raw) == 16 {
		c.MD5 = string(raw)
	}
	return c
}
