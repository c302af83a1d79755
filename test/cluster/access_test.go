package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
)

// visitor is somebody who has nothing of a cluster but a token file.
type visitor struct {
	file string
	home string
}

// invite makes a token at a node.
func (n *node) invite(t *testing.T, name, role string, more ...string) *visitor {
	t.Helper()
	v := &visitor{file: filepath.Join(t.TempDir(), name+".token"), home: t.TempDir()}
	n.must(t, append([]string{"ctl", "token", "add", name, "--role", role, "--out", v.file}, more...)...)
	return v
}

// at runs ctl at the address of a node and returns what it printed.
func (v *visitor) at(n *node, args ...string) (string, error) {
	return v.call(fmt.Sprintf("https://127.0.0.1:%d", n.http), args...)
}

func (v *visitor) call(addr string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.binary, append([]string{"ctl"}, args...)...)
	cmd.Env = append(binary.Environment(), "XDG_STATE_HOME="+v.home, "BRIGADE_DATA="+v.home, "BRIGADE_ADDR="+addr, "BRIGADE_TOKEN_FILE="+v.file)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}

// may wants a node to do what is asked.
func (v *visitor) may(t *testing.T, n *node, args ...string) string {
	t.Helper()
	out, err := v.at(n, args...)
	if err != nil {
		t.Fatalf("%v at %s: %v", args, n.name, err)
	}
	return out
}

// mayNot wants a node to refuse it, in such words.
func (v *visitor) mayNot(t *testing.T, n *node, words string, args ...string) {
	t.Helper()
	if _, err := v.at(n, args...); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v at %s: %v, want %q", args, n.name, err, words)
	}
}

// event is a line of `ctl history --json`.
type event struct {
	Number                                         uint64
	Actor, Role, From, Node, Verb, Target, Request string
}

func (v *visitor) history(t *testing.T, n *node) (all []event) {
	t.Helper()
	for line := range strings.Lines(v.may(t, n, "history", "--json")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("read history: %v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// TestAccess drives a cluster whose API speaks TLS by token files alone, while its leader is killed.
func TestAccess(t *testing.T) {
	beside(t)
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		n.args = append(n.args, "--http-tls", "always", "--log-level", "debug")
		n.start(t)
	}
	c.waitWhole(t)
	leader, others := c.leader(t)
	viewer, operator := others[0].invite(t, "vera", "viewer"), others[1].invite(t, "otto", "operator")
	admin := leader.invite(t, "anna", "admin", "--expires", "1d")
	brief := leader.invite(t, "bert", "admin", "--expires", "1s")

	source, destination := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "f"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "job.yaml")
	text := fmt.Sprintf("id: move\nsource: {url: %q}\ndestination: {url: %q}\n", source, destination)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes { // whichever leads
		viewer.mayNot(t, n, "takes the role operator", "add", file)
		operator.mayNot(t, n, "takes the role admin", "set", "max-worker-num=3")
		operator.mayNot(t, n, "takes the role admin", "token", "add", "more", "--role", "admin")
		eventually(t, startLimit, "a token expires at "+n.name, func() bool {
			_, err := brief.at(n, "status")
			return err != nil && strings.Contains(err.Error(), "the token bert expired at")
		})
	}
	operator.may(t, others[0], "add", file)
	for _, n := range c.nodes {
		eventually(t, startLimit, "the job is done, says "+n.name, func() bool {
			return strings.Contains(viewer.may(t, n, "status", "--jobID=move", "--json"), `"state":"succeeded"`)
		})
	}
	c.wrongDoors(t, viewer, others[0])

	leader.kill(t)
	admin.mayEventually(t, others[1], "set", "max-worker-num=3")
	operator.may(t, others[0], "rm", "move")
	admin.may(t, others[1], "token", "rm", "vera")
	leader.start(t)
	c.waitWhole(t)
	want := []string{
		"local token-add vera viewer", "local token-add otto operator", "local token-add anna admin", "local token-add bert admin",
		"otto add move", "anna set max-worker-num", "otto rm move", "anna token-rm vera",
	}
	for _, n := range c.nodes {
		viewer.mayNot(t, n, "was removed", "status") // the one that was down, too: it trusts no token before it knows
		var got []string
		for _, e := range operator.history(t, n) {
			got = append(got, e.Actor+" "+e.Verb+" "+e.Target)
			if e.From != "127.0.0.1" || e.Request == "" || e.Number != uint64(len(got)) || e.Node == "" {
				t.Errorf("%s tells %+v", n.name, e)
			}
		}
		got = slices.Compact(got) // what had no answer in time, and was sent again
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s tells of\n%s\nwant\n%s", n.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if e := operator.history(t, leader)[4]; e.Node != others[0].id(t) {
		t.Errorf("the job was added at %s, says the history, not at %s", e.Node, others[0].id(t))
	}
	secret := secrets{}
	for _, v := range []*visitor{viewer, operator, admin, brief} {
		secret.note(t, v.file)
	}
	for _, n := range c.nodes {
		n.stop(t)
		secret.absentIn(t, n, "vera") // a name of a token
	}
}

// mayEventually waits until a node does what is asked, as it will once there is a leader.
func (v *visitor) mayEventually(t *testing.T, n *node, args ...string) {
	t.Helper()
	eventually(t, startLimit, fmt.Sprintf("%v at %s", args, n.name), func() bool {
		_, err := v.at(n, args...)
		return err == nil
	})
}

// wrongDoors calls a node by HTTP, and with the hash of another authority.
func (c *cluster) wrongDoors(t *testing.T, v *visitor, n *node) {
	t.Helper()
	if _, err := v.call(fmt.Sprintf("127.0.0.1:%d", n.http), "status"); err == nil || !strings.Contains(err.Error(), "this port speaks TLS") {
		t.Errorf("HTTP on the TLS port: %v", err)
	}
	line, err := os.ReadFile(v.file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndexByte(line, '.') + 1
	was := line[at]
	if line[at] = 'A'; was == 'A' {
		line[at] = 'B'
	}
	other := &visitor{file: filepath.Join(t.TempDir(), "other.token"), home: v.home}
	if err := os.WriteFile(other.file, line, 0o600); err != nil {
		t.Fatal(err)
	}
	other.mayNot(t, n, "not of the cluster that the token is for", "status")
}
