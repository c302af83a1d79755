// Package cos is the provider for Tencent Cloud's Cloud Object Storage.
//
// # Own requests
//
// All requests are net/http's, built and signed here (docs/adr/0005-own-requests-for-oss.md says why not by an SDK). The signer
// is held against the vendor's published examples in tests, everything else against a server of COS that verifies each signature
// (test/fakes/cos) and that the vendor's own SDK drives.
//
// # Checksums
//
// COS reports a CRC64 (ECMA, decimal) of each object, part and copy, whole. An ETag is the MD5 of the content only where that
// came in one request and is not encrypted with a key of the owner's or of the key service; the vendor says to trust the CRC64
// (https://www.tencentcloud.com/document/product/436/7729).
//
// # Conditions
//
// A write can be told not to overwrite (x-cos-forbid-overwrite: PUT, copies, the end of a multipart upload); COS ignores that in
// buckets that have, or ever had, versioning. It cannot be made to depend on an ETag. Reads and the sources of copies can.
//
// # Keys
//
// The slashes of a key are sent as %2F, as the vendor's SDKs do: of a path with plain slashes the server merges "." and "..".
package cos
