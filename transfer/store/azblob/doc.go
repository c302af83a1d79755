// Package azblob is the provider for Azure Blob Storage.
//
// # Own requests
//
// All requests are net/http's, built and signed here (docs/adr/0006-own-requests-for-azure.md says why not by the SDK). The
// signer is held against the vendor's SDK in tests, everything else against Azurite.
//
// # Parts
//
// Azure has no uploads with an ID: each blob has one list of uncommitted blocks, which everybody who writes that blob shares.
// An upload of ours is a prefix in the names of its blocks (block.go). Only blocks with the prefix of one upload are ever
// committed. What Azure does at every commit and every whole write of a blob cannot be prevented: it drops all other
// uncommitted blocks of that blob, those of others too. Blocks cannot be removed; those of an aborted upload stay, marked as
// such, until the blob is written or a week has passed, and cost what stored bytes cost.
//
// # Listings
//
// List Blobs goes from page to page by an opaque marker, and since version 2026-02-06 of the protocol begins at a name
// (startFrom). With an older version (api_version=...) a listing from a bound is read from the beginning and skipped.
//
// # Checksums
//
// Content-MD5 is a property of the blob that its writer may set; it is used for block blobs only. x-ms-content-crc64 is
// CRC-64/NVME, least significant byte first: the vendor's SDK computes it with the polynomial 0x9A6C9329AC4BC9B5.
package azblob
