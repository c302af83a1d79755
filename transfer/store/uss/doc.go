// Package uss is the provider for UPYUN's storage (USS).
//
// # Own requests
//
// All requests are net/http's, built and signed here: the vendor's Go SDK cannot be had as a module. The signer is held against
// the vendor's published examples and against requests of its SDK for Node.js; everything else against a server of USS that
// verifies each signature (test/fakes/uss), built from the vendor's documentation and the sources of its SDKs. The password never
// travels: USS takes it itself too (basic authentication), which is not used here.
//
// # Names
//
// USS has files and folders, not keys: a folder comes with the first file in it, stays when it is empty, and no name is both. A
// folder without anything is what a directory marker is elsewhere.
//
// # Listings
//
// A folder is listed page by page in the order of time. To bring keys into the order of their bytes each folder is read whole and
// sorted, on disk where it is large; folders are entered where their names come, so that copying starts with the first of them.
//
// # Versions
//
// Listings tell size and time only, so objects have no ETag here, no read and no write can be made to depend on a version, and the
// caller stats again after reading. The MD5 that HEAD and GET tell is the content's; a write that is sent with an MD5 is refused by
// the server if another content arrives, so the answer to it proves that MD5.
//
// # Parts
//
// An upload cuts the object into parts of one size that it tells when it begins: multiples of 1 MiB up to 50 MiB. There is no way
// to end an upload but to complete it: the vendor drops it after 24 hours.
package uss
