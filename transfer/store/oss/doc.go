// Package oss is the provider for Aliyun's Object Storage Service.
//
// # Own requests
//
// All requests are net/http's, built and signed here (docs/adr/0005-own-requests-for-oss.md says why not by the SDK). The
// signer is held against the vendor's published vectors and SDK in tests, everything else against a server of OSS that
// verifies each signature (test/fakes/oss).
//
// # Checksums
//
// OSS reports a CRC64 (ECMA) of everything: each part, objects made of parts, appendable objects. ETags are the MD5 of
// objects of type Normal only; anything else has an ETag that is compared for identity and nothing more.
//
// # Conditions
//
// A write can be told not to overwrite (x-oss-forbid-overwrite); OSS ignores that in buckets with versioning. It cannot be
// made to depend on an ETag. Reads and the sources of copies can.
//
// # Ranges
//
// By default OSS answers a range that is not wholly inside the object with all of it; x-oss-range-behavior makes it keep to
// HTTP (https://www.alibabacloud.com/help/en/oss/developer-reference/getobject).
//
// # Symbolic links
//
// A link shows its target's content, but its listing tells the link's own size. As on disks, links of a source are left
// out and counted (links=skip), or copied as what they lead to (links=follow), which costs one request each.
package oss
