package kodo

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Hints that stand in more than one place.
const (
	hintRegion = "set region=... to that of the bucket"
	hintDomain = "name a domain of the bucket with domain=..."
)

// Statuses of the vendor's own.
const (
	statusNoSuchKey = 612
	statusExists    = 614
)

// ruleOf says what a status of Kodo's means, false for those that mean what they do everywhere. Statuses:
// https://developer.qiniu.com/kodo/3928/error-responses.
func ruleOf(status int, message string) (wire.Rule, bool) {
	rule := func(class store.Class, hint string) (wire.Rule, bool) {
		return wire.Rule{Class: class, Hint: hint}, true
	}
	switch status {
	case http.StatusBadRequest:
		if strings.Contains(message, "incorrect region") || strings.Contains(message, "incorrect zone") {
			return rule(store.Misconfigured, hintRegion)
		}
	case http.StatusUnauthorized:
		if strings.Contains(message, "out of date") || strings.Contains(message, "expired") {
			return rule(store.Misconfigured, wire.HintClock)
		}
		return rule(store.Auth, wire.HintKeys)
	case http.StatusNotAcceptable:
		return rule(store.Mismatch, "") // the CRC32 differs
	case 419:
		return rule(store.Auth, "the account is disabled or in arrears")
	case 478:
		return rule(store.Transient, "the site that the bucket mirrors does not answer")
	case 573:
		return rule(store.Throttled, "")
	case 608:
		return rule(store.Precondition, "")
	case statusNoSuchKey, 701:
		return rule(store.NotFound, "") // also: no such upload
	case statusExists:
		return rule(store.Precondition, "")
	case 630:
		return rule(store.Full, "the account has as many buckets as it may")
	case 631:
		return rule(store.Misconfigured, wire.HintBucket)
	case 640:
		return rule(store.Permanent, "this listing cannot be trusted") // it refuses its own marker
	}
	return wire.Rule{}, false
}

// messageOf reads an error answer. Domains may answer in whatever form their CDN has.
func messageOf(w *wire.Refusal) string {
	var doc struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(w.Body, &doc) != nil {
		return ""
	}
	return doc.Error
}

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	message := messageOf(w)
	what, known := ruleOf(w.Status, message)
	if !known {
		what = wire.RuleOfStatus(w.Status)
	}
	return w.Fault(op, key, what, strconv.Itoa(w.Status), message, requestID(w.Header), s.now())
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Reqid"), 200) }

// mentionsMD5 tells that a refusal is about the MD5 of the content.
func mentionsMD5(text string) bool { return strings.Contains(strings.ToLower(text), "md5") }
