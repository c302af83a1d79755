package notify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
)

// mailer sends through a server's port, trusting its certificate.
func mailer(t *testing.T, s *servers.Mail, security Security) *Mailer {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	m := &Mailer{
		Host: "localhost", Security: security, Roots: roots, User: s.User, Password: s.Password,
		From: "Brigade <brigade@test.local>", Hello: "node1.test.local", Now: func() time.Time { return began.Add(time.Hour) },
	}
	switch security {
	case SecurityTLS:
		m.Port = s.TLS
	case SecurityStartTLS:
		m.Port = s.StartTLS
	case SecurityNone:
		m.Port, m.User = s.Plain, ""
	}
	return m
}

func render(t *testing.T, lang string, notices ...Notice) *Message {
	t.Helper()
	r, err := NewRenderer(Cluster{Name: "test", Nodes: 3}, lang)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Render(notices)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEveryKindIsDelivered: each kind in each language arrives at both servers, by STARTTLS and by TLS, after authentication.
func TestEveryKindIsDelivered(t *testing.T) {
	for name, s := range map[string]*servers.Mail{"aiosmtpd": servers.StartMail(t), "exim": servers.StartExim(t)} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{} // subject by ID
			i := 0
			for _, lang := range Languages() {
				for _, kind := range Kinds() {
					m := render(t, lang, example(kind, uint64(i+1)))
					security := []Security{SecurityStartTLS, SecurityTLS}[i%2]
					if err := mailer(t, s, security).Send(t.Context(), m, "ops@test.local"); err != nil {
						t.Errorf("%s in %s: %v", kind, lang, err)
					}
					want["<"+m.ID+">"] = m.Subject
					i++
				}
			}
			got := waitMail(t, s, len(want))
			for _, e := range got {
				subject, ok := want[e.Header(t, "Message-ID")]
				delete(want, e.Header(t, "Message-ID"))
				if !ok || decoded(t, e.Header(t, "Subject")) != subject || !e.TLS || !e.Auth {
					t.Errorf("%q arrived as %q, TLS %t, authenticated %t", subject, decoded(t, e.Header(t, "Subject")), e.TLS, e.Auth)
				}
				if !strings.Contains(string(e.Message), "multipart/alternative") {
					t.Errorf("%q has no alternative parts", subject)
				}
			}
			if len(want) > 0 {
				t.Errorf("not arrived: %v", want)
			}
		})
	}
}

// waitMail waits until a server keeps so many messages.
func waitMail(t *testing.T, s *servers.Mail, n int) []servers.Envelope {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		if all := s.Kept(t); len(all) >= n {
			return all
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d messages arrived, want %d", len(s.Kept(t)), n)
		}
	}
}

// TestMailFaults: what servers do to mail, and whether it is worth another try.
func TestMailFaults(t *testing.T) {
	s := servers.StartMail(t)
	msg := render(t, "en", example(JobDone, 1))
	for name, c := range map[string]struct {
		to        string
		change    func(m *Mailer)
		temporary bool
		says      string
	}{
		"no such user":          {"bounce@test.local", nil, false, "550"},
		"greylisted":            {"busy@test.local", nil, true, "451"},
		"connection cut":        {"drop@test.local", nil, true, ""},
		"cut after the message": {"cut@test.local", nil, true, ""},
		"wrong password":        {"ops@test.local", func(m *Mailer) { m.Password = "wrong-" + m.Password }, false, "mail.password"},
		"untrusted certificate": {"ops@test.local", func(m *Mailer) { m.Roots = x509.NewCertPool() }, false, "mail.ca_file"},
		"another name":          {"ops@test.local", func(m *Mailer) { m.Host = "127.0.0.1" }, false, "mail.host"},
		"nobody there":          {"ops@test.local", func(m *Mailer) { m.Port = 1 }, true, "refused"},
		"password in clear":     {"ops@test.local", func(m *Mailer) { m.Security, m.Port = SecurityNone, s.StartTLS }, false, "mail.security"},
		"header injection":      {"ops@test.local\r\nBcc: all@test.local", nil, false, "line breaks"},
		"no address":            {"ops", nil, false, "no mail address"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mailer(t, s, SecurityStartTLS)
			if c.change != nil {
				c.change(m)
			}
			err := m.Send(t.Context(), msg, c.to)
			var e *DeliveryError
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			if e.Temporary != c.temporary || !strings.Contains(e.Error(), c.says) || strings.Contains(e.Error(), "\n") {
				t.Errorf("temporary %t: %v; want %t and %q", e.Temporary, e, c.temporary, c.says)
			}
			if strings.Contains(e.Error()+fmt.Sprintf("%+v %#v", m, m), s.Password) {
				t.Error("the password shows")
			}
		})
	}
	if kept := s.Kept(t); len(kept) > 0 {
		t.Errorf("%d messages arrived all the same", len(kept))
	}
}

// TestOneOfThreeReceiversIsRefused: the others get the message, with the same Message-ID, and greylisting passes.
func TestOneOfThreeReceiversIsRefused(t *testing.T) {
	s := servers.StartMail(t)
	m, msg := mailer(t, s, SecurityTLS), render(t, "en", example(JobFailed, 7))
	results := map[string]error{}
	for _, to := range []string{"a@test.local", "bounce@test.local", "busy@test.local", "busy@test.local", "lost@test.local", "lost@test.local"} {
		results[to] = m.Send(t.Context(), msg, to)
	}
	if results["a@test.local"] != nil || results["bounce@test.local"] == nil || results["busy@test.local"] != nil || results["lost@test.local"] != nil {
		t.Errorf("results: %v", results)
	}
	to := map[string]int{}
	for _, e := range s.Kept(t) {
		to[e.To[0]]++
		if id := e.Header(t, "Message-ID"); id != "<"+msg.ID+">" {
			t.Errorf("to %v: Message-ID %s, want %s", e.To, id, msg.ID)
		}
	}
	// The answer to "lost" was lost, so it has the message twice, and can tell by its ID.
	if to["a@test.local"] != 1 || to["busy@test.local"] != 1 || to["lost@test.local"] != 2 || len(to) != 3 {
		t.Errorf("arrived: %v", to)
	}
}

// TestPlainIsAChoice: without TLS a message goes where the setting says so, and CRAM-MD5 shows no password.
func TestPlainIsAChoice(t *testing.T) {
	s, exim := servers.StartMail(t), servers.StartExim(t)
	msg := render(t, "zh", example(NodeDead, 3))
	if err := mailer(t, s, SecurityNone).Send(t.Context(), msg, "ops@test.local"); err != nil {
		t.Error(err)
	}
	if e := waitMail(t, s, 1)[0]; e.TLS || e.Auth {
		t.Errorf("arrived with TLS %t, authenticated %t", e.TLS, e.Auth)
	}
	m := mailer(t, exim, SecurityNone)
	m.Port, m.User = exim.StartTLS, exim.User
	if err := m.Send(t.Context(), msg, "ops@test.local"); err != nil {
		t.Errorf("CRAM-MD5: %v", err)
	}
	if e := waitMail(t, exim, 1)[0]; e.TLS || !e.Auth {
		t.Errorf("CRAM-MD5: TLS %t, authenticated %t", e.TLS, e.Auth)
	}
}

func TestGuessMailHost(t *testing.T) {
	for from, want := range map[string]string{
		"a@163.com": "smtp.163.com:465 tls", "A <a@QQ.com>": "smtp.qq.com:465 tls", "a@gmail.com": "smtp.gmail.com:587 starttls",
		"a@outlook.com": "smtp-mail.outlook.com:587 starttls", "a@126.com": "smtp.126.com:465 tls", "a@aliyun.com": "smtp.aliyun.com:465 tls",
		"ops@example.org": "smtp.example.org:587 starttls",
	} {
		h, err := GuessMailHost(from)
		if got := fmt.Sprintf("%s:%d %s", h.Host, h.Port, h.Security); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", from, got, err, want)
		}
	}
	for _, bad := range []string{"", "ops", "a@b@c", "a@[127.0.0.1]", "a@b.com\nx"} {
		if h, err := GuessMailHost(bad); err == nil {
			t.Errorf("%q: %+v", bad, h)
		}
	}
}

// TestLook writes messages as they look in a reader into the folder that BRIGADE_LOOK names, for eyes.
func TestLook(t *testing.T) {
	dir := os.Getenv("BRIGADE_LOOK")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, lang := range Languages() {
		m := render(t, lang, example(JobFailed, 1), example(NodeDead, 2))
		page := m.HTML
		for _, c := range m.Charts {
			if err := os.WriteFile(filepath.Join(dir, lang+"-"+c.Name+".png"), c.PNG, 0o600); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(page, "cid:"+c.Name) {
				t.Errorf("%s shows no chart %s", lang, c.Name)
			}
			page = strings.ReplaceAll(page, "cid:"+c.Name, lang+"-"+c.Name+".png")
		}
		if err := os.WriteFile(filepath.Join(dir, lang+".html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, lang+".txt"), []byte(m.Subject+"\n\n"+m.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
