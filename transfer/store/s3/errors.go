package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// hintRegion stands in more than one place.
const hintRegion = "set region=... to the region of the bucket"

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and those of versitygw, MinIO and Ceph.
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess", "Forbidden":
		return rule(store.Auth, wire.HintRights)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "XAdminUserNotFound", "AuthorizationQueryParametersError":
		return rule(store.Auth, wire.HintKeys)
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return rule(store.Auth, wire.HintToken)
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound":
		return rule(store.NotFound, "")
	case "NoSuchBucket", "InvalidBucketName", "InvalidBucketState":
		return rule(store.Misconfigured, wire.HintBucket)
	case "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "InvalidRegion":
		return rule(store.Misconfigured, hintRegion)
	case "RequestTimeTooSkewed", "RequestExpired":
		return rule(store.Misconfigured, wire.HintClock)
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded", "ServerBusy":
		return rule(store.Throttled, "")
	case "PreconditionFailed":
		return rule(store.Precondition, "")
	case "ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "IncompleteBody", "InternalError", "InternalFailure":
		return rule(store.Transient, "")
	case "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "ContentSHA256Mismatch":
		return rule(store.Mismatch, "")
	case "QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageFull",
		"DiskFull", "ReadOnly", "XMinioReadOnly", "EntityQuotaExceeded":
		return rule(store.Full, "")
	case "KeyTooLong", "KeyTooLongError", "InvalidArgument", "InvalidURI", "XMinioInvalidObjectName", "InvalidObjectName",
		"EntityTooLarge", "EntityTooSmall", "ObjectParentIsFile", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory",
		"ObjectExistsAsDirectory", "DirectoryObjectContainsData", "InvalidStorageClass", "InvalidPart", "InvalidPartOrder",
		"InvalidRequest", "InvalidDigest", "MetadataTooLarge", "NotImplemented", "MalformedXML", "InvalidRange",
		"MissingContentLength", "MethodNotAllowed", "ObjectLocked":
		return rule(store.Permanent, "")
	case "InvalidObjectState":
		return rule(store.Archived, wire.HintArchived)
	case "AccessControlListNotSupported":
		return rule(store.Permanent, "the bucket takes no ACLs; leave out preserve.acl")
	case "GlacierExpeditedRetrievalNotAvailable":
		return rule(store.Throttled, "restore.speed: Expedited has no room now; Standard always has")
	}
	return wire.Rule{}, false
}

// refusal is an answer that is an error.
type refusal struct {
	status  int
	code    string
	message string
	header  http.Header
	region  string // that the answer names
}

// refusalOf reads what an error answer says.
func refusalOf(w *wire.Refusal) *refusal {
	r := &refusal{status: w.Status, header: w.Header, region: w.Header.Get("X-Amz-Bucket-Region")}
	var doc struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
		Region  string   `xml:"Region"`
	}
	if xml.Unmarshal(w.Body, &doc) == nil {
		r.code, r.message = doc.Code, doc.Message
		if doc.Region != "" {
			r.region = doc.Region
		}
	}
	return r
}

// expecting finds the region that AuthorizationHeaderMalformed names.
var expecting = regexp.MustCompile(`expecting '([a-z0-9-]{1,64})'`)

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, r *refusal) *store.Error {
	e := &store.Error{Op: op, Key: key, Code: wire.Clip(r.code, 100), RequestID: wire.Clip(requestID(r.header), 200)}
	what, known := ruleOf(r.code)
	if !known {
		what = wire.RuleOfStatus(r.status)
	}
	if m := expecting.FindStringSubmatch(r.message); m != nil {
		r.region = m[1]
	}
	wrongRegion := r.region != "" && r.region != s.region && (r.status == http.StatusBadRequest || r.status == http.StatusMovedPermanently)
	if wrongRegion {
		what = wire.Rule{Class: store.Misconfigured, Hint: fmt.Sprintf("the bucket is in region %q; set region=%s", wire.Clip(r.region, 64), wire.Clip(r.region, 64))}
	}
	e.Class, e.Hint = what.Class, what.Hint
	if e.Class == store.Throttled || e.Class == store.Transient {
		e.RetryAfter = wire.RetryAfter(r.header, s.now())
	}
	e.Err = errors.New(wire.Message(r.message, r.status))
	return e
}

func requestID(h http.Header) string {
	for _, name := range []string{"X-Amz-Request-Id", "X-Request-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// wrap classifies whatever an operation failed with, as the SDK or the transport gave it.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	var api smithy.APIError
	if ctx.Err() == nil && errors.As(err, &api) {
		r := &refusal{code: api.ErrorCode(), message: api.ErrorMessage(), header: http.Header{}}
		var answer *awshttp.ResponseError
		if errors.As(err, &answer) && answer.HTTPResponse() != nil {
			r.status, r.header = answer.HTTPStatusCode(), answer.HTTPResponse().Header
			r.region = r.header.Get("X-Amz-Bucket-Region")
		}
		return s.fault(op, key, r)
	}
	return wire.Wrap(ctx, op, key, innermost(err))
}

// innermost leaves out what the SDK wraps around a cause, down to the part that says something.
func innermost(err error) error {
	if errors.Is(err, wire.ErrCredentials) {
		return err // where they were looked for in vain is what the cause says
	}
	var send interface{ ConnectionError() bool }
	var op *smithy.OperationError
	for errors.As(err, &op) {
		err = op.Err
	}
	if errors.As(err, &send) {
		if inner := errors.Unwrap(send.(error)); inner != nil {
			return inner
		}
	}
	return err
}
