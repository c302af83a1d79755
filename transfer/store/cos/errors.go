package cos

import (
	"cmp"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Hints of COS's own.
const (
	hintBucket  = "check the bucket name with its APPID, and the region"
	hintArchive = "the object is archived; restore it first"
	hintClass   = "the bucket does not take this storage class; set multi_az=true if it lies in several zones, else leave that out"
	hintArrears = "the account is in arrears"
	hintKMS     = "check the key service of the account"
	hintSSEC    = "the object is encrypted with a key of its owner's own (SSE-C), which is not supported"
)

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://www.tencentcloud.com/document/product/436/7730.
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "AccessDenied", "AccessForbidden", "NoProcessAuthority", "UserNotSourceBucketOwner", "UserNotTargetBucketOwner":
		return rule(store.Auth, wire.HintRights)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return rule(store.Auth, wire.HintKeys)
	case "ExpiredToken", "InvalidToken":
		return rule(store.Auth, wire.HintToken)
	case "PaymentRequired", "UnavailableForLegalReasons":
		return rule(store.Auth, hintArrears+", or the vendor has blocked the content")
	case "RequestTimeTooSkewed", "Request has expired", "RequestIsExpired", "RequestExpired":
		return rule(store.Misconfigured, wire.HintClock)
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NoSuchCopySource", "NoSuchTagSet":
		return rule(store.NotFound, "")
	case "NoSuchBucket", "InvalidBucketName", "BucketNameTooLong", "InvalidRegionName", "PermanentRedirect", "InvalidHostname":
		return rule(store.Misconfigured, hintBucket)
	case "BucketAccelerateNotEnabled", "ActionAccelerateNotSupported":
		return rule(store.Misconfigured, "the bucket is not set up for acceleration; use the endpoint of its region")
	case "SlowDown", "ServiceUnavailable", "KmsFreqControl", "RequestLimitExceeded", "TooManyRequests":
		return rule(store.Throttled, "")
	case "FileAlreadyExists", "PreconditionFailed", "NotModified":
		return rule(store.Precondition, "")
	case "InternalError", "RequestTimeout", "UserNetworkTooSlow", "IncompleteBody", "EntitySizeNotMatch", "UploadConflict", "KmsInternalException":
		return rule(store.Transient, "")
	case "BadDigest", "InvalidDigest", "InvalidSHA1Digest":
		return rule(store.Mismatch, "") // what is sent here is well-formed, so the content differs
	case "InvalidObjectState":
		return rule(store.Archived, hintArchive)
	case "ObjectLocked", "BucketLocked":
		return rule(store.Permanent, "an object lock of the bucket protects the object")
	case "PathConflict":
		return rule(store.Permanent, "the bucket is a file system, where a folder and an object cannot have one name")
	case "NotSupportedStorageClass", "MAZOperationNotSupportOnOAZBucket", "OAZOperationNotSupportOnMAZBucket", "MultiAZFeatureNotSupport":
		return rule(store.Permanent, hintClass)
	case "KmsException", "KmsKeyDisabled", "KmsKeyNotExist":
		return rule(store.Permanent, hintKMS)
	case "SSEContentNotSupported", "SSEHeaderNotAllowed", "SsecDecryptHeaderInvalid":
		return rule(store.Permanent, hintSSEC)
	case "KeyTooLong", "InvalidObjectName", "InvalidURI", "InvalidArgument", "InvalidRequest", "BadRequest", "EntityTooLarge", "EntityTooSmall",
		"InvalidPart", "InvalidPartOrder", "InvalidRange", "InvalidTag", "InvalidCopySource", "MalformedXML", "MethodNotAllowed",
		"MissingContentLength", "NotImplemented", "ObjectNotAppendable", "RestoreNonArchiveObject", "UploadIdNotSupported":
		return rule(store.Permanent, "")
	}
	return wire.Rule{}, false
}

// refusal is what an error answer says; that to a HEAD has none.
type refusal struct {
	XMLName xml.Name `xml:"Error"`
	Code    string   `xml:"Code"`
	Message string   `xml:"Message"`
	Request string   `xml:"RequestId"`
}

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	var r refusal
	if xml.Unmarshal(w.Body, &r) != nil {
		r = refusal{}
	}
	what, known := ruleOf(r.Code)
	switch {
	case r.Code == "AccessDenied" && strings.Contains(strings.ToLower(r.Message), "expired"):
		what = wire.Rule{Class: store.Misconfigured, Hint: wire.HintClock} // a signature is made anew for each request
	case !known && w.Status == http.StatusPaymentRequired:
		what = wire.Rule{Class: store.Auth, Hint: hintArrears}
	case !known:
		what = wire.RuleOfStatus(w.Status)
	}
	return w.Fault(op, key, what, r.Code, r.Message, cmp.Or(requestID(w.Header), r.Request), s.now())
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Cos-Request-Id"), 200) }

// code gives the vendor's code of a classified error, "" if there is none.
func code(err error) string {
	var e *store.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
