// Package wire is what the providers that speak HTTP have in common: requests that end when nothing moves, content that is
// sent exactly or not at all, answers read within bounds, ranges, metadata in headers, and listings in the XML that S3
// and its relatives use. What a vendor signs, calls or refuses is in the vendor's own folder.
package wire
