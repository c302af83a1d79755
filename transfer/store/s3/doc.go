// Package s3 is the provider for every endpoint that speaks the S3 protocol.
//
// # Two ways to the wire
//
// Copying and the book-keeping of multipart uploads go through aws-sdk-go-v2. What happens for every object (Put,
// UploadPart, Open, Stat, Delete, List) is plain net/http requests, built and signed here: the SDK's middleware and
// signer cost several times what the rest of such a request costs, its XML decoder more than all else in a listing (see
// BenchmarkPut4K and its neighbours; signatures and decoding are tested to equal the libraries'). Both ways share one
// connection pool, one watchdog and one table of errors.
//
// # Payloads
//
// Bodies are neither buffered nor hashed for the signature (UNSIGNED-PAYLOAD). Their integrity rests on the sums that
// the caller knows: Content-MD5 and x-amz-checksum-crc64nvme are headers, so they are signed, and the server checks them.
//
// # Checksums
//
// The SDK is told to compute and validate checksums only where the protocol requires it, since many servers refuse or
// ignore its trailers. Whether an endpoint understands CRC64NVME is learned: the first request that knows the sum
// sends it; an answer that repeats it proves it; an answer 400 or 501 naming it ends the attempts for good.
//
// # Content-Type
//
// An object without a Content-Type is sent without one; the server then keeps its own default
// ("binary/octet-stream" at AWS, https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
//
// # User metadata
//
// Names are lower-case. Values that are not plain ASCII, or that a header would not carry unchanged, travel as
// RFC 2047 encoded words, which is how S3 itself returns them
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html), and are decoded when read.
//
// # Distrust
//
// A listing whose keys do not strictly increase, leave the prefix, or whose continuation token repeats is refused
// rather than believed. Every answer is read within a bound.
package s3
