package store

import (
	"encoding/hex"
	"strings"
)

// Checksums are what is known of an object's content; "" means not known. Values are raw bytes, big-endian for CRCs.
type Checksums struct {
	MD5       string // 16 bytes
	CRC32C    string // 4 bytes
	CRC64NVME string // 8 bytes
	CRC64ECMA string // 8 bytes; CRC-64/XZ, which OSS, COS and BOS report
	SHA256    string // 32 bytes
	QETag     string // 21 bytes; a tree of SHA-1 over blocks of 4 MiB, which Kodo reports (https://github.com/qiniu/qetag)
	// QBlocks are the SHA-1s of the blocks that a QETag is made of, 20 bytes each. Nothing is compared with them: the QETag of
	// a whole is put together from those of its parts.
	QBlocks string
	// PartsQETag is what Kodo reports instead of a QETag of what was uploaded in parts of other sizes than 4 MiB, 21 bytes: equal
	// ones mean equal content, different ones may only differ in part size.
	PartsQETag string
	// PartsMD5 is a multipart ETag, "hex-N": equal ones mean equal content, different ones may only differ in part size.
	PartsMD5 string
}

// SumKinds are kinds of checksums.
type SumKinds struct{ MD5, CRC64NVME, CRC64ECMA, CRC32C, QETag bool }

// IsZero tells that nothing is known.
func (c Checksums) IsZero() bool { return c == Checksums{} }

// Match compares two sums. known is false when they have nothing in common that decides; by names what decided.
func (c Checksums) Match(d Checksums) (equal, known bool, by string) {
	for _, s := range []struct{ name, a, b string }{
		{"sha256", c.SHA256, d.SHA256},
		{"md5", c.MD5, d.MD5},
		{"crc64nvme", c.CRC64NVME, d.CRC64NVME},
		{"crc64ecma", c.CRC64ECMA, d.CRC64ECMA},
		{"qetag", c.QETag, d.QETag},
		{"crc32c", c.CRC32C, d.CRC32C},
	} {
		if s.a != "" && s.b != "" {
			return s.a == s.b, true, s.name
		}
	}
	if c.PartsMD5 != "" && c.PartsMD5 == d.PartsMD5 {
		return true, true, "etag"
	}
	if c.PartsQETag != "" && c.PartsQETag == d.PartsQETag {
		return true, true, "qetag"
	}
	return false, false, ""
}

// Merge returns c with what d knows added.
func (c Checksums) Merge(d Checksums) Checksums {
	for _, p := range []struct {
		dst *string
		src string
	}{
		{&c.MD5, d.MD5}, {&c.CRC32C, d.CRC32C}, {&c.CRC64NVME, d.CRC64NVME}, {&c.CRC64ECMA, d.CRC64ECMA}, {&c.SHA256, d.SHA256}, {&c.QETag, d.QETag}, {&c.QBlocks, d.QBlocks},
		{&c.PartsQETag, d.PartsQETag}, {&c.PartsMD5, d.PartsMD5},
	} {
		if *p.dst == "" {
			*p.dst = p.src
		}
	}
	return c
}

// Hex returns the known sums by name, in hexadecimal, for records and reports.
func (c Checksums) Hex() map[string]string {
	m := map[string]string{}
	for name, v := range map[string]string{
		"md5": c.MD5, "crc32c": c.CRC32C, "crc64nvme": c.CRC64NVME, "crc64ecma": c.CRC64ECMA, "sha256": c.SHA256, "qetag": c.QETag, "parts-qetag": c.PartsQETag,
	} {
		if v != "" {
			m[name] = hex.EncodeToString([]byte(v))
		}
	}
	if c.PartsMD5 != "" {
		m["etag"] = c.PartsMD5
	}
	return m
}

// SumsOfETag reads an S3 ETag without quotes: the MD5 of the content, or a multipart ETag
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). It knows nothing of encryption: the caller leaves
// it out where the store said that ETags are no MD5.
func SumsOfETag(etag string) Checksums {
	head, parts, multi := strings.Cut(etag, "-")
	if len(head) != 32 {
		return Checksums{}
	}
	raw, err := hex.DecodeString(head)
	if err != nil {
		return Checksums{}
	}
	if !multi {
		return Checksums{MD5: string(raw)}
	}
	if parts == "" || strings.Trim(parts, "0123456789") != "" {
		return Checksums{}
	}
	return Checksums{PartsMD5: strings.ToLower(etag)}
}
