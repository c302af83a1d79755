package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// rule says what an error code means.
type rule struct {
	class store.Class
	hint  string
}

// Hints that stand in more than one place.
const (
	hintKeys   = "check the access key and the secret key"
	hintToken  = "the session token is wrong or has expired"
	hintRights = "the credentials lack the permission for this"
	hintBucket = "check the bucket name and the endpoint"
	hintRegion = "set region=... to the region of the bucket"
	hintClock  = "the clock of this machine differs too much from the server's; set it"
	hintTLS    = "the server's certificate is not trusted; name its CA in SSL_CERT_FILE or AWS_CA_BUNDLE"
)

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and those of versitygw, MinIO and Ceph.
func ruleOf(code string) (rule, bool) {
	switch code {
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess", "Forbidden":
		return rule{store.Auth, hintRights}, true
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "XAdminUserNotFound", "AuthorizationQueryParametersError":
		return rule{store.Auth, hintKeys}, true
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return rule{store.Auth, hintToken}, true
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound":
		return rule{store.NotFound, ""}, true
	case "NoSuchBucket", "InvalidBucketName", "InvalidBucketState":
		return rule{store.Misconfigured, hintBucket}, true
	case "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "InvalidRegion":
		return rule{store.Misconfigured, hintRegion}, true
	case "RequestTimeTooSkewed", "RequestExpired":
		return rule{store.Misconfigured, hintClock}, true
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded", "ServerBusy":
		return rule{store.Throttled, ""}, true
	case "PreconditionFailed":
		return rule{store.Precondition, ""}, true
	case "ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "IncompleteBody", "InternalError", "InternalFailure":
		return rule{store.Transient, ""}, true
	case "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "ContentSHA256Mismatch":
		return rule{store.Mismatch, ""}, true
	case "QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageFull",
		"DiskFull", "ReadOnly", "XMinioReadOnly", "EntityQuotaExceeded":
		return rule{store.Full, ""}, true
	case "KeyTooLong", "KeyTooLongError", "InvalidArgument", "InvalidURI", "XMinioInvalidObjectName", "InvalidObjectName",
		"EntityTooLarge", "EntityTooSmall", "ObjectParentIsFile", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory",
		"ObjectExistsAsDirectory", "DirectoryObjectContainsData", "InvalidStorageClass", "InvalidPart", "InvalidPartOrder",
		"InvalidRequest", "InvalidDigest", "MetadataTooLarge", "NotImplemented", "MalformedXML", "InvalidRange",
		"MissingContentLength", "MethodNotAllowed", "ObjectLocked":
		return rule{store.Permanent, ""}, true
	case "InvalidObjectState":
		return rule{store.Permanent, "the object is archived; restore it first"}, true
	}
	return rule{}, false
}

// ruleOfStatus says what an HTTP status alone means.
func ruleOfStatus(status int) rule {
	switch {
	case status == http.StatusMovedPermanently, status == http.StatusFound, status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		return rule{store.Misconfigured, "the server redirects; check endpoint and region"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return rule{store.Auth, hintRights}
	case status == http.StatusNotFound:
		return rule{store.NotFound, ""}
	case status == http.StatusPreconditionFailed, status == http.StatusNotModified:
		return rule{store.Precondition, ""}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return rule{store.Throttled, ""}
	case status == http.StatusInsufficientStorage:
		return rule{store.Full, ""}
	case status == http.StatusNotImplemented:
		return rule{store.Permanent, "the server does not implement this"}
	case status == http.StatusProxyAuthRequired:
		return rule{store.Misconfigured, "the proxy wants credentials"}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return rule{store.Transient, ""}
	}
	return rule{store.Permanent, ""}
}

// refusal is an answer that is an error.
type refusal struct {
	status  int
	code    string
	message string
	header  http.Header
	region  string // that the answer names
}

// Bounds of what is taken from an error answer.
const (
	maxErrorBody    = 64 << 10
	maxErrorMessage = 300
)

// readRefusal reads an error answer and closes it. Answers to HEAD have no body, and proxies answer in HTML: then only
// the status counts.
func readRefusal(resp *http.Response) *refusal {
	r := &refusal{status: resp.StatusCode, header: resp.Header, region: resp.Header.Get("X-Amz-Bucket-Region")}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	finish(resp.Body)
	var doc struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
		Region  string   `xml:"Region"`
	}
	if err == nil && xml.Unmarshal(data, &doc) == nil {
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
	e := &store.Error{Op: op, Key: key, Code: clip(r.code, 100), RequestID: clip(requestID(r.header), 200)}
	what, known := ruleOf(r.code)
	if !known {
		what = ruleOfStatus(r.status)
	}
	if m := expecting.FindStringSubmatch(r.message); m != nil {
		r.region = m[1]
	}
	wrongRegion := r.region != "" && r.region != s.region && (r.status == http.StatusBadRequest || r.status == http.StatusMovedPermanently)
	if wrongRegion {
		what = rule{store.Misconfigured, fmt.Sprintf("the bucket is in region %q; set region=%s", clip(r.region, 64), clip(r.region, 64))}
	}
	e.Class, e.Hint = what.class, what.hint
	if e.Class == store.Throttled || e.Class == store.Transient {
		e.RetryAfter = store.RetryAfter(r.header, s.now())
	}
	e.Err = errors.New(refusalText(r))
	return e
}

func refusalText(r *refusal) string {
	text := strings.Join(strings.Fields(r.message), " ")
	if text == "" {
		text = fmt.Sprintf("HTTP %d %s", r.status, http.StatusText(r.status))
	}
	return clip(text, maxErrorMessage)
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

func requestID(h http.Header) string {
	for _, name := range []string{"X-Amz-Request-Id", "X-Request-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// wrap classifies whatever an operation failed with.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	var known *store.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &store.Error{Op: op, Key: key, Class: store.Canceled, Err: context.Cause(ctx)}
	case errors.Is(err, errShortBody), errors.Is(err, errLongBody):
		return &store.Error{Op: op, Key: key, Class: store.Changed, Err: err}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		r := &refusal{code: api.ErrorCode(), message: api.ErrorMessage(), header: http.Header{}}
		var answer *awshttp.ResponseError
		if errors.As(err, &answer) && answer.HTTPResponse() != nil {
			r.status, r.header = answer.HTTPStatusCode(), answer.HTTPResponse().Header
			r.region = r.header.Get("X-Amz-Bucket-Region")
		}
		return s.fault(op, key, r)
	}
	e := &store.Error{Op: op, Key: key, Err: innermost(err)}
	what := ruleOfFailure(err)
	e.Class, e.Hint = what.class, what.hint
	return e
}

// errCredentials is wrapped around a failure to find credentials.
var errCredentials = errors.New("get credentials")

// ruleOfFailure says what a failure without an answer means.
func ruleOfFailure(err error) rule {
	var (
		authority *x509.UnknownAuthorityError
		value     x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		netOp     *net.OpError
	)
	switch {
	case errors.As(err, &authority), errors.As(err, &value), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return rule{store.Misconfigured, hintTLS}
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return rule{store.Misconfigured, "the server does not speak TLS here; write the endpoint with http://"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return rule{store.Misconfigured, "no such host; check endpoint and region"}
	case errors.As(err, &netOp) && netOp.Op == "proxyconnect":
		return rule{store.Transient, "the proxy of HTTPS_PROXY or HTTP_PROXY does not answer"}
	case errors.Is(err, errCredentials):
		return rule{store.Auth, "no credentials found; give access_key and secret_key in the job file, or BRIGADE_SRC_… and BRIGADE_DST_… variables"}
	}
	return rule{store.Transient, ""}
}

// innermost leaves out what the SDK wraps around a cause, down to the part that says something.
func innermost(err error) error {
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
