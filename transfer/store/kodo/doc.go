// Package kodo is the provider for Qiniu's object storage Kodo.
//
// # Own requests
//
// All requests are net/http's, built and signed here (docs/adr/0005-own-requests-for-oss.md says why not by the SDK). The
// signer is held against the vendor's published vectors and SDK in tests, everything else against a server of Kodo that
// verifies each signature (test/fakes/kodo).
//
// # Hosts
//
// Objects are described, copied and deleted at one host (rs), listed at another (rsf), written at a third (up) and read at a
// domain that is bound to the bucket, which may be a CDN. What is read is held against the ETag that was asked for, so that a
// CDN's old copy is never taken for the object.
//
// # Checksums
//
// An object's hash is its QETag: a SHA-1, or a SHA-1 of the SHA-1s of its blocks of 4 MiB. Of an upload in parts of another size
// it is one over the parts, which proves equality but not difference. Parts are acknowledged with their MD5, and an object that
// was written in one request is listed with its MD5.
//
// # Conditions
//
// A write can be told not to replace another object (insertOnly); a write of the very content that is there succeeds all the
// same. It cannot be made to depend on an ETag.
//
// # Uploads in parts
//
// Open uploads cannot be listed. They expire after seven days by themselves.
//
// # Listings
//
// A listing goes on from a marker, which is base64 of {"c":0,"k":"last key"} although the vendor does not say so. Markers are made
// of keys here only after the server has given one of this form; else a listing from a bound reads all that comes before.
package kodo
