package uss

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Hints.
const (
	hintOperator = "check the operator (access_key) and its password (secret_key)"
	hintGiven    = "check the operator's name, and that it is authorized for this service in the console"
	hintRights   = "the operator lacks the right for this; the console gives rights to read, write and delete"
	hintBlocked  = "the vendor has blocked it; see the console"
	hintBucket   = "check the service name; it is that of the console, not a domain"
	hintNames    = "a folder has the name of this file, or a file that of one of its folders; of USS no name is both"
)

// Codes that requests are decided by.
const (
	codeFolderExists = 40600002
	codePartExists   = 40011062
)

// rules say what codes mean; those that are not here are what their HTTP status is
// (https://help.upyun.com/knowledge-base/errno/).
var rules = map[int]wire.Rule{
	40100001: {Class: store.Misconfigured, Hint: "a proxy on the way removes the header Date"},
	40100002: {Class: store.Misconfigured, Hint: wire.HintClock},
	40100003: {Class: store.Auth, Hint: hintOperator},
	40100004: {Class: store.Misconfigured, Hint: "a proxy on the way removes the header Authorization"},
	40100005: {Class: store.Auth, Hint: hintOperator},
	40100006: {Class: store.Auth, Hint: hintGiven},
	40100007: {Class: store.Auth, Hint: hintBlocked},
	40100008: {Class: store.Auth, Hint: hintBlocked},
	40100009: {Class: store.Auth, Hint: hintOperator},
	40100010: {Class: store.Auth, Hint: hintOperator},
	40100011: {Class: store.Auth, Hint: hintBlocked},
	40100012: {Class: store.Misconfigured, Hint: hintBucket},
	40100013: {Class: store.Auth, Hint: hintBlocked},
	40100014: {Class: store.Misconfigured, Hint: "the service was removed"},
	40100015: {Class: store.Full, Hint: "the service is read-only"},
	40100016: {Class: store.Misconfigured, Hint: wire.HintClock},
	40100017: {Class: store.Auth, Hint: hintRights},

	40000003: {Class: store.Misconfigured, Hint: hintBucket},
	40000006: {Class: store.Mismatch},
	40011056: {Class: store.NotFound},
	40011058: {Class: store.NotFound},
	40011059: {Class: store.Mismatch},
	40300001: {Class: store.Permanent},
	40300002: {Class: store.Permanent},
	40300003: {Class: store.Permanent},
	40300004: {Class: store.Full, Hint: "the service has no room left"},
	40300005: {Class: store.Permanent, Hint: "the folder is not empty"},
	40300006: {Class: store.Misconfigured, Hint: wire.HintClock},
	40300007: {Class: store.Mismatch},
	40300008: {Class: store.Permanent},
	40300009: {Class: store.Permanent},
	40300010: {Class: store.Permanent, Hint: "the service does not take this type of file"},
	40300011: {Class: store.Auth, Hint: hintRights},
	40300015: {Class: store.Permanent, Hint: hintNames},
	40300018: {Class: store.Permanent, Hint: "the service takes images only"},
	40300024: {Class: store.Permanent},
	40300025: {Class: store.Permanent},
	40300027: {Class: store.Permanent},
	40300028: {Class: store.Misconfigured, Hint: wire.HintClock},
	40600001: {Class: store.Permanent, Hint: hintNames},
	40600002: {Class: store.Permanent, Hint: hintNames},
}

// ruleOf says what a code means, or a status where there is none.
func ruleOf(code int, message string, status int) wire.Rule {
	if rule, known := rules[code]; known && code != 40600001 {
		return rule
	}
	switch text := strings.ToLower(message); {
	case strings.Contains(text, "md5") && strings.Contains(text, "not match"):
		return wire.Rule{Class: store.Mismatch} // 406 stands for this as well, the vendor's FAQ says
	case code == 40600001, status == http.StatusNotAcceptable:
		return rules[40600001]
	case code/100000 == 503:
		return wire.Rule{Class: store.Transient} // all are failures inside; being asked for less has a code of its own, 429
	case status == http.StatusUnauthorized && code == 0:
		return wire.Rule{Class: store.Auth, Hint: hintOperator + ", its rights, and the clock of this machine"} // as HEAD is answered
	}
	return wire.RuleOfStatus(status)
}

// refusal is what an error answer says.
type refusal struct {
	Message string      `json:"msg"`
	Code    json.Number `json:"code"`
	ID      string      `json:"id"`
}

// refusalOf reads an error answer; that to a HEAD has no content.
func refusalOf(w *wire.Refusal) (r refusal, code int) {
	if json.Unmarshal(w.Body, &r) != nil {
		r = refusal{}
	}
	if r.Code == "" {
		r.Code = json.Number(w.Header.Get("X-Error-Code"))
	}
	code, err := strconv.Atoi(r.Code.String())
	if err != nil || code < 0 {
		return r, 0
	}
	return r, code
}

// fault makes the classified error of a refusal.
func (s *Store) fault(op, key string, w *wire.Refusal) *store.Error {
	r, code := refusalOf(w)
	text := ""
	if code != 0 {
		text = strconv.Itoa(code)
	}
	return w.Fault(op, key, ruleOf(code, r.Message, w.Status), text, r.Message, cmp.Or(r.ID, requestID(w.Header)), s.now())
}

// codeOf is the code of a refusal, 0 where it has none.
func codeOf(e *store.Error) int {
	code, err := strconv.Atoi(e.Code)
	if err != nil {
		return 0
	}
	return code
}

// hasCode tells whether an error is a refusal with a code.
func hasCode(err error, code int) bool {
	var e *store.Error
	return errors.As(err, &e) && codeOf(e) == code
}

func requestID(h http.Header) string { return wire.Clip(h.Get("X-Request-Id"), 200) }
