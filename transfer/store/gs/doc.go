// Package gs is the provider for Google Cloud Storage.
//
// # Own requests
//
// All requests are net/http's, built here; only tokens come from golang.org/x/oauth2
// (docs/adr/0007-own-requests-for-gcs.md says why not by the SDK). Listings, descriptions, writes and copies use the JSON API; reads use
// the XML API, whose answers carry the user metadata as well, as the vendor's own client libraries do.
//
// # Versions
//
// The ETag of package store is the object's generation: it changes with the content, orders writes, and is what conditions of reads,
// writes and copies name (https://cloud.google.com/storage/docs/request-preconditions).
//
// # Checksums
//
// Everything has a CRC32C. Objects made of parts have no MD5 (https://cloud.google.com/storage/docs/data-validation).
//
// # Large objects
//
// Parts go by the XML API's multipart uploads (https://cloud.google.com/storage/docs/multipart-uploads). They take no conditions: the
// destination is looked at right before the upload is completed, which leaves a gap of one request. Servers other than Google's often
// lack them, so elsewhere an object is one request, unless multipart=true says otherwise.
//
// # Content-Encoding
//
// Objects stored with gzip are unpacked for readers that do not accept gzip, without ranges and with other sums than those reported.
// All reads here accept it, so that what is stored is what is read (https://cloud.google.com/storage/docs/transcoding).
package gs
