package azblob

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Hints that stand in more than one place.
const (
	hintVersion = "set api_version=2023-11-03 or another that the service knows"
	hintSAS     = "the SAS token is wrong, has expired or does not begin yet"
	hintRestore = "the blob is archived; restore it first"
	hintBlocks  = "someone else's unfinished upload stands at this name; write the blob whole, remove it, or wait a week until Azure drops the upload"
)

func rule(class store.Class, hint string) (wire.Rule, bool) {
	return wire.Rule{Class: class, Hint: hint}, true
}

// ruleOf says what an error code means, false for those whose HTTP status says enough. Codes:
// https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and .../common-rest-api-error-codes.
func ruleOf(code string) (wire.Rule, bool) {
	switch code {
	case "AuthenticationFailed", "InvalidAuthenticationInfo":
		return rule(store.Auth, "check the account's name and key, or the SAS token")
	case "NoAuthenticationInformation", "PublicAccessNotPermitted":
		return rule(store.Auth, "the container is not public: give credentials")
	case "AuthorizationFailure":
		return rule(store.Auth, "check the credentials and what they may do, and whether the account's network rules keep this machine out")
	case "AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch", "AuthorizationServiceMismatch", "InsufficientAccountPermissions":
		return rule(store.Auth, wire.HintRights)
	case "AuthorizationSourceIPMismatch", "AuthorizationProtocolMismatch", "AuthorizationResourceMismatch":
		return rule(store.Auth, "the SAS token is not for this machine, protocol or container")
	case "KeyBasedAuthenticationNotPermitted":
		return rule(store.Auth, "the account takes no account keys; use Microsoft Entra ID, or a user delegation SAS")
	case "AccountIsDisabled", "ContainerDisabled":
		return rule(store.Auth, "the account or container is disabled")
	case "BlobNotFound", "ResourceNotFound", "PathNotFound":
		return rule(store.NotFound, "")
	case "ContainerNotFound", "InvalidResourceName", "FilesystemNotFound":
		return rule(store.Misconfigured, "check the container's name and the account")
	case "ContainerBeingDeleted":
		return rule(store.Misconfigured, "the container is being deleted")
	case "ServerBusy", "TooManyRequests", "AccountRequestLimitExceeded":
		return rule(store.Throttled, "")
	case "BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "SourceConditionNotMet":
		return rule(store.Precondition, "")
	case "InternalError", "OperationTimedOut", "AccountBeingCreated":
		return rule(store.Transient, "")
	case "Md5Mismatch", "Crc64Mismatch", "InvalidMd5":
		return rule(store.Mismatch, "") // what is sent here is well-formed, so the content differs
	case "BlobArchived", "BlobBeingRehydrated":
		return rule(store.Archived, hintRestore)
	case "InvalidBlobOrBlock":
		return rule(store.Permanent, hintBlocks)
	case "InvalidBlobType":
		return rule(store.Permanent, "a page or append blob of that name is there; remove it first")
	case "LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "LeaseAlreadyPresent", "LeaseLost":
		return rule(store.Permanent, "someone holds a lease on it; end the lease first")
	case "SnapshotsPresent":
		return rule(store.Permanent, "the blob has snapshots, which would go with it; remove them first")
	case "BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold":
		return rule(store.Permanent, "an immutability policy or a legal hold protects the blob")
	case "PathAlreadyExists", "DirectoryNotEmpty":
		return rule(store.Permanent, "a directory of that name is there")
	case "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", "BlobTagsNotSupportedForAccountType":
		return rule(store.Permanent, "accounts with a hierarchical namespace lack this")
	case "InvalidBlockList", "InvalidBlockId", "BlockCountExceedsLimit", "BlockListTooLong", "RequestBodyTooLarge", "EntityTooLarge", "InvalidRange",
		"OutOfRangeInput", "InvalidUri", "InvalidInput", "InvalidMetadata", "MetadataTooLarge", "EmptyMetadataKey", "InvalidHeaderValue",
		"InvalidXmlDocument", "UnsupportedHeader", "UnsupportedHttpVerb", "BlobTierInadequateForContentLength", "InvalidBlobTier", "InvalidTag",
		"TagsTooLarge", "InvalidOperation", "InvalidQueryParameterValue":
		return rule(store.Permanent, "")
	}
	return wire.Rule{}, false
}

// refusal is what an error answer says.
type refusal struct {
	XMLName xml.Name `xml:"Error"`
	Code    string   `xml:"Code"`
	Message string   `xml:"Message"`
	Detail  string   `xml:"AuthenticationErrorDetail"`
	Header  string   `xml:"HeaderName"`
}

// refusalOf reads an error answer; that to a HEAD has its code in a header only.
func refusalOf(w *wire.Refusal) refusal {
	var r refusal
	if xml.Unmarshal(w.Body, &r) != nil {
		r = refusal{}
	}
	if code := w.Header.Get("X-Ms-Error-Code"); code != "" {
		r.Code = code
	}
	// The message ends with what stands in headers too.
	r.Message, _, _ = strings.Cut(r.Message, "\nRequestId:")
	return r
}

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	r := refusalOf(w)
	what, known := r.special()
	if !known {
		what, known = ruleOf(r.Code)
	}
	if !known {
		what = wire.RuleOfStatus(w.Status)
	}
	return w.Fault(op, key, what, r.Code, r.Message, requestID(w.Header), s.now())
}

// special tells errors apart that share a code.
func (r *refusal) special() (wire.Rule, bool) {
	switch {
	case r.Code == "AuthenticationFailed" && strings.Contains(r.Detail, "Request date header"):
		return rule(store.Misconfigured, wire.HintClock)
	case r.Code == "AuthenticationFailed" && (strings.Contains(r.Detail, "time frame") || strings.Contains(r.Detail, "expiry")):
		return rule(store.Auth, hintSAS)
	case r.Code == "InvalidHeaderValue" && strings.EqualFold(r.Header, "x-ms-version"), r.Code == "FeatureVersionMismatch",
		r.Code == "InvalidHeaderValue" && strings.Contains(r.Message, "API version"):
		return rule(store.Misconfigured, hintVersion)
	case r.Code == "InvalidOperation" && strings.Contains(r.Message, "contentMD5"): // Azurite's Md5Mismatch
		return rule(store.Mismatch, "")
	}
	return wire.Rule{}, false
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Ms-Request-Id"), 200) }
