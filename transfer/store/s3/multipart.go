package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// maxPages bounds the pages of uploads or parts of one key.
const maxPages = 10000

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// CreateUpload implements store.Multiparter.
func (s *Store) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	const op = "create upload"
	header := make(http.Header)
	err := s.setMeta(header, &opts.Meta)
	if err == nil {
		err = s.checkKey(http.MethodPost, s.prefix+key)
	}
	if err != nil {
		return "", &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	// No checksum algorithm is named: then CRC64NVME over the whole object is the default where there is one
	// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html), and parts may, but
	// need not, carry it.
	in := &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)}
	out, err := s.api.CreateMultipartUpload(ctx, in, withHeader(header))
	if err != nil {
		return "", s.wrap(ctx, op, key, err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" {
		return "", &store.Error{Op: op, Key: key, Class: store.Permanent, Err: errors.New("the server gave no upload ID")}
	}
	return id, nil
}

// withHeader adds headers to a request of the SDK before it is signed.
func withHeader(h http.Header) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Build.Add(middleware.BuildMiddlewareFunc("brigadeHeader", func(
				ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler,
			) (middleware.BuildOutput, middleware.Metadata, error) {
				req, ok := in.Request.(*smithyhttp.Request)
				if !ok {
					return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("unexpected request %T", in.Request)
				}
				for name, values := range h {
					req.Header[name] = values
				}
				return next.HandleBuild(ctx, in)
			}), middleware.After)
		})
	}
}

// ListUploads implements store.Multiparter.
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	full := s.prefix + key
	return wire.ListUploads(key, full, func(keyMarker, idMarker string) (*wire.UploadsPage, error) {
		in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &full, EncodingType: types.EncodingTypeUrl}
		if keyMarker != "" {
			in.KeyMarker = &keyMarker
		}
		if idMarker != "" {
			in.UploadIdMarker = &idMarker
		}
		out, err := s.api.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, s.wrap(ctx, "list uploads", key, err)
		}
		return uploadsPage(out, full), nil
	})
}

// uploadsPage is an answer as package wire has it. Some servers say that keys are encoded and leave them as they are.
func uploadsPage(out *s3.ListMultipartUploadsOutput, full string) *wire.UploadsPage {
	plain := func(key *string) string {
		text := aws.ToString(key)
		if text == full || out.EncodingType != types.EncodingTypeUrl {
			return text
		}
		return wire.Unescaped(text)
	}
	page := &wire.UploadsPage{
		Truncated: aws.ToBool(out.IsTruncated), NextKey: plain(out.NextKeyMarker), NextID: aws.ToString(out.NextUploadIdMarker),
	}
	for _, u := range out.Uploads {
		upload := store.Upload{ID: aws.ToString(u.UploadId), Began: aws.ToTime(u.Initiated)}
		page.Uploads = append(page.Uploads, wire.KeyedUpload{Key: plain(u.Key), Upload: upload})
	}
	return page
}

// UploadPart implements store.Multiparter.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	r := request{
		op: "upload part", part: true, method: http.MethodPut, key: key, header: make(http.Header, 8),
		query: wire.PartQuery(n, id),
	}
	resp, err := s.sendBody(ctx, r, body)
	if err != nil {
		return store.Part{}, err
	}
	return wire.PartOf(r.op, key, n, body.Size, resp.Header.Get("Etag"), s.sumsOf(resp.Header))
}

// ListParts implements store.Multiparter.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	var parts []store.Part
	in := &s3.ListPartsInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key), UploadId: &id}
	for range maxPages {
		out, err := s.api.ListParts(ctx, in)
		if err != nil {
			return nil, s.wrap(ctx, op, key, err)
		}
		for i := range out.Parts {
			p := s.partFrom(&out.Parts[i])
			if len(parts) > 0 && p.Number <= parts[len(parts)-1].Number {
				return nil, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: fmt.Errorf("listing out of order: part %d after %d", p.Number, parts[len(parts)-1].Number)}
			}
			parts = append(parts, p)
		}
		marker := aws.ToString(out.NextPartNumberMarker)
		if !aws.ToBool(out.IsTruncated) || marker == "" || marker == aws.ToString(in.PartNumberMarker) {
			return parts, nil
		}
		in.PartNumberMarker = &marker
	}
	return nil, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: errors.New("the listing of parts has no end")}
}

func (s *Store) partFrom(p *types.Part) store.Part {
	etag := wire.Unquote(aws.ToString(p.ETag))
	sums := store.Checksums{
		CRC64NVME: decodeSum(aws.ToString(p.ChecksumCRC64NVME), 8),
		CRC32C:    decodeSum(aws.ToString(p.ChecksumCRC32C), 4),
		SHA256:    decodeSum(aws.ToString(p.ChecksumSHA256), 32),
	}
	return store.Part{
		Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), ETag: etag, Sums: sums.Merge(s.sumsOfETag(etag)),
	}
}

// CompleteUpload implements store.Multiparter. The SDK turns an answer 200 with an error in it into that error.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	const op = "complete upload"
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{},
	}
	if opts.Condition.Absent {
		in.IfNoneMatch = aws.String("*")
	}
	if opts.Condition.ETag != "" {
		in.IfMatch = aws.String(wire.Quote(opts.Condition.ETag))
	}
	var size int64
	for _, p := range parts {
		size += p.Size
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{
			PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(wire.Quote(p.ETag)),
		})
	}
	if err := wire.BeforeCommit(op, key, &opts); err != nil {
		return store.Object{}, err
	}
	out, err := s.api.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return store.Object{}, s.wrap(ctx, op, key, err)
	}
	etag := wire.Unquote(aws.ToString(out.ETag))
	o := store.Object{Key: key, Size: size, ETag: etag}
	if out.ChecksumType != types.ChecksumTypeComposite {
		o.Sums.CRC64NVME = decodeSum(aws.ToString(out.ChecksumCRC64NVME), 8)
		o.Sums.CRC32C = decodeSum(aws.ToString(out.ChecksumCRC32C), 4)
	}
	if isEncrypted(answerHeader(out.ResultMetadata)) {
		s.sums.etagOpaque.Store(true)
	}
	o.Sums = o.Sums.Merge(s.sumsOfETag(etag))
	return o, nil
}

// answerHeader gives the headers of an answer that the SDK read.
func answerHeader(m middleware.Metadata) http.Header {
	if resp, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok {
		return resp.Header
	}
	return nil
}

// AbortUpload implements store.Multiparter.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	_, err := s.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), UploadId: &id,
	})
	if err = s.wrap(ctx, "abort upload", key, err); store.ClassOf(err) == store.NotFound {
		return nil
	}
	return err
}
