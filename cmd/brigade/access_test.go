package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
)

// startSecured starts a node with a cluster key, whose API is at an address.
func startSecured(t *testing.T, http string, args ...string) *nodeBench {
	t.Helper()
	key := filepath.Join(t.TempDir(), "cluster.key")
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	return startNode(t, append([]string{
		"--http", http, "--cluster-key-file", key, "--bind", "127.0.0.1", "--peer-port", "0", "--gossip-port", "0",
		"--log-level", "debug",
	}, args...)...)
}

// visitor is somebody else, who has a token file and an address.
func (n *nodeBench) visitor(t *testing.T, tokenFile string) *bench {
	t.Helper()
	addr, err := api.ReadAddr(n.data)
	if err != nil {
		t.Fatal(err)
	}
	v := n.as(t)
	v.env = map[string]string{"XDG_STATE_HOME": t.TempDir(), "BRIGADE_ADDR": addr, "BRIGADE_TOKEN_FILE": tokenFile}
	v.app.getenv = func(name string) string { return v.env[name] }
	return v
}

// TestAccess drives a node with TLS by token files of every role.
func TestAccess(t *testing.T) {
	n := startSecured(t, "127.0.0.1:0", "--http-tls", "always")
	addr, err := api.ReadAddr(n.data)
	if err != nil || !strings.HasPrefix(addr, "https://127.0.0.1:") {
		t.Fatalf("the API is at %s: %v", addr, err)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name+".token") }
	for _, role := range []string{"viewer", "operator", "admin"} {
		out, _ := n.run(codeDone, "ctl", "token", "add", "the-"+role, "--role", role, "--expires", "30d", "--out", file(role))
		contains(t, "token add", out, "the-"+role, role, "valid until "+time.Now().Add(30*24*time.Hour).UTC().Format("2006-01-02T"))
		info, err := os.Stat(file(role))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	viewer, operator, admin := n.visitor(t, file("viewer")), n.visitor(t, file("operator")), n.visitor(t, file("admin"))
	job := n.jobFile("photos")
	viewer.run(codeDone, "ctl", "status")
	_, errs := viewer.run(codeRefused, "ctl", "add", job)
	contains(t, "viewer adds a job", errs, "takes the role operator", "the token the-viewer has the role viewer")
	_, errs = viewer.run(codeRefused, "ctl", "history")
	contains(t, "viewer reads the history", errs, "takes the role operator")
	operator.run(codeDone, "ctl", "add", job)
	n.reaches("photos", fsm.Succeeded)
	_, errs = operator.run(codeRefused, "ctl", "set", "max-worker-num=2")
	contains(t, "operator changes settings", errs, "takes the role admin")
	_, errs = operator.run(codeRefused, "node", "stop")
	contains(t, "operator stops the node", errs, "takes the role admin")
	_, errs = operator.run(codeRefused, "ctl", "token", "list")
	contains(t, "operator lists tokens", errs, "takes the role admin")
	admin.run(codeDone, "ctl", "set", "max-worker-num=2")
	out, _ := admin.run(codeDone, "ctl", "token", "list")
	contains(t, "token list", out, "NAME", "the-admin", "the-operator", "the-viewer", "operator")
	out, _ = admin.run(codeDone, "ctl", "token", "rm", "the-viewer")
	contains(t, "token rm", out, "the-viewer is removed")
	_, errs = viewer.run(codeRefused, "ctl", "status")
	contains(t, "removed token", errs, "was removed")

	n.run(codeRefused, "node", "leave") // the only node: not a thing that was done
	out, _ = operator.run(codeDone, "ctl", "history")
	contains(t, "history", out, "TIME", "WHO", "the-operator", "add", "photos", "the-admin", "max-worker-num", "127.0.0.1", "token-rm")
	if strings.Contains(out, "leave") {
		t.Errorf("the history tells of what was refused:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if len(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	out, _ = operator.run(codeDone, "ctl", "history", "--json")
	last := strings.Split(strings.TrimSpace(out), "\n")
	var e api.Event
	if err := json.Unmarshal([]byte(last[len(last)-1]), &e); err != nil || e.Verb != "token-rm" || e.Actor != "the-admin" || e.Target != "the-viewer" ||
		e.Node != n.self() || time.Since(e.At).Abs() > patience {
		t.Errorf("%+v, %v", e, err)
	}
	n.checkNoSecrets(dir, out)
}

// checkNoSecrets looks for the tokens in a folder wherever a node says or keeps something.
func (n *nodeBench) checkNoSecrets(dir string, said ...string) {
	n.t.Helper()
	tokens, err := filepath.Glob(filepath.Join(dir, "*.token"))
	if err != nil || len(tokens) == 0 {
		n.t.Fatalf("%d tokens: %v", len(tokens), err)
	}
	local := api.LocalTokenFile(n.data)
	for _, file := range append(tokens, local) {
		line, err := os.ReadFile(file)
		if err != nil {
			n.t.Fatal(err)
		}
		secret := bytes.Split(line, []byte("."))[2]
		for _, text := range append(said, n.log.String()) {
			if strings.Contains(text, string(secret)) {
				n.t.Errorf("the secret of %s is told", filepath.Base(file))
			}
		}
		looked := 0
		err = filepath.WalkDir(n.data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path == local {
				return err
			}
			looked++
			content, err := os.ReadFile(path)
			if bytes.Contains(content, secret) {
				n.t.Errorf("%s holds the secret of %s", path, filepath.Base(file))
			}
			return err
		})
		if err != nil || looked < 4 {
			n.t.Errorf("%d files looked at: %v", looked, err)
		}
	}
}

// TestAccessOffLoopback has the API listen on all addresses. Without more being asked for, it speaks TLS.
func TestAccessOffLoopback(t *testing.T) {
	n := startSecured(t, "0.0.0.0:0")
	addr, err := api.ReadAddr(n.data)
	if err != nil || !strings.HasPrefix(addr, "https://127.0.0.1:") {
		t.Fatalf("the API is at %s: %v", addr, err)
	}
	token := filepath.Join(t.TempDir(), "ann.token")
	n.run(codeDone, "ctl", "token", "add", "ann", "--role", "viewer", "--out", token)
	v := n.visitor(t, token)
	v.run(codeDone, "ctl", "status")

	host := strings.TrimPrefix(addr, "https://")
	v.env["BRIGADE_ADDR"] = "http://" + host
	_, errs := v.run(codeRefused, "ctl", "status")
	contains(t, "HTTP on the TLS port", errs, "this port speaks TLS; use https://"+host)

	plain := startNode(t)
	plainAddr, err := api.ReadAddr(plain.data)
	if err != nil {
		t.Fatal(err)
	}
	v.env["BRIGADE_ADDR"] = "https://" + plainAddr
	_, errs = v.run(codeRefused, "ctl", "status")
	contains(t, "TLS on the HTTP port", errs, "does not speak TLS; use http://"+plainAddr)

	other := startSecured(t, "127.0.0.1:0", "--http-tls", "always")
	if v.env["BRIGADE_ADDR"], err = api.ReadAddr(other.data); err != nil {
		t.Fatal(err)
	}
	_, errs = v.run(codeRefused, "ctl", "status")
	contains(t, "another cluster", errs, "not of the cluster that the token is for")
	if strings.Contains(other.log.String(), "without a valid token") {
		t.Error("the token was shown to another cluster")
	}
}

// TestTokenAdd makes tokens with and without a file.
func TestTokenAdd(t *testing.T) {
	n := startNode(t)
	out, errs := n.run(codeDone, "ctl", "token", "add", "ann", "--role", "operator")
	if !strings.HasPrefix(out, "brigade1.") || strings.Count(out, "\n") != 1 || errs != "" {
		t.Errorf("stdout %d bytes, stderr %q", len(out), errs)
	}
	file := filepath.Join(n.dir, "ann.token")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	n.visitor(t, file).run(codeDone, "ctl", "status")
	_, errs = n.run(codeRefused, "ctl", "token", "add", "bob", "--role", "viewer", "--out", file)
	contains(t, "a file that is there", errs, file+" exists")
	again := filepath.Join(n.dir, "again.token")
	_, errs = n.run(codeRefused, "ctl", "token", "add", "ann", "--role", "viewer", "--out", again)
	contains(t, "a name that is taken", errs, `a token named "ann"`)
	if _, err := os.Stat(again); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file without a token is left: %v", err)
	}
	out, _ = n.run(codeDone, "ctl", "token", "add", "short", "--role", "viewer", "--expires", "1s", "--json")
	var made api.MadeToken
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ExpiresAt == nil {
		t.Fatalf("%v", err)
	}
	if err := os.WriteFile(again, []byte(made.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := n.visitor(t, again)
	n.eventually("the token expires", func() bool {
		v.stdout.Reset()
		return v.app.run(t.Context(), []string{"ctl", "status"}) == codeRefused
	})
	contains(t, "expired token", v.stderr.String(), "the token short expired at")
	out, _ = n.run(codeDone, "ctl", "token", "list")
	contains(t, "token list", out, "ann", "until it is removed", "short", "expired")
	out, _ = n.run(codeDone, "ctl", "token", "list", "--json")
	if strings.Contains(out, "hash") || strings.Contains(out, `"token"`) {
		t.Errorf("the list tells more than it should: %s", out)
	}
}

func TestTokenBadInput(t *testing.T) {
	n := startNode(t)
	other := filepath.Join(n.dir, "newer.token")
	if err := os.WriteFile(other, []byte("brigade9.a.bcdefghijklmnopqrstuvwxyz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		code  int
		args  []string
		wants []string
	}{
		"no role":          {2, []string{"ctl", "token", "add", "x"}, []string{"--role", "viewer, operator, admin"}},
		"unknown role":     {2, []string{"ctl", "token", "add", "x", "--role", "root"}, []string{`"root"`, "viewer, operator, admin"}},
		"bad expiry":       {2, []string{"ctl", "token", "add", "x", "--role", "viewer", "--expires", "soon"}, []string{"--expires", "30d"}},
		"past expiry":      {2, []string{"ctl", "token", "add", "x", "--role", "viewer", "--expires", "-1d"}, []string{"--expires", "30d"}},
		"bad name":         {1, []string{"ctl", "token", "add", "a/b", "--role", "viewer"}, []string{`"a/b"`, "a-z"}},
		"local":            {1, []string{"ctl", "token", "add", "local", "--role", "viewer"}, []string{`"local"`}},
		"no name":          {2, []string{"ctl", "token", "add", "--role", "viewer"}, []string{"see brigade ctl token add --help"}},
		"rm of unknown":    {1, []string{"ctl", "token", "rm", "nope"}, []string{`"nope"`}},
		"rm of local":      {1, []string{"ctl", "token", "rm", "local"}, []string{`"local"`}},
		"no folder":        {1, []string{"ctl", "token", "add", "x", "--role", "viewer", "--out", filepath.Join(n.dir, "none", "f")}, []string{"none"}},
		"unknown verb":     {2, []string{"ctl", "token", "ad"}, []string{"did you mean add"}},
		"newer token":      {1, []string{"ctl", "status", "--token-file", other}, []string{"does not hold a token that this version reads"}},
		"clear off a node": {2, []string{"ctl", "status", "--addr", "http://192.0.2.1:7460"}, []string{"in clear"}},
		"no authority":     {2, []string{"ctl", "status", "--addr", "192.0.2.1:7460"}, []string{"brigade ctl token add"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := n.as(t).run(test.code, test.args...)
			contains(t, "stderr", errs, test.wants...)
		})
	}
	out, _ := n.run(codeDone, "ctl", "token", "list")
	contains(t, "token list", out, "there are no tokens")
}

func TestTLSNeedsAKey(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"--http", "0.0.0.0:0"}, {"--http-tls", "always"}, {"--http", "node.example.com"}} {
		_, errs := b.run(codeMisuse, append([]string{"node", "start", "--data", filepath.Join(b.dir, "data")}, args...)...)
		contains(t, "stderr", errs, args[0], "--cluster-key-file")
	}
	_, errs := b.run(codeMisuse, "node", "start", "--http-tls", "never")
	contains(t, "stderr", errs, `"never"`, "auto, always")
}

func TestParseLifetime(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"": 0, "30d": 30 * day, "2w": 14 * day, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute,
		"0d": -1, "-1d": -1, "1": -1, "d": -1, "1.5d": -1, "0s": -1, "1ms": -1, "99999999999d": -1, "5001w": -1, "35001d": -1,
	} {
		got, err := parseLifetime(text)
		if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestLocalAddress(t *testing.T) {
	for _, test := range []struct {
		configured, listens string
		tls                 bool
		want                string
	}{
		{"127.0.0.1:7460", "127.0.0.1:7460", false, "127.0.0.1:7460"},
		{"0.0.0.0:7460", "[::]:7460", true, "https://127.0.0.1:7460"},
		{"[::]:7460", "[::]:7460", true, "https://[::1]:7460"},
		{"10.0.0.1:7460", "10.0.0.1:7460", true, "https://10.0.0.1:7460"},
	} {
		n := &node{address: test.listens, cfg: nodeConfig{http: test.configured, httpTLS: test.tls}}
		got := n.localAddress()
		if _, _, err := net.SplitHostPort(strings.TrimPrefix(got, "https://")); err != nil || got != test.want {
			t.Errorf("%+v: %s, %v", test, got, err)
		}
	}
}
