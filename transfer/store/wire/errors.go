package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Rule says what an error means.
type Rule struct {
	Class store.Class
	Hint  string
}

// Hints that stand in more than one place.
const (
	HintKeys   = "check the access key and the secret key"
	HintToken  = "the session token is wrong or has expired"
	HintRights = "the credentials lack the permission for this"
	HintBucket = "check the bucket name and the endpoint"
	HintClock  = "the clock of this machine differs too much from the server's; set it"
	hintTLS    = "the server's certificate is not trusted; name its CA in SSL_CERT_FILE or AWS_CA_BUNDLE"
)

// RuleOfStatus says what an HTTP status alone means.
func RuleOfStatus(status int) Rule {
	switch {
	case status == http.StatusMovedPermanently, status == http.StatusFound, status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		return Rule{store.Misconfigured, "the server redirects; check endpoint and region"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Rule{store.Auth, HintRights}
	case status == http.StatusNotFound:
		return Rule{store.NotFound, ""}
	case status == http.StatusPreconditionFailed, status == http.StatusNotModified:
		return Rule{store.Precondition, ""}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Rule{store.Throttled, ""}
	case status == http.StatusInsufficientStorage:
		return Rule{store.Full, ""}
	case status == http.StatusNotImplemented:
		return Rule{store.Permanent, "the server does not implement this"}
	case status == http.StatusProxyAuthRequired:
		return Rule{store.Misconfigured, "the proxy wants credentials"}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return Rule{store.Transient, ""}
	}
	return Rule{store.Permanent, ""}
}

// maxRefusal bounds what is read of an error answer, in bytes.
const maxRefusal = 64 << 10

// Refusal is an answer that is an error.
type Refusal struct {
	Status int
	Header http.Header
	Body   []byte // its beginning; empty where it could not be read
}

// Refused reads an error answer and closes it. Answers to HEAD have no body, and proxies answer in HTML: then only the
// status counts.
func Refused(resp *http.Response) *Refusal {
	r := &Refusal{Status: resp.StatusCode, Header: resp.Header}
	if data, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)); err == nil {
		r.Body = data
	}
	Finish(resp.Body)
	return r
}

// Fault makes the classified error of a refusal with the server's code, message and request ID; what says what it means.
func (r *Refusal) Fault(op, key string, what Rule, code, message, requestID string, now time.Time) *store.Error {
	e := &store.Error{
		Op: op, Key: key, Class: what.Class, Hint: what.Hint, Code: Clip(code, 100), RequestID: Clip(requestID, 200),
		Err: errors.New(Message(message, r.Status)),
	}
	if e.Class == store.Throttled || e.Class == store.Transient {
		e.RetryAfter = RetryAfter(r.Header, now)
	}
	return e
}

// maxMessage bounds what is shown of a server's message, in bytes.
const maxMessage = 300

// Message gives a server's message as one line, or the status where there is none.
func Message(text string, status int) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		text = fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))
	}
	return Clip(text, maxMessage)
}

// Clip bounds a text of a server in a message.
func Clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// LongestWait bounds what a server can make the caller wait.
const LongestWait = 10 * time.Minute

// RetryAfter reads Retry-After: seconds or an HTTP date (RFC 9110, section 10.2.3).
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if sec, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(sec)*time.Second, LongestWait)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), LongestWait)
	}
	return 0
}

// ErrCredentials is wrapped around a failure to find credentials.
var ErrCredentials = errors.New("get credentials")

// RuleOfFailure says what a failure without an answer means.
func RuleOfFailure(err error) Rule {
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
		return Rule{store.Misconfigured, hintTLS}
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return Rule{store.Misconfigured, "the server does not speak TLS here; write the endpoint with http://"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return Rule{store.Misconfigured, "no such host; check endpoint and region"}
	case errors.As(err, &netOp) && netOp.Op == "proxyconnect":
		return Rule{store.Transient, "the proxy of HTTPS_PROXY or HTTP_PROXY does not answer"}
	case errors.Is(err, ErrCredentials):
		return Rule{store.Auth, "no credentials found; give access_key and secret_key in the job file, or BRIGADE_SRC_… and BRIGADE_DST_… variables"}
	}
	return Rule{store.Transient, ""}
}

// Wrap classifies a failure that is no answer. A *store.Error stays as it is.
func Wrap(ctx context.Context, op, key string, err error) error {
	var known *store.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &store.Error{Op: op, Key: key, Class: store.Canceled, Err: context.Cause(ctx)}
	case errors.Is(err, ErrShortBody), errors.Is(err, ErrLongBody):
		return &store.Error{Op: op, Key: key, Class: store.Changed, Err: err}
	case errors.Is(err, ErrBadBody):
		return &store.Error{Op: op, Key: key, Class: store.Permanent, Err: err}
	}
	what := RuleOfFailure(err)
	return &store.Error{Op: op, Key: key, Class: what.Class, Hint: what.Hint, Err: err}
}

// FirstContact sees a failure as that of the first contact: what is not there is configured wrongly.
func FirstContact(err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return err
	}
	var netOp *net.OpError
	switch {
	case e.Class == store.NotFound:
		e.Class, e.Hint = store.Misconfigured, HintBucket
	case e.Class == store.Transient && errors.As(e.Err, &netOp) && netOp.Op == "dial":
		e.Class, e.Hint = store.Misconfigured, "nothing answers there; check the endpoint"
	case e.Class == store.Transient && errors.As(e.Err, &netOp) && netOp.Op == "proxyconnect":
		e.Class = store.Misconfigured
	}
	return e
}
