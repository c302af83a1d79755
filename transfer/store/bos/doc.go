// Package bos is the provider for Baidu's object storage, BOS.
//
// # Own requests
//
// All requests are net/http's, built and signed here, for the reasons that stand in docs/adr/0005-own-requests-for-oss.md. The
// signer is held against the vendor's published vectors in tests, everything else against a server of BOS that verifies each
// signature (test/fakes/bos).
//
// # Checksums
//
// BOS reports a CRC64 (ECMA), in decimal. The ETag of an object that was written whole is the MD5 of its content; that of one
// made of parts begins with "-" and is compared for identity and nothing more.
//
// # Conditions
//
// Writes can be made to depend on an ETag, or on there being nothing yet (https://cloud.baidu.com/doc/BOS/s/Ikc5nv3wc), also where
// parts become an object (https://cloud.baidu.com/doc/BOS/s/Nkc5vzayc). A server-side copy depends on its source only: what
// stands at its destination is looked at right before. Reads can be pinned to an ETag.
//
// # Metadata
//
// Objects without Expires are answered with one of three days after the request, which is no metadata and left out here. User
// metadata of an object made of parts goes with the request that completes it, everything else with the one that begins it
// (https://cloud.baidu.com/doc/BOS/s/Nkc5uy7ox).
//
// # Symbolic links
//
// A link shows its target's content, and listings do not tell that it is one: it is copied as what it leads to.
package bos
