package bos

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Hints that stand in more than one place.
const (
	hintBucket  = "check the bucket name, and that region=... or endpoint=... is where the bucket is"
	hintRestore = "the object is archived; restore it first"
	hintClass   = "the bucket does not take this storage class; buckets of several zones need multi_az=true"
)

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://cloud.baidu.com/doc/BOS/s/Ajwvysfpl. Where that names none for a case, those that its relatives use are taken too.
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "AccessDenied":
		return rule(store.Auth, wire.HintRights)
	case "AccountOverdue", "AccountForbidden", "OptInRequired":
		return rule(store.Auth, "the account is in arrears, disabled, or has not opened BOS")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return rule(store.Auth, wire.HintKeys)
	case "InvalidHTTPAuthHeader":
		return rule(store.Auth, "the request was altered on its way, or the access key has odd characters")
	case "InvalidSessionToken", "InvalidSecurityToken", "SecurityTokenExpired", "SessionTokenExpired":
		return rule(store.Auth, wire.HintToken)
	case "RequestExpired", "RequestTimeTooSkewed":
		return rule(store.Misconfigured, wire.HintClock)
	case "NoSuchBucket", "InvalidBucketName":
		return rule(store.Misconfigured, hintBucket)
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NoSuchObject":
		return rule(store.NotFound, "")
	case "SymlinkTargetNotExist":
		return rule(store.NotFound, "the symbolic link leads to no object")
	case "SlowDown", "ServiceUnavailable", "RequestRateLimitExceeded", "TooManyRequests":
		return rule(store.Throttled, "")
	case "PreconditionFailed", "ObjectAlreadyExists", "FileAlreadyExists":
		return rule(store.Precondition, "")
	case "InternalError", "RequestTimeout", "IncompleteBody":
		return rule(store.Transient, "")
	case "BadDigest", "InvalidDigest", "CheckSumNotMatch":
		return rule(store.Mismatch, "") // what is sent here is well-formed, so the content differs
	case "QuotaExceeded", "BucketQuotaExceeded", "StorageQuotaExceeded", "ExceedMaxBucketCapacity":
		return rule(store.Full, "")
	case "InvalidObjectState", "ObjectNotRestored", "ObjectRestoreNotFinished":
		return rule(store.Archived, hintRestore)
	case "InvalidStorageClass", "NotSupportStorageClass":
		return rule(store.Permanent, hintClass)
	case "ObjectImmutable", "ObjectLocked":
		return rule(store.Permanent, "a retention policy of the bucket protects the object")
	case "InvalidEncryptionAlgorithm", "InvalidEncryptionCustomerKey", "InvalidEncryptionKmsMkid":
		return rule(store.Permanent, "the object is encrypted with a key that these credentials cannot use")
	case "EntityTooLarge", "EntityTooSmall", "InappropriateJSON", "MalformedJSON", "InvalidArgument", "InvalidHTTPRequest", "InvalidObjectName",
		"InvalidPart", "InvalidPartOrder", "InvalidRange", "InvalidTargetType", "InvalidURI", "InvalidVersion", "MaxMessageLengthExceeded",
		"MetadataTooLarge", "MethodNotAllowed", "MissingContentLength", "NotImplemented", "ObjectUnappendable", "OffsetIncorrect":
		return rule(store.Permanent, "")
	}
	return wire.Rule{}, false
}

// refusal is what an error answer says.
type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Request string `json:"requestId"`
}

// fault makes the classified error of a refusal. One to a HEAD has no document: its status stands for the code.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	var r refusal
	if json.Unmarshal(w.Body, &r) != nil {
		r = refusal{}
	}
	what, known := ruleOf(r.Code)
	switch {
	case r.Code == "AccessDenied" && strings.Contains(r.Message, "rate is too high"):
		what = wire.Rule{Class: store.Throttled} // so the vendor's own tool reads it
	case !known:
		what = wire.RuleOfStatus(w.Status)
	}
	return w.Fault(op, key, what, r.Code, r.Message, cmp.Or(requestID(w.Header), strings.TrimSpace(r.Request)), s.now())
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Bce-Request-Id"), 200) }
