package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Of webhooks.
const (
	hookTimeout = 15 * time.Second // from dialling to the end of the answer
	hookAnswer  = 64 << 10         // bytes of an answer that are looked at
	hookText    = 3500             // letters of a message; DingTalk and WeCom take about 4,000 bytes to 20,000
)

// Webhook is a receiver of messages over HTTP.
type Webhook struct {
	Name   string
	Kind   string // one of WebhookKinds
	URL    string
	Secret string // signs; "" sends without a signature
	// Private allows an address of this machine or a private network.
	Private bool
	Now     func() time.Time

	roots http.RoundTripper // of tests; nil makes one that dials as Private says
}

// String shows neither secret nor URL, which holds a token with most vendors.
func (h *Webhook) String() string { return h.Name + " (" + h.Kind + ")" }

// GoString shows no secret.
func (h *Webhook) GoString() string { return h.String() }

// hookKind knows one vendor's form.
type hookKind struct {
	name string
	// request makes URL, headers and body of a message.
	request func(h *Webhook, m *Message) (target string, header http.Header, body any, err error)
	// accepted looks into an answer with status 2xx; nil where the status says all.
	accepted func(answer []byte) error
}

var hookKinds = []hookKind{
	{"json", jsonRequest, nil},
	{"slack", slackRequest, nil},
	{"dingtalk", dingtalkRequest, codeIn("errcode", "errmsg")},
	{"feishu", feishuRequest, codeIn("code", "msg")},
	{"lark", feishuRequest, codeIn("code", "msg")},
	{"wecom", wecomRequest, codeIn("errcode", "errmsg")},
}

// WebhookKinds are the forms that webhooks can have.
func WebhookKinds() []string {
	names := make([]string, len(hookKinds))
	for i, k := range hookKinds {
		names[i] = k.name
	}
	return names
}

// Validate looks at a webhook without sending anything.
func (h *Webhook) Validate() error {
	if !slices.Contains(WebhookKinds(), h.Kind) {
		return fmt.Errorf("webhook kind %q: want one of %s", h.Kind, strings.Join(WebhookKinds(), ", "))
	}
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Host == "":
		return errors.New("the webhook's URL is none such as https://host/path")
	case u.User != nil:
		return errors.New("the webhook's URL holds credentials")
	case u.Scheme == "http" && h.Private, u.Scheme == "https":
		return h.checkHost(u.Hostname())
	}
	return errors.New("the webhook's URL is not https")
}

// checkHost refuses private addresses that stand in the URL. Names are checked when they are dialled.
func (h *Webhook) checkHost(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil || h.Private || isPublic(addr) {
		return nil
	}
	return fmt.Errorf("webhook address %s is private; allow it with webhook.%s.private=true", addr, h.Name)
}

// isPublic tells addresses of the Internet from those of this machine, its networks and their services.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598; cloud services live there
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// HookError tells why a message was not taken.
type HookError struct {
	Name      string
	Temporary bool // trying again later may help
	Setup     bool // the settings are at fault: once they are right, trying again helps
	Err       error
}

// Error gives one line, without the URL.
func (e *HookError) Error() string {
	return fmt.Sprintf("webhook %s: %s", e.Name, line(e.Err.Error(), 500))
}

// Unwrap gives the cause.
func (e *HookError) Unwrap() error { return e.Err }

// errPrivate is the refusal of an address.
var errPrivate = errors.New("the address is private")

// Send delivers a message. A *HookError says whether to try again.
func (h *Webhook) Send(ctx context.Context, m *Message) error {
	if err := h.Validate(); err != nil {
		return &HookError{Name: h.Name, Setup: true, Err: err}
	}
	kind := hookKinds[slices.IndexFunc(hookKinds, func(k hookKind) bool { return k.name == h.Kind })]
	target, header, body, err := kind.request(h, m)
	if err != nil {
		return &HookError{Name: h.Name, Err: err}
	}
	data, ok := body.([]byte)
	if !ok {
		if data, err = json.Marshal(body); err != nil {
			return &HookError{Name: h.Name, Err: err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	return h.post(ctx, target, header, data, kind.accepted)
}

func (h *Webhook) post(ctx context.Context, target string, header http.Header, data []byte, accepted func([]byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(data))
	if err != nil {
		return &HookError{Name: h.Name, Err: errors.New("the URL cannot be used")} // the cause would show it
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "brigade")
	client := &http.Client{Transport: h.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		var shown *url.Error
		if errors.As(err, &shown) {
			err = shown.Err // without the URL
		}
		return &HookError{Name: h.Name, Temporary: !errors.Is(err, errPrivate), Setup: errors.Is(err, errPrivate), Err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, hookAnswer))
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return &HookError{Name: h.Name, Setup: true, Err: fmt.Errorf("it redirects (status %d); set the URL that it leads to", code)}
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return &HookError{Name: h.Name, Temporary: true, Err: fmt.Errorf("status %d: %s", code, answer)}
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity:
		return &HookError{Name: h.Name, Err: fmt.Errorf("status %d: %s", code, answer)} // of this message
	case code >= 400:
		return &HookError{Name: h.Name, Setup: true, Err: fmt.Errorf("status %d: %s", code, answer)}
	case err != nil:
		return &HookError{Name: h.Name, Temporary: true, Err: err}
	case accepted == nil:
		return nil
	}
	if err := accepted(answer); err != nil {
		return &HookError{Name: h.Name, Setup: true, Err: err} // most often a wrong secret or keyword
	}
	return nil
}

// transport dials public addresses only, unless private ones are allowed. It looks at the address itself, whatever the name
// led to a moment before. Proxies are not asked: they would dial for us.
func (h *Webhook) transport() http.RoundTripper {
	if h.roots != nil {
		return h.roots
	}
	dialer := &net.Dialer{Timeout: hookTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err == nil && (h.Private || isPublic(at.Addr())) {
			return nil
		}
		return fmt.Errorf("%w; allow it with webhook.%s.private=true", errPrivate, h.Name)
	}}
	return &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: hookAnswer, ForceAttemptHTTP2: true}
}

// codeIn reads an answer that has a number other than 0 for a refusal.
func codeIn(code, text string) func([]byte) error {
	return func(answer []byte) error {
		var doc map[string]any
		if err := json.Unmarshal(answer, &doc); err != nil {
			return fmt.Errorf("the answer is no JSON: %.100q", answer)
		}
		if n, ok := doc[code].(float64); !ok || n != 0 {
			return fmt.Errorf("refused: %s %v, %v", code, doc[code], doc[text])
		}
		return nil
	}
}
