package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed mail.py
var mailProgram string

// Mail is a running mail server. Its ports are on 127.0.0.1; its certificate is for "localhost".
type Mail struct {
	StartTLS, TLS int // ports that want the user and its password
	Plain         int // port without either; 0 if the server has none
	CAFile        string
	User          string
	Password      string

	dir     string
	keeps   func() ([]Envelope, error)
	start   func() (*process, error)
	process *process
}

// Envelope is a message as it arrived.
type Envelope struct {
	To      []string `json:"to"`
	From    string   `json:"from"`
	TLS     bool     `json:"tls"`
	Auth    bool     `json:"auth"`
	Message []byte   `json:"-"`
}

// Header reads a field of the message.
func (e *Envelope) Header(t testing.TB, name string) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(string(e.Message)))
	if err != nil {
		t.Fatalf("read message: %v", err)
	}
	return m.Header.Get(name)
}

// StartMail starts aiosmtpd with the faults that mail.py tells of, and ends it with the test.
func StartMail(t testing.TB) *Mail {
	t.Helper()
	m := newMail(t)
	program := filepath.Join(m.dir, "mail.py")
	if err := os.WriteFile(program, []byte(mailProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	python, err := findPython()
	if err != nil {
		t.Fatalf("start mail server: %v", err)
	}
	m.Plain = freePort(t)
	m.keeps = func() ([]Envelope, error) { return readKept(filepath.Join(m.dir, "kept")) }
	m.start = func() (*process, error) {
		return startProcess(python, []string{program, filepath.Join(m.dir, "kept"), filepath.Join(m.dir, "cert.pem"), filepath.Join(m.dir, "key.pem"),
			strconv.Itoa(m.StartTLS), strconv.Itoa(m.TLS), strconv.Itoa(m.Plain)}, []string{"MAIL_PASSWORD=" + m.Password})
	}
	m.Start(t)
	return m
}

// findPython finds one that has aiosmtpd, which Debian installs for its own only.
func findPython() (string, error) {
	for _, path := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(path, "-c", "import aiosmtpd").Run() == nil {
			return path, nil
		}
	}
	return "", errors.New("python3 with aiosmtpd not found (Debian: apt-get install python3-aiosmtpd)")
}

// StartExim starts exim4, which takes mail for test.local and knows CRAM-MD5 too; bounce@test.local is refused. It needs root.
func StartExim(t testing.TB) *Mail {
	t.Helper()
	m := newMail(t)
	path, err := exec.LookPath("exim4")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/exim4"); err != nil {
			t.Fatal("exim4 not found (Debian: apt-get install exim4-daemon-light)")
		}
	}
	m.keeps = func() ([]Envelope, error) { return readMailbox(filepath.Join(m.dir, "kept", "mbox")) }
	m.start = func() (*process, error) {
		conf := filepath.Join(m.dir, "exim.conf")
		if err := os.WriteFile(conf, []byte(m.eximConfig()), 0o600); err != nil {
			return nil, err
		}
		return startProcess(path, []string{"-C", conf, "-bdf", "-q1m"}, nil)
	}
	giveTo(t, m.dir, "Debian-exim")
	m.Start(t)
	return m
}

// giveTo lets a user of the system write into a folder of the test's.
func giveTo(t testing.TB, dir, name string) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid) // a number on every Unix
	gid, _ := strconv.Atoi(u.Gid)
	for _, d := range []string{"", "kept", "spool", "log", "cert.pem", "key.pem"} {
		path := filepath.Join(dir, d)
		if d == "spool" || d == "log" {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *Mail) eximConfig() string {
	return fmt.Sprintf(`primary_hostname = localhost
domainlist local = test.local
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%slog
pid_file_path = %[1]s/exim.pid
local_interfaces = <; [127.0.0.1]:%[2]d ; [127.0.0.1]:%[3]d
tls_on_connect_ports = %[3]d
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
keep_environment =
acl_smtp_rcpt = rcpt
acl_smtp_data = data
deliver_drop_privilege = true
begin acl
rcpt:
  deny message = 550 no such user
       local_parts = bounce
  accept authenticated = *
         domains = +local
  deny message = relay not permitted
data:
  accept
begin routers
all:
  driver = accept
  domains = +local
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  file = %[1]s/kept/mbox
  envelope_to_add
  return_path_add
begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{user}{%[4]s}fail}
  server_set_id = $auth1
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if and {{eq{$auth2}{user}}{eq{$auth3}{%[4]s}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
`, m.dir, m.StartTLS, m.TLS, m.Password)
}

func newMail(t testing.TB) *Mail {
	t.Helper()
	m := &Mail{StartTLS: freePort(t), TLS: freePort(t), User: "user", Password: rand.Text(), dir: t.TempDir()}
	m.CAFile = filepath.Join(m.dir, "cert.pem")
	if err := errors.Join(os.Mkdir(filepath.Join(m.dir, "kept"), 0o755), makeCertificate(m.dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Stop(t) })
	return m
}

func freePort(t testing.TB) int {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Start starts the server again after Stop, at the same ports, and waits until all of them answer.
func (m *Mail) Start(t testing.TB) {
	t.Helper()
	p, err := m.start()
	if err != nil {
		t.Fatal(err)
	}
	m.process = p
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for _, port := range []int{m.StartTLS, m.TLS, m.Plain} {
		if port == 0 {
			continue
		}
		if err := p.waitPort(ctx, port); err != nil {
			t.Fatalf("start mail server: %v", err)
		}
	}
}

// waitPort waits until somebody listens on a port.
func (p *process) waitPort(ctx context.Context, port int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended before it answered: %s", p.output)
		case <-ctx.Done():
			return fmt.Errorf("port %d does not answer within %v: %s", port, startTimeout, p.output)
		case <-tick.C:
		}
	}
}

// Stop ends the server; what it keeps stays.
func (m *Mail) Stop(t testing.TB) {
	t.Helper()
	if m.process == nil {
		return
	}
	if err := m.process.stop(); err != nil {
		t.Errorf("stop mail server: %v", err)
	}
	m.process = nil
}

// Kept are the messages so far, in the order of their arrival.
func (m *Mail) Kept(t testing.TB) []Envelope {
	t.Helper()
	all, err := m.keeps()
	if err != nil {
		t.Fatalf("read mail: %v", err)
	}
	return all
}

func readKept(dir string) ([]Envelope, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []Envelope
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var e Envelope
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, err
		}
		if e.Message, err = os.ReadFile(strings.TrimSuffix(name, ".json") + ".eml"); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// readMailbox reads a file of messages that each begin with a line "From ".
func readMailbox(path string) ([]Envelope, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Envelope
	for text := range strings.SplitSeq("\n"+string(data), "\nFrom ") {
		_, message, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(message) == "" {
			continue
		}
		e := Envelope{Message: []byte(strings.ReplaceAll(message, "\n", "\r\n")), TLS: strings.Contains(message, "(TLS"), Auth: strings.Contains(message, "esmtpsa") || strings.Contains(message, "esmtpa")}
		if m, err := mail.ReadMessage(strings.NewReader(message)); err == nil {
			e.To, e.From = []string{m.Header.Get("Envelope-to")}, strings.Trim(m.Header.Get("Return-path"), "<>")
		}
		all = append(all, e)
	}
	return all, nil
}

// makeCertificate makes cert.pem, its own authority, and key.pem for "localhost".
func makeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
