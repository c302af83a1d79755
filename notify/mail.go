package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Security is how a connection to a mail server is protected.
type Security string

// The kinds of protection. SecurityNone is for servers on this machine or in a trusted network: the mail goes in clear, the
// password never does.
const (
	SecurityStartTLS Security = "starttls"
	SecurityTLS      Security = "tls" // from the first byte, as on port 465
	SecurityNone     Security = "none"
)

// ParseSecurity reads starttls, tls or none.
func ParseSecurity(text string) (Security, error) {
	switch s := Security(text); s {
	case SecurityStartTLS, SecurityTLS, SecurityNone:
		return s, nil
	}
	return "", fmt.Errorf("security %q: want starttls, tls or none", text)
}

// mailTimeout bounds one delivery, from dialling to the server's last answer.
const mailTimeout = time.Minute

// Mailer hands messages to one mail server.
type Mailer struct {
	Host     string
	Port     int
	Security Security
	Roots    *x509.CertPool // nil: the system's
	User     string         // "" sends without authentication
	Password string
	From     string // an address, with or without a name
	Hello    string // the name of this machine, as it greets; "" lets the library choose
	Now      func() time.Time
}

// String never shows the password.
func (m *Mailer) String() string { return fmt.Sprintf("%s:%d (%s)", m.Host, m.Port, m.Security) }

// GoString never shows the password.
func (m *Mailer) GoString() string { return m.String() }

// DeliveryError tells why a message was not taken.
type DeliveryError struct {
	To        string
	Temporary bool   // trying again later may help
	Setup     bool   // the settings are at fault: once they are right, trying again helps
	Hint      string // what to do; may be ""
	Err       error
}

// Error gives one line.
func (e *DeliveryError) Error() string {
	text := fmt.Sprintf("mail to %s: %s", line(e.To, 200), line(e.Err.Error(), 500))
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

// ParseAddress reads a mail address, with or without a name. Line breaks, which could add headers, are refused.
func ParseAddress(text string) (*mail.Address, error) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return nil, errors.New("a mail address has no line breaks")
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no mail address such as ops@example.com", clip(text, 100))
	}
	return a, nil
}

// Send delivers a message to one receiver. A *DeliveryError says whether to try again. The message has the same Message-ID
// however often it is sent.
func (m *Mailer) Send(ctx context.Context, msg *Message, to string) error {
	if _, err := ParseAddress(m.From); err != nil {
		return &DeliveryError{To: to, Setup: true, Hint: "check mail.from", Err: fmt.Errorf("sender: %w", err)}
	}
	out, err := m.compose(msg, to)
	if err != nil {
		return &DeliveryError{To: to, Err: err}
	}
	client, err := m.client()
	if err != nil {
		return &DeliveryError{To: to, Setup: true, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	// Reading and writing know nothing of ctx: closing the connection ends them.
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	if err := client.DialAndSendWithContext(ctx, out); err != nil {
		return m.judge(to, err)
	}
	return nil
}

func (m *Mailer) compose(msg *Message, to string) (*gomail.Msg, error) {
	from, err := ParseAddress(m.From)
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	receiver, err := ParseAddress(to)
	if err != nil {
		return nil, err
	}
	out := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	out.FromMailAddress(from)
	out.ToMailAddress(receiver)
	out.Subject(msg.Subject)
	out.SetMessageIDWithValue(msg.ID)
	out.SetDateWithValue(m.Now())
	out.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence is to answer
	out.SetGenHeader("X-Brigade-Kind", kindsOf(msg))     // for filters of who reads it
	if msg.Severity == Critical {
		out.SetImportance(gomail.ImportanceHigh)
	}
	out.SetBodyString(gomail.TypeTextPlain, msg.Text)
	out.AddAlternativeString(gomail.TypeTextHTML, msg.HTML)
	for _, c := range msg.Charts {
		if err := out.EmbedReader(c.Name+".png", bytes.NewReader(c.PNG), gomail.WithFileContentID("<"+c.Name+">")); err != nil {
			return nil, fmt.Errorf("embed chart: %w", err)
		}
	}
	return out, nil
}

// kindsOf lists the kinds of a message's notices, each once.
func kindsOf(msg *Message) string {
	var kinds []string
	for i := range msg.Notices {
		if k := string(msg.Notices[i].Kind); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return strings.Join(kinds, ", ")
}

func (m *Mailer) client() (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(m.Port), gomail.WithTimeout(mailTimeout), gomail.WithoutNoop(),
		gomail.WithTLSConfig(&tls.Config{ServerName: m.Host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}),
	}
	switch m.Security {
	case SecurityTLS:
		options = append(options, gomail.WithSSL())
	case SecurityStartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case SecurityNone:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		return nil, fmt.Errorf("security %q: want starttls, tls or none", m.Security)
	}
	if m.Hello != "" {
		options = append(options, gomail.WithHELO(m.Hello))
	}
	if m.User != "" {
		options = append(options, gomail.WithUsername(m.User), gomail.WithPassword(m.Password), gomail.WithOpportunisticSMTPAuth(m.mechanisms()...))
	}
	return gomail.NewClient(m.Host, options...)
}

// mechanisms are the ways to prove who one is, best first. Without TLS none is tried that shows the password.
func (m *Mailer) mechanisms() []gomail.SMTPAuthType {
	hidden := []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthCramMD5}
	if m.Security == SecurityNone {
		return hidden
	}
	return append(hidden, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin)
}

// judge says what a failure means.
func (m *Mailer) judge(to string, err error) *DeliveryError {
	e := &DeliveryError{To: to, Temporary: true, Err: err}
	var sent *gomail.SendError
	var answer *textproto.Error
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var expired x509.CertificateInvalidError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &expired):
		e.Temporary, e.Setup, e.Hint = false, true, "set mail.ca_file to the authority of "+m.Host+", or mail.host to the name in its certificate"
	case errors.Is(err, gomail.ErrNoSupportedAuthDiscovered), strings.Contains(err.Error(), "AUTH"):
		e.Temporary, e.Setup, e.Hint = isTemporary(err), true, "check mail.user and mail.password, and that mail.security fits the server"
	case errors.As(err, &sent):
		e.Temporary = sent.IsTemp() || sent.ErrorCode() == 0
		// A sender that is refused, and what a server's policy refuses (X.7.X, RFC 3463), is no receiver's fault.
		e.Setup = sent.Reason == gomail.ErrSMTPMailFrom || strings.HasPrefix(sent.EnhancedStatusCode(), "5.7.")
		if e.Setup {
			e.Hint = "check mail.from and mail.user"
		}
	case errors.As(err, &answer):
		e.Temporary = answer.Code < 500
		e.Setup = !e.Temporary
		if answer.Code == 535 || answer.Code == 534 || answer.Code == 530 {
			e.Hint = "check mail.user and mail.password"
		}
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Setup, e.Hint = true, "check mail.host"
	}
	return e
}

// isTemporary tells whether a server's answer is one of those that may pass (4yz, RFC 5321).
func isTemporary(err error) bool {
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code < 500
}
