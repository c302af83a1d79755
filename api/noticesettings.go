package api

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
)

// The names of settings of notices. Those of webhooks are made by WebhookSetting.
const (
	MailHost     = "mail.host"
	MailPort     = "mail.port"
	MailSecurity = "mail.security"
	MailCA       = "mail.ca_file"
	MailUser     = "mail.user"
	MailPassword = "mail.password"
	MailFrom     = "mail.from"
	MailTo       = "mail.to"
	MailLanguage = "mail.language"

	NotifySeverity   = "notify.severity"
	NotifyDigest     = "notify.digest"
	NotifyStalled    = "notify.stalled"
	NotifyErrorShare = "notify.error_share"
	NotifyNodeDead   = "notify.node_dead"
	NotifyNoLeader   = "notify.no_leader"
)

// What follows the name of a webhook in the names of its settings.
const (
	WebhookURL     = "url"
	WebhookKind    = "kind"
	WebhookSecret  = "secret"
	WebhookPrivate = "private"
)

// MaskedSetting is what is shown of a setting that is a secret.
const MaskedSetting = "***"

// Bounds of values.
const (
	maxSecretSetting = 2000 // bytes; sealed and encoded it is less than a setting may have
	maxPEM           = 4000 // bytes
	maxMailTo        = 50   // addresses
	maxWebhooks      = 20
	maxAddress       = 250 // bytes
)

// webhookName is webhook.NAME.FIELD.
var webhookName = regexp.MustCompile(`^webhook\.([a-zA-Z0-9_-]{1,32})\.(url|kind|secret|private)$`)

// WebhookSetting is the name of a setting of a webhook.
func WebhookSetting(name, field string) string { return "webhook." + name + "." + field }

// WebhookOf reads the name of a setting of a webhook.
func WebhookOf(setting string) (name, field string, ok bool) {
	m := webhookName.FindStringSubmatch(setting)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// SettingBinding is what the sealed value of a setting belongs to: in the place of another one it cannot be opened.
func SettingBinding(name string) []byte { return joined("brigade setting", name) }

// IsSecretSetting tells whether a setting's value is sealed in the state and masked wherever it is shown.
func IsSecretSetting(name string) bool {
	_, field, ok := WebhookOf(name)
	return name == MailPassword || ok && (field == WebhookURL || field == WebhookSecret)
}

func noticeSettings() []settingKind {
	return []settingKind{
		{MailCA, "the system's", "certificate of the authority that the mail server is trusted by, as PEM", "PEM of certificates, at most 4000 bytes", isPEM},
		{MailFrom, "not set", "sender of mail; without one none is sent", "a mail address such as brigade@example.com", isAddress},
		{MailHost, "follows mail.from", "mail server", "the name of a machine", isHost},
		{MailLanguage, "en", "language of messages", strings.Join(notify.Languages(), ", "), among(notify.Languages()...)},
		{MailPassword, "not set", "password at the mail server", "1 to 2000 bytes", isSecret},
		{MailPort, "follows mail.from", "port of the mail server", "a whole number from 1 to 65535", wholeNumber(1, 65535)},
		{MailSecurity, "follows mail.from", "how the way to the mail server is protected", "starttls, tls, none", func(v string) bool {
			_, err := notify.ParseSecurity(v)
			return err == nil
		}},
		{MailTo, "nobody", "receivers of the cluster's notices", "at most 50 mail addresses with commas between them", func(v string) bool {
			_, err := MailAddresses(v)
			return err == nil
		}},
		{MailUser, "nobody", "user at the mail server; without one nobody logs in", "1 to 256 letters", isLine(256)},
		{NotifyDigest, "0", "how long notices that are not critical are gathered for one message", "0, or a duration from 1m to 24h", func(v string) bool {
			return v == "0" || durationOf(time.Minute, 24*time.Hour)(v)
		}},
		{NotifyErrorShare, "5%", "share of failed objects of which a running job is told of", "0%, or a percentage up to 100% such as 5% or 0.5%", func(v string) bool {
			_, err := ParseShare(v)
			return err == nil
		}},
		{NotifyNoLeader, "1m", "how long there is no leader before that is told", "a duration from 5s to 24h", durationOf(5*time.Second, 24*time.Hour)},
		{NotifyNodeDead, "30s", "how long a node is not heard of before that is told", "a duration from 5s to 24h", durationOf(5*time.Second, 24*time.Hour)},
		{NotifySeverity, "warning", "least severity that the cluster's receivers are told of", "info, warning, critical", func(v string) bool {
			_, err := notify.ParseSeverity(v)
			return err == nil
		}},
		{NotifyStalled, "30m", "how long a job makes no progress before that is told", "a duration from 10s to 24h", durationOf(10*time.Second, 24*time.Hour)},
	}
}

// webhookKinds are the settings of one webhook.
func webhookKinds(name string) []settingKind {
	of := func(field string) string { return WebhookSetting(name, field) }
	return []settingKind{
		{of(WebhookKind), "json", "form of its messages", strings.Join(notify.WebhookKinds(), ", "), among(notify.WebhookKinds()...)},
		{of(WebhookPrivate), "false", "whether it may be in a private network", "true, false", among("true", "false")},
		{of(WebhookSecret), "not set", "what its messages are signed with", "1 to 2000 bytes", isSecret},
		{of(WebhookURL), "not set", "URL that messages are sent to", "a URL such as https://host/path", isSecret},
	}
}

func among(words ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(words, v) }
}

func isLine(most int) func(string) bool {
	return func(v string) bool { return len(v) <= most && !strings.ContainsAny(v, "\r\n\x00") }
}

func isSecret(v string) bool { return v != MaskedSetting && isLine(maxSecretSetting)(v) }

func isAddress(v string) bool {
	_, err := notify.ParseAddress(v)
	return err == nil && len(v) <= maxAddress
}

var hostName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.:_-]{0,251}[a-zA-Z0-9])?$`)

func isHost(v string) bool { return hostName.MatchString(v) || v == "::1" }

func isPEM(v string) bool {
	if len(v) > maxPEM {
		return false
	}
	certificates, rest := 0, []byte(v)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certificates > 0 && strings.TrimSpace(string(rest)) == ""
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return false
		}
		certificates++
	}
}

// MailAddresses reads addresses with commas between them.
func MailAddresses(text string) (all []string, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		a, err := notify.ParseAddress(part)
		if err != nil {
			return nil, err
		}
		if len(a.Address) > maxAddress {
			return nil, fmt.Errorf("a mail address of %d bytes; allowed: %d", len(a.Address), maxAddress)
		}
		if !slices.Contains(all, a.Address) {
			all = append(all, a.Address)
		}
	}
	if len(all) > maxMailTo {
		return nil, fmt.Errorf("%d mail addresses; allowed: %d", len(all), maxMailTo)
	}
	return all, nil
}

// ParseShare reads a percentage such as 5% and gives the share: 0.05.
func ParseShare(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n >= 0 && n <= 100) || strings.ContainsAny(number, "eExXpP_+iI") {
		return 0, fmt.Errorf("%q is no percentage from 0%% to 100%%", text)
	}
	return n / 100, nil
}

// kindOfSetting finds a setting by its name.
func kindOfSetting(name string) (settingKind, bool) {
	kinds := settingKinds()
	if hook, _, ok := WebhookOf(name); ok {
		kinds = webhookKinds(hook)
	}
	i := slices.IndexFunc(kinds, func(k settingKind) bool { return k.name == name })
	if i < 0 {
		return settingKind{}, false
	}
	return kinds[i], true
}

// guesses are the settings of the mail server that follow from the sender where they are not set.
func guesses(set map[string]string) map[string]string {
	at, err := notify.GuessMailHost(set[MailFrom])
	if err != nil {
		return nil
	}
	return map[string]string{MailHost: at.Host, MailPort: strconv.Itoa(at.Port), MailSecurity: string(at.Security)}
}

// hooksIn names the webhooks of which something is set.
func hooksIn(set map[string]string) (names []string) {
	for setting := range set {
		if name, _, ok := WebhookOf(setting); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sealSettings replaces what is secret by what the state may hold. Webhooks are looked at as a whole: whether an address is
// allowed hangs on two settings.
func (s *Server) sealSettings(change map[string]string) (map[string]string, error) {
	sealed := map[string]string{}
	for name, value := range change {
		if value != "" && IsSecretSetting(name) {
			if s.cfg.Sealer == nil {
				return nil, errors.New("this node has no key to seal secrets with")
			}
			value = fsm.SealedSetting(s.cfg.Sealer.Seal([]byte(value), SettingBinding(name)))
		}
		sealed[name] = value
	}
	after := map[string]string{}
	s.cfg.State.Read(func(state *fsm.State) {
		for name, value := range state.Settings() {
			after[name] = value
		}
	})
	for name, value := range sealed {
		if after[name] = value; value == "" {
			delete(after, name)
		}
	}
	if n := len(hooksIn(after)); n > maxWebhooks {
		return nil, fmt.Errorf("%d webhooks; allowed: %d", n, maxWebhooks)
	}
	for _, name := range hooksIn(change) {
		if err := s.checkHook(name, after); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", name, err)
		}
	}
	return sealed, nil
}

// checkHook looks at a webhook as it would be set.
func (s *Server) checkHook(name string, set map[string]string) error {
	url := set[WebhookSetting(name, WebhookURL)]
	if url == "" {
		return nil
	}
	clear, err := OpenSetting(s.cfg.Sealer, WebhookSetting(name, WebhookURL), url)
	if err != nil {
		return err
	}
	return HookOf(name, clear, set).Validate()
}

// HookOf is a webhook as it is set, but for its secret.
func HookOf(name, url string, set map[string]string) *notify.Webhook {
	h := &notify.Webhook{Name: name, Kind: set[WebhookSetting(name, WebhookKind)], URL: url, Private: set[WebhookSetting(name, WebhookPrivate)] == "true"}
	if h.Kind == "" {
		h.Kind = notify.WebhookKinds()[0]
	}
	return h
}

// OpenSetting gives the secret of a setting as the state holds it; "" for one that is not set.
func OpenSetting(sealer Sealer, name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	sealed, ok := fsm.OpenableSetting(value)
	if !ok || sealer == nil {
		return "", fmt.Errorf("setting %s cannot be opened: give it again", name)
	}
	secret, err := sealer.Open(sealed, SettingBinding(name))
	if err != nil {
		return "", fmt.Errorf("setting %s cannot be opened: %w; give it again", name, err)
	}
	return string(secret), nil
}
