package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

// tongue tells whom it was to test.
type tongue struct {
	mu     sync.Mutex
	tested []string
}

func (g *tongue) Receivers() []NoticeReceiver {
	return []NoticeReceiver{{Name: "mail:ops@example.com", Cluster: true}}
}

func (g *tongue) Test(_ context.Context, receivers []string) (all []NoticeTested) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tested = append(g.tested, receivers...)
	for _, name := range receivers {
		all = append(all, NoticeTested{Name: name, OK: true})
	}
	return all
}

// lock is a Sealer that tests can look into: it turns bytes around.
type lock struct{}

func (lock) Seal(plain, aad []byte) []byte {
	sealed := append([]byte{1}, "keyidkey"...)
	for _, b := range plain {
		sealed = append(sealed, ^b)
	}
	return append(sealed, aad...)
}

func (lock) Open(sealed, aad []byte) ([]byte, error) {
	var plain []byte
	for _, b := range sealed[9 : len(sealed)-len(aad)] {
		plain = append(plain, ^b)
	}
	return plain, nil
}

// TestNoticeSettings: what is allowed, and what is said of what is not, without secrets.
func TestNoticeSettings(t *testing.T) {
	for _, test := range []struct{ name, value, refusal string }{
		{"mail.host", "smtp.example.com", ""},
		{"mail.host", "a b", "setting mail.host"},
		{"mail.port", "465", ""},
		{"mail.port", "0", "whole number from 1 to 65535"},
		{"mail.security", "tls", ""},
		{"mail.security", "ssl", "starttls, tls, none"},
		{"mail.from", "Brigade <b@example.com>", ""},
		{"mail.from", "b@example.com\r\nBcc: x@y.z", "setting mail.from"},
		{"mail.to", "a@example.com, b@example.com", ""},
		{"mail.to", "a@example.com,,", "setting mail.to"},
		{"mail.to", strings.Repeat("a@example.com,", 400), "setting mail.to: what is given is not"},
		{"mail.language", "zh", ""},
		{"mail.language", "fr", "en, zh"},
		{"mail.ca_file", "/etc/ssl/ca.pem", "PEM"},
		{"mail.password", "hunter2-hunter2", ""},
		{"mail.password", "***", "give the secret itself"},
		{"mail.password", "hunter2-hunter2\n", "what is given is not"},
		{"notify.severity", "info", ""},
		{"notify.severity", "all", "info, warning, critical"},
		{"notify.digest", "0", ""},
		{"notify.digest", "1h", ""},
		{"notify.digest", "30s", "1m to 24h"},
		{"notify.stalled", "10s", ""},
		{"notify.stalled", "1s", "10s to 24h"},
		{"notify.error_share", "0.5%", ""},
		{"notify.error_share", "5", "percentage"},
		{"notify.error_share", "NaN%", "percentage"},
		{"webhook.chat.kind", "dingtalk", ""},
		{"webhook.chat.kind", "irc", "json, slack, dingtalk, feishu, lark, wecom"},
		{"webhook.chat.url", "https://hooks.example.com/hunter2-hunter2", ""},
		{"webhook.chat.url", "http://hooks.example.com/hunter2-hunter2", "not https"},
		{"webhook.chat.url", "https://10.0.0.1/hunter2-hunter2", "private"},
		{"webhook.chat.secret", "hunter2-hunter2", ""},
		{"webhook.chat.private", "yes", "true, false"},
		{"webhook.a b.url", "https://x/", "is not known"},
		{"webhook.chat.urls", "https://x/", "is not known"},
	} {
		b := newBench(t, func(c *Config) { c.Sealer = lock{} })
		_, err := b.client.Set(t.Context(), map[string]string{test.name: test.value})
		switch {
		case test.refusal == "" && err != nil:
			t.Errorf("%s=%s: %v", test.name, test.value, err)
		case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
			t.Errorf("%s=%s: %v, want %q", test.name, test.value, err, test.refusal)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the refusal shows the secret: %v", test.name, err)
		}
	}
}

// TestSettingsKeepSecrets: the state holds them sealed, nobody is shown them, and what is guessed says so.
func TestSettingsKeepSecrets(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Sealer = lock{} })
	list, err := b.client.Set(t.Context(), map[string]string{
		"mail.from": "b@163.com", "mail.password": "hunter2", "webhook.chat.url": "https://hooks.example.com/hunter2", "webhook.chat.kind": "slack",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list.Settings {
		got[s.Name] = s.Origin + " " + s.Value
	}
	for name, want := range map[string]string{
		"mail.host": "guessed smtp.163.com", "mail.port": "guessed 465", "mail.security": "guessed tls", "mail.from": "set b@163.com",
		"mail.password": "set ***", "webhook.chat.url": "set ***", "webhook.chat.kind": "set slack", "webhook.chat.secret": "default not set", "notify.severity": "default warning",
	} {
		if got[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, got[name], want)
		}
	}
	b.machine.Read(func(s *fsm.State) {
		for name, value := range s.Settings() {
			if strings.Contains(value, "hunter2") {
				t.Errorf("the state holds %s in clear", name)
			}
			if IsSecretSetting(name) {
				if clear, err := OpenSetting(lock{}, name, value); err != nil || !strings.HasSuffix(clear, "hunter2") {
					t.Errorf("%s opens as %q, %v", name, clear, err)
				}
			}
		}
	})
	if _, err := b.client.Set(t.Context(), map[string]string{"webhook.chat.url": "https://127.0.0.1/x", "webhook.chat.private": "true"}); err != nil {
		t.Errorf("a private address that is allowed: %v", err)
	}
	if _, err := b.client.Set(t.Context(), map[string]string{"webhook.chat.private": ""}); err == nil {
		t.Error("a private address stays while it is not allowed any more")
	}
}

// TestNoticesAreTested by the node that leads, of receivers that make sense only.
func TestNoticesAreTested(t *testing.T) {
	g := &tongue{}
	b := newBench(t, func(c *Config) { c.Sealer, c.Notices = lock{}, g })
	for _, test := range []struct {
		test    NoticeTest
		refusal string
	}{
		{NoticeTest{}, "mail.to is not set"},
		{NoticeTest{To: "nobody"}, "no mail address"},
		{NoticeTest{To: "a@b.c", Webhook: "x"}, "not to both"},
		{NoticeTest{Webhook: "none"}, "there is no webhook"},
		{NoticeTest{To: "Ann <a@example.com>"}, ""},
	} {
		_, err := b.client.TestNotices(t.Context(), test.test)
		if (err == nil) != (test.refusal == "") || err != nil && !strings.Contains(err.Error(), test.refusal) {
			t.Errorf("%+v: %v, want %q", test.test, err, test.refusal)
		}
	}
	if _, err := b.client.Set(t.Context(), map[string]string{"mail.to": "x@example.com,y@example.com", "webhook.chat.url": "https://hooks.example.com/"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []NoticeTest{{}, {Webhook: "chat"}} {
		if _, err := b.client.TestNotices(t.Context(), test); err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if got := strings.Join(g.tested, " "); got != "mail:a@example.com mail:x@example.com mail:y@example.com webhook:chat" {
		t.Errorf("tested %s", got)
	}
	d, err := b.client.Notices(t.Context())
	if err != nil || len(d.Receivers) != 1 || len(d.Settings) < 15 {
		t.Errorf("status %+v, %v", d, err)
	}
	first, _ := b.again(http.MethodPost, "/v1/notices/test", `{"to":"once@example.com"}`)
	if n := strings.Count(strings.Join(g.tested, " "), "once@"); n != 1 || !strings.Contains(first, "once@") {
		t.Errorf("a test that is sent again reaches its receiver %d times: %s", n, first)
	}
}
