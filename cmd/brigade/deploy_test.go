package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deployFile reads a file that is shipped for installation.
func deployFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tool finds a program that a test holds our files against. With CI=true lacking it is a failure.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing; install %s", name, pkg)
	}
	t.Skipf("%s is not installed (Debian: %s)", name, pkg)
	return ""
}

// TestExampleConfig: the example shows every key with its default, and with all of them in force it is a configuration.
func TestExampleConfig(t *testing.T) {
	b := newBench(t)
	example := deployFile(t, "node.yaml")
	file := filepath.Join(b.dir, "node.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(example)
	plain := b.shownConfig("--config", file)
	write(regexp.MustCompile(`(?m)^#([a-z-]+: )`).ReplaceAllString(example, "$1"))
	inForce := b.shownConfig("--config", file)
	differ := map[string]bool{"data": true, "cluster-key-file": true, "join": true, "advertise": true, "bind": true, "log-file": true} // by machine and key
	for _, name := range nodeFlagNames(t, b) {
		if got := plain[name].Origin; got != originDefault {
			t.Errorf("%s is not commented out: %s", name, got)
		}
		if got := inForce[name]; got.Origin != file || got.Value != plain[name].Value && !differ[name] {
			t.Errorf("%s: the example says %q (%s), the default is %q", name, got.Value, got.Origin, plain[name].Value)
		}
		live := regexp.MustCompile(`(?m)^#` + name + `: .*# live`).MatchString(example)
		if live != plain[name].Live {
			t.Errorf("%s: marked live: %v, is: %v", name, live, plain[name].Live)
		}
	}
}

// TestExampleEnvironment: what the example of variables names for the node is known.
func TestExampleEnvironment(t *testing.T) {
	known := map[string]bool{}
	for _, name := range nodeFlagNames(t, newBench(t)) {
		known[variableOf(name)] = true
	}
	found := regexp.MustCompile(`BRIGADE_[A-Z_]+`).FindAllString(deployFile(t, "node.env"), -1)
	for _, name := range found {
		if !known[name] {
			t.Errorf("%s is no variable of a node", name)
		}
	}
	if len(found) == 0 {
		t.Error("the example names none")
	}
}

// mostExposure is what `systemd-analyze security` may rate the unit at, in tenths of 10 points; lower is safer.
const mostExposure = 20

// TestUnit has systemd read the unit, and rate what it leaves open.
func TestUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	unit := deployFile(t, "brigade.service")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const installed = "/usr/local/bin/brigade"
	if !strings.Contains(unit, "ExecStart="+installed+" node start --config /etc/brigade/node.yaml\n") {
		t.Error("the unit starts something else")
	}
	file := filepath.Join(t.TempDir(), "brigade.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, installed, self)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", "--man=no", file},
		{"security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", mostExposure), file},
	} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(bytes.TrimSpace(out)) > 0 { // of unknown keys it only warns
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
	for _, must := range []string{
		"Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=brigade", "LimitNOFILE=", "LimitCORE=0",
		"TimeoutStopSec=", "Restart=on-failure", "WatchdogSec=", "RestartPreventExitStatus=2", "ExecReload=/bin/kill -HUP $MAINPID",
	} {
		if !strings.Contains(unit, "\n"+must) {
			t.Errorf("the unit lacks %s", must)
		}
	}
	if strings.Contains(unit, "ProtectHome=yes") || strings.Contains(unit, "ProtectHome=tmpfs") || strings.Contains(unit, "PrivateTmp=yes") {
		t.Error("the unit hides folders, which would look like empty sources")
	}
}

// TestSysusers has systemd read the user that the unit runs as.
func TestSysusers(t *testing.T) {
	sysusers := tool(t, "systemd-sysusers", "systemd")
	file := filepath.Join(t.TempDir(), "brigade.conf")
	if err := os.WriteFile(file, []byte(deployFile(t, "brigade.sysusers")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sysusers, "--dry-run", file).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("user brigade")) && !bytes.Contains(out, []byte("'brigade'")) {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, "unit", deployFile(t, "brigade.service"), "User=brigade\n", "Group=brigade\n")
}
