package gs

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

const (
	hintToken   = "the access token is not accepted; check the credentials"
	hintBucket  = "check the bucket name"
	hintUniform = "the bucket has uniform bucket-level access, so objects have no ACLs of their own; copy without access"
	hintHeld    = "a retention policy of the bucket or a hold protects the object"
	hintPayer   = "the bucket makes requesters pay; set user_project=PROJECT to the project to be billed"
	hintQuota   = "the project's quota is used up; raise it, or go slower"
)

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what a reason of the JSON API or a code of the XML API means, false for those whose HTTP status says enough
// (https://cloud.google.com/storage/docs/json_api/v1/status-codes, https://cloud.google.com/storage/docs/xml-api/reference-status).
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "authError", "required", "AuthenticationRequired", "ExpiredToken", "InvalidToken", "InvalidSecurity", "MissingSecurityHeader":
		return rule(store.Auth, hintToken)
	case "forbidden", "insufficientPermissions", "AccessDenied", "InsufficientPermissions":
		return rule(store.Auth, wire.HintRights)
	case "accountDisabled", "AccountProblem", "BillingDisabled", "billingNotEnabled", "UserAccountProblem", "ProjectAccountProblem":
		return rule(store.Auth, "the account or the billing of the project is disabled")
	case "rateLimitExceeded", "userRateLimitExceeded", "SlowDown", "TooManyRequests", "ServiceUnavailable", "usageLimits":
		return rule(store.Throttled, "")
	case "quotaExceeded", "dailyLimitExceeded", "QuotaExceeded":
		return rule(store.Throttled, hintQuota)
	case "userProjectMissing", "UserProjectMissing", "userProjectAccountProblem", "UserProjectAccountProblem", "userProjectInvalid",
		"UserProjectInvalid", "userProjectAccessDenied", "UserProjectAccessDenied":
		return rule(store.Misconfigured, hintPayer)
	case "conditionNotMet", "PreconditionFailed":
		return rule(store.Precondition, "")
	case "NoSuchBucket", "InvalidBucketName":
		return rule(store.Misconfigured, hintBucket)
	case "NoSuchKey", "NoSuchUpload":
		return rule(store.NotFound, "")
	case "BadDigest", "InvalidDigest":
		return rule(store.Mismatch, "") // what is sent here is well-formed, so the content differs
	case "retentionPolicyNotMet", "RetentionPolicyNotMet", "objectUnderActiveHold", "ObjectUnderActiveHold", "softDeleted":
		return rule(store.Permanent, hintHeld)
	case "backendError", "internalError", "InternalError", "RequestTimeout", "IncompleteBody", "uploadBrokenConnection":
		return rule(store.Transient, "")
	}
	return wire.Rule{}, false
}

// refusal is what an error answer says.
type refusal struct {
	Code    string // reason of the JSON API, code of the XML API
	Message string
}

// refusalOf reads an error answer of either API.
func refusalOf(w *wire.Refusal) refusal {
	var j struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason  string `json:"reason"`
				Message string `json:"message"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(w.Body, &j) == nil && (j.Error.Message != "" || len(j.Error.Errors) > 0) {
		r := refusal{Message: j.Error.Message}
		if len(j.Error.Errors) > 0 {
			r.Code = j.Error.Errors[0].Reason
		}
		return r
	}
	var x struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
		Details string   `xml:"Details"`
	}
	if xml.Unmarshal(w.Body, &x) != nil {
		return refusal{}
	}
	return refusal{Code: x.Code, Message: strings.TrimSpace(x.Message + " " + x.Details)}
}

// ruleOfMessage knows what only the text of an answer tells.
func ruleOfMessage(status int, text string) (wire.Rule, bool) {
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "bucket does not exist"):
		return rule(store.Misconfigured, hintBucket)
	case status == http.StatusBadRequest && strings.Contains(text, "match calculated"):
		return rule(store.Mismatch, "")
	case status == http.StatusBadRequest && strings.Contains(text, "uniform bucket-level access"):
		return rule(store.Permanent, hintUniform)
	case status == http.StatusBadRequest && strings.Contains(text, "requester pays"):
		return rule(store.Misconfigured, hintPayer)
	}
	return wire.Rule{}, false
}

// fault makes the classified error of a refusal; token is what the request carried.
func (s *Store) fault(r *request, token string, w *wire.Refusal) *store.Error {
	said := refusalOf(w)
	what, known := ruleOfMessage(w.Status, said.Message)
	if !known {
		if what, known = ruleOf(said.Code); !known {
			what = wire.RuleOfStatus(w.Status)
		}
	}
	if w.Status == http.StatusUnauthorized {
		what = wire.Rule{Class: store.Auth, Hint: hintToken}
		switch {
		case s.tokens.Load().refused(token):
			what = wire.Rule{Class: store.Transient, Hint: "a new access token is taken"}
		case token == "":
			what.Hint = "the bucket is not public; give credentials"
		}
	}
	return w.Fault(r.op, r.key, what, said.Code, said.Message, requestID(w.Header), s.now())
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Guploader-Uploadid"), 200) }

// isClass tells whether an error is a refusal of a class.
func isClass(err error, class store.Class) bool {
	var e *store.Error
	return errors.As(err, &e) && e.Class == class
}
