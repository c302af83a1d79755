package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
)

// hand is somebody who drives a cluster from a machine, with the address of a node and a token file, by ctl alone or by curl
// alone.
type hand struct {
	machine []string // what command lines begin with there, such as a network namespace; none is this machine
	addr    string   // of the API, which speaks TLS: HOST:PORT; for ctl it may be whatever a user writes
	token   string   // file; "" has none
	ca      string   // file with the certificate that curl trusts
	curl    bool
}

// request is one thing to ask of a cluster, in the words of either.
type request struct {
	ctl          []string // without --json
	method, path string   // a path without a method is a GET
	body         string   // of curl's, which ctl does without
	header       []string // of curl's, besides the token
	endless      bool     // curl's goes on until it is stopped
}

// answer is what came of it.
type answer struct {
	exit    int                  // of the program
	out     []byte               // JSON
	said    string               // what ctl wrote on stderr
	status  int                  // of HTTP, where curl asked
	header  textproto.MIMEHeader // likewise
	problem struct{ Type, Title, Detail string }
}

const handPatience = 15 * time.Second

// run runs a program to its end, with a text on stdin.
func (h *hand) run(t *testing.T, stdin string, env []string, line ...string) (exit int, out []byte, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), handPatience)
	defer cancel()
	line = append(slices.Clone(h.machine), line...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(binary.Environment(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatalf("run %v: %v", line, err)
	}
	return cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.String()
}

// env says to ctl where the cluster is. Its home holds nothing.
func (h *hand) env(t *testing.T) []string {
	t.Helper()
	home, addr := t.TempDir(), h.addr
	if !strings.Contains(addr, ":/") && strings.Contains(addr, ":") {
		addr = "https://" + addr
	}
	return []string{"XDG_STATE_HOME=" + home, "BRIGADE_DATA=" + home, "BRIGADE_ADDR=" + addr, "BRIGADE_TOKEN_FILE=" + h.token}
}

// ask sends a request.
func (h *hand) ask(t *testing.T, q request) (a answer) {
	t.Helper()
	if !h.curl {
		a.exit, a.out, a.said = h.run(t, "", h.env(t), append(append([]string{shared.binary}, q.ctl...), "--json")...)
		return a
	}
	stdin := h.config(t, q)
	a.exit, a.out, a.said = h.run(t, stdin, nil, "curl", "-K", "-")
	if a.exit != 0 {
		return a
	}
	for a.status < 200 { // what only says that the body may come goes before
		head := textproto.NewReader(bufio.NewReader(bytes.NewReader(a.out)))
		line, err := head.ReadLine()
		if err == nil {
			_, err = fmt.Sscanf(line, "HTTP/1.1 %d", &a.status)
		}
		if err == nil {
			a.header, err = head.ReadMIMEHeader()
		}
		_, rest, found := bytes.Cut(a.out, []byte("\r\n\r\n"))
		if err != nil || !found {
			t.Fatalf("read what curl got: %v: %q", err, a.out)
		}
		a.out = rest
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(a.out, &a.problem); err != nil {
			t.Fatalf("read problem: %v: %s", err, a.out)
		}
	}
	return a
}

// config is what curl reads from stdin: no argument that others can see names the token.
func (h *hand) config(t *testing.T, q request) string {
	t.Helper()
	_, port, _ := strings.Cut(h.addr, ":")
	lines := []string{
		"silent", "show-error",
		fmt.Sprintf("connect-to = %q", "brigade-api:"+port+":"+h.addr), fmt.Sprintf("cacert = %q", h.ca),
		fmt.Sprintf("url = %q", "https://brigade-api:"+port+q.path),
	}
	if q.endless {
		lines = append(lines, "no-buffer")
	} else {
		lines = append(lines, "dump-header = -", fmt.Sprintf("max-time = %d", handPatience/time.Second))
	}
	if h.token != "" {
		lines = append(lines, fmt.Sprintf("header = %q", "Authorization: Bearer "+tokenIn(t, h.token)))
	}
	if q.method != "" {
		lines = append(lines, fmt.Sprintf("request = %q", q.method))
	}
	for _, header := range q.header {
		lines = append(lines, fmt.Sprintf("header = %q", header))
	}
	if q.body != "" {
		file := filepath.Join(t.TempDir(), "body.json")
		if err := os.WriteFile(file, []byte(q.body), 0o600); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("data-binary = %q", "@"+file), `header = "Content-Type: application/json"`)
	}
	return strings.Join(lines, "\n") + "\n"
}

// must wants a request done, with this status of HTTP, and reads the answer.
func (h *hand) must(t *testing.T, q request, status int, into any) answer {
	t.Helper()
	a := h.ask(t, q)
	switch {
	case a.exit != 0 || h.curl && a.status != status:
		t.Fatalf("%s: exit %d, status %d: %s%s", h.words(q), a.exit, a.status, a.said, a.out)
	case h.curl && (a.header.Get("Content-Type") != "application/json" || a.header.Get("Brigade-Request-Id") == ""):
		t.Errorf("%s: answered with %v", h.words(q), a.header)
	}
	if into != nil {
		if err := json.Unmarshal(a.out, into); err != nil {
			t.Fatalf("%s: %v: %s", h.words(q), err, a.out)
		}
	}
	return a
}

// all reads what curl gets as a list in a document, and ctl as a document on each line.
func all[T any](t *testing.T, h *hand, q request, field string) (list []T) {
	t.Helper()
	a := h.must(t, q, 200, nil)
	if h.curl {
		var d map[string]json.RawMessage
		err := json.Unmarshal(a.out, &d)
		if err == nil {
			err = json.Unmarshal(d[field], &list)
		}
		if err != nil {
			t.Fatalf("%s: %v: %s", h.words(q), err, a.out)
		}
		return list
	}
	for line := range bytes.Lines(a.out) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v: %s", h.words(q), err, line)
		}
		list = append(list, one)
	}
	return list
}

// refusal is what a user who is refused shall see.
type refusal struct {
	exit   int    // of ctl
	status int    // of HTTP
	code   string // of the problem
	words  []string
}

// mayNot wants a request refused: by ctl in one line on stderr, by HTTP as a problem.
func (h *hand) mayNot(t *testing.T, q request, want refusal) {
	t.Helper()
	a := h.ask(t, q)
	said := a.said
	if h.curl {
		said = a.problem.Detail
		if a.exit != 0 || a.status != want.status || a.problem.Type != "urn:brigade:problem:"+want.code || a.problem.Title == "" {
			t.Errorf("%s: exit %d, status %d, want %d %s: %s%s", h.words(q), a.exit, a.status, want.status, want.code, a.said, a.out)
			return
		}
	} else if a.exit != want.exit || len(a.out) > 0 || !strings.HasPrefix(said, "brigade: ") || strings.Count(said, "\n") != 1 {
		t.Errorf("%s: exit %d, want %d and one line: stdout %q, stderr %q", h.words(q), a.exit, want.exit, a.out, said)
		return
	}
	if !holdsAll(said, want.words) {
		t.Errorf("%s: said %q, want %q in it", h.words(q), said, want.words)
	}
}

// words is a request as its user writes it.
func (h *hand) words(q request) string {
	if h.curl {
		return "curl " + q.method + " " + q.path
	}
	return "brigade " + strings.Join(q.ctl, " ")
}

// invited makes a token and returns who has it, on another machine perhaps.
func (h *hand) invited(t *testing.T, name, role string, machine []string, addr string) *hand {
	t.Helper()
	guest := &hand{machine: machine, addr: addr, token: filepath.Join(t.TempDir(), name+".token"), ca: h.ca, curl: h.curl}
	var made struct{ Name, Role, Token string }
	h.must(t, request{
		ctl:    []string{"ctl", "token", "add", name, "--role", role, "--expires", "1h", "--out", guest.token},
		method: "POST", path: "/v1/tokens", body: fmt.Sprintf(`{"name": %q, "role": %q, "expires_in_seconds": 3600}`, name, role),
	}, 201, &made)
	if made.Name != name || made.Role != role || (made.Token != "") != h.curl {
		t.Errorf("a token was made for %q, %q", made.Name, made.Role)
	}
	if h.curl {
		if err := os.WriteFile(guest.token, []byte(made.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return guest
}

// authority is where a node keeps the certificate that it is known by, if its API speaks TLS.
func (n *node) authority() string { return filepath.Join(n.data, "api.ca.pem") }

// trusting is what a client checks that has this certificate.
func trusting(ca []byte) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca) // without one nobody is trusted
	return &tls.Config{RootCAs: roots, ServerName: "brigade-api"}
}
