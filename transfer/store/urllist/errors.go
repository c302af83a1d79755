package urllist

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// failure classifies what kept a request from being answered.
func (s *Store) failure(ctx context.Context, raw string, err error) error {
	var known *store.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return &store.Error{Op: "get", Key: shown(raw), Class: store.Canceled, Err: context.Cause(ctx)}
	}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // without the URL, whose query may be a signature
	}
	e := &store.Error{Op: "get", Key: shown(raw), Class: store.Transient, Err: err}
	var refused *errRefused
	var address errAddress
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused):
		e.Class = store.Permanent
	case errors.As(err, &address):
		e.Class, e.Err = store.Permanent, address
	case errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		e.Class, e.Hint = store.Permanent, "name the authority's certificate in SSL_CERT_FILE"
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Class, e.Hint = store.Permanent, "there is no such host"
	}
	return e
}

// refusal classifies an answer that is no content.
func (s *Store) refusal(raw string, resp *http.Response) error {
	e := &store.Error{Op: "get", Key: shown(raw), Class: store.Permanent, Code: strconv.Itoa(resp.StatusCode),
		RequestID: clip(resp.Header.Get("X-Request-Id")), Err: fmt.Errorf("the server answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound || status == http.StatusGone:
		e.Class = store.NotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		e.Class = store.Auth
		if s.user == "" {
			e.Hint = "give access_key, secret_key and the option auth_host, or URLs that are signed"
		}
	case status == http.StatusPreconditionFailed:
		e.Class = store.Precondition
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		e.Class, e.RetryAfter = store.Throttled, wire.RetryAfter(resp.Header, s.now())
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status >= http.StatusInternalServerError:
		e.Class, e.RetryAfter = store.Transient, wire.RetryAfter(resp.Header, s.now())
	}
	return e
}

// clip bounds what a server says before it is shown.
func clip(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most]
	}
	return text
}
