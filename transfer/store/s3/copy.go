package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && other.identity == s.identity && other.creds.given() == s.creds.given()
}

// CopyLimit implements store.Copier.
func (s *Store) CopyLimit() int64 { return largestPart }

// Copy implements store.Copier. The metadata stays the source's unless opts.Meta differs from what from tells of it;
// where from tells nothing and opts.Meta is empty, it stays as well. So do tags; the class is that of opts.Meta.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	const op = "copy"
	source, err := s.copySource(src, from, key)
	header := make(http.Header)
	if err == nil {
		err = userMetadata().Set(header, &opts.Meta)
	}
	if err != nil {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	in := &s3.CopyObjectInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), CopySource: &source, MetadataDirective: types.MetadataDirectiveCopy,
	}
	if from.ETag != "" {
		in.CopySourceIfMatch = aws.String(wire.Quote(from.ETag))
	}
	if wire.ReplacesMeta(from.Meta, opts) {
		in.MetadataDirective = types.MetadataDirectiveReplace
	} else {
		header = make(http.Header)
	}
	s.setDetails(header, &opts.Meta)
	if len(opts.Meta.Tags) > 0 {
		in.TaggingDirective = types.TaggingDirectiveReplace
	}
	setCondition(header, opts.Condition)
	out, err := s.api.CopyObject(ctx, in, withHeader(header))
	if err != nil {
		return store.Object{}, s.wrap(ctx, op, key, err)
	}
	if out.CopyObjectResult == nil {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: errors.New("the server gave no result")}
	}
	r := out.CopyObjectResult
	o := store.Object{
		Key: key, Kind: from.Kind, Size: from.Size, Target: from.Target,
		ETag: wire.Unquote(aws.ToString(r.ETag)), ModTime: aws.ToTime(r.LastModified).UTC(),
	}
	if r.ChecksumType != types.ChecksumTypeComposite {
		o.Sums.CRC64NVME = decodeSum(aws.ToString(r.ChecksumCRC64NVME), 8)
		o.Sums.CRC32C = decodeSum(aws.ToString(r.ChecksumCRC32C), 4)
		o.Sums.SHA256 = decodeSum(aws.ToString(r.ChecksumSHA256), 32)
	}
	if isEncrypted(answerHeader(out.ResultMetadata)) {
		s.sums.etagOpaque.Store(true)
	}
	o.Sums = o.Sums.Merge(s.sumsOfETag(o.ETag))
	return o, nil
}

// copySource names the object to copy from as the header wants it.
func (s *Store) copySource(src store.Source, from store.Object, key string) (string, error) {
	other, ok := src.(*Store)
	if !ok {
		return "", fmt.Errorf("cannot copy from a store of another kind: %T", src)
	}
	if err := s.checkKey(http.MethodPut, s.prefix+key); err != nil {
		return "", err
	}
	if err := other.checkKey(http.MethodGet, other.prefix+from.Key); err != nil {
		return "", err
	}
	return wire.EscapePath(other.bucket + "/" + other.prefix + from.Key), nil
}

// CopyPart implements store.Copier.
func (s *Store) CopyPart(ctx context.Context, src store.Source, from store.Object, off, n int64, key, id string, part int) (store.Part, error) {
	const op = "copy part"
	source, err := s.copySource(src, from, key)
	if err != nil {
		return store.Part{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	in := &s3.UploadPartCopyInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), UploadId: &id, PartNumber: aws.Int32(int32(part)),
		CopySource: &source, CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	}
	if from.ETag != "" {
		in.CopySourceIfMatch = aws.String(wire.Quote(from.ETag))
	}
	out, err := s.api.UploadPartCopy(ctx, in)
	if err != nil {
		return store.Part{}, s.wrap(ctx, op, key, err)
	}
	if out.CopyPartResult == nil {
		return store.Part{}, &store.Error{Op: op, Key: key, Class: store.Permanent, Err: errors.New("the server gave no result")}
	}
	r := out.CopyPartResult
	etag := wire.Unquote(aws.ToString(r.ETag))
	sums := store.Checksums{CRC64NVME: decodeSum(aws.ToString(r.ChecksumCRC64NVME), 8)}
	return store.Part{Number: part, Size: n, ETag: etag, Sums: sums.Merge(s.sumsOfETag(etag))}, nil
}
