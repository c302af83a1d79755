package oss

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// hintRegion stands in more than one place.
const hintRegion = "set endpoint=... or region=... to those of the bucket"

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://www.alibabacloud.com/help/en/oss/user-guide/http-status-codes.
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "AccessDenied":
		return rule(store.Auth, wire.HintRights)
	case "UserDisable", "InvalidOwnerID", "AccountProblem":
		return rule(store.Auth, "the account is disabled or in arrears")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidAccessKey":
		return rule(store.Auth, wire.HintKeys)
	case "SecurityTokenExpired", "InvalidSecurityToken", "SecurityTokenNotSupported":
		return rule(store.Auth, wire.HintToken)
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion":
		return rule(store.NotFound, "")
	case "SymlinkTargetNotExist":
		return rule(store.NotFound, "the symbolic link leads to no object")
	case "NoSuchBucket", "InvalidBucketName", "SecondLevelDomainForbidden":
		return rule(store.Misconfigured, wire.HintBucket)
	case "RequestTimeTooSkewed", "RequestExpired":
		return rule(store.Misconfigured, wire.HintClock)
	case "SlowDown", "ServiceUnavailable", "ServiceBusy", "QpsLimitExceeded", "TooManyRequests", "RequestLimitExceeded",
		"DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded", "TrafficRateLimitExceeded", "DownloadQpsLimitExceeded":
		return rule(store.Throttled, "")
	case "FileAlreadyExists", "PreconditionFailed", "NotModified":
		return rule(store.Precondition, "")
	case "InternalError", "RequestTimeout", "IncompleteBody", "ConnectionTimeout", "ObjectAlreadyExists":
		return rule(store.Transient, "")
	case "InvalidDigest", "BadDigest":
		return rule(store.Mismatch, "") // what is sent here is well-formed, so the content differs
	case "StorageCapacityExceeded", "QuotaExceeded", "BucketStorageExceeded":
		return rule(store.Full, "")
	case "InvalidObjectState":
		return rule(store.Archived, wire.HintArchived)
	case "FileImmutable":
		return rule(store.Permanent, "a retention policy of the bucket protects the object")
	case "InvalidObjectName", "InvalidArgument", "EntityTooLarge", "EntityTooSmall", "InvalidPart", "InvalidPartOrder", "FilePartNotExist",
		"FilePartStale", "FilePartInterity", "InvalidRange", "MalformedXML", "NotImplemented", "OperationNotSupported",
		"ObjectNotAppendable", "InvalidTargetType", "MethodNotAllowed", "MissingContentLength", "InvalidStorageClass":
		return rule(store.Permanent, "")
	}
	return wire.Rule{}, false
}

// refusal is what an error answer says.
type refusal struct {
	XMLName  xml.Name `xml:"Error"`
	Code     string   `xml:"Code"`
	Message  string   `xml:"Message"`
	Endpoint string   `xml:"Endpoint"` // where the bucket is
	EC       string   `xml:"EC"`       // finer than the code
}

// refusalOf reads an error answer; that to a HEAD stands in a header.
func refusalOf(w *wire.Refusal) refusal {
	var r refusal
	body := w.Body
	if text := w.Header.Get("X-Oss-Err"); len(body) == 0 && text != "" {
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
			body = plain
		}
	}
	if xml.Unmarshal(body, &r) != nil {
		r = refusal{}
	}
	if r.EC == "" {
		r.EC = w.Header.Get("X-Oss-Ec")
	}
	return r
}

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	r := refusalOf(w)
	what, known := ruleOf(r.Code)
	switch {
	case r.Endpoint != "" && strings.Contains(r.Message, "specified endpoint"):
		what = wire.Rule{Class: store.Misconfigured, Hint: fmt.Sprintf("the bucket is elsewhere; set endpoint=%s", wire.Clip(r.Endpoint, 100))}
	case r.Code == "InvalidArgument" && strings.Contains(r.Message, "signing region"):
		what = wire.Rule{Class: store.Misconfigured, Hint: hintRegion}
	case !known:
		what = wire.RuleOfStatus(w.Status)
	}
	e := w.Fault(op, key, what, r.Code, r.Message, requestID(w.Header), s.now())
	if r.EC != "" {
		e.Err = fmt.Errorf("%w (EC %s)", e.Err, wire.Clip(r.EC, 40))
	}
	return e
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Oss-Request-Id"), 200) }
